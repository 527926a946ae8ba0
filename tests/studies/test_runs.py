"""Runs are named by what decides them and kept whole."""

from __future__ import annotations

import json
import lzma
from dataclasses import replace
from pathlib import Path

import pytest
from microtune_studies.runs import OURS, Result, Run, Store
from microtune_studies.statistics import mean_and_deviation, paired_difference

from microtune.errors import MicrotuneError

RUN = Run("m", "d.tar", "last-6", OURS, 0.01, 0, 3)


def result(correct: list[bool], seed: int = 0, method: str = OURS) -> Result:
    labels = [1] * len(correct)
    predicted = [1 if right else 0 for right in correct]
    return Result(replace(RUN, seed=seed, method=method), predicted, labels, 0.5, 1.0)


def test_every_field_is_part_of_the_key() -> None:
    others = [
        replace(RUN, model="n"), replace(RUN, data="e"), replace(RUN, scheme="full"),
        replace(RUN, method="x"), replace(RUN, lr=0.02), replace(RUN, seed=1),
        replace(RUN, epochs=4), replace(RUN, split="val"), replace(RUN, bias="int32"),
        replace(RUN, head="float32"), replace(RUN, rule="A=1"),
    ]  # fmt: skip
    assert len({run.key for run in (RUN, *others)}) == len(others) + 1
    assert replace(RUN).key == RUN.key


def test_the_store_gives_back_what_it_got(tmp_path: Path) -> None:
    store, kept = Store(tmp_path / "runs"), result([True, False, True])
    assert store.get(RUN) is None
    store.put(kept)
    assert store.get(RUN) == kept
    assert list(store.missing([RUN, replace(RUN, seed=1), replace(RUN, seed=1)])) == [
        replace(RUN, seed=1)
    ]


def test_results_travel_in_one_file(tmp_path: Path) -> None:
    """Packed, and taken over where they are missing; the same results give the same bytes."""
    here, there, file = Store(tmp_path / "a"), Store(tmp_path / "b"), tmp_path / "runs.xz"
    mine, other = result([True, False]), result([False, False], seed=1)
    for one in (other, mine):
        here.put(one)
    here.put(result([True], seed=2))  # nobody asked for it
    here.pack(file, [mine.run, other.run])
    packed = file.read_bytes()
    there.put(replace(mine, train_loss=0.25))
    assert set(there.unpack(file)) == {mine.run, other.run}
    assert there.get(mine.run) == replace(mine, train_loss=0.25)
    assert there.get(other.run) == other
    here.pack(file, [other.run, mine.run])
    assert file.read_bytes() == packed


def test_results_of_other_images_or_models_are_not_taken_over(tmp_path: Path) -> None:
    """The same names, other content: the run has to be done again."""
    here = Store(tmp_path / "runs", lambda run: f"{run.model} of today")
    there = Store(tmp_path / "runs", lambda run: f"{run.model} of tomorrow")
    here.put(result([True]))
    here.pack(tmp_path / "runs.xz", [RUN])
    assert there.get(RUN) is None
    assert there.unpack(tmp_path / "runs.xz") == []
    assert there.get(RUN) is None
    assert here.unpack(tmp_path / "runs.xz") == [RUN]


@pytest.mark.parametrize("content", [b"", b"nothing", lzma.compress(b"{}\n")])
def test_a_damaged_file_of_results_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "runs.xz").write_bytes(content)
    with pytest.raises(MicrotuneError, match=r"runs\.xz is no file of recorded results"):
        Store(tmp_path / "runs").unpack(tmp_path / "runs.xz")


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(result([True]))
    path = tmp_path / f"{store.key(RUN)}.json"
    other = path.read_text().replace(store.key(RUN), store.key(replace(RUN, seed=99)))
    for text in ("", "{", json.dumps({"run": {}}), other):
        path.write_text(text)
        with pytest.raises(MicrotuneError, match=f"{path.name} is damaged"):
            store.get(RUN)


def test_accuracy_in_percent() -> None:
    three = [result([True, True, False, False]), result([True] * 4), result([False] * 4)]
    assert [r.accuracy for r in three] == [50, 100, 0]
    assert mean_and_deviation(three) == (50, 50)
    assert mean_and_deviation(three[:1]) == (50, 0)


def test_a_difference_is_paired_by_image_and_seed() -> None:
    """Ours is right on the images that the other gets wrong, and on no more of them."""
    ours = [result([i % 2 == 0 for i in range(100)], seed) for seed in range(5)]
    other = [result([i % 2 == 1 for i in range(100)], seed, "x") for seed in range(5)]
    found = paired_difference(ours, other)
    assert found.mean == 0
    assert -25 < found.low < -10 < 10 < found.high < 25
    better = [result([True] * 100, seed) for seed in range(5)]
    found = paired_difference(better, ours)
    assert found.mean == 50
    assert 39 < found.low < 50 < found.high < 61
    same = paired_difference(ours, ours)
    assert (same.low, same.mean, same.high) == (0, 0, 0)


def test_what_is_not_a_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="not a pair"):
        paired_difference([result([True], 0)], [result([True], 1)])
    with pytest.raises(ValueError):
        paired_difference([result([True], 0)], [])
