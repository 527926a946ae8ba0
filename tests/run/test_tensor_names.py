"""Names are for people: no bit of a step depends on what the tensors are called."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from microtune import pipeline
from microtune.ir.graph import Graph
from microtune.training.build import build_training_graph
from microtune.training.scheme import Scheme
from tests.renaming import awkward_names, renamed
from tests.run.batches import run_on_host
from tests.run.training_cases import FRAMES, TrainingCase, draw, frames_of

SEEDS = range(3000, 3024)
SITES = ("site", "weight_site", "bias_site")


def with_sites_of(graph: Graph, other: Graph) -> Graph:
    """The graph with the random bits of another one of the same nodes."""
    result = graph.copy()
    result.nodes = [
        replace(node, attrs=node.attrs | {k: v for k, v in twin.attrs.items() if k in SITES})
        for node, twin in zip(graph.nodes, other.nodes, strict=True)
    ]
    return result


@cache
def case_pair(seed: int) -> tuple[TrainingCase, TrainingCase]:
    """A training case, and the same under names that the compiler would choose itself."""
    drawn = draw(seed)
    names = awkward_names(drawn.case.graph, seed)
    scheme = drawn.scheme
    other = Scheme(
        scheme.name, tuple(names[layer] for layer in scheme.biases),
        {names[layer]: count for layer, count in scheme.weights.items()}, scheme.head,
    )  # fmt: skip
    models = (drawn.case.graph, scheme), (renamed(drawn.case.graph, names), other)
    graphs = [
        build_training_graph(model, drawn.case.classes, each, drawn.formats, calibrate=False)
        for model, each in models
    ]
    graphs[1] = with_sites_of(graphs[1], graphs[0])
    rng = np.random.default_rng(seed)
    frames = frames_of(drawn.case, rng)
    labels = [int(v) for v in rng.integers(drawn.case.classes, size=FRAMES)]
    usual, awkward = (
        TrainingCase(
            seed, pipeline.schedule(graph, drawn.schedule), frames, labels, [0.25, 2.0, 0.5, 1.0]
        )
        for graph in graphs
    )
    return usual, awkward


@pytest.mark.parametrize("seed", SEEDS)
def test_numpy_computes_the_same_bits_under_any_names(seed: int) -> None:
    """Parameters, offsets, logits and loss after every step."""
    usual, awkward = case_pair(seed)
    assert [n.op for n in usual.graph.nodes] == [n.op for n in awkward.graph.nodes]
    assert awkward.expected() == usual.expected()


def test_generated_c_computes_the_same_bits_under_any_names(tmp_path: Path) -> None:
    cases = [case_pair(seed)[1] for seed in SEEDS]
    (found,) = run_on_host(cases, tmp_path, ["portable"])
    assert found == [case_pair(seed)[0].expected() for seed in SEEDS]


def test_the_names_of_a_step_occur_among_the_names_of_the_models() -> None:
    """Else the tests above would show nothing."""
    seen = {name for seed in SEEDS for name in case_pair(seed)[1].graph.tensors}
    assert {"input", "x.offset", "conv.trained", "conv.mask"} <= seen
    for word in ("logits", "lr", "label", "loss", "seed", "step", "head.weight", "head.bias"):
        assert {word, f"{word}.2"} <= seen
