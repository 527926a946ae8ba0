"""The accuracy of each class, confusions and warnings, as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from microtune.tools.names import printable
from microtune.train.evaluation import Prediction
from microtune.train.outcome import Outcome
from microtune.train.trainer import TrainingReport

# More classes than this have no matrix in the terminal, and only the worst rows.
MATRIX_CLASSES, LISTED_CLASSES, WARNED_CLASSES, PAIRS = 12, 24, 3, 10
_ANY = 10_000
_NAME_COLUMNS, _MATRIX_NAME_COLUMNS = 24, 12


def name_text(name: str, columns: int = _NAME_COLUMNS) -> Text:
    """A class's name without markup and control characters, shortened in the middle.

    Names often differ at their ends.
    """
    shown = printable(name)
    keep = len(shown)
    while cell_len(shown) > columns:
        keep -= 1
        shown = f"{printable(name)[: keep - keep // 2]}…{printable(name)[-(keep // 2) :]}"
    return Text(shown, no_wrap=True)


def percent(share: float | None) -> str:
    """A fraction as it is printed everywhere, such as "85.3 %"; "-" for None."""
    return "-" if share is None else f"{100 * share:.1f} %"


def outcome_tables(outcome: Outcome, console: Console) -> list[Table | Text]:
    """The accuracy of each class, and the confusion matrix.

    The most frequent confusions stand for the matrix if there are many classes or the console is
    too narrow.
    """
    by_class = _class_table(outcome)
    if len(outcome.classes) <= MATRIX_CLASSES:
        matrix = _matrix_table(outcome)
        if Measurement.get(console, console.options.update(width=_ANY), matrix).maximum <= (
            console.width
        ):
            title = Text("Confusion matrix: rows are true classes, columns predicted ones")
            return [*by_class, title, matrix]
    return [*by_class, *_pairs_table(outcome)]


def _class_table(outcome: Outcome) -> list[Table | Text]:
    count = len(outcome.labels)
    title = f"By class, {count:,} {outcome.split} images"
    if outcome.before_steps:
        title += " of the last epoch, each before its step (there are no test images)"
    rows = list(
        zip(outcome.classes, outcome.images_by_class, outcome.by_class,
            outcome.matrix.sum(axis=0).tolist(), strict=True)
    )  # fmt: skip
    shown = list(range(len(rows)))
    if len(rows) > LISTED_CLASSES:
        known = [(share, label) for label, (_, _, share, _) in enumerate(rows) if share is not None]
        shown = [label for _, label in sorted(known)[:PAIRS]]
        title += f": the {len(shown)} worst of {len(rows)} classes (--json has all)"
    table = Table()
    for name in ("label", "class", "images", "accuracy", "predicted"):
        table.add_column(name, justify="left" if name == "class" else "right")
    for label in shown:
        name, images, share, guessed = rows[label]
        table.add_row(str(label), name_text(name), f"{images:,}", percent(share), f"{guessed:,}")
    table.add_section()
    table.add_row("", "all images", f"{count:,}", percent(outcome.accuracy), f"{count:,}")
    table.add_row("", "mean of the classes", "", percent(outcome.balanced_accuracy), "")
    return [Text(title), table]


def _matrix_table(outcome: Outcome) -> Table:
    """The confusion matrix; rows are the true classes, columns the predicted ones, by label."""
    table = Table(padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("class", no_wrap=True)
    for label in range(len(outcome.classes)):
        table.add_column(str(label), justify="right", no_wrap=True)
    for label, (name, row) in enumerate(zip(outcome.classes, outcome.matrix.tolist(), strict=True)):
        cells = [
            Text(f"{images}" if images else "·", style="bold green" if label == guess else "")
            for guess, images in enumerate(row)
        ]
        table.add_row(str(label), name_text(name, _MATRIX_NAME_COLUMNS), *cells)
    return table


def _pairs_table(outcome: Outcome) -> list[Table | Text]:
    pairs = outcome.worst_pairs(PAIRS)
    if not pairs:
        return []
    table = Table()
    table.add_column("true class")
    table.add_column("predicted class")
    table.add_column("images", justify="right")
    for pair in pairs:
        names = outcome.classes[pair.truth], outcome.classes[pair.predicted]
        table.add_row(*(name_text(name) for name in names), f"{pair.images:,}")
    return [Text(f"The {len(pairs)} most frequent confusions"), table]


def predictions_table(predictions: Sequence[Prediction], names: Sequence[str], top: int) -> Table:
    """One row for each image: its predicted class, then the next probable ones."""
    table = Table(title="Predictions", title_justify="left")
    table.add_column("image", overflow="fold")
    columns = min(top, len(names))
    for number in range(columns):
        table.add_column("class" if number == 0 else "then")
        table.add_column("", justify="right")
    for one in predictions:
        cells: list[str | Text] = [Text(printable(one.image))]
        for label in one.best(columns):
            cells += [name_text(names[label]), percent(float(one.probabilities[label]))]
        table.add_row(*cells)
    return table


def unseen_warnings(reports: Sequence[TrainingReport], trained: Sequence[int]) -> list[str]:
    """Warnings of classes that a run never predicts, with advice.

    `trained` has the number of training images of each class.
    """
    known = [(report, report.outcome) for report in reports if report.outcome is not None]
    runs = Counter(name for _, outcome in known for name in outcome.never_predicted)
    if not runs:
        return []
    classes = known[0][1].classes
    unseen = [label for label, name in enumerate(classes) if name in runs]

    def line(label: int) -> str:
        where = "" if len(known) == 1 else f" in {runs[classes[label]]} of {len(known)} runs"
        return (
            f"class '{printable(classes[label])}' is never predicted{where}: it has "
            f"{trained[label]:,} of {sum(trained):,} training images"
        )

    lines = _unseen_lines([line(label) for label in unseen], [classes[label] for label in unseen])
    rare = any(trained[label] * len(classes) < sum(trained) for label in unseen)
    return [*lines, _advice([report for report, _ in known], rare=rare)]


def divergence_warnings(reports: Sequence[TrainingReport]) -> list[str]:
    """Which runs have learnt worse than nothing."""
    return [
        f"warning: seed {report.plan.seed} diverged: the last epoch's mean loss, "
        f"{report.epochs[-1].train_loss:.2f}, is above that of guessing, "
        f"{report.loss_of_guessing:.2f}. Try a quarter of the learning rate "
        f"({report.plan.learning_rate / 4:g})."
        for report in reports
        if report.diverged
    ]


def unseen_notes(outcome: Outcome) -> list[str]:
    """Notes about classes that are never predicted."""
    counts = dict(zip(outcome.classes, outcome.images_by_class, strict=True))
    lines = [
        f"class '{printable(name)}' is never predicted for any of {len(outcome.labels):,} images, "
        f"{counts[name]:,} of which show it"
        for name in outcome.never_predicted
    ]
    return _unseen_lines(lines, outcome.never_predicted)


def _unseen_lines(lines: Sequence[str], names: Sequence[str]) -> list[str]:
    """A warning for each class, or one for many."""
    if len(lines) <= WARNED_CLASSES:
        return [f"warning: {line}" for line in lines]
    listed = ", ".join(printable(name) for name in names[:LISTED_CLASSES])
    more = ", …" if len(names) > LISTED_CLASSES else ""
    return [f"warning: {len(names)} classes are never predicted: {listed}{more}"]


def _advice(reports: Sequence[TrainingReport], *, rare: bool) -> str:
    plan = reports[0].plan
    ways = ["--balance (shows every class equally often)"] if rare and not plan.balance else []
    if any(report.diverged for report in reports):
        ways.insert(0, f"a lower rate (--lr {plan.learning_rate / 4:g})")
    else:
        ways += ["more --epochs", "another --lr"]
    return f"What helps: {', '.join(ways)}, a scheme that trains more, more images of the class"
