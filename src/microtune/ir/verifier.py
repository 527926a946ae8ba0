"""What makes a graph valid, as a list of rules run between passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from microtune.errors import MicrotuneError
from microtune.ir.graph import DTYPES, Graph
from microtune.ir.ops import OPS
from microtune.ir.signature import signature_rule
from microtune.ir.written import written_rule


class InvalidGraphError(MicrotuneError, ValueError):
    """A rule of the verifier does not hold; the message names it and the place."""


def _known_ops(graph: Graph) -> Iterator[str]:
    for node in graph.nodes:
        definition = OPS.get(node.op)
        if definition is None:
            yield f"{node.outputs[0]}: unknown op {node.op}"
            continue
        try:
            definition.operands.of(node.inputs)
        except ValueError as error:
            yield f"{node.op} %{node.outputs[0]}: {error}"
        missing = definition.attrs - node.attrs.keys()
        unknown = node.attrs.keys() - definition.attrs - definition.optional
        if missing or unknown:
            yield f"{node.op} %{node.outputs[0]}: attributes missing {sorted(missing)}, " \
                f"unknown {sorted(unknown)}"  # fmt: skip


def _single_assignment(graph: Graph) -> Iterator[str]:
    seen: set[str] = {t.name for t in graph.tensors.values() if t.role != "value"}
    for node in graph.nodes:
        for name in node.inputs:
            if name not in seen:
                yield f"{node.op} %{node.outputs[0]}: reads %{name} before it is made"
        for name in node.outputs:
            if name in seen:
                yield f"{node.op}: %{name} is made twice"
            seen.add(name)
    for name, tensor in graph.tensors.items():
        if name not in seen:
            yield f"%{name} is declared but never made"
        if tensor.name != name:
            yield f"%{name} is filed under another name than its own, %{tensor.name}"
    for name in graph.outputs:
        if name not in seen:
            yield f"output %{name} does not exist"


def _shapes(graph: Graph) -> Iterator[str]:
    for node in graph.nodes:
        try:
            expected = OPS[node.op].shapes(graph, node)
        except (ValueError, TypeError, KeyError, IndexError, ZeroDivisionError) as error:
            yield f"{node.op} %{node.outputs[0]}: {error}"
            continue
        actual = [(graph.tensors[n].shape, graph.tensors[n].dtype) for n in node.outputs]
        if len(expected) != len(actual):
            yield f"{node.op} %{node.outputs[0]}: {len(actual)} outputs, not {len(expected)}"
        for (shape, dtype), (real_shape, real_dtype), name in zip(
            expected, actual, node.outputs, strict=False
        ):
            if (shape, dtype) != (real_shape, real_dtype):
                yield f"%{name} is {real_dtype}{list(real_shape)}, " \
                    f"{node.op} gives {dtype}{list(shape)}"  # fmt: skip


def _data(graph: Graph) -> Iterator[str]:
    for tensor in graph.tensors.values():
        needs = tensor.role in ("const", "param", "state")
        if needs != (tensor.name in graph.data):
            yield f"%{tensor.name} ({tensor.role}) {'lacks' if needs else 'has'} data"
        elif needs:
            array = graph.data[tensor.name]
            if array.shape != tensor.shape or array.dtype != DTYPES[tensor.dtype][0]:
                yield f"%{tensor.name}: data is {array.dtype}{list(array.shape)}"
        scales = tensor.quant.scales if tensor.quant else None
        if scales is not None and scales not in graph.data:
            yield f"%{tensor.name}: its scales %{scales} do not exist"


def _execution(graph: Graph) -> Iterator[str]:
    yield from graph.execution.problems()
    made = {node.outputs[0] for node in graph.nodes}
    for name in [*graph.execution.segments, *graph.execution.in_place]:
        if name not in made:
            yield f"%{name} is executed in a way of its own, but is the first result of no node"


def _updates(graph: Graph) -> Iterator[str]:
    made = {name: i for i, node in enumerate(graph.nodes) for name in node.outputs}
    last_read = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
    for name, value in graph.updates.items():
        target, result = graph.tensors.get(name), graph.tensors.get(value)
        if target is None or target.role not in ("param", "state"):
            yield f"update of %{name}, which is no param or state"
            continue
        if result is None or value not in made:
            yield f"update of %{name} by %{value}, which no node makes"
            continue
        if (target.shape, target.dtype) != (result.shape, result.dtype):
            yield f"update of %{name} by %{value} of another shape or type"
        if last_read.get(name, -1) <= made[value]:
            continue
        for node in graph.nodes[made[value] + 1 :]:
            if name in node.inputs:
                yield f"{node.op} %{node.outputs[0]}: reads %{name} after its update in place"


def _schedule(graph: Graph) -> Iterator[str]:
    """Segments are unbroken runs; what is overwritten in place is not read again."""
    seen: list[object] = []
    for node in graph.nodes:
        segment = graph.execution.segments.get(node.outputs[0])
        if segment is not None and segment in seen[:-1]:
            yield f"{node.op} %{node.outputs[0]}: segment {segment} is not one run of nodes"
        if not seen or seen[-1] != segment:
            seen.append(segment)
    last = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
    for i, node in enumerate(graph.nodes):
        name = graph.execution.in_place.get(node.outputs[0])
        if name is None:
            continue
        if name not in node.inputs:
            yield f"{node.op} %{node.outputs[0]}: in place of %{name}, which it does not read"
            continue
        old, new = graph.tensors[name], graph.tensors[node.outputs[0]]
        if old.role not in ("value", "input") or old.bytes != new.bytes:
            yield f"{node.op} %{node.outputs[0]}: cannot take the memory of %{name}"
        if last[name] > i or name in graph.outputs:
            yield f"{node.op} %{node.outputs[0]}: overwrites %{name}, which is read later"


def _accumulators(graph: Graph) -> Iterator[str]:
    """Ops whose sums could leave int32 whatever the input and whatever is learnt."""
    for node in graph.nodes:
        yield from OPS[node.op].proof(graph, node)


RULES: tuple[Callable[[Graph], Iterator[str]], ...] = (
    written_rule, _known_ops, _single_assignment, signature_rule, _data, _shapes, _updates,
    _execution, _schedule, _accumulators,
)  # fmt: skip


def verify(graph: Graph) -> Graph:
    """Run every rule; returns the graph. Raises InvalidGraphError naming the broken rule."""
    for rule in RULES:
        for problem in rule(graph):
            raise InvalidGraphError(
                f"{graph.name}: {rule.__name__.strip('_').removesuffix('_rule')}: {problem}"
            )
    return graph
