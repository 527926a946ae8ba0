"""Named operands: a node's inputs by name and back, and what is no set of operands."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, fields

import pytest

from microtune.ir.ops import OPS, Op
from microtune.ir.ops.convolution_operands import Layer, QConvInputGrad, Split
from microtune.ir.ops.gradient_operands import Gradient, Rounding
from microtune.ir.ops.operands import Operands, T


def test_every_operand_has_its_place() -> None:
    rounding = Rounding("base", "offset", "seed", "step")
    split = Split("trained", "order")
    for part, mask in itertools.product([None, split], [None, "mask"]):
        operands = QConvInputGrad(Gradient("g", "e"), "w", "scales", part, rounding, mask)
        assert QConvInputGrad[str].of(operands.flat()) == operands


@pytest.mark.parametrize("op", OPS.values(), ids=lambda op: op.name)
def test_the_number_of_inputs_tells_which_operands_are_there(op: Op) -> None:
    """From one to twelve inputs: a set of operands that flattens to the same, or an error."""
    found = 0
    for count in range(1, 13):
        items = [f"t{i}" for i in range(count)]
        try:
            operands = op.operands.of(items)
        except ValueError:
            continue
        found += 1
        assert operands.flat() == tuple(items)
        assert [name for _, name in operands.names()] == items
    assert found >= 1


def test_another_number_of_inputs_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"4 inputs, not 3 or 5"):
        Layer[str].of(["x", "w", "b", "trained"])


def test_operands_that_a_number_cannot_tell_apart_are_refused() -> None:
    @dataclass(frozen=True)
    class Twice(Operands[T]):
        x: T
        first: T | None
        second: T | None

    assert [field.name for field in fields(Twice)] == ["x", "first", "second"]
    with pytest.raises(TypeError, match="2 inputs could be two sets of operands"):
        Twice[str].of(["x", "y"])
