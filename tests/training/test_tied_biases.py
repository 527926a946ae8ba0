"""A transposed convolution whose phases are channels has tied biases: they are trained as one."""

from __future__ import annotations

import numpy as np
import pytest

from microtune.importers.dead_channels import neutralize_dead_channels
from microtune.ir.builder import Builder
from microtune.ir.evaluate import evaluate
from microtune.ir.graph import Graph, Quant
from microtune.ir.verifier import verify
from microtune.passes.lower_gradients import BiasFormat
from microtune.run.interpreter import Interpreter
from microtune.training.build import Formats, build_training_graph
from microtune.training.optimisers import SGD, Momentum, Optimizer
from microtune.training.scheme import resolve_scheme

PARTS, OUTPUTS, CLASSES = 6, 5, 3


def network(*, dead_phase: bool = False) -> Graph:
    """A transposed convolution of 2 x 3 phases between two others. `dead_phase`: the first phase of
    channel 1 has no weight."""
    rng, b = np.random.default_rng(3), Builder("up")
    x = b.input((1, 4, 3, 2), 0.02, -3)
    weight = rng.integers(-127, 128, (OUTPUTS, 4, 3, 2)).astype(np.int8)
    if dead_phase:
        weight[1, 0::2, 0::3] = 0
    scales, bias = np.full(OUTPUTS, 0.01, np.float32), rng.integers(-300, 300, OUTPUTS)
    x = b.transposed_conv2d(
        "up", x, weight, scales, bias.astype(np.int32), Quant(0.05, 2), (8, 9), stride=(2, 3),
        cut=(1, 0), clamp=(-90, 127),
    )  # fmt: skip
    x = b.average_pool("pool", x)
    last = rng.integers(-127, 128, (CLASSES, 1, 1, OUTPUTS)).astype(np.int8)
    return b.finish(b.conv2d(
        "logits", x, last, np.full(CLASSES, 0.01, np.float32), np.zeros(CLASSES, np.int32),
        Quant(0.05, 0),
    ))  # fmt: skip


def test_no_zero_is_multiplied() -> None:
    """Four times three taps by two inputs count for an input, and a border that is cut."""
    graph = network()
    conv = next(node for node in graph.nodes if node.outputs[0] == "up")
    assert conv.int("tied") == PARTS
    assert graph.tensors[conv.inputs[1]].shape == (PARTS * OUTPUTS, 1, 2, 2)
    assert graph.tensors["up"].shape == (1, 3, 5, PARTS * OUTPUTS)


@pytest.mark.parametrize("bias", ["int16", "int32"])
@pytest.mark.parametrize("optimizer", [SGD(), Momentum.of(0.9)], ids=["sgd", "momentum"])
def test_tied_biases_move_and_stay_equal(bias: BiasFormat, optimizer: Optimizer) -> None:
    graph = network()
    training = build_training_graph(
        graph, CLASSES, resolve_scheme("full", graph, "up"), Formats(bias, "int16"), optimizer
    )
    (name,) = (
        t.name for t in training.with_role("param") if t.parameter.startswith("up.bias")
    )  # fmt: skip
    interpreter, rng = Interpreter(training, 1), np.random.default_rng(2)
    before = interpreter.data[name].copy()
    for step in range(12):
        frame = rng.integers(-128, 128, (1, 4, 3, 2)).astype(np.int8)
        interpreter.train_step(frame, np.array([step % CLASSES]), 0.5)
        parts = interpreter.data[name].reshape(PARTS, OUTPUTS)
        assert (parts == parts[0]).all()
    assert (interpreter.data[name] != before).mean() > 0.5


def test_tied_biases_that_differ_are_refused() -> None:
    graph = network()
    graph.data["up.bias"][-1] += 1
    with pytest.raises(ValueError, match="its biases are no 6 equal parts"):
        verify(graph)


def test_a_channel_that_is_dead_in_one_phase_keeps_its_bias() -> None:
    graph = network(dead_phase=True)
    frame = np.random.default_rng(0).integers(-128, 128, (1, 4, 3, 2)).astype(np.int8)
    before = evaluate(graph, {"input": frame}, keep={"up"})["up"]
    neutralize_dead_channels(graph)
    assert (evaluate(graph, {"input": frame}, keep={"up"})["up"] == before).all()
    parts = graph.data["up.bias"].reshape(PARTS, OUTPUTS)
    assert (parts == parts[0]).all()
