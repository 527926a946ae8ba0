"""Lowering: the masks that the int8 gradients see are the masks of the float gradients."""

from __future__ import annotations

import numpy as np
import pytest

from microtune.errors import MicrotuneError
from microtune.ir.builder import Builder
from microtune.ir.evaluate import evaluate
from microtune.ir.graph import Array, Graph, Quant
from microtune.ir.verifier import verify
from microtune.passes.lower_gradients import lower_gradients
from microtune.training.autodiff import differentiate
from microtune.training.head import replace_head
from microtune.training.optimisers import SGD
from tests.training.graphs import random_graph, train_everything


def clamp_behind_a_clamping_layer() -> Graph:
    """conv saturates at -128 where its bias is low; the clamp op is open on that side."""
    builder = Builder("masks", "device")
    x = builder.input((1, 1, 1, 2), 0.1, 0)
    weight = np.full((2, 1, 1, 2), 10)
    quant = Quant(0.1, 0)
    first = builder.conv2d("conv", x, weight, [0.1, 0.1], np.array([-900_000, 0]), quant)
    y = builder.clamp("clamp", first, -128, 100)
    y = builder.conv2d("second", y, weight, [0.01, 0.01], np.zeros(2), quant)
    graph = builder.finish(builder.conv2d("classifier", y, weight, [0.1, 0.1], np.zeros(2), quant))
    result = replace_head(graph, 2, "int16")
    result.data["head.weight"] = np.array([[9000, 8000], [-9000, -7000]], np.int16)
    return train_everything(result)


def test_both_masks_are_applied_behind_a_clamp_op() -> None:
    backward, gradients = differentiate(clamp_behind_a_clamping_layer())
    graph = lower_gradients(backward, gradients, "int32", "exact", optimizer=SGD())
    inputs: dict[str, Array] = {
        "input": np.array([3, 4], np.int8).reshape(1, 1, 1, 2), "label": np.zeros(1, np.int32),
        "lr": np.ones(1, np.float32), "seed": np.zeros(1, np.uint32),
        "step": np.zeros(1, np.uint32),
    }  # fmt: skip
    reader = next(n for n in graph.nodes if n.op == "bias_update" and n.inputs[2] == "conv.bias")
    values = evaluate(graph, inputs, keep={"conv.mask", "clamp.mask", reader.inputs[0]})
    assert values["conv.mask"].reshape(-1).tolist() == [False, True]
    assert values["clamp.mask"].all()
    gradient = values[reader.inputs[0]].reshape(-1)
    assert gradient[0] == 0 and gradient[1] != 0


@pytest.mark.parametrize("bias_format", ["int32", "int16"])
@pytest.mark.parametrize("head_format", ["int16", "float32"])
def test_every_param_has_one_update(bias_format: str, head_format: str) -> None:
    for seed in range(25):
        backward, gradients = differentiate(
            train_everything(random_graph(seed, "device").with_head(head_format))
        )
        graph = verify(lower_gradients(backward, gradients, bias_format, optimizer=SGD()))  # type: ignore[arg-type]
        params = {t.name for t in graph.with_role("param")}
        states = {t.name for t in graph.with_role("state")}
        assert set(graph.updates) == params | states
        assert len(params) == len(gradients)
        biases = [t for t in graph.with_role("param") if ".bias" in t.name]
        kinds = {t.dtype for t in biases if t.name != "head.bias"}
        assert kinds == {"i32" if bias_format == "int32" else "i16"}


def test_an_int8_classifier_is_refused() -> None:
    backward, gradients = differentiate(train_everything(random_graph(3, "device").graph))
    with pytest.raises(MicrotuneError, match="replace the int8 classifier"):
        lower_gradients(backward, gradients, optimizer=SGD())
