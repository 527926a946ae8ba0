"""What the inputs and outputs of a step are for: typed, checked, and independent of their names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from microtune.errors import MicrotuneError
from microtune.ir.execution import Execution
from microtune.ir.gradients import rounded_gradients
from microtune.ir.graph import Graph, Kind, Tensor
from microtune.ir.signature import StepSignature, feed
from microtune.ir.text import format_graph, parse_graph
from microtune.ir.verifier import InvalidGraphError, verify
from microtune.passes.lower_gradients import lower_gradients
from microtune.training.autodiff import differentiate
from microtune.training.optimisers import SGD
from tests.renaming import renamed
from tests.training.graphs import random_graph, train_everything

NAMES = {"input": "lr", "logits": "input", "label": "logits", "loss": "label", "lr": "loss"}


@pytest.fixture
def graph() -> Graph:
    """A training graph with int8 gradients."""
    backward, gradients = differentiate(train_everything(random_graph(11, "device").with_head()))
    return lower_gradients(backward, gradients, optimizer=SGD())


def test_a_forward_graph_has_inputs_and_outputs_only() -> None:
    graph = random_graph(11, "device").graph
    assert graph.signature == StepSignature(("input",), tuple(graph.outputs))
    with pytest.raises(MicrotuneError, match="only infers"):
        _ = graph.signature.training_loss


def test_a_training_graph_says_what_its_inputs_are_for(graph: Graph) -> None:
    assert graph.signature == StepSignature(
        ("input",), ("logits",), ("label",), "loss", "lr", "seed", "step"
    )


def test_the_signature_follows_the_tensors_under_other_names(graph: Graph) -> None:
    assert renamed(graph, NAMES).signature == StepSignature(
        ("lr",), ("input",), ("logits",), "label", "loss", "seed", "step"
    )


def test_the_text_says_it_and_reads_it(graph: Graph) -> None:
    graph.execution = Execution("rows", 3)
    text = format_graph(verify(renamed(graph, NAMES)))
    for line in (
        'execution {"input": "rows", "replay_slots": 3}', "input(target) %logits: i32[1]",
        "input(rate) %loss: f32[1]", "output %input", "output(loss) %label",
        "state(exponent_offset) %",
    ):  # fmt: skip
        assert f"\n{line}" in text
    parsed = parse_graph(text)
    assert parsed.signature == renamed(graph, NAMES).signature
    assert (parsed.execution, format_graph(parsed)) == (graph.execution, text)


def test_float_gradients_are_outputs_of_their_own_kind() -> None:
    backward, gradients = differentiate(train_everything(random_graph(11, "device").with_head()))
    assert backward.signature.outputs == ("logits",)
    kinds = {backward.tensors[name].kind for name in gradients.values()}
    assert kinds == {"gradient"} and set(gradients.values()) < set(backward.outputs)


def test_a_gradient_belongs_to_its_exponent_and_its_offset(graph: Graph) -> None:
    found = rounded_gradients(graph)
    assert [g.offset for g in found] == [t.name for t in graph.with_role("state")] != []
    for gradient in found:
        assert graph.tensors[gradient.codes].dtype == "i8"
        assert graph.tensors[gradient.exponent].dtype == "i32"


def retyped(name: str, kind: Kind | None) -> Callable[[Graph], None]:
    def change(graph: Graph) -> None:
        graph.tensors[name] = replace(graph.tensors[name], kind=kind)

    return change


def part(name: str, whole: str) -> Callable[[Graph], None]:
    def change(graph: Graph) -> None:
        graph.tensors[name] = replace(graph.tensors[name], part_of=whole)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (retyped("input", "loss"), "role input is of no kind loss"),
        (retyped("head.weight", "rate"), "role param is of no kind rate"),
        (retyped("seed", "step"), "are both of kind step"),
        (retyped("label", "seed"), "kind seed is i32"),
        (retyped("head.dx", "loss"), "is of kind loss and no output"),
        (part("input", "w"), "is no param and a part of w"),
        (part("head.weight", "head.bias"), "are both parameter head.bias"),
        (part("head.weight", "a b"), "is no name"),
        (lambda g: setattr(g, "execution", Execution(replay_slots=-1)), "no number of samples"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    graph: Graph, change: Callable[[Graph], None], message: str
) -> None:
    change(graph)
    with pytest.raises(InvalidGraphError, match=message):
        verify(graph)


def test_a_state_without_a_kind_is_refused(graph: Graph) -> None:
    state = next(graph.with_role("state")).name
    graph.tensors[state] = replace(graph.tensors[state], kind=None)
    with pytest.raises(InvalidGraphError, match="role state is of no kind None"):
        verify(graph)


def test_a_fresh_name_is_that_of_no_tensor_and_no_parameter() -> None:
    graph = Graph("g")
    graph.add_tensor(Tensor("w.trained", (1,), "i8", "param", part_of="w"), np.zeros(1))
    assert [graph.fresh(name) for name in ("x", "w", "w.trained")] == ["x", "w.2", "w.trained.2"]
    assert graph.fresh("x", {"x", "x.2"}) == "x.3"


def test_what_is_fed_has_the_declared_shapes_and_types(graph: Graph) -> None:
    frame = np.zeros(graph.input_tensor.shape)
    fed = feed(renamed(graph, NAMES), frame, 1, rate=0.5, seed=3)
    assert {name: (array.dtype.str, array.shape) for name, array in fed.items()} == {
        "lr": ("|i1", graph.input_tensor.shape), "logits": ("<i4", (1,)), "loss": ("<f4", (1,)),
        "seed": ("<u4", (1,)), "step": ("<u4", (1,)),
    }  # fmt: skip
    with pytest.raises(MicrotuneError, match="needs a target"):
        feed(graph, frame)


def test_a_model_of_two_inputs_is_refused_by_its_number() -> None:
    graph = random_graph(11, "device").graph
    graph.input("second", (1,), "i8")
    with pytest.raises(MicrotuneError, match="one input; this one has 2: input, second"):
        _ = graph.input_tensor
