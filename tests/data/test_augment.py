"""Augmentation: the numpy meaning, the C on the host and on the chip, resident and by rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microtune import embedded, pipeline
from microtune.data.image.augment import (
    NONE,
    Augmentation,
    Change,
    change_frame,
    draw_change,
    parse_augmentation,
)
from microtune.errors import MicrotuneError
from microtune.importers import load_any
from microtune.run.runners import HostRunner, NumpyRunner, QemuRunner
from microtune.train.trainer import TrainingPlan, run_training
from tests.projects import compile_project, load_train

ALL = Augmentation(1, 5, 40)
BOTH: tuple[pipeline.InputMode, ...] = ("resident", "rows")


@pytest.mark.parametrize("input_mode", BOTH)
@pytest.mark.parametrize(
    "most", [ALL, Augmentation(1), Augmentation(0, 127), Augmentation(0, 0, 127)]
)
def test_host_and_numpy_change_the_same_frames(
    tmp_path: Path, input_mode: pipeline.InputMode, most: Augmentation
) -> None:
    project = compile_project(tmp_path / "p", "last-3", input_mode=input_mode)
    train = load_train(embedded.DATA, load_any(embedded.MODEL)).take(np.arange(8))
    plan = TrainingPlan(1, 0.01, "constant", 3, augmentation=most)
    host, numpy = (
        run_training(runner, project.graph, plan, train, None)
        for runner in (HostRunner(tmp_path / "p", 3), NumpyRunner(tmp_path / "p", 3))
    )
    assert host.parameters_sha256 == numpy.parameters_sha256
    assert host.logits_sha256 == numpy.logits_sha256
    plain = TrainingPlan(1, 0.01, "constant", 3)
    unchanged = run_training(HostRunner(tmp_path / "p", 3), project.graph, plain, train, None)
    assert unchanged.logits_sha256 != host.logits_sha256


@pytest.mark.chip
@pytest.mark.parametrize("input_mode", BOTH)
@pytest.mark.parametrize("rehearse", [0, 1])
def test_the_chip_changes_the_same_frames(
    tmp_path: Path, input_mode: pipeline.InputMode, rehearse: int
) -> None:
    replay = 8000 if rehearse else 0
    project = compile_project(tmp_path / "p", "last-3", input_mode=input_mode, replay=replay)
    train = load_train(embedded.DATA, load_any(embedded.MODEL)).take(np.arange(8))
    plan = TrainingPlan(1, 0.01, "constant", 3, rehearse=rehearse, augmentation=ALL)
    host, chip = (
        run_training(runner, project.graph, plan, train, None)
        for runner in (HostRunner(tmp_path / "p", 3), QemuRunner(tmp_path / "p", 3))
    )
    assert host.parameters_sha256 == chip.parameters_sha256
    assert host.logits_sha256 == chip.logits_sha256


def test_a_small_frame_by_hand() -> None:
    frame = np.array([[[1], [2]], [[3], [4]], [[120], [-120]]], np.int8)
    assert change_frame(frame, Change(1, 0, 0))[..., 0].tolist() == [[2, 1], [4, 3], [-120, 120]]
    shifted = [[3, 4], [120, -120], [120, -120]]
    assert change_frame(frame, Change(0, 1, 0))[..., 0].tolist() == shifted
    assert change_frame(frame, Change(0, -9, 0))[..., 0].tolist() == [[1, 2]] * 3
    assert change_frame(frame, Change(0, 0, 10))[2, :, 0].tolist() == [127, -110]


@given(st.integers(0, 1), st.integers(0, 127), st.integers(0, 127), st.integers(0, 2**32 - 1))
def test_changes_stay_within_what_was_asked(flip: int, shift: int, light: int, seed: int) -> None:
    most = Augmentation(flip, shift, light)
    changes = [draw_change(most, seed, step) for step in range(50)]
    assert all(0 <= c.flip <= flip for c in changes)
    assert all(abs(c.shift) <= shift and abs(c.brightness) <= light for c in changes)
    assert not flip or {c.flip for c in changes} == {0, 1}


@pytest.mark.parametrize("text", ["", "turn", "shift", "shift=128", "flip=1", "shift=-1"])
def test_what_is_no_augmentation(text: str) -> None:
    with pytest.raises(MicrotuneError, match="write for instance"):
        parse_augmentation(text)


def test_the_text_of_an_augmentation() -> None:
    assert parse_augmentation("flip,shift=4, brightness=20") == Augmentation(1, 4, 20)
    assert parse_augmentation("shift=0") == NONE
