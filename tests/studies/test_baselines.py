"""The simulated baselines: their int8 forward pass is the network's, and they learn."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from microtune_studies.baselines import BASELINES, Baseline, BaselineTraining
from microtune_studies.execute import execute
from microtune_studies.runs import Run
from microtune_studies.sources import Sources
from microtune_studies.torch_backward import GradientSimulation, int8_gradient
from microtune_studies.torch_depthwise import depthwise, suits
from microtune_studies.torch_network import TorchNetwork, require_torch

from microtune import embedded
from microtune.data import Preprocessing, open_dataset
from microtune.importers import load_any
from microtune.ir.evaluate import evaluate
from microtune.ir.graph import Array
from microtune.training.scheme import Scheme, resolve_scheme, trained_channels

if TYPE_CHECKING:
    from torch import Tensor

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


@pytest.mark.parametrize("stride", [(1, 1), (2, 1)])
@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 1, 1, 1), (3, 2, 0, 4)])
def test_depthwise_as_matrices(stride: tuple[int, int], padding: tuple[int, ...]) -> None:
    """Outputs and both gradients are those of PyTorch's convolution."""
    torch = require_torch()
    torch.manual_seed(0)
    x, w = torch.randn(2, 3, 5, 4, requires_grad=True), torch.randn(3, 1, 3, 2, requires_grad=True)
    top, left, bottom, right = padding
    padded = torch.nn.functional.pad(x, (left, right, top, bottom))
    expected = torch.nn.functional.conv2d(padded, w, stride=stride, groups=3)
    assert suits(x, w, 3)
    found = depthwise(torch, x, w, stride, padding)
    weights = torch.randn(expected.shape)
    for a, b in zip(
        (found, *torch.autograd.grad((found * weights).sum(), [x, w])),
        (expected, *torch.autograd.grad((expected * weights).sum(), [x, w])),
        strict=True,
    ):
        assert torch.allclose(a, b, atol=1e-5)


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


def network_and_latents(
    scheme: Scheme, backward: GradientSimulation
) -> tuple[TorchNetwork, Tensor]:
    model = load_any(embedded.MODEL)
    data = open_dataset(embedded.DATA)
    frames = data.load("test", Preprocessing.from_json(model.preprocessing)).frames[:4]
    network = TorchNetwork(model.graph, scheme, "int8", 5, backward)
    network.head_weight.data.normal_(generator=network.torch.Generator().manual_seed(1))
    return network, network.latents(frames)


def gradients(backward: GradientSimulation, scheme_name: str = "last-7") -> dict[str, Array]:
    """Of every trained weight, for the loss of four images."""
    graph = load_any(embedded.MODEL).graph
    scheme = resolve_scheme(scheme_name, graph, graph.name)
    network, latents = network_and_latents(scheme, backward)
    torch = network.torch
    torch.manual_seed(0)
    loss = torch.nn.functional.cross_entropy(network.logits(latents), torch.tensor([0, 1, 2, 3]))
    found = torch.autograd.grad(loss, [leaf.value for leaf in network.leaves])
    pairs = zip(network.leaves, found, strict=True)
    return {leaf.name: g.numpy() for leaf, g in pairs if g.ndim > 1}


def cosines(backward: GradientSimulation) -> list[float]:
    """Between the gradients of a backward pass and the exact ones, last layer first."""
    exact, other = gradients(GradientSimulation()), gradients(backward)
    pairs = [(exact[name].reshape(-1), other[name].reshape(-1)) for name in reversed(exact)]
    return [float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for a, b in pairs]


def test_int8_gradients_are_close_and_channels_closer() -> None:
    by_tensor, by_channel = (
        cosines(GradientSimulation(kind, "nearest")) for kind in ("tensor", "channel")
    )
    assert min(by_tensor) > 0.9
    assert min(by_channel) > min(by_tensor)


@pytest.mark.parametrize(
    "backward", [GradientSimulation("tensor"), GradientSimulation("channel", "nearest")]
)
def test_gradient_codes_are_int8(backward: GradientSimulation) -> None:
    torch = require_torch()
    gradient = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    kept = int8_gradient(torch, gradient, backward)
    across = (0, 1, 2, 3) if backward.gradients == "tensor" else (0, 2, 3)
    step = torch.exp2(torch.ceil(torch.log2(gradient.abs().amax(across, keepdim=True) / 127)))
    codes = kept / step
    assert torch.equal(codes, codes.round())
    assert codes.abs().max() <= 127
    assert (kept - gradient).abs().max() <= step.max() * (
        1.0 if "stoch" in backward.rounding else 0.5
    )


@pytest.mark.parametrize("layer", ["block6_depthwise", "block6_project"])
def test_only_trained_channels_move(layer: str) -> None:
    model = load_any(embedded.MODEL)
    graph = model.graph
    whole = resolve_scheme("last-3", graph, graph.name)
    part = replace(whole, weights=dict(whole.weights) | {layer: 3})
    data = open_dataset(embedded.DATA)
    split = data.load("train", Preprocessing.from_json(model.preprocessing)).take(np.arange(32))
    training = BaselineTraining(graph, part, Baseline("int8", "sgdm", qas=True), 5, 0.01)
    weight = next(n.inputs[1] for n in graph.nodes if n.outputs[0] == layer)
    leaf = next(leaf for leaf in training.network.leaves if leaf.name == weight)
    before = leaf.value.detach().clone()
    training.epoch(training.latents(split), split.labels, 0, 0, 1)
    moved = (leaf.value.detach() != before).numpy()
    channels = moved.any(axis=(1, 2, 3) if "depthwise" in layer else (0, 2, 3))
    expected = np.zeros(len(channels), bool)
    expected[trained_channels(graph, layer, 3)[:3]] = True
    assert (channels <= expected).all()
    assert channels.any()


def test_weights_are_rounded_to_codes(sources: Sources) -> None:
    model = load_any(embedded.MODEL)
    graph = model.graph
    scheme = resolve_scheme("last-3", graph, graph.name)
    data = open_dataset(embedded.DATA)
    split = data.load("train", Preprocessing.from_json(model.preprocessing)).take(np.arange(32))
    for bits in (0, 4):
        baseline = Baseline("int8", "sgdm", True, 1, 0.0, "stochastic", bits)
        training = BaselineTraining(graph, scheme, baseline, 5, 0.01)
        training.epoch(training.latents(split), split.labels, 0, 0, 1)
        for leaf in training.network.leaves:
            if leaf.value.ndim > 1:
                codes = leaf.value.detach().numpy() * 2**bits
                assert (codes == np.round(codes)).all()
                assert bits == 0 or (codes % 2**bits != 0).any()
