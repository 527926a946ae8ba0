"""What is right class by class, against hand-made cases; the order of balanced epochs."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from microtune.train.balance import balanced_order
from microtune.train.outcome import Confusion, Outcome, pooled
from microtune.train.trainer import TrainingPlan

CLASSES = ("cat", "dog", "owl", "newt")


def outcome(labels: list[int], predictions: list[int]) -> Outcome:
    names = [f"{i}.png" for i in range(len(labels))]
    return Outcome(CLASSES, "test", np.array(labels), np.array(predictions), names)


MIXED = outcome([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 0, 0])


def test_rows_are_true_classes_and_columns_predicted_ones() -> None:
    expected = [[2, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert MIXED.matrix.tolist() == expected
    assert MIXED.to_json()["confusion_matrix"] == expected


def test_accuracies_count_images_and_their_mean_counts_classes_that_have_images() -> None:
    assert MIXED.accuracy == 0.5
    assert MIXED.by_class == [2 / 3, 1 / 2, 0.0, None]
    assert MIXED.balanced_accuracy == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert MIXED.to_json()["per_class"]["newt"] == {"images": 0, "accuracy": None}


def test_a_class_is_never_predicted_only_if_it_has_images_and_no_image_gets_it() -> None:
    assert MIXED.never_predicted == ["owl"]
    assert outcome([0, 1], [2, 0]).never_predicted == ["dog"]


def test_the_worst_pairs_are_the_most_frequent_errors_and_no_right_answers() -> None:
    found = outcome([0, 0, 0, 1, 2, 2], [1, 1, 0, 0, 2, 2]).worst_pairs(5)
    assert found == [Confusion(0, 1, 2), Confusion(1, 0, 1)]


def test_predictions_image_by_image_are_in_the_json_on_request_only() -> None:
    assert "predictions" not in MIXED.to_json()
    found = MIXED.to_json(predictions=True)["predictions"]
    assert found[2] == {"image": "2.png", "true": "cat", "predicted": "dog"} and len(found) == 6


def test_runs_together_count_every_image_once_a_run() -> None:
    both = pooled([MIXED, outcome([2], [2])])
    assert both is not None and both.never_predicted == []
    assert both.images_by_class == [3, 2, 2, 0]
    assert pooled([]) is None


LABELS = np.repeat(np.arange(3, dtype=np.int32), (50, 9, 2))


@pytest.mark.parametrize("seed", [0, 7])
def test_a_balanced_epoch_has_its_length_and_shows_every_class_equally_often(seed: int) -> None:
    shown = np.zeros(3, np.int64)
    for epoch in range(6):
        order = balanced_order(LABELS, seed, epoch)
        assert len(order) == len(LABELS)
        counts = np.bincount(LABELS[order], minlength=3)
        assert set(counts.tolist()) <= {len(LABELS) // 3, len(LABELS) // 3 + 1}
        shown += counts
        for label in range(3):
            times = Counter(i for i in order if LABELS[i] == label)
            own = np.count_nonzero(label == LABELS)
            assert len(times) == min(own, counts[label]), "images repeat before all were shown"
            assert max(times.values()) - min(times.values()) <= 1
    assert set(shown.tolist()) == {6 * len(LABELS) // 3}, "the places that remain go round"


def test_balanced_epochs_differ_and_leave_no_image_out_for_ever() -> None:
    orders = [balanced_order(LABELS, 0, epoch) for epoch in range(20)]
    assert len({tuple(order) for order in orders}) == 20
    assert set().union(*orders) == set(range(len(LABELS)))
    assert balanced_order(LABELS, 0, 3) == orders[3] != balanced_order(LABELS, 1, 3)


def test_the_balanced_order_is_specified_by_seed_and_epoch_alone() -> None:
    """Recorded: another generator or sort would change what every run learns."""
    labels = np.array([0, 0, 0, 0, 1, 0, 1, 0], np.int32)
    plan = TrainingPlan(1, 0.01, "constant", 5, balance=True)
    assert [plan.order(labels, 0), plan.order(labels, 1)] == RECORDED


RECORDED = [[1, 6, 4, 4, 6, 5, 7, 2], [4, 2, 7, 6, 4, 6, 0, 5]]
