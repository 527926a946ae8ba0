"""Instructions of every layer of a firmware, as data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microtune.measure.instruction_rows import Row, layer_rows
from microtune.measure.profile import Build, profile_project
from microtune.project.manifest import read_plan
from microtune.targets import Target


@dataclass(frozen=True)
class PhaseCounts:
    """Instructions of `infer` or `train`: a row a layer, and counts by C function."""

    rows: tuple[Row, ...]
    functions: Mapping[str, int]


@dataclass(frozen=True)
class LayerCounts:
    """Instructions of every layer of a firmware, by phase: "infer" and, if it learns, "train"."""

    build: str
    phases: Mapping[str, PhaseCounts]

    def to_json(self) -> dict[str, Any]:
        """The field `calls` of `measure --layers --json`."""
        return {
            name: {
                "layers": [row.to_json() for row in phase.rows], "functions": phase.functions,
            }
            for name, phase in self.phases.items()
        }  # fmt: skip


def count_layers(
    project: Path, target: str | os.PathLike[str] | Target | None, optimisation: str
) -> LayerCounts:
    """Build the firmware, run it, and count layer by layer. Raises MicrotuneError."""
    build = Build(read_plan(project).chosen_target(target), optimisation)
    profile = profile_project(project, build)
    phases = {
        name: PhaseCounts(tuple(layer_rows(profile, parts, build)), profile.functions(parts))
        for name, parts in (("infer", profile.infer), ("train", profile.train)) if parts
    }  # fmt: skip
    return LayerCounts(build.name, phases)
