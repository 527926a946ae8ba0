"""Names in the C: one content, one symbol."""

from __future__ import annotations

import numpy as np
import pytest

from microtune import pipeline
from microtune.codegen.emitter import INITIAL, Emitter
from tests.codegen.layer_graphs import random_training_graph


@pytest.fixture
def emitter() -> Emitter:
    graph = random_training_graph(1)
    return Emitter(graph, pipeline.plan_graph(graph))


def test_a_name_with_other_content_is_refused(emitter: Emitter) -> None:
    """The second content would be lost without a word."""
    symbol = emitter.table("scales", "int32_t", np.array([1, 2]))
    assert emitter.table("scales", "int32_t", np.array([1, 2])) == symbol
    assert len(emitter.constants) == 1
    for c_type, values in (("int32_t", [1, 3]), ("int32_t", [1]), ("uint8_t", [1, 2])):
        with pytest.raises(ValueError, match="table scales has two contents"):
            emitter.table("scales", c_type, np.array(values))


def test_names_that_c_cannot_tell_apart_get_symbols_of_their_own(emitter: Emitter) -> None:
    names = ("a.b", "a_b", "a-b", "a.b_2", "int", "train", "9")
    symbols = [emitter.table(name, "uint8_t", np.array([i])) for i, name in enumerate(names)]
    assert len(set(symbols)) == len(names)
    assert not {"int", "train", "9"} & set(symbols)


def test_what_belongs_to_a_tensor_is_not_a_tensor_of_that_name(emitter: Emitter) -> None:
    """The shifts of layer `conv`, beside a tensor that is called `conv.shift`."""
    own = emitter.table("conv.shift", "int8_t", np.array([1]))
    shifts = emitter.table("conv", "uint8_t", np.array([2]), "shift")
    initial = emitter.table("shift", "uint8_t", np.array([3]), INITIAL)
    assert (
        len({own, shifts, initial, emitter.table("initial.shift", "int8_t", np.zeros(1, int))}) == 4
    )
