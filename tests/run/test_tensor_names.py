"""Names are for people: no bit of a step depends on what the tensors are called."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from microtune import embedded, pipeline
from microtune.importers import load_any
from microtune.ir.graph import Graph
from microtune.ir.modelfile import load_model, save_model
from microtune.ir.text import format_graph
from microtune.measure.memory_map import BufferKind, load_memory_map
from microtune.project.project import TRAINING_FILE
from microtune.run.runners import HostRunner, NumpyRunner
from microtune.training.build import build_training_graph
from microtune.training.scheme import Scheme, backbone_layers, scheme_from_table
from tests.projects import compile_project, hashes, load_train
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
    targets = list(rng.integers(drawn.case.classes, size=(FRAMES, 1)))
    usual, awkward = (
        TrainingCase(
            seed, pipeline.schedule(graph, drawn.schedule), frames, targets, [0.25, 2.0, 0.5, 1.0]
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


def test_a_project_of_such_a_model_is_planned_trained_and_saved(tmp_path: Path) -> None:
    """The embedded model under such names: its file, its project, its plan, numpy and C."""
    usual = load_any(embedded.MODEL)
    names = awkward_names(usual.graph, 1)
    model = replace(usual, graph=renamed(usual.graph, names))
    save_model(model, tmp_path / "a.mt")
    save_model(load_model(tmp_path / "a.mt"), tmp_path / "b.mt")
    assert (tmp_path / "a.mt").read_bytes() == (tmp_path / "b.mt").read_bytes()
    layers = backbone_layers(model.graph)
    table = {"weights": dict.fromkeys(layers[-4:], "1/2"), "bias_layers": 4}
    scheme = scheme_from_table(table, model.graph)
    project = compile_project(tmp_path / "p", scheme, model=load_model(tmp_path / "a.mt"))
    train = load_train(embedded.DATA, model)
    expected = hashes(NumpyRunner(tmp_path / "p", 0), project, train, 6)
    host = HostRunner(tmp_path / "p", 0, flags=("-O1",))
    assert hashes(host, project, train, 6) == expected
    (bank,) = load_memory_map(tmp_path / "p").banks
    kinds = {block.name: block.kind for block in bank.blocks}
    assert kinds[project.graph.signature.input] is BufferKind.INPUT
    assert kinds[project.graph.signature.output] is BufferKind.RESULT
    text = format_graph(project.graph)
    assert format_graph(load_model(tmp_path / "p" / TRAINING_FILE).graph) == text
