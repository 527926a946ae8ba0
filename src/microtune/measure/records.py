"""The calls whose instructions and stack are measured."""

from __future__ import annotations

from microtune.ir.graph import Array, Graph
from microtune.run.job import Call, Record
from microtune.training.tasks import target_codes, task_of

# Any rate that moves parameters: what a step executes hardly depends on it.
_LEARNING_RATE = 0.001


def training_record(graph: Graph, frame: Array, label: int = 1) -> Record:
    """A training step on an int8 frame: towards a class, or towards pseudo-random codes where the
    model is no classifier."""
    if codes := target_codes(graph):
        target = task_of(graph).synthetic_target(codes, label)
        return Record(Call.TRAIN, frame, learning_rate=_LEARNING_RATE, codes=target)
    return Record(Call.TRAIN, frame, label, _LEARNING_RATE)
