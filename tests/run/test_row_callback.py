"""A row callback that fails or misbehaves: the call says so, and nothing has been learnt."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from microtune.data.image.augment import NONE, Augmentation
from microtune.errors import MicrotuneError
from microtune.ir.graph import Array
from microtune.run.host import HostLibrary
from tests.projects import compile_project

ReadRow = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p)
FLAGS = ("-O1", "-fsanitize=undefined", "-fno-sanitize-recover=all")
SHAPE = (28, 28, 1)  # of the embedded model
BAD_ARGUMENT, NO_INPUT = 1, 7
Row = Callable[[int], int]


class ByCallback(HostLibrary):
    """The library with its rows from a function of the row's number instead of a frame."""

    def __init__(self, project: Path) -> None:
        self.read: Row = lambda row: 0
        self.asked: list[int] = []
        super().__init__(project, 3, flags=FLAGS)

    def _fill(self, frame: Array, augmentation: Augmentation = NONE) -> None:
        assert augmentation == NONE
        rows = np.ascontiguousarray(frame, np.int8)

        def read(_: int, row: int, to: int) -> int:
            self.asked.append(row)
            if (status := self.read(row)) == 0:
                ctypes.memmove(to, rows[row].ctypes.data, rows[row].nbytes)
            return status

        self.asked = []
        self._callback = ReadRow(read)
        pointer = ctypes.cast(self._callback, ctypes.c_void_p)
        assert self._c.mt_set_row_source(self._context, pointer, None) == 0


@pytest.fixture(scope="module", params=["last-3", "full"])
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ByCallback:
    """Rows into a segment, and (nothing frozen) rows that only collect the frame."""
    folder = tmp_path_factory.mktemp("rows") / "p"
    compile_project(folder, request.param, input_mode="rows")
    return ByCallback(folder)


def steps(library: ByCallback, bad: int | None) -> list[tuple[tuple[int, int], bytes]]:
    """Two steps from the start, each after a training step and an inference that lack row `bad`."""
    library.reset(3)
    library.set_learning_rate(0.5)
    frame = np.random.default_rng(1).integers(-128, 128, SHAPE).astype(np.int8)
    learnt = []
    for label in (1, 4):
        before = library.save()
        if bad is not None:
            library.read = lambda row: -1 if row == bad else 0
            for call in (lambda: library.train_step(frame, 2), lambda: library.infer(frame)):
                with pytest.raises(MicrotuneError, match="no row of the input"):
                    call()
                assert library.asked == list(range(bad + 1))
            assert library.save() == before
        library.read = lambda row: 0
        result = library.train_step(frame, label)
        assert library.asked == list(range(SHAPE[0]))
        assert library.save() != before
        learnt.append((result, library.save() + library.logits().tobytes()))
    return learnt


def test_a_failing_callback_changes_nothing(library: ByCallback) -> None:
    steady = steps(library, None)
    for bad in (0, 1, SHAPE[0] - 1):
        assert steps(library, bad) == steady


def test_without_a_callback_there_is_no_input(library: ByCallback) -> None:
    library.reset(3)
    library.set_learning_rate(0.5)
    result, target = (ctypes.c_int32 * 2)(), (ctypes.c_uint32 * 4)()
    assert library._c.mt_train_step(library._context, target, result) == NO_INPUT
    assert library._c.mt_infer(library._context, result) == NO_INPUT
    assert library._c.mt_set_row_source(library._context, None, None) == BAD_ARGUMENT
    assert library._c.mt_input(library._context) is None
