"""What each rule of the arithmetic is worth: one replaced at a time.

Where the generated C can be built with another rule (mt_study.h), it is, the published engine's
faults included; what no device of ours could run (more bits, float32 gradients, momentum) is
simulated, and compared with the simulation of the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from microtune_studies.runs import OURS, Result, Run
from microtune_studies.statistics import mean_and_deviation, paired_difference
from microtune_studies.work import Work, at_edge

MODEL, DATA = "mcunet-5fps", "clothing10.tar"
# The simulation takes a hundredth of a second a step, and more for every layer.
DEVICE_SCHEME, SIMULATED_SCHEME = "99KB", "last-6"
RATES = (0.0005, 0.001, 0.002)
_LOW_RATES = (0.00005, 0.0002, 0.001)
_ROUNDS = 1


@dataclass(frozen=True)
class Variant:
    """The reference rule of training with one thing changed.

    A change is macros of mt_study.h, a number format, or a simulation. `rates` are the learning
    rates to choose from if the change is one of the step; else the rate of the first row is used.
    """

    label: str
    rule: str = ""
    bias: str = "int16"
    head: str = "int16"
    method: str = OURS
    rates: tuple[float, ...] = ()


def _simulated(label: str, method: str, rates: tuple[float, ...] = ()) -> Variant:
    return Variant(label, method=method, rates=rates)


REFERENCE = Variant("the law", rates=RATES)
_FAULTS = {
    "skip gradients lost": "MT_STUDY_SHORTCUTS=MT_LOST",
    "raw inputs in dW": "MT_STUDY_INPUTS=MT_RAW_CODES",
    # The classifiers' logits have a scale of 0.17.
    "unscaled logits": "MT_STUDY_LOGIT_GAIN=6",
}
_CUT_OFF = "MT_STUDY_WEIGHTS=MT_TOWARDS_ZERO"
DEVICE = (
    REFERENCE,
    Variant("weights rounded to nearest", "MT_STUDY_WEIGHTS=MT_NEAREST", rates=RATES),
    Variant("weights rounded towards zero", _CUT_OFF, rates=_LOW_RATES),
    Variant("gradients rounded to nearest", "MT_STUDY_GRADIENTS=MT_NEAREST"),
    Variant("gradients rounded towards zero", "MT_STUDY_GRADIENTS=MT_TOWARDS_ZERO"),
    Variant("exponents from the exact maximum", "MT_STUDY_EXPONENT=MT_EXACT_MAXIMUM"),
    Variant("exponent offsets fixed as calibrated", "MT_STUDY_EXPONENT=MT_FIXED_OFFSET"),
    Variant("exponents with a bit of headroom", "MT_STUDY_EXPONENT=MT_HEADROOM"),
    Variant("exponents of the sample before", "MT_STUDY_EXPONENT=MT_PREVIOUS_SAMPLE"),
    Variant("biases int32", bias="int32"),
    Variant("head float32", head="float32"),
    Variant("head int8", "MT_STUDY_HEAD_BITS=8"),
    *(Variant(f"fault: {label}", rule, rates=RATES) for label, rule in _FAULTS.items()),
    Variant("these three faults", " ".join(_FAULTS.values()), rates=_LOW_RATES),
    Variant("and weights towards zero: as published", " ".join([*_FAULTS.values(), _CUT_OFF]),
            rates=_LOW_RATES),
)  # fmt: skip
SIMULATED_LAW = _simulated("int8 weights, float32 gradients", "float32 gradients", RATES)
SIMULATED = (
    SIMULATED_LAW,
    _simulated("float32 weights", "float32 weights"),
    _simulated("weights with 2 extra bits", "weights with 2 extra bits"),
    _simulated("weights with 4 extra bits", "weights with 4 extra bits"),
    _simulated("weights to nearest, 4 extra bits", "weights nearest with 4 extra bits"),
    _simulated("int8 gradients per tensor", "int8 gradients"),
    _simulated("int8 gradients per channel", "int8 gradients per channel"),
    _simulated("accumulation over 8 samples", "accumulation over 8", (0.002, 0.004, 0.008)),
    _simulated("momentum 0.9", "momentum 0.9", (0.00005, 0.0001, 0.0002)),
)


@dataclass(frozen=True)
class Ablation:
    """The results of a variant, one for each seed, and the learning rate that was chosen for it."""

    variant: Variant
    rate: float
    results: Sequence[Result]


def run_ablation(
    work: Work, variants: Sequence[Variant], data: str, seeds: int, epochs: int
) -> list[Ablation]:
    """Train every variant at the best of its rates on the validation split.

    Rates are chosen after a third of the epochs. The first variant must have rates.
    """
    runs = [_run(variant, data, epochs) for variant in variants]
    (reference,) = work.best_rates([(runs[0], variants[0].rates)], _ROUNDS)
    asked = [(run, v.rates or (reference.lr,)) for run, v in zip(runs, variants, strict=True)]
    chosen = work.best_rates(asked, _ROUNDS)
    results = work.seeded(chosen, seeds)
    return [
        Ablation(variant, run.lr, own)
        for variant, run, own in zip(variants, chosen, results, strict=True)
    ]


def _run(variant: Variant, data: str, epochs: int) -> Run:
    scheme = DEVICE_SCHEME if variant.method == OURS else SIMULATED_SCHEME
    return Run(
        MODEL, data, scheme, variant.method, 0.0, 0, epochs, bias=variant.bias, head=variant.head,
        rule=variant.rule,
    )  # fmt: skip


def ablation_table(found: Sequence[Ablation]) -> Table:
    """A table with the accuracy of each variant and its paired difference from the first one."""
    reference = found[0]
    run = reference.results[0].run
    how = "generated C" if run.method == OURS else "simulated"
    title = (
        f"{MODEL}, {run.scheme}, {run.data.partition('.')[0]}, {how}, "
        f"{len(reference.results)} seeds, {run.epochs} epochs, the last one"
    )
    table = Table("one thing changed", "rate", "test accuracy, %", "less the first row",
                  title=title)  # fmt: skip
    for one in found:
        mean, deviation = mean_and_deviation(one.results)
        difference = (
            "" if one is reference else str(paired_difference(one.results, reference.results))
        )
        rate = at_edge(one.rate, one.variant.rates)
        table.add_row(one.variant.label, rate, f"{mean:.1f} ± {deviation:.1f}", difference)
    return table
