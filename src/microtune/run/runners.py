"""One interface for the three ways to run a project: numpy, host, emulated chip.

A run is a stream of records (train or infer one frame) and gives one result a record, in order.
The numbers are the same whoever runs them.
"""

from __future__ import annotations

import itertools
import os
import queue
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import numpy as np

from microtune.codegen.layout import offset_names, parameter_slots, unpack_block
from microtune.data import Split
from microtune.data.image.augment import NONE, change_frame, draw_change
from microtune.errors import MicrotuneError
from microtune.ir.graph import Array
from microtune.ir.modelfile import load_model
from microtune.project.learnt import Learnt
from microtune.project.manifest import read_plan
from microtune.project.project import TRAINING_FILE
from microtune.run.emulator import run_firmware
from microtune.run.host import HostCompiler, HostLibrary
from microtune.run.interpreter import Interpreter
from microtune.run.job import (
    JOB_NAME,
    RESULT_NAME,
    Call,
    Record,
    RecordResult,
    read_results,
    write_job,
)
from microtune.run.replay import ReplayMemory
from microtune.runtime.facts import SAVE_HEADER_BYTES
from microtune.targets import Target
from microtune.tools.flags import DEBUG_FLAG
from microtune.tools.toolchain import build_firmware
from microtune.training.tasks import target_codes, task_of

BackEnd = Literal["host", "qemu", "numpy"]
Progress = Callable[[int, int], None]
Instances = queue.SimpleQueue[HostLibrary]
T = TypeVar("T")
DEBUG_FLAGS = ("-O2", DEBUG_FLAG)
NO_REPLAY = "rehearsing needs a project compiled with --replay"


class Runner(Protocol):
    """Runs records on a fresh context, or on one that has loaded a trained state."""

    def run(self, records: Iterable[Record]) -> Iterator[RecordResult]:
        """The results of the records, in order."""
        ...

    def parameters(self) -> dict[str, Array]:
        """The trained parameters after the run, by tensor name."""
        ...

    def saved(self) -> bytes:
        """The state after the run, as `mt_save` writes it."""
        ...


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class HostRunner:
    """Runs the generated C on this machine; inferences run on `threads` cores."""

    def __init__(
        self, project: Path, seed: int, compiler: HostCompiler = "default",
        flags: tuple[str, ...] = ("-O3", "-march=native"), threads: int = 1,
        built: Path | None = None,
    ) -> None:  # fmt: skip
        self.library = HostLibrary(project, seed, compiler, flags, built)
        self.threads = threads
        self.from_latents = False

    def run(self, records: Iterable[Record]) -> Iterator[RecordResult]:
        """The results of the records, in order."""
        rate: float | None = None
        for call, group in itertools.groupby(records, lambda record: record.call):
            if call == Call.INFER and self.threads > 1:
                yield from self._infer_on_cores(group)
                continue
            for record in group:
                if call.trains and record.learning_rate != rate:
                    rate = record.learning_rate
                    self.library.set_learning_rate(rate)
                yield _host_result(self.library, record, self.from_latents)

    def use_latents(self, split: Split, progress: Progress | None = None) -> Split:
        """The split with latents (N, bytes) instead of frames; from now on records have latents.

        Each image goes through the frozen layers once.
        """
        if self.library.latent_bytes == 0:
            raise MicrotuneError("the first layer is trained: there are no latents to train from")
        count = len(split.labels)
        latents = np.empty((count, self.library.latent_bytes), np.int8)
        done = 0
        with ThreadPoolExecutor(self.threads) as pool:
            idle = self._instances(self.library.save())
            for latent in pool.map(lambda f: _lent(idle, lambda c: c.make_latent(f)), split.frames):
                latents[done] = latent
                done += 1
                if progress is not None:
                    progress(done, count)
        self.from_latents = True
        return replace(split, frames=latents, notes=())

    def _instances(self, learnt: bytes) -> Instances:
        """A queue of instances with these parameters, one for each thread."""
        idle: Instances = queue.SimpleQueue()
        for _ in range(self.threads):
            instance = self.library.new_instance()
            instance.load(learnt)
            idle.put(instance)
        return idle

    def _infer_on_cores(self, records: Iterator[Record]) -> Iterator[RecordResult]:
        """Share records that only infer among instances with the same parameters."""
        idle, latents = self._instances(self.library.save()), self.from_latents

        def infer(record: Record) -> RecordResult:
            return _lent(idle, lambda library: _host_result(library, record, latents))

        with ThreadPoolExecutor(self.threads) as pool:
            while batch := list(itertools.islice(records, 16 * self.threads)):
                yield from pool.map(infer, batch)

    def parameters(self) -> dict[str, Array]:
        """The trained parameters by tensor name."""
        return self.library.parameters()

    def saved(self) -> bytes:
        """The present state as `mt_save` writes it."""
        return self.library.save()

    def load(self, learnt: Learnt) -> None:
        """Continue from a saved state instead of the compiled one. Raises MicrotuneError."""
        self.library.load(learnt.content)


