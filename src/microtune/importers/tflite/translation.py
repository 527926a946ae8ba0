"""What the translation of a `.tflite` file knows while it goes from operator to operator.

The file's tensors may have any order of axes; those of the graph are (1, H, W, C) or (1, C). A
transpose in the file moves nothing: it changes which axis of the graph an axis of the file is
(`Value.axes`). Only an operator that needs its axes in order makes the graph move codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from microtune.importers.base import CannotError as CannotError
from microtune.importers.base import Unsupported
from microtune.importers.tflite.reader import FileTensor, Operator, TfliteFile
from microtune.ir.builder import Builder
from microtune.ir.graph import Array, Quant

NHWC = (0, 1, 2, 3)
NO_PADS = (0, 0, 0, 0)
# Far beyond any real network; within them products of scales neither overflow nor vanish.
SCALES = (1e-12, 1e12)


@dataclass(frozen=True)
class Value:
    """A tensor of the file in the graph.

    `name` is the graph's tensor; axis i of the file's tensor is axis `axes[i]` of it, and those
    that are not named have length 1. `pads` (top, left, bottom, right) surround it with real zeros
    that the next convolution adds. With `blocks` the file has it as a batch of its phases: those
    rows and columns that leave the same remainders.
    """

    name: str
    axes: tuple[int, ...]
    pads: tuple[int, int, int, int] = NO_PADS
    blocks: tuple[int, int] | None = None


@dataclass(frozen=True)
class Origin:
    """Where a tensor of the graph comes from: the file's tensor and the operator that makes it.

    The codes of the graph are those of the file minus `offset` (128 for uint8).
    """

    name: str
    tensor: int
    operator: str
    axes: tuple[int, ...]
    offset: int

    def in_file_order(self, codes: Array, shape: Sequence[int]) -> Array:
        """The codes of the graph's tensor as the file orders them, int64 of the file's shape."""
        rest = [axis for axis in range(codes.ndim) if axis not in self.axes]
        moved = codes.transpose([*self.axes, *rest]).reshape(tuple(shape))
        result: Array = moved.astype(np.int64) + self.offset
        return result


@dataclass
class Translation:
    """The graph so far, and where each tensor of the file is in it."""

    file: TfliteFile
    builder: Builder
    legacy: bool
    values: dict[int, Value] = field(default_factory=dict)
    problems: list[Unsupported] = field(default_factory=list)
    origins: list[Origin] = field(default_factory=list)
    converted: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    unknown: set[int] = field(default_factory=set)

    # -- the file ---------------------------------------------------------------------------------

    def tensor(self, operator: Operator, number: int) -> FileTensor:
        """The tensor of an operand. Raises CannotError if it is absent."""
        if number >= len(operator.inputs) or operator.inputs[number] < 0:
            raise CannotError(f"operand {number} is missing", "a complete model")
        return self.file.tensors[operator.inputs[number]]

    def optional(self, operator: Operator, number: int) -> FileTensor | None:
        """The tensor of an operand that may be absent."""
        there = number < len(operator.inputs) and operator.inputs[number] >= 0
        return self.file.tensors[operator.inputs[number]] if there else None

    def result(self, operator: Operator) -> FileTensor:
        """The tensor of an operator's first result."""
        return self.file.tensors[operator.outputs[0]]

    def readers(self, tensor: int) -> list[Operator]:
        """The operators that read a tensor."""
        return [operator for operator in self.file.operators if tensor in operator.inputs]

    def constant(self, operator: Operator, number: int) -> Array:
        """The data of an operand that must be constant. Raises CannotError if it is not."""
        data = self.tensor(operator, number).data
        if data is None:
            raise CannotError(f"operand {number} is not constant", "a constant one")
        return data

    # -- values -----------------------------------------------------------------------------------

    def value(self, operator: Operator, number: int = 0) -> Value:
        """The value of an operand, without pads. Raises CannotError for a constant."""
        found = self.padded(operator, number)
        if found.pads != NO_PADS:
            raise CannotError("its operand was padded for a convolution", "a pad of its own")
        if found.blocks is not None:
            raise CannotError("its operand is a batch", "a batch of 1")
        return found

    def padded(self, operator: Operator, number: int = 0) -> Value:
        """The value of an operand, which may have pads around it."""
        tensor = self.tensor(operator, number)
        if tensor.index not in self.values:
            raise CannotError(
                f"operand {tensor.name!r} is a constant", "operands that are computed",
                frozen_possible=True,
            )  # fmt: skip
        return self.values[tensor.index]

    def image(self, operator: Operator, number: int = 0, *, pads: bool = False) -> Value:
        """The operand with its axes in the order (1, H, W, C). Raises CannotError."""
        found = self.padded(operator, number) if pads else self.value(operator, number)
        if len(self.tensor(operator, number).shape) != 4:
            raise CannotError(
                f"its operand has {len(self.tensor(operator, number).shape)} axes", "(1, H, W, C)"
            )
        if found.pads != NO_PADS or found.blocks is not None:
            return found
        return self.in_order(found)

    def in_order(self, value: Value) -> Value:
        """The value in memory as the file orders it: its codes are moved if need be."""
        shape = self.shape(value)
        order = [axis for axis in value.axes if shape[axis] > 1]
        if order == sorted(order):
            if len(value.axes) != 4 or value.axes == NHWC:
                return value
            sizes = [shape[axis] for axis in value.axes]
            return Value(self.builder.reshape(self.name("reshape"), value.name, sizes), NHWC)
        rest = [axis for axis in range(len(shape)) if axis not in value.axes]
        axes = [*value.axes, *rest]
        if axes[0] != 0:
            raise CannotError("the first axis moves", "a batch of 1 that stays the first axis")
        moved = self.builder.apply(
            "transpose", self.name("transpose"), (value.name,), self.quant_of(value),
            {"axes": axes},
        )  # fmt: skip
        return Value(moved, tuple(range(len(value.axes))))

    def shape(self, value: Value) -> tuple[int, ...]:
        """The shape of the graph's tensor."""
        return self.builder.graph.tensors[value.name].shape

    def quant_of(self, value: Value) -> Quant:
        """The quantisation of the graph's tensor."""
        return self.builder.graph.quant(value.name)

    # -- quantisation -----------------------------------------------------------------------------

    def quant(self, tensor: FileTensor, wanted: str | None = None) -> Quant:
        """The quantisation of int8 activations (of uint8 ones minus 128). Raises CannotError.

        `wanted` is the type that it must have: that of the model if None.
        """
        wanted = wanted or ("uint8" if self.legacy else "int8")
        if tensor.dtype != wanted:
            raise CannotError(
                f"{tensor.name!r} is {tensor.dtype}, the model is {wanted}",
                f"full {wanted} quantisation",
            )
        if len(tensor.scales) != 1:
            count = len(tensor.scales) or "no"
            raise CannotError(f"{tensor.name!r} has {count} scales", "one scale a tensor")
        scale, zero = tensor.scales[0], tensor.zeros[0] - (128 if wanted == "uint8" else 0)
        if not (SCALES[0] <= scale <= SCALES[1] and -128 <= zero <= 127):
            raise CannotError(f"{tensor.name!r} has scale {scale} and zero point {zero}", "others")
        return Quant(scale, zero)

    @property
    def offset(self) -> int:
        """What the file's codes are above those of the graph."""
        return 128 if self.legacy else 0

    # -- results ----------------------------------------------------------------------------------

    def name(self, family: str) -> str:
        """The next name of a family: conv0, conv1 and so on."""
        number = self.counts.get(family, 0)
        self.counts[family] = number + 1
        return f"{family}{number}"

    def give(self, operator: Operator, name: str, axes: tuple[int, ...] | None = None) -> None:
        """The operator's result is this tensor of the graph, whose codes are those of the file.

        Raises CannotError if the file says another shape.
        """
        result = self.result(operator)
        order = axes if axes is not None else _plain_axes(result)
        made = tuple(self.shape(Value(name, order))[axis] for axis in order)
        if made != result.shape:
            raise CannotError(
                f"it makes {list(made)}, the file says {list(result.shape)}", "a consistent file"
            )
        self.values[result.index] = Value(name, order)
        self.origins.append(Origin(name, result.index, operator.kind, order, self.offset))

    def alias(self, operator: Operator, value: Value) -> None:
        """The operator's result is a value that is there already; there is nothing to compare."""
        self.values[self.result(operator).index] = value

    def refuse(self, operator: Operator, error: CannotError) -> None:
        """Record an operator that cannot be taken. A stand-in takes its result's place, so that
        all such operators are found."""
        name = f"{operator.number} {operator.kind} {self.result(operator).name!r}"
        self.problems.append(Unsupported(name, error.why, error.instead, error.frozen_possible))
        self._stand_in(operator)
        self.unknown.update(operator.outputs[1:])

    def _stand_in(self, operator: Operator) -> None:
        """A tensor of the result's shape and scale; what has none is not known from here on."""
        result = self.result(operator)
        try:
            shape, quant = graph_shape(result.shape), self.quant(result)
        except CannotError:
            self.forget(operator)
            return
        name = self.builder.graph.input(self.name("unknown"), shape, "i8", quant)
        self.values[result.index] = Value(name, _plain_axes(result))

    def forget(self, operator: Operator) -> None:
        """The results of an operator are not known."""
        self.unknown.update(operator.outputs)

    def with_pads(self, value: Value, pads: tuple[int, int, int, int]) -> Value:
        """The value with real zeros around it."""
        before = value.pads
        sums = (before[0] + pads[0], before[1] + pads[1], before[2] + pads[2], before[3] + pads[3])
        return replace(value, pads=sums)


def _plain_axes(tensor: FileTensor) -> tuple[int, ...]:
    """The axes of a result that is as the file orders it."""
    return {1: (1,), 2: (0, 1), 3: (0, 1, 3), 4: NHWC}[len(tensor.shape)]


def graph_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """(1, C), (1, T, C) or (1, H, W, C) of the file in the graph. Raises CannotError."""
    if not 2 <= len(shape) <= 4 or shape[0] != 1 or min(shape) < 1:
        raise CannotError(f"shape {list(shape)}", "(1, C), (1, T, C) or (1, H, W, C)")
    return (*shape[:2], 1, shape[2]) if len(shape) == 3 else tuple(shape)
