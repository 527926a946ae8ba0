"""A model file with every family of tests/cases, the whole way: saved, loaded, inspected, compiled,
trained on numpy and as a library, with the same bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from microtune import embedded
from microtune.codegen.instructions_bound import work_of
from microtune.ir.evaluate import evaluate
from microtune.ir.graph import Graph
from microtune.ir.modelfile import ModelFile, load_model, save_model
from microtune.measure.inspection import inspect_model
from microtune.measure.memory_map import BufferKind, load_memory_map
from microtune.run.runners import HostRunner, NumpyRunner
from tests.cases import CASES
from tests.projects import compile_project, hashes, load_train
from tests.training.graphs import RandomGraph

STEPS = 6
SEEDS = range(11, 61)


def _ops(grower: RandomGraph) -> set[str]:
    return {node.op for node in grower.builder.graph.nodes}


def least_codes(graph: Graph) -> int:
    """How many different codes the op that sees fewest makes of a random input."""
    frame = np.random.default_rng(0).integers(-128, 128, (1, 28, 28, 1)).astype(np.int8)
    made = [node.outputs[0] for node in graph.nodes]
    values = evaluate(graph, {"input": frame}, keep=set(made))
    return min(len(np.unique(values[name])) for name in made[:-2])


def model_with_every_op() -> ModelFile:
    """The first random model whose ops all see many codes, so that the test is not an easy one."""
    return next(m for m in map(_model, SEEDS) if least_codes(m.graph) > 3)


def _model(seed: int) -> ModelFile:
    """Two convolutions with an op of each family behind each, and a classifier of five classes."""
    grower = RandomGraph(seed, "device")
    grower.builder.graph.tensors.clear()
    x = grower.builder.input((1, 28, 28, 1), 1 / 128, 0)
    for channels in (6, 8):
        x = grower.conv(x, channels, keep_size=True)
        for case in CASES:
            x = case.grow(grower, x)
            while channels == 8 and not case.torch.keys() <= _ops(grower):
                x = case.grow(grower, x)
    x = grower.builder.average_pool("pool", x)
    weight, scales, bias, quant = grower._parameters(x, (5, 1, 1, grower.shape(x)[3]), 2.0)
    graph = grower.builder.finish(
        grower.builder.conv2d("classifier", x, weight, scales, bias, quant)
    )
    preprocessing = {"channels": 1, "height": 28, "width": 28, "resize_ratio": 1.0}
    return ModelFile(graph, preprocessing, "made for a test")


def test_a_model_of_every_family_goes_the_whole_way(tmp_path: Path) -> None:
    save_model(model_with_every_op(), tmp_path / "a.mt")
    model = load_model(tmp_path / "a.mt")
    ops = {name for case in CASES for name in case.torch}
    assert ops <= {row.op for row in inspect_model(model).layers}
    project = compile_project(tmp_path / "p", "full", model=model, input_mode="rows")
    assert all(work_of(project.graph, node).kind for node in project.graph.nodes)
    train = load_train(embedded.DATA, model)
    expected = hashes(NumpyRunner(tmp_path / "p", 0), project, train, STEPS)
    host = HostRunner(tmp_path / "p", 0, flags=("-O1",))
    assert hashes(host, project, train, STEPS) == expected
    kinds = {b.name: b.kind for bank in load_memory_map(tmp_path / "p").banks for b in bank.blocks}
    choices = [node.outputs[1] for node in project.graph.nodes if node.op == "max_pool"]
    assert choices and {kinds[name] for name in choices} == {BufferKind.SAVED}
