"""What a training step costs by kind of kernel: the figures that a search estimates with.

    python benchmarks/instruction_costs.py

Counts training steps of the reference models in QEMU, layer by layer, on one core of each
instruction set, and fits for each kind of kernel instructions per MAC, per element made, per
element read and per call (non-negative, relative errors). Writes
src/microtune/targets/instructions.toml and prints the error of whole steps, of those that were
fitted and of those that were not. Needs the optional data folder and the Arm tools.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import astuple

import numpy as np
from instructions import REFERENCE, Step, compiled, console
from scipy.optimize import nnls

from microtune.codegen.instructions_bound import InstructionSet, work_of
from microtune.measure.profile import Build, Profile, profile_project
from microtune.targets import load_target
from microtune.targets.instructions import FIGURES, OTHER, CallCost, call_cost, kind_of

CORES: dict[InstructionSet, str] = {
    "dsp": "cortex-m7", "mve": "cortex-m55", "mla": "cortex-m3", "thumb1": "cortex-m0plus",
}  # fmt: skip
FITTED = ((REFERENCE, "49KB"), (REFERENCE, "148KB"), ("mbv2-w0.35", "49KB"))
HELD_OUT = ((REFERENCE, "99KB"), ("mbv2-w0.35", "123KB"), ("proxyless-w0.3", "49KB"))
HEADER = """\
# Instructions of a kernel's call by kind: [per MAC, per element made, per element read, per call].
# Fitted to steps counted in QEMU (GCC -O3) by benchmarks/instruction_costs.py; do not edit.
"""

Call = tuple[str, int, int, int, int]  # kind, MACs, outputs, inputs, instructions


def calls(profile: Profile) -> list[Call]:
    """The calls of a counted step; what lies between them is no call."""
    found = []
    for part in profile.train:
        if part.node is not None:
            work = work_of(profile.graph, part.node)
            found.append((work.kind, part.macs, work.outputs, work.inputs, part.instructions))
    return found


def fit(found: Iterable[Call]) -> dict[str, CallCost]:
    """The costs of each kind, of the least relative error."""
    kinds: dict[str, list[Call]] = {OTHER: []}
    for call in found:
        kinds.setdefault(kind_of(call[0]), []).append(call)
        if call[1] == 0:
            kinds[OTHER].append(call)
    return {kind: _fitted(group) for kind, group in sorted(kinds.items())}


def _fitted(group: list[Call]) -> CallCost:
    # The square root weighs a layer by its share of the step as well as by its relative error.
    counts = np.array([float(call[4]) for call in group])
    sizes = np.array([[*call[1:4], 1] for call in group], float)
    figures, _ = nnls(sizes / np.sqrt(counts)[:, None], np.sqrt(counts))
    return CallCost(*(float(f"{figure:.4g}") for figure in figures))


def estimate(costs: Mapping[str, CallCost], found: Iterable[Call]) -> float:
    """Instructions of a step by these costs."""
    return sum(call_cost(costs, kind).instructions(*sizes) for kind, *sizes, _ in found)


def main() -> None:
    """Count, fit, write, and say how far off the estimates are."""
    text = HEADER
    for instructions, core in CORES.items():
        build = Build(load_target(core))
        steps = {
            (model, scheme): profile_project(
                compiled(Step(build, model, scheme, input="rows")), build
            )
            for model, scheme in (*FITTED, *HELD_OUT)
        }
        costs = fit(call for name in FITTED for call in calls(steps[name]))
        text += f"\n[{instructions}]\n"
        text += "".join(f'"{kind}" = {list(astuple(cost))}\n' for kind, cost in costs.items())
        for name, profile in steps.items():
            counted = profile.total(profile.train)
            error = estimate(costs, calls(profile)) / counted - 1
            what = "fitted" if name in FITTED else "held out"
            console.print(f"{core:<15}{' '.join(name):<22}{what:<10}{counted:>13,}{error:>+8.1%}")
    FIGURES.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
