"""The mutants of benchmarks/mutants.toml fit today's code; a run tells caught from survived."""

from __future__ import annotations

import ast
from pathlib import Path

import mutants
import pytest

from microtune.errors import MicrotuneError

ALL = mutants.mutants()


@pytest.mark.parametrize("mutant", ALL, ids=lambda m: m.name.replace(" ", "-"))
def test_a_mutant_changes_one_place_and_its_test_exists(mutant: mutants.Mutant) -> None:
    text = (mutants.ROOT / mutant.file).read_text(encoding="utf-8")
    changed = mutant.mutated(text)
    assert changed != text
    if mutant.file.endswith(".py"):
        ast.parse(changed)
    file, _, name = mutant.test.partition("::")
    assert (mutants.ROOT / file).is_file()
    found = ast.walk(ast.parse((mutants.ROOT / file).read_text(encoding="utf-8")))
    names = {node.name for node in found if isinstance(node, ast.FunctionDef)}
    assert name.partition("[")[0] in names


def test_every_part_has_mutants() -> None:
    parts = {
        "autodiff", "lowering", "verifier", "planner", "layout", "codegen", "kernels", "readers",
        "interface", "heads",
    }  # fmt: skip
    assert {mutant.part for mutant in ALL} == parts
    assert len({mutant.name for mutant in ALL}) == len(ALL)


def test_the_page_has_the_table_of_today() -> None:
    """`python benchmarks/mutants.py --write` renews it."""
    text = mutants.PAGE.read_text(encoding="utf-8")
    assert mutants.page_with_table(text) == text


def test_a_place_that_is_gone_is_named() -> None:
    with pytest.raises(MicrotuneError, match=r"ir: x: 0 places in a\.py read 'old'"):
        mutants.Mutant("ir", "x", "a.py", "old", "new", "t").mutated("nothing")


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> mutants.Copy:
    """A project of one function and four tests in the place of ours."""
    root = tmp_path / "root"
    (root / "src").mkdir(parents=True)
    (root / "tests").mkdir()
    (root / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    (root / "src/half.py").write_text("def half(n):\n    return n // 2\n")
    (root / "tests/test_half.py").write_text(
        "import half, pytest\n"
        "def test_even(): assert half.half(4) == 2\n"
        "def test_odd(): assert half.half(5) == 2\n"
        "def test_wrong(): assert half.half(4) == 3\n"
        "def test_elsewhere(): pytest.skip('not here')\n"
    )
    monkeypatch.setattr(mutants, "ROOT", root)
    monkeypatch.setattr(mutants, "COPIED", ("src", "tests", "pyproject.toml"))
    (tmp_path / "copy").mkdir()
    return mutants.Copy(tmp_path / "copy")


@pytest.mark.parametrize(
    ("name", "verdict"),
    [("even", "survived"), ("odd", "caught"), ("wrong", "broken"), ("elsewhere", "skipped"),
     ("gone", "broken")],
)  # fmt: skip
def test_a_run_tells_caught_from_survived(copy: mutants.Copy, name: str, verdict: str) -> None:
    mutant = mutants.Mutant(
        "layout", "rounds up", "src/half.py", "n // 2", "(n + 1) // 2",
        f"tests/test_half.py::test_{name}",
    )  # fmt: skip
    assert copy.verdict(mutant).partition(":")[0] == verdict
    assert (copy.folder / mutant.file).read_text() == "def half(n):\n    return n // 2\n"
