"""Every family of tests/cases in random graphs: codes and gradients against PyTorch, int8 gradients
against float ones."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from microtune.ir.ops import OPS
from tests.cases import CASES
from tests.cases.case import OpCase
from tests.training.graphs import random_graph, train_everything

GRAPHS = 60


@pytest.mark.oracle
@pytest.mark.parametrize("case", CASES, ids=str)
def test_codes_and_gradients_equal_autograd(case: OpCase) -> None:
    from tests.training.test_autodiff import compare

    seen: Counter[str] = Counter()
    for seed in range(GRAPHS):
        grown = random_graph(seed, "mcunet", op=case)
        graph = grown.with_head("float32") if seed % 3 else grown.graph
        compare(train_everything(graph), grown.frame, grown.label)
        seen.update(grown.tags)
    assert {tag: seen[tag] for tag in case.tags if seen[tag] < 5} == {}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_int8_gradients_have_the_direction_of_the_float_ones(case: OpCase) -> None:
    from tests.training.test_int8_training import Pair

    found: list[float] = []
    for seed in range(GRAPHS // 2):
        grown = random_graph(seed, "device", op=case)
        pair = Pair(train_everything(grown.with_head("int16")))
        pair.settle(grown.frame, grown.label)
        found += pair.cosines(grown.frame, grown.label, seed, "offset")
    assert np.median(found) > 0.98


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_forward_op_of_a_case_has_a_meaning_in_pytorch(case: OpCase) -> None:
    assert case.torch and set(case.torch) <= OPS.keys()
