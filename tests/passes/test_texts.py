"""Text in, text out: what each pass of the compiler makes of a small model.

`texts/` holds the model and, for each pass in order, the graph behind it. With
MICROTUNE_UPDATE_GOLDEN=1 the texts are written anew, after a deliberate change.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import numpy as np
import pytest

from microtune.errors import MicrotuneError
from microtune.ir.graph import Array, Graph, Tensor
from microtune.ir.stages import Stage, check_stage
from microtune.ir.text import format_graph, parse_graph
from microtune.ir.verifier import InvalidGraphError
from microtune.passes.base import Pass, run_passes
from microtune.passes.early_updates import EarlyUpdates
from microtune.passes.in_place import InPlace
from microtune.pipeline import SCHEDULES, AddReplayMemory, ChooseInput
from microtune.training.build import Formats, SetTask, training_passes
from microtune.training.scheme import Scheme
from microtune.training.tasks import REGRESS

TEXTS = Path(__file__).parent / "texts"
UPDATE = "MICROTUNE_UPDATE_GOLDEN"
SCHEME = Scheme("ratios", ("wide", "deep", "narrow"), {"wide": 2, "narrow": 8}, True)


def filled(text: str) -> Graph:
    """The graph with data that follow from each tensor's name alone."""
    graph = parse_graph(text)
    for tensor in graph.tensors.values():
        if tensor.role in ("const", "param", "state"):
            graph.data[tensor.name] = _data(tensor)
    return graph


def _data(tensor: Tensor) -> Array:
    rng = np.random.default_rng(zlib.crc32(tensor.name.encode()))
    if tensor.dtype == "f32":
        return rng.uniform(0.01, 0.02, tensor.shape).astype(np.float32)
    if tensor.dtype == "u16":
        return rng.permutation(tensor.elements).astype(np.uint16)
    if tensor.role == "state":
        return np.zeros(tensor.shape, np.int8)
    return rng.integers(-100, 101, tensor.shape).astype(tensor.numpy)


def text_of(name: str) -> str:
    return (TEXTS / f"{name}.txt").read_text()


def compiler() -> list[Pass]:
    """Every pass that changes the text of a graph, in the order in which they run."""
    return [
        *training_passes(filled(text_of("model")), 3, SCHEME, Formats(), calibrate=False),
        ChooseInput("rows"), *SCHEDULES["stream"], AddReplayMemory(1000),
    ]  # fmt: skip


NAMES = [each.name for each in compiler()]


@pytest.mark.parametrize("name", NAMES)
def test_a_pass_makes_the_recorded_text(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the solver, whose orders depend on its version."""
    monkeypatch.setattr("microtune.passes.order.available", lambda: False)
    number = NAMES.index(name)
    before = filled(text_of(NAMES[number - 1] if number else "model"))
    given = format_graph(before)
    found = format_graph(run_passes(before, [compiler()[number]]))
    assert format_graph(before) == given
    if os.environ.get(UPDATE):
        (TEXTS / f"{name}.txt").write_text(found)
    assert found == text_of(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_pass_takes_and_gives_the_stages_it_names(name: str) -> None:
    number = NAMES.index(name)
    each = compiler()[number]
    check_stage(parse_graph(text_of(NAMES[number - 1] if number else "model")), each.needs)
    check_stage(parse_graph(text_of(name)), each.gives)


def test_a_regression_says_its_task_in_the_text() -> None:
    """The pass of a task that is no classifier; its other line is that of the model."""
    found = format_graph(run_passes(filled(text_of("model")), [SetTask(REGRESS)]))
    if os.environ.get(UPDATE):
        (TEXTS / "set-task.txt").write_text(found)
    assert found == text_of("set-task")


def test_every_text_is_of_a_pass() -> None:
    """What was learnt is data: `start-from-learnt` changes no text (project/test_learnt.py)."""
    assert {path.stem for path in TEXTS.glob("*.txt")} == {"model", "set-task", *NAMES}


@pytest.mark.parametrize(
    ("stage", "text", "message"),
    [
        (Stage.MODEL, "apply-scheme", "is a param"),
        (Stage.TRAINABLE, "differentiate", "a loss or a target"),
        (Stage.BACKWARD, "apply-scheme", "0 outputs are gradients"),
        (Stage.TRAINING, "differentiate", "no device computes"),
        (Stage.TRAINING, "in-place", "execution options: input, in_place"),
        (Stage.SCHEDULED, "apply-scheme", "nothing updates param"),
    ],
)
def test_a_graph_of_another_stage_is_refused(stage: Stage, text: str, message: str) -> None:
    with pytest.raises(InvalidGraphError, match=message):
        check_stage(parse_graph(text_of(text)), stage)


def test_the_error_names_the_pass() -> None:
    with pytest.raises(InvalidGraphError, match="before pass early-updates: tiny is no graph of"):
        run_passes(filled(text_of("apply-scheme")), [EarlyUpdates()])


class Broken(InPlace):
    """Leaves an output that nothing makes."""

    def run(self, graph: Graph) -> Graph:
        result = graph.copy()
        result.outputs.append("nothing")
        return result


def test_what_a_pass_breaks_is_found_behind_it() -> None:
    with pytest.raises(InvalidGraphError, match=r"after pass in-place: tiny: .*%nothing"):
        run_passes(filled(text_of("early-updates")), [Broken()])


def test_a_pipeline_stops_after_the_pass_that_is_asked_for() -> None:
    model = filled(text_of("model"))
    assert format_graph(run_passes(model, compiler(), "differentiate")) == text_of("differentiate")
    with pytest.raises(MicrotuneError, match="no pass 'nothing' here; passes: device-arithmetic"):
        run_passes(model, compiler(), "nothing")
