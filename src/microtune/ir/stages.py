"""What is legal when: the stages of a graph on its way from a model to a scheduled step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum

from microtune.ir.execution import Execution
from microtune.ir.graph import Graph
from microtune.ir.verifier import InvalidGraphError


class Stage(Enum):
    """A stage; each allows what its rule does not refuse."""

    MODEL = "model"
    """The int8 network alone."""
    TRAINABLE = "trainable"
    """With a head, and params where a scheme trains something."""
    BACKWARD = "backward"
    """With the loss and a float gradient of each param as outputs."""
    TRAINING = "training"
    """With int8 gradients and an update of each param; nothing is scheduled."""
    SCHEDULED = "scheduled"
    """With execution options."""


def gradients_of(graph: Graph) -> dict[str, str]:
    """Param -> the output that is its float gradient, of a graph in stage BACKWARD."""
    found = [name for name in graph.outputs if graph.tensors[name].kind == "gradient"]
    return {t.name: name for t, name in zip(graph.with_role("param"), found, strict=True)}


def _model(graph: Graph) -> Iterator[str]:
    yield from _trainable(graph)
    for tensor in graph.with_role("param"):
        yield f"%{tensor.name} is a param: a model is trained by a scheme only"


def _trainable(graph: Graph) -> Iterator[str]:
    signature = graph.signature
    if graph.updates or any(graph.with_role("state")):
        yield "there are updates or states"
    if signature.loss or signature.targets:
        yield "there is a loss or a target"
    yield from _unscheduled(graph)


def _backward(graph: Graph) -> Iterator[str]:
    params = sum(1 for _ in graph.with_role("param"))
    gradients = sum(graph.tensors[name].kind == "gradient" for name in graph.outputs)
    if params != gradients:
        yield f"{gradients} outputs are gradients, of {params} params"
    if params and graph.signature.loss is None:
        yield "nothing is the loss"
    if graph.updates:
        yield "there are updates"
    yield from _unscheduled(graph)


def _training(graph: Graph) -> Iterator[str]:
    yield from _scheduled(graph)
    yield from _unscheduled(graph)


def _scheduled(graph: Graph) -> Iterator[str]:
    for name in graph.outputs:
        if graph.tensors[name].kind == "gradient":
            yield f"output %{name} is a float gradient, which no device computes"
    for tensor in graph.with_role("param"):
        if tensor.name not in graph.updates:
            yield f"nothing updates param %{tensor.name}"


def _unscheduled(graph: Graph) -> Iterator[str]:
    if graph.execution != Execution():
        yield f"it has execution options: {', '.join(graph.execution.changes())}"


_RULES: dict[Stage, Callable[[Graph], Iterator[str]]] = {
    Stage.MODEL: _model, Stage.TRAINABLE: _trainable, Stage.BACKWARD: _backward,
    Stage.TRAINING: _training, Stage.SCHEDULED: _scheduled,
}  # fmt: skip


def check_stage(graph: Graph, stage: Stage) -> Graph:
    """The graph. Raises InvalidGraphError, naming the stage, if it is not in this one."""
    for problem in _RULES[stage](graph):
        raise InvalidGraphError(f"{graph.name} is no graph of stage {stage.value}: {problem}")
    return graph
