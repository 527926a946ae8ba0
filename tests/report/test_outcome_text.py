"""Accuracy by class as text and picture: readable at every width, names as they are."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from microtune.errors import MicrotuneError
from microtune.report.outcome_text import name_text, outcome_tables, unseen_warnings
from microtune.report.pictures import save_confusion
from microtune.train.outcome import Outcome
from microtune.train.trainer import Epoch, TrainingPlan, TrainingReport

ODD = ("[bold]red[/]", "$a_{b$", "日本語", "tab\tand\udce9", "x" * 60)


def outcome(classes: tuple[str, ...], each: int = 4) -> Outcome:
    """Of every class one image is taken for the first class."""
    labels = np.repeat(np.arange(len(classes)), each)
    predictions = np.where(np.arange(len(labels)) % each == 0, 0, labels)
    return Outcome(classes, "test", labels, predictions)


def text(found: Outcome, columns: int) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=columns, highlight=False)
    console.print(*outcome_tables(found, console), sep="\n")
    return stream.getvalue()


@pytest.mark.parametrize("columns", [80, 200])
def test_twelve_classes_of_hundreds_of_images_fit_a_terminal(columns: int) -> None:
    names = tuple(f"a rather long class name {i}" for i in range(12))
    lines = text(outcome(names, 900), columns).splitlines()
    assert max(map(len, lines)) <= columns
    assert any("Confusion matrix" in line for line in lines)
    row = next(line for line in lines if line.startswith("│11") and "·" in line)
    assert row.endswith("899│") and row.split("│")[3].strip() == "1"
    assert sum("name 11" in line for line in lines) == 1, "the ends of names tell them apart"


def test_many_classes_show_the_worst_and_a_narrow_terminal_shows_pairs() -> None:
    many = text(outcome(tuple(f"kind {i}" for i in range(30))), 80)
    assert "the 10 worst of 30 classes" in many and "most frequent confusions" in many
    few = text(outcome(tuple(f"kind {i}" for i in range(12)), 900), 50)
    assert "Confusion matrix" not in few and "most frequent confusions" in few


def test_names_are_shown_as_they_are(tmp_path: Path) -> None:
    shown = text(outcome(ODD), 120)
    assert "[bold]red[/]" in shown and "日本語" in shown and r"tab\x09and\xe9" in shown
    shown.encode("utf-8")
    assert name_text("x" * 60, 12).cell_len == 12
    save_confusion(tmp_path / "new/c.png", outcome(ODD))
    with Image.open(tmp_path / "new/c.png") as picture:
        assert len(picture.convert("L").getcolors() or ()) > 20


def test_only_our_own_picture_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "c.png"
    save_confusion(path, outcome(("a", "b")))
    first = path.read_bytes()
    save_confusion(path, outcome(("a", "b", "c")))
    assert path.read_bytes() != first
    Image.new("L", (4, 4)).save(path)
    with pytest.raises(MicrotuneError, match="not replaced"):
        save_confusion(path, outcome(("a", "b")))
    path.write_text("no picture at all")
    with pytest.raises(MicrotuneError, match="not replaced"):
        save_confusion(path, outcome(("a", "b")))


def report(predictions: list[int], *, balance: bool = False) -> TrainingReport:
    plan = TrainingPlan(1, 0.01, "constant", 0, balance=balance)
    labels = np.arange(len(predictions)) % 6
    found = Outcome(tuple("abcdef"), "test", labels, np.array(predictions))
    return TrainingReport(plan, epochs=[Epoch(0.1, 1, 1)], classes=6, outcome=found)


def test_warnings_name_classes_counts_and_what_helps() -> None:
    first, help_line = unseen_warnings([report([0, 1, 2, 3, 4, 4])], [9, 9, 9, 9, 9, 1])
    assert "'f' is never predicted: it has 1 of 46 training images" in first
    assert "--balance" in help_line
    for of, trained in ((report([0, 1, 2, 3, 4, 4], balance=True), [9, 9, 9, 9, 9, 1]),
                        (report([0, 1, 2, 3, 4, 4]), [9] * 6)):  # fmt: skip
        assert "--balance" not in unseen_warnings([of], trained)[-1]
    runs = [report([0, 1, 2, 3, 4, 4]), report([0, 1, 2, 3, 4, 5])]
    assert "in 1 of 2 runs" in unseen_warnings(runs, [9] * 6)[0]
    many = unseen_warnings([report([0] * 6)], [9] * 6)
    assert len(many) == 2 and "5 classes are never predicted: b, c, d, e, f" in many[0]
    assert unseen_warnings([report([0, 1, 2, 3, 4, 5])], [9] * 6) == []
