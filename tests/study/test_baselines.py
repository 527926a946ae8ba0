"""The simulated baselines: their int8 forward pass is the network's, and they learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from microtune import embedded
from microtune.datasets import Preprocessing, open_dataset
from microtune.errors import MicrotuneError
from microtune.importers import load_any
from microtune.ir.evaluate import evaluate
from microtune.study.baselines import BASELINES
from microtune.study.execute import Sources, execute
from microtune.study.runs import Run
from microtune.study.torch_network import TorchNetwork
from microtune.training.scheme import resolve_scheme

pytestmark = pytest.mark.oracle
RUN = Run("fashion5", "fashion_tops.npz", "last-7", "fp32 SGD-M", 0.03, 0, 3)
IMAGES = 20


@pytest.mark.parametrize("scheme", ["head-only", "last-3", "last-7", "full"])
def test_the_int8_forward_pass_is_the_networks(scheme: str) -> None:
    """Codes of the features: equal but for roundings of ties in float32."""
    model = load_any(embedded.MODEL)
    graph = model.graph
    data = open_dataset(embedded.DATA)
    frames = data.load("test", Preprocessing.from_json(model.preprocessing)).frames[:IMAGES]
    network = TorchNetwork(graph, resolve_scheme(scheme, graph, graph.name), "int8", 5)
    codes = network.features_of(network.latents(frames)).detach().numpy().reshape(IMAGES, -1)
    shape = graph.tensors["input"].shape
    expected = np.stack([
        evaluate(graph, {"input": frame.reshape(shape)}, keep={network.features})[network.features]
        for frame in frames
    ]).reshape(IMAGES, -1)  # fmt: skip
    assert np.abs(codes - expected).max() <= 1
    assert (codes == expected).mean() > 0.97


def test_the_float_network_is_close_to_the_int8_one() -> None:
    model = load_any(embedded.MODEL)
    graph = model.graph
    data = open_dataset(embedded.DATA)
    frames = data.load("test", Preprocessing.from_json(model.preprocessing)).frames[:IMAGES]
    scheme = resolve_scheme("last-3", graph, graph.name)
    int8, real = (TorchNetwork(graph, scheme, kind, 5) for kind in ("int8", "float"))
    codes = int8.features_of(int8.latents(frames)).detach().numpy()
    quant = graph.quant(int8.features)
    dequantised = (codes - quant.zero_point) * graph.scale(int8.features)
    found = real.features_of(real.latents(frames)).detach().numpy()
    assert np.corrcoef(dequantised.reshape(-1), found.reshape(-1))[0, 1] > 0.98


@pytest.mark.parametrize("method", [name for name in BASELINES if "LARS" not in name])
def test_baselines_learn(sources: Sources, method: str) -> None:
    """Three epochs take the loss well below that of guessing (ln 5 = 1.61)."""
    lr = 0.01 if method == "int8 Adam" else RUN.lr
    result = execute(replace(RUN, method=method, lr=lr), sources)
    assert result.train_loss < 1.2
    assert result.accuracy > 50


def test_scaling_is_what_float_sgd_would_do(sources: Sources) -> None:
    """With QAS int8 training is that of float32; without it the same rate learns less."""
    scaled = execute(replace(RUN, method="int8 SGD-M + QAS"), sources)
    real = execute(RUN, sources)
    plain = execute(replace(RUN, method="int8 SGD-M"), sources)
    assert abs(scaled.train_loss - real.train_loss) < 0.1
    assert plain.train_loss > real.train_loss + 0.05


def test_parts_of_layers_are_refused(sources: Sources) -> None:
    model = load_any(embedded.MODEL)
    graph = model.graph
    whole = resolve_scheme("last-3", graph, graph.name)
    layer = next(iter(whole.weights))
    part = replace(whole, weights={layer: whole.weights[layer] - 1})
    with pytest.raises(MicrotuneError, match="whole layers only"):
        TorchNetwork(graph, part, "int8", 5)
