"""One graph for each rule of the verifier that breaks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from microtune.ir.graph import Graph, Node, Quant, Tensor
from microtune.ir.verifier import InvalidGraphError, verify
from microtune.passes.lower_gradients import lower_gradients
from microtune.training.autodiff import differentiate
from microtune.training.optimisers import SGD
from tests.training.graphs import random_graph, train_everything


def training_graph() -> Graph:
    return lower_gradients(
        *differentiate(train_everything(random_graph(8).with_head("int16"))), optimizer=SGD()
    )


def change_node(graph: Graph, op: str, /, **changes: object) -> None:
    position = next(i for i, n in enumerate(graph.nodes) if n.op == op)
    graph.nodes[position] = replace(graph.nodes[position], **changes)  # type: ignore[arg-type]


def attrs(graph: Graph, op: str, **changes: object) -> None:
    node = next(n for n in graph.nodes if n.op == op)
    change_node(graph, op, attrs={**node.attrs, **changes})


def swap_first_nodes(graph: Graph) -> None:
    graph.nodes[0], graph.nodes[1] = graph.nodes[1], graph.nodes[0]


def reshape_declared(graph: Graph) -> None:
    graph.tensors["conv1"] = replace(graph.tensors["conv1"], shape=(1, 1, 1, 999))


def read_after_update(graph: Graph) -> None:
    name = next(n for n in graph.updates if n == "head.weight")
    shape = graph.tensors[name].shape
    node = Node("reshape", (name,), ("late",), {"shape": list(shape)})
    graph.add_node(node, [Tensor("late", shape, "i16")])


def update_of_other_shape(graph: Graph) -> None:
    graph.updates["head.weight"] = graph.updates["head.bias"]


BREAKS: dict[str, tuple[Callable[[Graph], object], str]] = {
    "unknown op": (lambda g: change_node(g, "conv2d", op="magic"), "unknown op magic"),
    "inputs": (lambda g: change_node(g, "conv2d", inputs=("input",)), "1 inputs, not 3 or 5"),
    "missing": (lambda g: change_node(g, "conv2d", attrs={}), "attributes missing"),
    "extra": (lambda g: attrs(g, "conv2d", colour=1), r"unknown \['colour'\]"),
    "order": (swap_first_nodes, "before it is made|made twice"),
    "twice": (lambda g: g.nodes.insert(1, g.nodes[0]), "is made twice"),
    "never made": (lambda g: g.add_tensor(Tensor("x", (1,), "i8")), "declared but never made"),
    "filed": (
        lambda g: g.tensors.update(lr=g.tensors["seed"], seed=g.tensors["lr"]), "filed under",
    ),
    "output": (lambda g: g.outputs.append("nothing"), "output %nothing does not exist"),
    "shape": (reshape_declared, r"conv2d gives i8"),
    "stride 0": (lambda g: attrs(g, "conv2d", stride=[0, 0]), "shapes: conv2d"),
    "stride text": (lambda g: attrs(g, "conv2d", stride="two"), "not a list"),
    "lacks": (lambda g: g.data.pop("conv1.weight"), r"%conv1.weight \(param\) lacks data"),
    "has": (lambda g: g.data.update(input=np.zeros(1, np.int8)), r"%input \(input\) has data"),
    "data": (lambda g: g.data.update({"head.bias": np.zeros(1, np.int8)}), "data is int8"),
    "scales": (
        lambda g: g.tensors.update(
            input=replace(g.tensors["input"], quant=Quant(scales="gone"))
        ), "its scales %gone do not exist",
    ),
    "update": (lambda g: g.updates.update(input="loss"), "no param or state"),
    "no value": (lambda g: g.updates.update({"head.bias": "input"}), "which no node makes"),
    "other shape": (update_of_other_shape, "of another shape or type"),
    "late": (read_after_update, "after its update in place"),
}  # fmt: skip


def test_the_graph_is_valid() -> None:
    verify(training_graph())


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_rule_is_named(name: str) -> None:
    graph = training_graph()
    change, message = BREAKS[name]
    change(graph)
    with pytest.raises(InvalidGraphError, match=message):
        verify(graph)
