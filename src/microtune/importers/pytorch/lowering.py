"""What the lowering of PyTorch's graph knows while it goes from operator to operator."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from microtune.floats import FloatGraph, FloatNode, Floats
from microtune.importers.base import CannotError, Unsupported
from microtune.importers.pytorch.views import View, contiguous, is_plain, memory_order
from microtune.ir.graph import Attr

FxNode = Any  # `torch.fx.Node`

IMAGE_RANK = 4


@dataclass
class Lowering:
    """The float graph so far, and where each tensor of PyTorch is in it."""

    graph: FloatGraph
    constants: dict[str, Any]
    views: dict[str, View] = field(default_factory=dict)
    parts: dict[str, list[View]] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    problems: dict[tuple[str, str], Unsupported] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    moves: dict[tuple[str, str, str], str] = field(default_factory=dict)

    # -- what an operator asks --------------------------------------------------------------------

    def view(self, value: object) -> View:
        """The view of an argument. Raises CannotError for a constant."""
        name = getattr(value, "name", None)
        if name not in self.views:
            raise CannotError("an operand that is a constant", "operands that are computed")
        return self.views[name]

    def is_computed(self, value: object) -> bool:
        """Whether an argument depends on the network's input."""
        return getattr(value, "name", None) in self.views

    def constant(self, value: object) -> Floats:
        """The numbers of an argument that must be constant, float32. Raises CannotError."""
        if isinstance(value, bool | int | float):
            return np.asarray(value, np.float32)
        name = getattr(value, "name", None)
        if name not in self.constants:
            raise CannotError("a weight that is computed from the input", "a constant weight")
        tensor = self.constants[name].detach().float().numpy()
        return np.asarray(tensor, np.float32)

    def image(self, value: object) -> str:
        """The argument as our (1, H, W, C); a signal (N, C, L) has H = 1."""
        view = self.view(value)
        if len(view.axes) not in (3, IMAGE_RANK):
            raise CannotError(
                f"an operand of shape {list(view.shape)}", "(N, C, H, W) or (N, C, L)"
            )
        return self.plain(view)

    def plain(self, view: View) -> str:
        """The view in memory with channels last; codes are moved only if they lie otherwise."""
        rank, shape = len(view.axes), view.shape
        if shape[0] != 1:
            raise CannotError(f"an operand of shape {list(shape)}", "a first axis of 1 (the batch)")
        if rank not in (2, 3, IMAGE_RANK):
            raise CannotError(f"an operand of {rank} axes", "at most (N, C, H, W)")
        sizes = [shape[axis] for axis in memory_order(rank)]
        ours = (1, 1, *sizes[1:]) if rank == 3 else tuple(sizes)
        return self.shaped(self.moved(view, memory_order(rank)), ours)

    def moved(self, view: View, order: Sequence[int]) -> str:
        """The tensor whose memory has the view's axes in this order."""
        digits = view.order(order)
        if is_plain(digits):
            return view.name
        if len(digits) > IMAGE_RANK - 1:
            raise CannotError(f"axes mixed into {len(digits)} parts", "a simpler order of axes")
        stored = sorted(range(len(digits)), key=lambda i: -digits[i][1])
        lead = [1] * (IMAGE_RANK - len(digits))
        x = self.shaped(view.name, (*lead, *(digits[i][0] for i in stored)))
        axes = [*range(len(lead)), *(len(lead) + stored.index(i) for i in range(len(digits)))]
        return self._move("transpose", x, {"axes": axes})

    def shaped(self, name: str, shape: Sequence[int]) -> str:
        """The tensor in this shape of ours."""
        if self.graph.shapes[name] == tuple(shape):
            return name
        return self._move("reshape", name, {"shape": list(shape)})

    def _move(self, op: str, x: str, attrs: dict[str, Attr]) -> str:
        """Append a move, but once for all who need it."""
        key = (op, x, repr(attrs))
        if key not in self.moves:
            self.moves[key] = self.node(op, self.graph.fresh(f"{x}.{op}"), [x], attrs)
        return self.moves[key]

    def node(
        self, op: str, name: str, inputs: Sequence[str], attrs: dict[str, Attr] | None = None,
        arrays: dict[str, Floats] | None = None, where: str = "",
    ) -> str:  # fmt: skip
        """Append a node of the float graph. Returns the name of its result."""
        try:
            return self.graph.add(
                FloatNode(
                    op, self.graph.fresh(name), tuple(inputs), attrs or {}, arrays or {}, where
                )
            )
        except ValueError as error:
            raise CannotError(str(error), "operands that fit") from error

    # -- what an operator gives -------------------------------------------------------------------

    def give(self, fx: FxNode, op: str, inputs: Sequence[str],
             attrs: dict[str, Attr] | None = None, arrays: dict[str, Floats] | None = None
             ) -> None:  # fmt: skip
        """Append the node that makes an operator's result, with channels last."""
        made = self.node(op, name_of(fx), inputs, attrs, arrays, module_of(fx))
        self.result(fx, made)

    def result(self, fx: FxNode, name: str) -> None:
        """Our tensor, with channels last, is the operator's result."""
        shape = shape_of(fx)
        self.views[fx.name] = contiguous(name, shape, memory_order(len(shape)))

    def alias(self, fx: FxNode, view: View) -> None:
        """The operator's result is this view of what is there already."""
        self.views[fx.name] = view

    def refuse(self, fx: FxNode, error: CannotError) -> None:
        """Collect an operator that cannot be taken; what follows from it is unknown."""
        self.unknown.add(fx.name)
        where, kind = module_of(fx), kind_of(fx)
        node = f"{where} ({kind})" if where else kind
        problem = Unsupported(node, error.why, error.instead, error.frozen_possible)
        self.problems.setdefault((node, error.why), problem)


def kind_of(fx: FxNode) -> str:
    """The name of an operator: `conv2d` of aten.conv2d.default; in place is the same."""
    if fx.target is operator.getitem:
        return "getitem"
    name = str(getattr(fx.target, "overloadpacket", fx.target))
    name = name.removeprefix("aten.")
    return name if name.startswith("_") else name.rstrip("_")


def module_of(fx: FxNode) -> str:
    """The path of the module that the operator belongs to, such as `layers.3.attn`."""
    stack = fx.meta.get("nn_module_stack") or {}
    return str(list(stack.values())[-1][0]) if stack else ""


def name_of(fx: FxNode) -> str:
    """A tensor's name: the module's path where that is a layer of its own, else PyTorch's."""
    stack = list((fx.meta.get("nn_module_stack") or {}).values())
    if stack and str(stack[-1][1]).startswith("torch.nn.modules") and stack[-1][0]:
        return str(stack[-1][0])
    return str(fx.name)


def shape_of(fx: FxNode) -> tuple[int, ...]:
    """The shape of an operator's (first) result. Raises CannotError if it is not fixed."""
    value = fx.meta.get("val")
    value = value[0] if isinstance(value, tuple | list) else value
    try:
        return tuple(operator.index(size) for size in value.shape)
    except Exception:  # a symbol of PyTorch refuses in ways of its own
        raise CannotError("a shape that is not fixed", "export with fixed shapes") from None
