"""Trials: the generated C as studies run it, evaluated by image, cached by content."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from microtune import embedded
from microtune.errors import MicrotuneError
from microtune.run.builds import FLAGS, compiled, host_runner
from microtune.search.problem import Choice, Selection
from microtune.search.trials.trial import (
    Trial,
    TrialResult,
    TrialSetup,
    best_temperature,
    log_losses,
    open_trial_setup,
    run_trial,
)
from microtune.train.trainer import TrainingPlan, run_training
from microtune.training.build import Formats
from tests.data.image_sets import encode, noise, write_folder
from tests.search.small import embedded_model, request

TRIAL = Trial(Selection(3, (Choice(18, Fraction(1, 2)),)), 0.01, 1, 1)


@pytest.fixture(scope="module")
def setup(kept: Path) -> TrialSetup:
    found = open_trial_setup(embedded_model(), embedded.DATA, kept, "val")
    return replace(
        found,
        training_split=found.training_split.take(np.arange(80)),
        evaluation_split=found.evaluation_split.take(np.arange(20)),
    )


@pytest.fixture(scope="module")
def result(setup: TrialSetup) -> TrialResult:
    return run_trial(TRIAL, setup)


def test_data_without_classes_are_refused_and_auto_is_named(tmp_path: Path) -> None:
    with np.load(embedded.DATA) as file:
        content = {name: file[name] for name in ("images", "test")}
    np.savez(tmp_path / "values.npz", **content, target=np.zeros((1600, 2)))
    with pytest.raises(MicrotuneError, match=r"classes; .* --scheme auto --outputs N"):
        open_trial_setup(embedded_model(), tmp_path / "values.npz", tmp_path, "val")


def test_a_trial_learns_what_a_streamed_project_learns(
    setup: TrialSetup, result: TrialResult
) -> None:
    scheme = setup.scheme(TRIAL.selection)
    folder = compiled(setup.model, replace(request(5), scheme=scheme), FLAGS, setup.folder)
    runner, graph = host_runner(folder, TRIAL.seed, FLAGS)
    assert graph.execution.segments
    plan = TrainingPlan(TRIAL.epochs, TRIAL.lr, "cosine", TRIAL.seed, evaluate="at-the-end")
    report = run_training(runner, graph, plan, setup.training_split, setup.evaluation_split)
    assert report.predictions is not None
    assert result.predicted.tolist() == report.predictions.tolist()
    assert result.parameters_sha256 == report.parameters_sha256


def test_the_losses_of_both_heads_agree(setup: TrialSetup, result: TrialResult) -> None:
    floating = run_trial(TRIAL, replace(setup, formats=Formats(head="float32")))
    assert floating.log_loss.mean() == pytest.approx(result.log_loss.mean(), abs=0.05)
    assert result.log_loss.mean() < np.log(5)


def test_log_losses_are_those_of_the_definition() -> None:
    logits, labels = np.array([[1.0, 2.0, -3.0], [2000.0, 0.0, 1999.0]]), np.array([0, 2])
    first = -np.log(np.exp(1.0) / (np.exp(1.0) + np.exp(2.0) + np.exp(-3.0)))
    assert log_losses(logits, labels) == pytest.approx([first, 1 + np.log(1 + np.exp(-1))])


@pytest.mark.parametrize("gain", [0.25, 1.0, 5.0])
def test_being_too_sure_costs_nothing(gain: float) -> None:
    """The best temperature takes back whatever the logits are multiplied by."""
    random = np.random.default_rng(0)
    logits = random.normal(size=(400, 3))
    labels = np.array([random.choice(3, p=np.exp(row) / np.exp(row).sum()) for row in 2 * logits])
    best = best_temperature(logits, labels)
    temperature = best_temperature(gain * logits, labels)
    assert temperature == pytest.approx(gain * best, rel=1e-4) and 0.4 < best < 0.6
    losses = log_losses(gain * logits / temperature, labels)
    grid = [log_losses(logits / t, labels).mean() for t in np.geomspace(0.1, 2, 50)]
    assert losses.mean() <= min(grid) + 1e-9


def test_an_outcome_survives_the_cache(result: TrialResult) -> None:
    again = TrialResult.from_json(json.loads(json.dumps(result.to_json())))
    assert (again.log_loss == result.log_loss).all()
    assert (again.predicted == result.predicted).all()
    assert again.parameters_sha256 == result.parameters_sha256
    with pytest.raises(MicrotuneError, match="damaged outcome"):
        TrialResult.from_json({"log_loss": []})


def test_the_key_is_of_content(setup: TrialSetup) -> None:
    labels = (setup.training_split.labels + 1) % 5
    others = [
        setup.key(replace(TRIAL, lr=0.02)), setup.key(replace(TRIAL, seed=2)),
        setup.key(replace(TRIAL, epochs=2)),
        setup.key(replace(TRIAL, selection=Selection(3, ()))),
        replace(setup, training_split=replace(setup.training_split, labels=labels)).key(TRIAL),
        replace(setup, evaluation_split=setup.training_split).key(TRIAL),
        replace(setup, formats=Formats(bias="int32")).key(TRIAL),
    ]  # fmt: skip
    assert len({setup.key(TRIAL), *others}) == len(others) + 1
    assert replace(setup, folder=Path("elsewhere")).key(TRIAL) == setup.key(TRIAL)


def test_validation_does_not_open_the_test_split(tmp_path: Path) -> None:
    model = embedded_model()
    val, test = (open_trial_setup(model, embedded.DATA, tmp_path, s) for s in ("val", "test"))
    assert not set(val.evaluation_split.names) & set(test.evaluation_split.names)
    assert set(val.training_split.names) | set(val.evaluation_split.names) == set(
        test.training_split.names
    )


def test_what_a_search_does_not_read_is_said(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    files = {f"{s}/{c}/{i}.png": encode(noise(10 * i + len(s + c))) for s in ("train", "val")
             for c in ("a", "bb") for i in range(3)}  # fmt: skip
    folder = write_folder(tmp_path / "set", files | {"train/a/film.mov": b""})
    open_trial_setup(embedded_model(), folder, tmp_path, "val")
    said = [str(one.message) for one in recwarn]
    assert f"{folder}: 1 .mov: train/a/film.mov" in said
