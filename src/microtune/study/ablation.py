"""What each rule of the arithmetic is worth: one replaced at a time, with the generated C."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.table import Table

from microtune.study.runs import OURS, Result, Run
from microtune.study.statistics import mean_and_deviation, paired_difference
from microtune.study.work import Work

MODEL, SCHEME, DATA = "mcunet-5fps", "99KB", "clothing10.tar"
RATES = (0.001, 0.002, 0.004)


@dataclass(frozen=True)
class Variant:
    """The law with one thing changed: a macro of mt_study.h, or a number format."""

    label: str
    rule: str = ""
    bias: str = "int16"
    head: str = "int16"


LAW = Variant("the law")
VARIANTS = (
    LAW,
    Variant("weights rounded to nearest", "MT_STUDY_WEIGHTS=MT_NEAREST"),
    Variant("weights rounded towards zero", "MT_STUDY_WEIGHTS=MT_TOWARDS_ZERO"),
    Variant("gradients rounded to nearest", "MT_STUDY_GRADIENTS=MT_NEAREST"),
    Variant("gradients rounded towards zero", "MT_STUDY_GRADIENTS=MT_TOWARDS_ZERO"),
    Variant("exponent offsets fixed as calibrated", "MT_STUDY_EXPONENT=MT_FIXED_OFFSET"),
    Variant("exponents with a bit of headroom", "MT_STUDY_EXPONENT=MT_HEADROOM"),
    Variant("exponents of the sample before", "MT_STUDY_EXPONENT=MT_PREVIOUS_SAMPLE"),
    Variant("biases int32", bias="int32"),
    Variant("head float32", head="float32"),
)


@dataclass(frozen=True)
class Ablation:
    """The results of a variant, one a seed, and the rate that was chosen for it."""

    variant: Variant
    rate: float
    results: Sequence[Result]


def run_ablation(work: Work, data: str, seeds: int, epochs: int) -> list[Ablation]:
    """Every variant with the best of RATES on the validation split."""
    found = []
    for variant in VARIANTS:
        run = Run(
            MODEL, data, SCHEME, OURS, RATES[0], 0, epochs, bias=variant.bias, head=variant.head,
            rule=variant.rule,
        )  # fmt: skip
        rate = work.best_rate(run, RATES)
        runs = [replace(run, lr=rate, seed=seed) for seed in range(seeds)]
        found.append(Ablation(variant, rate, work.results(runs)))
    return found


def ablation_tables(found: Sequence[Ablation]) -> list[Table]:
    """Accuracy of each variant, and its paired difference from the law."""
    law = next(one for one in found if one.variant == LAW)
    data = law.results[0].run.data.partition(".")[0]
    title = f"{MODEL}, {SCHEME}, {data}, generated C, {len(law.results)} seeds, last epoch"
    table = Table("one rule replaced", "rate", "test accuracy, %", "less the law", title=title)
    for one in found:
        mean, deviation = mean_and_deviation(one.results)
        difference = "" if one is law else str(paired_difference(one.results, law.results))
        table.add_row(
            one.variant.label, f"{one.rate:g}", f"{mean:.1f} ± {deviation:.1f}", difference
        )
    return [table]
