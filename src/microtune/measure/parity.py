"""Parity: an imported graph beside the runtime of its format, tensor by tensor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from microtune.importers.tflite.importer import TfliteModel
from microtune.importers.tflite.reference import Reference
from microtune.ir.evaluate import evaluate
from microtune.ir.graph import Array

_LONGEST_NAME = 60


@dataclass(frozen=True)
class LayerParity:
    """One compared tensor: its name in the graph and in the file, the operator that makes it, how
    many codes there were and differed, and the largest difference of a code, in the file's
    arithmetic and in that of the device."""

    name: str
    file_name: str
    operator: str
    codes: int
    different: int
    max_code_difference: int
    device_max_code_difference: int


@dataclass(frozen=True)
class Parity:
    """How many layers (tensors that the graph has of the file) are equal on all samples.

    `first_difference` is the first layer that differs, or None. `converted` says that some weights
    of the file could not be kept code for code: `converted_layers` names their layers.
    `device_max_code_difference` is what the device's own rounding does to any layer.
    """

    samples: int
    layers: int
    equal: int
    first_difference: str | None
    max_code_difference: int
    device_max_code_difference: int
    device_output_max_code_difference: int
    converted: bool
    converted_layers: list[str]
    rows: list[LayerParity]

    def to_json(self) -> dict[str, Any]:
        """The fields of `verify --json`."""
        return asdict(self)

    def __repr__(self) -> str:
        first = "" if self.first_difference is None else f", first at {self.first_difference}"
        return (
            f"Parity({self.equal} of {self.layers} layers equal on {self.samples} samples, largest "
            f"code difference {self.max_code_difference}{first})"
        )


def compare(
    model: TfliteModel, samples: Sequence[Array], on_progress: Callable[[int, int], None]
) -> Parity:
    """Run samples, int8 in the shape of the graph's input, through both.

    Raises MicrotuneError if the format's runtime is not installed or refuses the file.
    """
    reference, graph = Reference(model), model.model.graph
    device = graph.copy()
    device.attrs["requantize"] = "device"
    names = {origin.name for origin in model.origins}
    different, largest, rounded, sizes = (np.zeros(len(model.origins), np.int64) for _ in range(4))
    for number, codes in enumerate(samples):
        reference.run(codes)
        given = {graph.input_tensor.name: codes}
        ours, theirs = (evaluate(g, given, keep=names) for g in (graph, device))
        for i, origin in enumerate(model.origins):
            wanted = reference.codes(origin.tensor)
            found = origin.in_file_order(ours[origin.name], wanted.shape)
            on_device = origin.in_file_order(theirs[origin.name], wanted.shape)
            sizes[i] += wanted.size
            different[i] += int((found != wanted).sum())
            largest[i] = max(largest[i], np.abs(found - wanted).max(initial=0))
            rounded[i] = max(rounded[i], np.abs(on_device - wanted).max(initial=0))
        on_progress(number + 1, len(samples))
    rows = [
        LayerParity(
            origin.name, _short(model.file.tensors[origin.tensor].name), origin.operator,
            int(sizes[i]), int(different[i]), int(largest[i]), int(rounded[i]),
        )
        for i, origin in enumerate(model.origins)
    ]  # fmt: skip
    wrong = [row for row in rows if row.different]
    return Parity(
        samples=len(samples), layers=len(rows), equal=len(rows) - len(wrong),
        first_difference=f"{wrong[0].name} ({wrong[0].operator} {wrong[0].file_name!r})"
        if wrong else None,
        max_code_difference=int(largest.max(initial=0)),
        device_max_code_difference=int(rounded.max(initial=0)),
        device_output_max_code_difference=int(rounded[-1]) if rows else 0,
        converted=bool(model.converted), converted_layers=list(model.converted), rows=rows,
    )  # fmt: skip


def _short(name: str) -> str:
    """A name of the file; converters join the names of all that they have fused into one."""
    last = name.rsplit(";", 1)[-1]
    return last if len(last) <= _LONGEST_NAME else f"…{last[-_LONGEST_NAME:]}"
