"""Jobs for the firmware's test harness and their results (format: runtime/port/harness.c)."""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from microtune.data.augment import NONE, Augmentation
from microtune.errors import MicrotuneError

JOB_NAME = "job.bin"
RESULT_NAME = "result.bin"
_MAGIC = b"MTJB"
_VERSION = 1
_MEASURE = 1
_HEADER = struct.Struct("<4s7I")
_RECORD = struct.Struct("<B3BIf")


class RecordKind(IntEnum):
    """What the test harness does with a record."""

    TRAIN = 0
    INFER = 1
    SAVE = 2
    TRAIN_LATENT = 3
    INFER_LATENT = 4
    TRAIN_KEEP = 5
    REHEARSE = 6
    LOAD = 7

    @property
    def has_frame(self) -> bool:
        """Whether a record of this kind has a frame."""
        return self not in (RecordKind.SAVE, RecordKind.REHEARSE, RecordKind.LOAD)

    @property
    def trains(self) -> bool:
        """Whether a record of this kind is a training step."""
        return self in _TRAINING


_TRAINING = (
    RecordKind.TRAIN, RecordKind.TRAIN_LATENT, RecordKind.TRAIN_KEEP, RecordKind.REHEARSE,
)  # fmt: skip


@dataclass(frozen=True)
class Record:
    """One call that a job asks of the firmware.

    `frame` has the int8 input bytes (any shape) if the kind has one; only TRAIN and TRAIN_KEEP
    augment it. `blob` is the state that a LOAD restores.
    """

    kind: RecordKind
    frame: NDArray[np.int8] | None = None
    label: int = 0
    learning_rate: float = 0.0
    augmentation: Augmentation = NONE
    blob: bytes = b""


@dataclass(frozen=True)
class Job:
    """The facts about a written job that the reading of its results needs."""

    kinds: bytes
    classes: int
    measure: bool


@dataclass(frozen=True)
class RecordResult:
    """The result of one record of a job.

    `logits` are raw 4-byte words as int32 (view them as float32 for a float head). A SAVE has only
    `status` and `blob`, a LOAD only `status`. `stack_bytes` is the high-water mark of the call in a
    measuring job.
    """

    kind: RecordKind
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
) -> Job:
    """Write the records of a job to `path`, one at a time.

    Raises MicrotuneError for a frame that has not `input_bytes` bytes.
    """
    kinds = bytearray()
    with path.open("wb") as file:
        file.write(_header(seed, 0, measure, input_bytes, classes))
        for record in records:
            _write_record(file, record, input_bytes)
            kinds.append(record.kind)
        file.seek(0)
        file.write(_header(seed, len(kinds), measure, input_bytes, classes))
    return Job(bytes(kinds), classes, measure)


def _header(seed: int, records: int, measure: bool, input_bytes: int, classes: int) -> bytes:
    flags = _MEASURE if measure else 0
    return _HEADER.pack(_MAGIC, _VERSION, seed, records, flags, input_bytes, classes, 0)


def _write_record(file: BinaryIO, record: Record, input_bytes: int) -> None:
    change = astuple(record.augmentation)
    number = len(record.blob) if record.kind is RecordKind.LOAD else record.label
    file.write(_RECORD.pack(record.kind, *change, number, record.learning_rate))
    file.write(record.blob)
    if not record.kind.has_frame:
        return
    if record.frame is None or record.frame.dtype != np.int8 or record.frame.size != input_bytes:
        raise MicrotuneError(f"a frame for the chip must be {input_bytes} values of int8")
    file.write(record.frame.tobytes())


def read_results(path: Path, job: Job) -> Iterator[RecordResult]:
    """The results of a job, in its order. Raises MicrotuneError if the file ends early."""
    with path.open("rb") as file:
        for kind in job.kinds:
            yield _read_result(file, RecordKind(kind), job)


def _read_result(file: BinaryIO, kind: RecordKind, job: Job) -> RecordResult:
    predicted = loss_q16 = 0
    logits, blob = b"", b""
    if kind in (RecordKind.SAVE, RecordKind.LOAD):
        status, size = struct.unpack("<II", _read(file, 8))
        blob = _read(file, size)
    else:
        status, predicted, loss_q16 = struct.unpack("<Iii", _read(file, 12))
        logits = _read(file, 4 * job.classes)
    stack = struct.unpack("<I", _read(file, 4))[0] if job.measure else None
    words = np.frombuffer(logits, dtype="<i4").astype(np.int32)
    return RecordResult(kind, status, predicted, loss_q16, words, blob, stack)


def _read(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise MicrotuneError(
            f"{file.name}: ends early, the run on the chip was cut off. Run it again."
        )
    return data
