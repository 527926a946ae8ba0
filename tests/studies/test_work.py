"""Real runs of the embedded model: resumed, chosen, and worse where a rule is broken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from microtune_studies.execute import execute
from microtune_studies.runs import OURS, Run, Store
from microtune_studies.sources import Sources
from microtune_studies.work import CHOICE_SEED, Work

from microtune.errors import MicrotuneError

RUN = Run("fashion5", "fashion_tops.npz", "last-7", OURS, 0.01, 0, 1)


Seen = list[tuple[int, int]]


def work(sources: Sources, folder: Path, workers: int = 1) -> tuple[Work, Seen]:
    seen: Seen = []

    def progress(done: int, total: int, note: str) -> None:
        seen.append((done, total))

    return Work(sources, Store(folder), workers, progress), seen


def test_finished_runs_are_not_repeated(sources: Sources, tmp_path: Path) -> None:
    first, seen = work(sources, tmp_path, workers=2)
    runs = [RUN, replace(RUN, seed=1)]
    results = first.results(runs)
    assert seen == [(0, 2), (1, 2), (2, 2)]
    assert [r.run for r in results] == runs
    assert results[0].parameters_sha256 != results[1].parameters_sha256
    again, seen = work(sources, tmp_path)
    assert again.results(runs) == results
    assert seen == [(2, 2)]


def test_the_rate_is_chosen_on_validation_images(sources: Sources, tmp_path: Path) -> None:
    """A rate of almost nothing learns almost nothing."""
    made, _ = work(sources, tmp_path, workers=2)
    other = replace(RUN, scheme="last-3")
    asked = [(RUN, (1e-7, 0.01)), (other, (0.5,))]
    assert made.best_rates(asked) == [replace(RUN, lr=0.01), replace(other, lr=0.5)]
    stored = [made.store.get(replace(RUN, lr=lr, split="val", seed=CHOICE_SEED))
              for lr in (1e-7, 0.01)]  # fmt: skip
    assert all(stored)
    assert made.store.get(replace(RUN, split="test")) is None


@pytest.mark.parametrize("rule", [
    "MT_STUDY_WEIGHTS=MT_TOWARDS_ZERO", "MT_STUDY_GRADIENTS=MT_TOWARDS_ZERO",
])  # fmt: skip
def test_rounding_towards_zero_learns_worse(sources: Sources, rule: str) -> None:
    """A real slice of the ablation: the reference rule is as good on the training images."""
    reference, broken = (execute(replace(RUN, rule=r), sources) for r in ("", rule))
    assert reference.parameters_sha256 != broken.parameters_sha256
    assert reference.train_loss < broken.train_loss


@pytest.mark.oracle
@pytest.mark.parametrize(("scheme", "files"), [("last-3", 2), ("full", 0)])
def test_frozen_layers_of_a_simulation_run_once(
    sources: Sources, tmp_path: Path, scheme: str, files: int
) -> None:
    """What they make of train and test is kept; where nothing is frozen nothing is."""
    here, run = replace(sources, cache=tmp_path), replace(RUN, scheme=scheme, method="fp32 SGD-M")
    first = execute(run, here)
    assert len(list(tmp_path.glob("latents-*.bin"))) == files
    assert execute(run, here).predicted == first.predicted


def test_folders_may_be_relative(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default of `study` is; the compiler runs elsewhere."""
    monkeypatch.chdir(tmp_path)
    here = replace(sources, cache=Path("latents"))
    made, _ = work(here, Path("runs"))
    run = replace(RUN, scheme="last-3", per_class=5)
    assert made.results([run])[0].predicted == execute(run, sources).predicted
    assert any((tmp_path / "latents").glob("compiled-*/library.so"))


def test_what_there_is_not(sources: Sources) -> None:
    with pytest.raises(MicrotuneError, match=r"no nothing\.pkl"):
        execute(replace(RUN, model="nothing"), sources)
    with pytest.raises(MicrotuneError, match="no method magic"):
        execute(replace(RUN, method="magic"), sources)
