"""`--scheme auto`: the scheme that is expected to learn best within the budgets, without data.

Gains are those of `contributions/prior.py`; costs and the choice are those of every search, so that
what is chosen fits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from microtune import pipeline
from microtune.ir.modelfile import ModelFile
from microtune.search.contributions.prior import (
    choice_scores,
    expected_contributions,
    synthetic_scores,
)
from microtune.search.costs.candidates import affordable_candidates
from microtune.search.costs.planned import Limits, SelectionCosts
from microtune.search.problem import Contributions, Selection
from microtune.search.selection.exact import nearly_best_selection
from microtune.training.scheme import AUTO, Scheme

# A fiftieth of what all biases gain: the standard error of the measured gains of weights.
LEAST_GAIN = 0.02
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class AutomaticScheme:
    """What was chosen: `scheme` is what `compile` takes, `selection` the same by layer numbers.

    `sram` and `instructions` are its planned bytes and its estimated instructions of one step.
    """

    scheme: Scheme
    selection: Selection
    sram: int
    instructions: int

    def __str__(self) -> str:
        parts = ["the head"]
        if self.selection.bias_layers:
            parts.append(f"the biases of the last {self.selection.bias_layers} layers")
        if self.selection.choices:
            chosen = ", ".join(f"{c.layer} ({c.ratio})" for c in self.selection.choices)
            parts.append(f"weights of layers {chosen}")
        return (
            f"--scheme auto trains {' and '.join(parts)}: {self.sram:,} bytes of SRAM planned, "
            f"about {self.instructions / 1e6:,.1f} M instructions a step"
        )


def automatic_scheme(
    model: ModelFile, request: pipeline.Request, step_instructions: int | None = None,
    progress: Progress = lambda *_: None,
) -> AutomaticScheme:  # fmt: skip
    """Choose what to train within the request's budgets, whatever its own scheme is.

    Needs no data: it is the same for everybody who compiles this model for this target, budgets and
    number of outputs. Raises MicrotuneError if not even the head alone fits.
    """
    sram = request.sram_bytes - request.replay_bytes
    costs = SelectionCosts(model, replace(request, sram_bytes=sram, replay_bytes=0, learnt=None))
    limits = Limits(sram, request.flash_bytes, step_instructions)
    progress(0, 3, "planning what can be afforded")
    depths, choices = affordable_candidates(costs, limits)
    if request.replay_bytes:  # a latent is what frozen layers make of the input
        depths = [depth for depth in depths if depth < len(costs.layers)]
        choices = [choice for choice in choices if choice.layer]
    progress(1, 3, "gradients of synthetic frames")
    scores = synthetic_scores(model.graph, request.classes, request.task)
    contributions = worthwhile(
        expected_contributions(
            costs.layers, scores.biases, depths, choice_scores(model.graph, scores, choices)
        )
    )
    progress(2, 3, "choosing the scheme")
    selection = nearly_best_selection(contributions, costs, limits)
    return AutomaticScheme(
        scheme=_named(costs.scheme(selection)), selection=selection,
        sram=costs.sram(selection) + request.replay_bytes,
        instructions=costs.instructions(selection),
    )  # fmt: skip


def worthwhile(contributions: Contributions) -> Contributions:
    """Without the choices whose expected gain is less than what measurements can tell from none."""
    kept = {c: gain for c, gain in contributions.weights.items() if gain >= LEAST_GAIN}
    return Contributions(contributions.biases, kept)


def _named(scheme: Scheme) -> Scheme:
    """The scheme under the name that asked for it."""
    return Scheme(AUTO, scheme.biases, scheme.weights, scheme.head)
