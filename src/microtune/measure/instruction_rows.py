"""The rows of the instruction tables: one for each layer, and sums by class of kernel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from microtune.codegen.instructions_bound import (
    InstructionSet,
    Work,
    bound,
    instruction_set,
    work_of,
)
from microtune.measure.profile import Build, Part, Profile

RUNTIME = "between kernels"


@dataclass(frozen=True)
class Row:
    """Exact counts of one layer or of a sum of layers.

    `elements` are those of the result (those of the input if the layer multiplies nothing). `bound`
    is a lower bound of instructions, None if none is known; in a sum, `bounded` are the
    instructions of the layers that have one.
    """

    name: str
    kind: str
    shape: str
    elements: int
    macs: int
    instructions: int
    bound: float | None
    bounded: int = 0

    @property
    def per_mac(self) -> float | None:
        """Instructions per multiply-accumulate (MAC)."""
        return self.instructions / self.macs if self.macs else None

    @property
    def per_element(self) -> float | None:
        """Instructions per element of the result."""
        return self.instructions / self.elements if self.elements else None

    @property
    def bound_per_mac(self) -> float | None:
        """The lower bound of instructions per MAC."""
        return self.bound / self.macs if self.macs and self.bound is not None else None

    @property
    def over_bound(self) -> float | None:
        """Instructions as a multiple of their lower bound."""
        return self.bounded / self.bound if self.bound else None

    def to_json(self) -> dict[str, Any]:
        """All fields and the derived figures, for JSON."""
        derived = {"per_mac": self.per_mac, "over_bound": self.over_bound}
        return {**asdict(self), **derived}


def layer_rows(profile: Profile, parts: Sequence[Part], build: Build) -> list[Row]:
    """One row for each node in the order of the calls; the last row is what lies between them."""
    isa = instruction_set(build.target.isa, build.portable)
    rows = [_row(profile, part, isa) for part in parts if part.node is not None]
    rest = sum(part.instructions for part in parts if part.node is None)
    return [*rows, Row("", RUNTIME, "", 0, 0, rest, None)]


def _row(profile: Profile, part: Part, isa: InstructionSet) -> Row:
    work = work_of(profile.graph, part.node) if part.node else Work("", "")
    least = bound(work, part.macs, isa)
    counted = part.instructions if least is not None else 0
    elements = work.outputs if part.macs else work.inputs
    return Row(
        part.name, work.kind, work.text, elements, part.macs, part.instructions, least,
        counted,
    )  # fmt: skip


def sum_rows(rows: Iterable[Row], name: str = "total") -> Row:
    """The sum of several rows, under a name."""
    listed = list(rows)
    bounds = [row.bound for row in listed if row.bound is not None]
    return Row(
        name, name, str(len(listed)), sum(r.elements for r in listed),
        sum(r.macs for r in listed), sum(r.instructions for r in listed),
        sum(bounds) if bounds else None, sum(r.bounded for r in listed),
    )  # fmt: skip


def rows_by_kind(rows: Iterable[Row]) -> list[Row]:
    """The sum of each class of kernel, most instructions first."""
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        kinds.setdefault(row.kind, []).append(row)
    sums = [sum_rows(group, kind) for kind, group in kinds.items()]
    return sorted(sums, key=lambda row: -row.instructions)


def rows_by_shape(rows: Iterable[Row]) -> list[Row]:
    """The sum of each kernel and shape; `name` says how many layers share it."""
    shapes: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        shapes.setdefault((row.kind, row.shape), []).append(row)
    return [
        replace(
            sum_rows(group), kind=kind, shape=shape,
            name=f"{len(group)} x" if len(group) > 1 else group[0].name,
        )
        for (kind, shape), group in shapes.items()
    ]  # fmt: skip
