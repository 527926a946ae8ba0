"""Jobs for the firmware's test harness and their results (format: runtime/port/harness.c)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import BinaryIO, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from microtune.data.image.augment import NONE, Augmentation
from microtune.errors import MicrotuneError

JOB_NAME = "job.bin"
RESULT_NAME = "result.bin"
_MAGIC = b"MTJB"
_VERSION = 1
_MEASURE = 1
_HEADER = struct.Struct("<4s7I")
_RECORD = struct.Struct("<B3BIf")


Action = Literal["train", "infer", "save", "load"]
Source = Literal["frame", "latent", "memory"]


@dataclass(frozen=True)
class Call:
    """One call of the generated C, or of its numpy meaning.

    `source` says where a sample comes from: a frame, the latent of a frame, or the replay memory.
    With `keep` the sample of a training step may be kept in the replay memory.
    """

    action: Action
    source: Source = "frame"
    keep: bool = False

    TRAIN: ClassVar[Call]
    INFER: ClassVar[Call]
    SAVE: ClassVar[Call]
    TRAIN_LATENT: ClassVar[Call]
    INFER_LATENT: ClassVar[Call]
    TRAIN_KEEP: ClassVar[Call]
    REHEARSE: ClassVar[Call]
    LOAD: ClassVar[Call]

    @property
    def has_frame(self) -> bool:
        """Whether the caller gives a frame."""
        return self.action in ("train", "infer") and self.source != "memory"

    @property
    def trains(self) -> bool:
        """Whether it is a training step."""
        return self.action == "train"


Call.TRAIN = Call("train")
Call.INFER = Call("infer")
Call.SAVE = Call("save")
Call.TRAIN_LATENT = Call("train", "latent")
Call.INFER_LATENT = Call("infer", "latent")
Call.TRAIN_KEEP = Call("train", keep=True)
Call.REHEARSE = Call("train", "memory")
Call.LOAD = Call("load")
# The calls that the harness knows, by the byte that names them in a job (harness_calls.h).
_CALLS = (
    Call.TRAIN, Call.INFER, Call.SAVE, Call.TRAIN_LATENT, Call.INFER_LATENT, Call.TRAIN_KEEP,
    Call.REHEARSE, Call.LOAD,
)  # fmt: skip


@dataclass(frozen=True)
class Record:
    """One call that a job asks of the firmware.

    `frame` has the int8 input bytes (any shape) if the call has one; only TRAIN and TRAIN_KEEP
    augment it. The target of a training call is `label`, or the int8 `codes` of a model that is no
    classifier. `blob` is the state that a LOAD restores.
    """

    call: Call
    frame: NDArray[np.int8] | None = None
    label: int = 0
    learning_rate: float = 0.0
    augmentation: Augmentation = NONE
    blob: bytes = b""
    codes: NDArray[np.int8] | None = None

    @property
    def target(self) -> int | NDArray[np.int8]:
        """What the network should answer."""
        return self.label if self.codes is None else self.codes


@dataclass(frozen=True)
class Job:
    """The facts about a written job that the reading of its results needs."""

    calls: tuple[Call, ...]
    classes: int
    measure: bool


@dataclass(frozen=True)
class RecordResult:
    """The result of one record of a job.

    `logits` are raw 4-byte words as int32 (view them as float32 for a float head). A SAVE has only
    `status` and `blob`, a LOAD only `status`. `stack_bytes` is the high-water mark of the call in a
    measuring job.
    """

    call: Call
    status: int
    predicted: int
    loss_q16: int
    logits: NDArray[np.int32]
    blob: bytes
    stack_bytes: int | None


def write_job(
    path: Path,
    seed: int,
    records: Iterable[Record],
    input_bytes: int,
    classes: int,
    *,
    measure: bool = False,
    target_codes: int = 0,
) -> Job:
    """Write the records of a job to `path`, one at a time.

    `classes` is the number of outputs, `target_codes` that of a target's codes (0: a class). Raises
    MicrotuneError for a frame that has not `input_bytes` bytes, or a target of another size.
    """
    calls: list[Call] = []
    with path.open("wb") as file:
        file.write(_header(seed, 0, measure, (input_bytes, classes, target_codes)))
        for record in records:
            _write_record(file, record, input_bytes, target_codes)
            calls.append(record.call)
        file.seek(0)
        file.write(_header(seed, len(calls), measure, (input_bytes, classes, target_codes)))
    return Job(tuple(calls), classes, measure)


def _header(seed: int, records: int, measure: bool, sizes: tuple[int, int, int]) -> bytes:
    flags = _MEASURE if measure else 0
    return _HEADER.pack(_MAGIC, _VERSION, seed, records, flags, *sizes)


def _write_record(file: BinaryIO, record: Record, input_bytes: int, target_codes: int) -> None:
    change = astuple(record.augmentation)
    number = len(record.blob) if record.call.action == "load" else record.label
    file.write(_RECORD.pack(_CALLS.index(record.call), *change, number, record.learning_rate))
    file.write(record.blob)
    if not record.call.has_frame:
        return
    if record.frame is None or record.frame.dtype != np.int8 or record.frame.size != input_bytes:
        raise MicrotuneError(f"a frame for the chip must be {input_bytes} values of int8")
    file.write(record.frame.tobytes())
    if target_codes and record.call.trains:
        if record.codes is None or record.codes.size != target_codes:
            raise MicrotuneError(f"a target for the chip must be {target_codes} values of int8")
        file.write(record.codes.astype(np.int8).tobytes())


def read_results(path: Path, job: Job) -> Iterator[RecordResult]:
    """The results of a job, in its order. Raises MicrotuneError if the file ends early."""
    with path.open("rb") as file:
        for call in job.calls:
            yield _read_result(file, call, job)


def _read_result(file: BinaryIO, call: Call, job: Job) -> RecordResult:
    predicted = loss_q16 = 0
    logits, blob = b"", b""
    if call.action in ("save", "load"):
        status, size = struct.unpack("<II", _read(file, 8))
        blob = _read(file, size)
    else:
        status, predicted, loss_q16 = struct.unpack("<Iii", _read(file, 12))
        logits = _read(file, 4 * job.classes)
    stack = struct.unpack("<I", _read(file, 4))[0] if job.measure else None
    words = np.frombuffer(logits, dtype="<i4").astype(np.int32)
    return RecordResult(call, status, predicted, loss_q16, words, blob, stack)


def _read(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise MicrotuneError(
            f"{file.name}: ends early, the run on the chip was cut off. Run it again."
        )
    return data
