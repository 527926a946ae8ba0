"""The MCUNet importer and dead channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from microtune.errors import MicrotuneError
from microtune.importers import dead_channels, load_any, mcunet
from microtune.importers.dead_channels import channel_reports, dead_codes, neutralize_dead_channels
from microtune.ir.builder import Builder
from microtune.ir.evaluate import evaluate
from microtune.ir.graph import Graph, Quant
from microtune.ir.verifier import verify
from microtune.passes.lower_gradients import lower_gradients
from microtune.run.interpreter import Interpreter
from microtune.training.autodiff import differentiate
from microtune.training.optimisers import SGD
from tests.training.graphs import random_graph, train_everything

MODELS = {"mcunet-5fps": 64, "mbv2-w0.35": 32, "proxyless-w0.3": 35}


@pytest.mark.data
@pytest.mark.parametrize("name", MODELS)
def test_dead_channels_change_no_bit(
    data_folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trap 6: in the file's own arithmetic, every layer of every model."""
    path = data_folder / "models/mit_tiny-training" / f"{name}.pkl"
    clean = load_any(path).graph
    monkeypatch.setattr(mcunet, "neutralize_dead_channels", lambda graph: None)
    monkeypatch.setattr(mcunet, "verify", lambda graph: None)
    raw = load_any(path).graph
    assert sum(report.dead for report in channel_reports(clean)) == MODELS[name]
    frame = np.random.default_rng(0).integers(-128, 128, clean.tensors["input"].shape)
    keep = {node.outputs[0] for node in clean.nodes}
    a, b = (evaluate(g, {"input": frame.astype(np.int8)}, keep=keep) for g in (clean, raw))
    for layer in keep:
        assert (a[layer] == b[layer]).all(), layer


def one_layer(bias: int, scale: float) -> Graph:
    builder = Builder("dead", "mcunet")
    x = builder.input((1, 2, 2, 2), 0.02, 3)
    weight = np.array([[[[100, -100]]], [[[5, 6]]]], np.int8)
    y = builder.conv2d("conv0", x, weight, [scale, 0.01], np.array([bias, 10]), Quant(0.05, -20))
    return builder.finish(y)


@pytest.mark.parametrize(("bias", "scale", "code"), [
    (0, 1e-9, -20), (2**31 - 1, 4e-9, -17), (-(2**31), 1e-6, -128), (2**31 - 1, 1e-2, 127),
])  # fmt: skip
def test_a_constant_code_is_found_and_kept(bias: int, scale: float, code: int) -> None:
    graph = one_layer(bias, scale)
    assert dead_codes(graph, graph.nodes[0]) == {0: code}
    neutralize_dead_channels(graph)
    for mode in ("mcunet", "device"):
        graph.attrs["requantize"] = mode
        for value in (-128, 0, 127):
            frame = np.full((1, 2, 2, 2), value, np.int8)
            assert (evaluate(graph, {"input": frame})["conv0"][..., 0] == code).all()


def test_a_living_channel_is_left_alone() -> None:
    graph = one_layer(0, 0.01)
    before = graph.data["conv0.weight"].copy()
    neutralize_dead_channels(graph)
    assert (graph.data["conv0.weight"] == before).all()


def test_an_accumulator_that_can_overflow_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A living channel with such a bias, as the interval bound would leave it."""
    graph = one_layer(2**31 - 1, 1e-12)
    monkeypatch.setattr(dead_channels, "dead_codes", lambda graph, node: {})
    neutralize_dead_channels(graph)
    with pytest.raises(MicrotuneError, match="overflow"):
        verify(graph)


def test_a_layer_that_is_dead_throughout_passes_no_gradient() -> None:
    """It compiles, trains what lies behind it, and its own parameters never move."""
    case = random_graph(1, "device")
    graph = case.with_head("int16")
    layer = next(n for n in reversed(graph.nodes) if n.op in ("conv2d", "fully_connected"))
    graph.data[layer.inputs[1]] = np.zeros_like(graph.data[layer.inputs[1]])
    backward, gradients = differentiate(train_everything(graph))
    runner = Interpreter(lower_gradients(backward, gradients, optimizer=SGD()))
    before = dict(runner.data)
    runner.train_step(case.frame, case.label, 0.01)
    for name in layer.inputs[1:3]:
        assert (runner.data[name] == before[name]).all()