class NumpyRunner:
    """Runs the training graph in numpy, its reference meaning."""

    def __init__(self, project: Path, seed: int) -> None:
        self.interpreter = Interpreter(load_model(project / TRAINING_FILE).graph, seed)
        self._shape = self.interpreter.graph.input_tensor.shape
        self._task = task_of(self.interpreter.graph)
        slots = self.interpreter.graph.execution.replay_slots
        self.replay = ReplayMemory(slots, seed) if slots else None

    def run(self, records: Iterable[Record]) -> Iterator[RecordResult]:
        """The results of the records, in order."""
        for record in records:
            frame, target = self._sample(record)
            frame, loss = frame.reshape(self._shape), 0
            if record.call.trains:
                values = self.interpreter.train_step(frame, target, record.learning_rate)
                signature = self.interpreter.graph.signature
                logits = values[signature.output]
                loss = loss_q16(values[signature.training_loss])
            else:
                logits = self.interpreter.infer(frame)
            flat = logits.reshape(-1)
            words = flat.view(np.int32) if flat.dtype == np.float32 else flat.astype(np.int32)
            classes = self._task.classes(flat.size)
            predicted = int(self._task.class_logits(flat).argmax()) if classes else -1
            yield RecordResult(record.call, 0, predicted, loss, words, b"", None)

    def _sample(self, record: Record) -> tuple[Array, int | Array]:
        """The frame and target of a record, augmented or from the replay memory if it says so."""
        step = self.interpreter.step
        if record.augmentation != NONE:
            change = draw_change(record.augmentation, self.interpreter.seed, step)
            frame = change_frame(_frame(record).reshape(self._shape[1:]), change)
            record = replace(record, frame=frame, augmentation=NONE)
        if not record.call.keep and record.call.source != "memory":
            return _frame(record), record.target
        if self.replay is None:
            raise MicrotuneError(NO_REPLAY)
        if record.call.source == "memory":
            return self.replay.rehearsed(step)
        self.replay.keep(_frame(record), record.label, step)
        return _frame(record), record.label

    def parameters(self) -> dict[str, Array]:
        """The trained parameters, and velocities if there are any, by tensor name."""
        slots = parameter_slots(self.interpreter.graph)
        return {slot.name: self.interpreter.data[slot.name] for slot in slots}

    def load(self, learnt: Learnt) -> None:
        """Continue from a saved state instead of the compiled one. Raises MicrotuneError."""
        graph = self.interpreter.graph
        self.interpreter.data |= learnt.values(parameter_slots(graph), offset_names(graph))
        self.interpreter.seed, self.interpreter.step = learnt.seed, learnt.steps

    def saved(self) -> bytes:
        """Raises MicrotuneError: only the generated C can save its state."""
        raise MicrotuneError("--save needs the generated C: use --on host or --on qemu")


