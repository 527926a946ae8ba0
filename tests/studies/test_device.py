"""Runs of the generated C in studies: few samples, ordered streams, other domains."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from microtune_studies.device import _class_by_class, _few
from microtune_studies.domains import DOMAINS, changed
from microtune_studies.execute import execute
from microtune_studies.runs import OURS, Run
from microtune_studies.sources import Sources

from microtune.data import Split

RUN = Run("fashion5", "fashion_tops.npz", "last-3", OURS, 0.005, 0, 2)


def test_few_samples_are_balanced_and_drawn_by_the_seed() -> None:
    labels = np.repeat(np.arange(3, dtype=np.int32), [40, 5, 9])
    split = Split(np.arange(54, dtype=np.int8).reshape(54, 1, 1, 1), labels, [""] * 54)
    chosen = [_few(split, 5, seed) for seed in (0, 0, 1)]
    assert all(Counter(s.labels.tolist()) == {0: 5, 1: 5, 2: 5} for s in chosen)
    assert (chosen[0].frames == chosen[1].frames).all()
    assert (chosen[0].frames != chosen[2].frames).any()
    assert _few(split, 0, 0) is split


def test_more_samples_teach_more(sources: Sources) -> None:
    few, more = (execute(replace(RUN, per_class=n), sources).accuracy for n in (1, 40))
    assert few < more


def test_augmentation_changes_what_is_learnt(sources: Sources) -> None:
    plain, augmented = (
        execute(replace(RUN, per_class=20, augment=text), sources) for text in ("", "flip,shift=2")
    )
    assert plain.parameters_sha256 != augmented.parameters_sha256
    assert augmented.accuracy > 40


def test_replay_keeps_old_classes(sources: Sources) -> None:
    """One class after the other: without rehearsing the last ones are all that is left."""
    ordered = replace(RUN, epochs=1, schedule="constant", order="class by class")
    plain = execute(ordered, sources)
    rehearsed = execute(replace(ordered, replay_bytes=32 << 10, rehearse=2), sources)
    assert rehearsed.accuracy > plain.accuracy + 10


def test_the_seed_draws_the_order_of_classes() -> None:
    """Each class whole, its samples in their order; nothing is lost."""
    split = Split(np.arange(40, dtype=np.int8).reshape(40, 1), np.tile(np.arange(10), 4), [""] * 40)
    orders = set()
    for seed in range(3):
        taken = _class_by_class(split, seed)
        classes = taken.labels[::4]
        assert (taken.labels == np.repeat(classes, 4)).all()
        assert sorted(classes.tolist()) == list(range(10))
        assert (np.diff(taken.frames.reshape(10, 4), axis=1) > 0).all()
        orders.add(tuple(classes.tolist()))
    assert len(orders) == 3


def test_the_same_names_of_other_images_are_other_runs(sources: Sources, tmp_path: Path) -> None:
    """A copy of the folder is the same; with one image fewer it is not."""
    other = replace(sources, folder=tmp_path / "other")
    shutil.copytree(sources.folder, other.folder)
    assert other.identity(RUN) == sources.identity(RUN)
    changed_too = replace(sources, folder=tmp_path / "changed")
    shutil.copytree(sources.folder, changed_too.folder)
    path = changed_too.folder / "data" / RUN.data
    with np.load(path) as arrays:
        content = dict(arrays)
    np.savez(path, **{k: v[:-1] if k.startswith("train") else v for k, v in content.items()})
    assert changed_too.identity(RUN) != sources.identity(RUN)


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_stream_adapts(sources: Sources, domain: str) -> None:
    """Accuracy along the stream, for images as they were and changed; predictions of both."""
    result = execute(replace(RUN, domain=domain, replay_bytes=16 << 10, rehearse=1), sources)
    curve = np.array(result.curve)
    assert curve[0, 0] == 0
    assert (np.diff(curve[:, 0]) > 0).all()
    assert len(result.predicted) == len(result.labels)
    assert result.accuracy == pytest.approx(curve[-1, 1:].mean())
    assert curve[-1, 2] > curve[0, 2] - 2


def test_small_steps_leave_a_trained_network_where_it_was(sources: Sources) -> None:
    """Stochastic rounding; cut off towards zero they destroy it."""
    run = replace(RUN, then_lr=1e-6)
    reference, cut = (
        execute(replace(run, rule=rule), sources)
        for rule in ("", "MT_STUDY_WEIGHTS=MT_TOWARDS_ZERO")
    )
    assert reference.curve[0] == cut.curve[0]
    assert reference.accuracy > reference.curve[0][1] - 2
    assert cut.accuracy < reference.accuracy - 10


def test_domains_change_images_and_nothing_else(sources: Sources) -> None:
    train = sources.splits(RUN)[1].take(np.arange(4))
    for name, change in DOMAINS.items():
        other = changed(train, change)
        assert other.frames.shape == train.frames.shape
        assert other.frames.dtype == np.int8
        assert (other.labels == train.labels).all()
        differs = (other.frames != train.frames).any(axis=(1, 2, 3))
        assert not differs.any() if name == "unchanged" else differs.all()


def test_a_later_field_counts_where_it_is_used() -> None:
    """Results of runs that do not use it stay valid."""
    assert replace(RUN, domain="dark").key != RUN.key
    old = Run("mcunet-5fps", "person_cc.tar", "last-6", "int8 LARS", 0.1, 1000, 3, "val")
    assert old.key == OLD_KEY


OLD_KEY = "01b5827a7ea42e770e952807"
