"""Gradients of squeeze-and-excitation in inverted residuals with hard-swish, beside autograd."""

from __future__ import annotations

import numpy as np
import pytest

from tests.cases.activation import activated
from tests.cases.product import gates, multiplied
from tests.training.graphs import GraphCase, RandomGraph, train_everything

SEEDS = range(25)


def inverted_residual(seed: int, mode: str) -> GraphCase:
    """x + project(gates · depthwise(expand(x))), with hard-swish and hard-sigmoid, then a head."""
    grower = RandomGraph(seed, mode)
    x = grower.conv(grower.x, 4)
    y = grower.conv(x, 8, keep_size=True)
    y = grower.conv(activated(grower, y, "hard_swish"), 8, keep_size=True)
    y = activated(grower, y, "hard_swish")
    y = multiplied(grower, y, gates(grower, y, "hard_sigmoid"))
    grower.x = grower.add(x, grower.conv(y, grower.shape(x)[3], keep_size=True))
    return grower.finish()


@pytest.mark.oracle
def test_gradients_equal_autograd() -> None:
    from tests.training.test_autodiff import compare

    for seed in SEEDS:
        case = inverted_residual(seed, "mcunet")
        compare(train_everything(case.graph), case.frame, case.label)


def test_int8_gradients_have_the_direction_of_the_float_ones() -> None:
    from tests.training.test_int8_training import Pair

    found: list[float] = []
    for seed in SEEDS:
        case = inverted_residual(seed, "device")
        pair = Pair(train_everything(case.with_head("int16")))
        pair.settle(case.frame, case.label)
        found += pair.cosines(case.frame, case.label, seed, "offset")
    assert np.median(found) > 0.98
