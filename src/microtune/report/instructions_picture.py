"""Bar charts of instruction counts (matplotlib, no display)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from microtune.measure.instruction_rows import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_OURS, _OTHERS, _BOUND, _INK = "#5B6FA8", "#C9C9C9", "#B3202A", "#333333"
_RUNGS = ("#C9C9C9", "#A6C8E4", "#5B6FA8")
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif", "font.size": 8.0, "axes.linewidth": 0.6, "axes.edgecolor": _INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 9.0,
    "axes.titleweight": "bold", "axes.titlelocation": "left", "xtick.major.width": 0.6,
    "ytick.major.size": 0,
}  # fmt: skip
_DPI = 200
_MILLION = 1e6
_LARGEST = 12

Totals = Mapping[str, Mapping[str, int]]


def save_reference(
    path: Path, kinds: Sequence[Row], ours: Totals, published: Mapping[str, Any]
) -> None:
    """Draw instructions of this program and of other engines, and of kernels with their bounds.

    Left: an inference and a training step on each core. Right: `kinds`, the sums of a training step
    by class of kernel, most instructions first.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with matplotlib.rc_context(_STYLE):
        figure, (left, right) = pyplot.subplots(
            1, 2, figsize=(11, 4.2), constrained_layout=True, width_ratios=(1, 1.1)
        )
        _calls(left, ours, published)
        _kinds(right, kinds)
        figure.savefig(path, dpi=_DPI)
        pyplot.close(figure)


def save_ladder(path: Path, ladders: Totals) -> None:
    """Draw, for each model, a bar for each rung of its ladder, with its factor to the first one."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with matplotlib.rc_context(_STYLE):
        figure, axes = pyplot.subplots(
            len(ladders), 1, figsize=(8, 1.35 * len(ladders) + 0.5), sharex=True, squeeze=False,
            constrained_layout=True,
        )  # fmt: skip
        largest = max(max(rungs.values()) for rungs in ladders.values())
        for axis, (model, rungs) in zip(axes[:, 0], ladders.items(), strict=True):
            first = next(iter(rungs.values()))
            words = [f"{n / _MILLION:.0f} M   {first / n:.1f} x" for n in rungs.values()]
            _bars(axis, list(rungs), list(rungs.values()), _RUNGS, words)
            axis.set_title(model)
            axis.set_xlim(0, largest / _MILLION * 1.18)
        axes[-1, 0].set_xlabel("million instructions of one training step, Cortex-M7")
        figure.savefig(path, dpi=_DPI)
        pyplot.close(figure)


def _bars(
    axis: Axes, labels: Sequence[str], counts: Sequence[float], colours: Sequence[str],
    words: Sequence[str], places: Sequence[float] = (),
) -> None:  # fmt: skip
    places = places or range(len(labels))
    drawn = axis.barh(places, [n / _MILLION for n in counts], 0.72, color=colours)
    axis.bar_label(drawn, words, padding=3, color=_INK)
    axis.set_yticks(places, labels)
    axis.invert_yaxis()


def _calls(axis: Axes, ours: Totals, published: Mapping[str, Any]) -> None:
    """Draw inference and training of each engine, by core."""
    names = {"engine": "published engine", "cmsis_nn": "CMSIS-NN"}
    rows: list[tuple[str, float, str, float]] = []
    place = 0.0
    for core, calls in ours.items():
        for call, word in (("train", "training"), ("infer", "inference")):
            others = [(who, published[who].get(core, {}).get(call)) for who in names]
            bars = [(names[who], count, _OTHERS) for who, count in others if count]
            for name, count, colour in [("ours", calls[call], _OURS), *bars]:
                head = f"{core} {word}: " if name == "ours" else ""
                rows.append((head + name, count, colour, place))
                place += 1
            place += 0.5
    labels, counts, colours, places = zip(*rows, strict=True)
    _bars(axis, labels, counts, colours, [f"{n / _MILLION:.1f} M" for n in counts], places)
    axis.set_xlim(0, max(counts) / _MILLION * 1.14)
    axis.set_xlabel("million instructions")
    axis.set_title("mcunet-5fps, 49KB scheme: one call")


def _kinds(axis: Axes, kinds: Sequence[Row]) -> None:
    """Draw the largest classes of kernels, with a mark at their bound."""
    shown = [*kinds[:_LARGEST]]
    rest = sum(row.instructions for row in kinds[_LARGEST:])
    labels = [row.kind for row in shown] + ["all others"]
    counts = [row.instructions for row in shown] + [rest]
    words = [
        f"{n / _MILLION:.1f} M" + (f"   {row.per_mac:.2f} per MAC" if row and row.per_mac else "")
        for n, row in zip(counts, [*shown, None], strict=True)
    ]
    _bars(axis, labels, counts, [_OURS] * len(labels), words)
    marks = [(row.bound, place) for place, row in enumerate(shown) if row.bound]
    for size, place in marks:
        axis.plot([size / _MILLION] * 2, [place - 0.36, place + 0.36], color=_BOUND, lw=1.6)
    axis.plot([], [], color=_BOUND, lw=1.6, label="bound of the instruction set, loads included")
    axis.legend(loc="lower right", frameon=False)
    axis.set_xlim(0, max(counts) / _MILLION * 1.42)
    axis.set_xlabel("million instructions")
    axis.set_title("Cortex-M7, where the training step spends them")
