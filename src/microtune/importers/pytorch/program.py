"""From PyTorch's graph of ATen operators to the float graph, operator by operator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from microtune.errors import MicrotuneError
from microtune.floats import FloatGraph
from microtune.importers.base import CannotError, UnsupportedError
from microtune.importers.pytorch.export import ExportedProgram
from microtune.importers.pytorch.lowering import IMAGE_RANK, FxNode, Lowering, kind_of, shape_of
from microtune.importers.pytorch.operators import OPERATORS
from microtune.importers.pytorch.views import contiguous, memory_order


def input_shape_of(program: ExportedProgram, path: Path) -> tuple[int, ...]:
    """(1, C, H, W) as a file has it. Raises MicrotuneError for another number of inputs, or for a
    shape that is not fixed."""
    names = program.graph_signature.user_inputs
    found = [fx for fx in program.graph.nodes if fx.op == "placeholder" and fx.name in names]
    if len(found) != 1:
        raise MicrotuneError(f"{path}: {len(found)} inputs; microtune takes networks with one")
    try:
        return shape_of(found[0])
    except CannotError as error:
        raise MicrotuneError(f"{path}: its input has {error.why}; {error.instead}") from error


def lower_program(program: ExportedProgram, name: str) -> tuple[FloatGraph, list[str]]:
    """(the float graph of an exported program, notes for the user).

    `name` is that of the model in messages. Raises UnsupportedError with all operators that cannot
    be taken, and MicrotuneError for weights that are no numbers.
    """
    low = _started(program, name)
    for fx in program.graph.nodes:
        if fx.op == "call_function":
            _take(low, fx)
    if low.problems:
        raise UnsupportedError(Path(name), list(low.problems.values()))
    _finish(low, program, name)
    return low.graph.with_nodes(low.graph.nodes), low.notes


def _started(program: ExportedProgram, name: str) -> Lowering:
    signature = program.graph_signature
    given = [fx for fx in program.graph.nodes if fx.op == "placeholder"]
    inputs = [fx for fx in given if fx.name in signature.user_inputs]
    if len(inputs) != 1:
        raise MicrotuneError(f"{name}: {len(inputs)} inputs; microtune takes networks with one")
    low = Lowering(FloatGraph(name, "input", {}), _constants(program, name))
    try:
        shape = shape_of(inputs[0])
    except CannotError as error:
        raise MicrotuneError(f"{name}: the input has {error.why}; {error.instead}") from error
    if len(shape) not in (2, 3, IMAGE_RANK) or shape[0] != 1:
        raise MicrotuneError(
            f"{name}: an input of shape {list(shape)}; microtune takes one sample (1, C, H, W), "
            "(1, C, L) or (1, C)"
        )
    sizes = [shape[axis] for axis in memory_order(len(shape))]
    low.graph.shapes["input"] = (1, 1, *sizes[1:]) if len(shape) == 3 else tuple(sizes)
    low.views[inputs[0].name] = contiguous("input", shape, memory_order(len(shape)))
    return low


def _constants(program: ExportedProgram, name: str) -> dict[str, Any]:
    """Placeholder -> tensor, of parameters, buffers and constants. Raises MicrotuneError."""
    import torch

    signature = program.graph_signature
    found: dict[str, Any] = {}
    names = {
        **signature.inputs_to_parameters, **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }  # fmt: skip
    for placeholder, path in names.items():
        tensor = program.state_dict.get(path)
        tensor = program.constants.get(path) if tensor is None else tensor
        if not isinstance(tensor, torch.Tensor):
            raise MicrotuneError(f"{name}: {path} is not in the model")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise MicrotuneError(f"{name}: the weight {path} holds NaN or infinite values")
        found[placeholder] = tensor
    return found


def _take(low: Lowering, fx: FxNode) -> None:
    kind = kind_of(fx)
    if any(argument.name in low.unknown for argument in fx.all_input_nodes):
        low.unknown.add(fx.name)
        return
    if fx.all_input_nodes and all(a.name in low.constants for a in fx.all_input_nodes):
        _fold(low, fx)
        return
    try:
        lower = OPERATORS.get(kind)
        if lower is None:
            raise CannotError(
                "microtune has no such operator", "one of those that docs/start/pytorch.md lists"
            )
        lower(low, fx, *fx.args, **fx.kwargs)
    except CannotError as error:
        low.refuse(fx, error)
    except (TypeError, IndexError) as error:  # arguments of another overload
        low.refuse(fx, CannotError(f"arguments of another kind: {error}", "its plain form"))


def _fold(low: Lowering, fx: FxNode) -> None:
    """What is computed from constants alone is a constant: PyTorch computes it."""
    import torch

    if not isinstance(fx.target, torch._ops.OpOverload) or fx.target.namespace != "aten":
        low.refuse(fx, CannotError("an operator on constants", "constants that are stored"))
        return
    arguments = torch.fx.map_arg((fx.args, fx.kwargs), lambda node: low.constants[node.name])
    with torch.no_grad():
        low.constants[fx.name] = fx.target(*arguments[0], **arguments[1])


def _finish(low: Lowering, program: ExportedProgram, name: str) -> None:
    """Name the output. Raises MicrotuneError if there is not exactly one."""
    outputs = list(program.graph_signature.user_outputs)
    if len(outputs) != 1:
        raise MicrotuneError(f"{name}: {len(outputs)} outputs; microtune takes networks with one")
    if outputs[0] not in low.views:
        raise MicrotuneError(f"{name}: the output does not depend on the input")
    try:
        low.graph.output = low.plain(low.views[outputs[0]])
    except CannotError as error:
        raise MicrotuneError(f"{name}: the output is {error.why}; {error.instead}") from error
    if low.graph.output == "input":
        raise MicrotuneError(f"{name}: the network computes nothing")
