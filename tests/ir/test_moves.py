"""Moves that a graph may not have, and which of them go row by row."""

from __future__ import annotations

import pytest

from microtune.ir.builder import Builder
from microtune.ir.functions import Table
from microtune.ir.graph import Attr, Quant
from microtune.ir.verifier import InvalidGraphError, verify
from microtune.memory.rings import prefix_length

ONES = [1, 1, 1, 1]
REFUSED: list[tuple[str, dict[str, Attr], str]] = [
    ("slice", {"shape": [1, 2, 4, 3], "begin": [0, 3, 0, 0], "stride": ONES}, "not inside"),
    ("slice", {"shape": [1, 2, 4, 3], "begin": [0, -1, 0, 0], "stride": ONES}, "not inside"),
    ("slice", {"shape": [1, 3, 4, 3], "begin": [0] * 4, "stride": [1, 2, 1, 1]}, "not inside"),
    ("slice", {"shape": [1, 4, 0, 3], "begin": [0] * 4, "stride": ONES}, "not inside"),
    ("slice", {"shape": [4, 3], "begin": [0, 0], "stride": [1, 1]}, "not all are"),
    ("pad", {"shape": [1, 4, 4, 2], "begin": [0] * 4, "stride": ONES, "value": 0}, "not inside"),
    ("pad", {"shape": [2, 4, 4, 3], "begin": [0] * 4, "stride": ONES, "value": 0}, "first axis"),
    ("pad", {"shape": [1, 5, 4, 3], "begin": [0] * 4, "stride": ONES, "value": 128}, "no int8"),
    ("transpose", {"axes": [0, 1, 1, 3]}, "axes"),
    ("transpose", {"axes": [1, 0, 2, 3]}, "axes"),
    ("concat", {"axis": 0}, "axis 0"),
    ("concat", {"axis": 4}, "axis 4"),
]


def image(*shape: int) -> Builder:
    builder = Builder("moves")
    builder.input((1, *shape), 0.5, 3)
    return builder


@pytest.mark.parametrize(("op", "attrs", "why"), REFUSED)
def test_what_does_not_fit_is_refused(op: str, attrs: dict[str, Attr], why: str) -> None:
    builder = image(4, 4, 3)
    with pytest.raises(ValueError, match=why):
        builder.apply(op, "y", ("input",), builder.graph.tensors["input"].quant, attrs)


def test_parts_of_other_sizes_are_refused() -> None:
    builder = image(4, 4, 3)
    attrs: dict[str, Attr] = {"shape": [1, 3, 4, 2], "begin": [0] * 4, "stride": ONES}
    quant = builder.graph.tensors["input"].quant
    part = builder.apply("slice", "part", ("input",), quant, attrs)
    with pytest.raises(ValueError, match="differ not only in axis 3"):
        builder.apply("concat", "y", ("input", part), quant, {"axis": 3})


def test_parts_of_another_scale_are_refused() -> None:
    """They would mean other numbers in the result: nothing is converted in silence."""
    builder = image(4, 4, 3)
    quant, other = builder.graph.quant("input"), Quant(0.25, 3)
    builder.graph.constant("table", Table("identity").codes(quant, other), "i8")
    name = builder.apply("activation", "x", ("input", "table"), other, {"function": "identity"})
    builder.apply("concat", "y", ("input", name), quant, {"axis": 3})
    with pytest.raises(InvalidGraphError, match="concat %y: %x has another scale"):
        verify(builder.finish("y"))


def test_a_result_of_another_zero_point_is_refused() -> None:
    builder = image(4, 4, 3)
    builder.apply("transpose", "y", ("input",), Quant(0.5, 4), {"axes": [0, 1, 3, 2]})
    with pytest.raises(InvalidGraphError, match="transpose %y: %input has another scale"):
        verify(builder.finish("y"))


@pytest.mark.parametrize(
    ("op", "attrs", "streamed"),
    [
        ("concat", {"axis": 3}, True),
        ("concat", {"axis": 2}, True),
        ("concat", {"axis": 1}, False),
        ("transpose", {"axes": [0, 1, 3, 2]}, True),
        ("transpose", {"axes": [0, 2, 1, 3]}, False),
        ("slice", {"shape": [1, 2, 2, 1], "begin": [0, 1, 2, 0], "stride": [1, 2, 1, 1]}, True),
        ("pad", {"shape": [1, 7, 7, 4], "begin": [0, 1, 2, 1], "stride": ONES, "value": 3}, True),
        (
            "pad",
            {"shape": [1, 7, 7, 3], "begin": [0] * 4, "stride": [1, 2, 2, 1], "value": 3},
            False,
        ),
    ],
)
def test_what_needs_few_rows_at_a_time_is_streamed(
    op: str, attrs: dict[str, Attr], streamed: bool
) -> None:
    builder = image(4, 4, 3)
    inputs = ("input", "input", "input") if op == "concat" else ("input",)
    builder.apply(op, "y", inputs, builder.graph.tensors["input"].quant, attrs)
    assert prefix_length(verify(builder.finish("y"))) == int(streamed)