class QemuRunner:
    """Runs the firmware in the emulator; a whole run is one job."""

    def __init__(
        self, project: Path, seed: int, on_progress: Progress | None = None,
        target: str | Target | None = None, optimisation: str = "-O3", debug: bool = False,
    ) -> None:  # fmt: skip
        self._project, self._seed, self._progress = project, seed, on_progress
        self._plan = read_plan(project)
        self._target = self._plan.chosen_target(target)
        self._optimisation, self._debug = optimisation, debug
        self._blob, self._learnt = b"", b""

    def load(self, learnt: Learnt) -> None:
        """Continue from a saved state instead of the compiled one."""
        self._learnt = learnt.content

    def run(self, records: Iterable[Record]) -> Iterator[RecordResult]:
        """The results of the records, in order, once the job has ended."""
        graph = load_model(self._project / TRAINING_FILE).graph
        first, records = _peek(records)
        last = [Record(Call.SAVE)] if graph.updates else []
        before = [Record(Call.LOAD, blob=self._learnt)] if self._learnt else []
        with tempfile.TemporaryDirectory(prefix="microtune-chip-") as name:
            folder = Path(name)
            elf = folder / "firmware.elf"
            build_firmware(
                self._project, self._target, elf, self._optimisation,
                placement=self._plan.placement_on(self._target), debug=self._debug,
                augment=first is not None and first.augmentation != NONE, load=bool(before),
            )  # fmt: skip
            job = write_job(
                folder / JOB_NAME, self._seed, itertools.chain(before, records, last),
                graph.input_tensor.bytes, self._plan.outputs,
                target_codes=target_codes(graph),
            )  # fmt: skip
            done = run_firmware(elf, self._target, folder, plugin=False, on_progress=self._progress)
            done.require_success()
            for result in read_results(folder / RESULT_NAME, job):
                if result.status != 0:
                    raise MicrotuneError(f"the firmware returned status {result.status}")
                if result.call.action == "save":
                    self._blob = result.blob
                elif result.call.action != "load":
                    yield result

    def parameters(self) -> dict[str, Array]:
        """The trained parameters by tensor name, from the state saved at the end."""
        return unpack_block(self._blob[SAVE_HEADER_BYTES:], self._plan.parameters)

    def saved(self) -> bytes:
        """The state that the firmware saved at the end of the job."""
        return self._blob


def make_runner(
    project: Path, on: BackEnd, seed: int, on_progress: Progress | None = None, *,
    debug: bool = False, learnt: Learnt | None = None,
) -> Runner:  # fmt: skip
    """The runner of a back end by name.

    The host uses all cores; with `debug` the generated C checks its accumulators, on one core. The
    runner starts from the state `learnt`, if it is given. Raises MicrotuneError if a tool is
    missing.
    """
    runner = _new_runner(project, on, seed, on_progress, debug=debug)
    if learnt is not None:
        runner.load(learnt)
    return runner


def _new_runner(
    project: Path, on: BackEnd, seed: int, on_progress: Progress | None, *, debug: bool
) -> HostRunner | NumpyRunner | QemuRunner:
    if on == "numpy":
        if debug:
            raise MicrotuneError("--debug needs the generated C: use --on host or --on qemu")
        return NumpyRunner(project, seed)
    if on == "qemu":
        return QemuRunner(project, seed, on_progress, debug=debug)
    if debug:
        return HostRunner(project, seed, flags=DEBUG_FLAGS)
    return HostRunner(project, seed, threads=cores())


def _peek(records: Iterable[Record]) -> tuple[Record | None, Iterator[Record]]:
    """The first record, and an iterator over all of them."""
    iterator = iter(records)
    first = next(iterator, None)
    return first, iterator if first is None else itertools.chain([first], iterator)


def _lent(idle: Instances, use: Callable[[HostLibrary], T]) -> T:
    """The result of `use` with an idle instance, which is idle again afterwards."""
    library = idle.get()
    try:
        return use(library)
    finally:
        idle.put(library)


def _host_result(library: HostLibrary, record: Record, latents: bool) -> RecordResult:
    call = record.call
    if latents and call.source == "frame":
        call = replace(call, source="latent")
    predicted, loss = library.step(call, record.frame, record.target, record.augmentation)
    return RecordResult(record.call, 0, predicted, loss, library.logits(), b"", None)


def _frame(record: Record) -> Array:
    if record.frame is None:
        raise MicrotuneError("a train or infer record needs a frame")
    return record.frame


def loss_q16(loss: Array) -> int:
    """The loss of a numpy step in Q16, as `mt_result` has it, saturated; NaN is 0."""
    value = loss.reshape(-1)[0]
    if loss.dtype == np.float32:
        scaled = float(np.float32(value) * np.float32(65536.0))
        return int(min(scaled, 2.0**31 - 1)) if scaled > 0 else 0
    return int(value)
