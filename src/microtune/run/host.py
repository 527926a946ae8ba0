"""The generated C as a shared library of this machine."""

from __future__ import annotations

import copy
import ctypes
import os
import tempfile
from collections.abc import Callable
from dataclasses import astuple, replace
from pathlib import Path
from typing import Literal

import numpy as np

from microtune.codegen.layout import unpack_block
from microtune.data.image.augment import NONE, Augmentation
from microtune.errors import MicrotuneError
from microtune.ir.graph import Array
from microtune.project.manifest import read_plan
from microtune.run.debug import DebugLibrary, MacCounts
from microtune.run.job import Call
from microtune.runtime.files import PROJECT_INCLUDES
from microtune.tools.compilers import Compiler, run_tool
from microtune.tools.flags import DEBUG_FLAG, PLAIN_NAMES
from microtune.tools.objects import Compilation, object_store
from microtune.tools.toolchain import find_clang, find_host_compiler, find_host_gcc

# Contraction would give a host with FMA other bits than a chip without.
HOST_FLAGS = ("-std=c99", "-ffp-contract=off", "-fno-common", "-fPIC", PLAIN_NAMES)
# zig checks for undefined behaviour at -O0 and -O1: a trap needs no library of messages, and at -O3
# zig builds its own libraries quickly.
TRAPS = ("-fsanitize-trap=undefined",)
LINK_FLAGS = ("-O3", "-shared")
HostCompiler = Literal["default", "gcc", "clang"]
STATUS = (
    "ok", "bad argument", "wrong size", "bad format", "not for this model or scheme",
    "checksum mismatch", "nothing to train: the scheme is frozen", "no row of the input",
    "no learning rate was set",
)  # fmt: skip


_KEEP_LATENT = "mt_replay_keep"
# The C function of each call. A latent is kept first and trained on then.
_FUNCTIONS = {
    Call.INFER: "mt_infer", Call.INFER_LATENT: "mt_infer_latent",
    Call.TRAIN: "mt_train_step", Call.TRAIN_LATENT: "mt_train_latent",
    Call.TRAIN_KEEP: "mt_replay_train", Call.REHEARSE: "mt_replay_rehearse",
    Call("train", "latent", keep=True): _KEEP_LATENT,
}  # fmt: skip


class _Memory(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("bytes", ctypes.c_size_t))

    @classmethod
    def of(cls, array: Array) -> _Memory:
        return cls(array.ctypes.data, array.nbytes)


class _Change(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_int8) for name in ("flip", "shift_rows", "brightness"))


class _ChangedSource(ctypes.Structure):
    _fields_ = (("read", ctypes.c_void_p), ("user", ctypes.c_void_p), ("change", _Change))


class _Target(ctypes.Structure):
    _fields_ = (("class_index", ctypes.c_uint32), ("codes", ctypes.c_void_p))


class _Result(ctypes.Structure):
    # MT_NO_CLASS is -1 here.
    _fields_ = (("predicted_class", ctypes.c_int32), ("loss_q16", ctypes.c_int32))


def library_sources(project: Path) -> list[str]:
    """The C files of the product (runtime and model), relative to the project, in a fixed order."""
    files = [*sorted(project.glob("src/**/*.c")), *sorted(project.glob("model/*.c"))]
    return [str(path.relative_to(project)) for path in files]


def build_library(
    project: Path, output: Path, compiler: HostCompiler = "default",
    flags: tuple[str, ...] = ("-O3", "-march=native"), kept: Path | None = None,
) -> None:  # fmt: skip
    """Compile the project's product sources into the shared library `output`.

    `kept` is a folder where the compiled runtime stays for other projects, for which only the model
    is then compiled. The environment variable MICROTUNE_OBJECTS names another folder for all
    objects, those of models too. Raises MicrotuneError if there is no compiler or the sources do
    not compile.
    """
    finders: dict[str, Callable[[], Compiler]] = {
        "default": find_host_compiler,
        "gcc": find_host_gcc,
        "clang": find_clang,
    }
    found, sources = finders[compiler](), map(Path, library_sources(project))
    own: list[Path] = []
    runtime: list[Path] = []
    for source in sources:
        (own if source.parts[0] == "model" else runtime).append(source)
    all_flags = (*HOST_FLAGS, *flags, *(TRAPS if found.name == "clang" else ()), *PROJECT_INCLUDES)
    with tempfile.TemporaryDirectory(prefix="microtune-objects-") as name:
        shared = Compilation(found, all_flags, project, Path(name), object_store(kept))
        alone = replace(shared, store=object_store())
        objects = map(str, [*alone.objects(own), *shared.objects(runtime)])
        # The compiler runs in the project's folder, so a relative path would mean another place.
        link = [*found.command, *all_flags, *LINK_FLAGS, *objects, "-o", str(output.resolve())]
        run_tool(link, "compiling for the host", cwd=project)


def load_library(path: Path) -> ctypes.CDLL:
    """Load a shared library, also from a file system mounted with the option noexec."""
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        if not hasattr(os, "memfd_create"):
            raise MicrotuneError(_no_programs(path, error)) from error
    return load_from_memory(path)


def load_from_memory(path: Path) -> ctypes.CDLL:
    """Load a shared library through a file in memory.

    The file stays open: the loader tells libraries apart by name, and would take this one for the
    next with the same number.
    """
    handle = os.memfd_create(path.name)
    try:
        with os.fdopen(handle, "wb", closefd=False) as file:
            file.write(path.read_bytes())
        return ctypes.CDLL(f"/proc/self/fd/{handle}")
    except OSError as error:
        os.close(handle)
        raise MicrotuneError(_no_programs(path, error)) from error


def _no_programs(path: Path, error: OSError) -> str:
    return (
        f"{path} cannot be loaded: {error}. If programs may not run there (mount option noexec), "
        "set TMPDIR to a folder where they may"
    )


class HostLibrary:
    """A built project as an object: steps, trained state, and parameters by name.

    An instance is for one thread at a time. The calls release the interpreter's lock, so that
    instances (`new_instance`) in several threads run on several cores.
    """

    def __init__(
        self, project: Path, seed: int = 0, compiler: HostCompiler = "default",
        flags: tuple[str, ...] = ("-O3", "-march=native"), built: Path | None = None,
    ) -> None:  # fmt: skip
        """`built`: what `build_library` made of this project; else it is compiled now."""
        plan = read_plan(project)
        self._slots = plan.parameters
        self._outputs = plan.outputs
        self._by_rows = plan.input == "rows"
        self._replay_bytes = plan.replay_bytes
        with tempfile.TemporaryDirectory(prefix="microtune-host-") as folder:
            library = built or Path(folder) / "model.so"
            if built is None:
                build_library(project.resolve(), library, compiler, flags)
            self._c = load_library(library)
        self._declare()
        self._debug = DebugLibrary(self._c) if DEBUG_FLAG in flags else None
        self._save_bytes = int(self._c.mt_save_bytes())
        self._allocate()
        self.reset(seed)

    def _allocate(self) -> None:
        self._context_memory = _aligned(self._c.mt_context_bytes())
        count = int(self._c.mt_arena_count())
        self._arenas = [_aligned(self._c.mt_arena_bytes(i)) for i in range(count)]
        self._replay_memory = _aligned(self._replay_bytes)

    def new_instance(self) -> HostLibrary:
        """Another instance of the same code, in the compiled state, with memory of its own."""
        other = copy.copy(self)
        other._allocate()
        other.reset(0)
        return other

    def _declare(self) -> None:
        c, size, pointer = self._c, ctypes.c_size_t, ctypes.c_void_p
        for name in ("mt_context_bytes", "mt_arena_bytes", "mt_save_bytes", "mt_latent_bytes"):
            getattr(c, name).restype = size
        word = ctypes.c_uint32
        c.mt_arena_bytes.argtypes = [word]
        c.mt_init.argtypes = [_Memory, pointer, word, word, pointer]
        c.mt_input.argtypes, c.mt_input.restype = [pointer], pointer
        c.mt_set_row_source.argtypes = [pointer, pointer, pointer]
        c.mt_infer.argtypes = [pointer, pointer]
        c.mt_train_step.argtypes = [pointer, pointer, pointer]
        c.mt_make_latent.argtypes = [pointer, pointer]
        c.mt_infer_latent.argtypes = [pointer, pointer, pointer]
        c.mt_train_latent.argtypes = [pointer, pointer, pointer, pointer]
        c.mt_draw_change.argtypes = [pointer, pointer, pointer]
        c.mt_change_frame.argtypes = [pointer, pointer]
        c.mt_replay_init.argtypes = [_Memory, pointer]
        c.mt_replay_train.argtypes = [pointer, pointer, pointer, pointer]
        c.mt_replay_keep.argtypes = [pointer, pointer, pointer, pointer]
        c.mt_replay_rehearse.argtypes = [pointer, pointer, pointer]
        c.mt_set_learning_rate.argtypes = [pointer, ctypes.c_float]
        c.mt_output.argtypes, c.mt_output.restype = [pointer], pointer
        c.mt_save.argtypes = [pointer, pointer, size, pointer]
        c.mt_load.argtypes = [pointer, pointer, size]
        c.mt_parameters.argtypes, c.mt_parameters.restype = [pointer, pointer], pointer

    def reset(self, seed: int) -> None:
        """Start again from the compiled state with this random seed."""
        context = ctypes.c_void_p()
        count = len(self._arenas)
        arenas = (_Memory * count)(*(_Memory.of(arena) for arena in self._arenas))
        memory = _Memory.of(self._context_memory)
        status = self._c.mt_init(memory, arenas, count, seed, ctypes.byref(context))
        _check(status, "mt_init")
        self._context = context
        self._result = _Result()
        self._replay = ctypes.c_void_p()
        if self._replay_bytes:
            memory = _Memory.of(self._replay_memory)
            _check(self._c.mt_replay_init(memory, ctypes.byref(self._replay)), "mt_replay_init")

    def set_learning_rate(self, learning_rate: float) -> None:
        """Set the learning rate of the next steps, per sample."""
        _check(self._c.mt_set_learning_rate(self._context, learning_rate), "mt_set_learning_rate")

    def _fill(self, frame: Array, augmentation: Augmentation = NONE) -> None:
        """Give the next call its frame, changed at random if asked for."""
        self._frame = np.ascontiguousarray(frame, np.int8)
        data = self._frame.ctypes.data
        change = self._draw(augmentation)
        if self._by_rows:
            plain = ctypes.cast(self._c.mt_read_frame_row, ctypes.c_void_p)
            read, user = plain, ctypes.c_void_p(data)
            if change is not None:
                self._source = _ChangedSource(plain, data, change)
                read = ctypes.cast(self._c.mt_read_changed_row, ctypes.c_void_p)
                user = ctypes.cast(ctypes.byref(self._source), ctypes.c_void_p)
            _check(self._c.mt_set_row_source(self._context, read, user), "mt_set_row_source")
            return
        ctypes.memmove(self._c.mt_input(self._context), data, self._frame.nbytes)
        if change is not None:
            status = self._c.mt_change_frame(self._context, ctypes.byref(change))
            _check(status, "mt_change_frame")

    def _draw(self, augmentation: Augmentation) -> _Change | None:
        if augmentation == NONE:
            return None
        most, change = (ctypes.c_uint8 * 3)(*astuple(augmentation)), _Change()
        status = self._c.mt_draw_change(self._context, most, ctypes.byref(change))
        _check(status, "mt_draw_change")
        return change

    def _call(self, name: str, *arguments: object) -> None:
        """One step; in a debug build counted, and refused if an accumulator overflowed."""
        if self._debug is not None:
            self._debug.reset()
        _check(getattr(self._c, name)(self._context, *arguments), name)
        if self._debug is not None:
            self._debug.check()

    def macs(self) -> MacCounts:
        """Multiply-accumulates of the last call, counted by a debug build only."""
        if self._debug is None:
            raise MicrotuneError(f"build the library with {DEBUG_FLAG} to count")
        return self._debug.macs()

    def step(
        self, call: Call, data: Array | None = None, target: int | Array = 0,
        augmentation: Augmentation = NONE,
    ) -> tuple[int, int]:  # fmt: skip
        """One inference or training step; (class predicted by it or before it, loss in Q16).

        `data` is an int8 frame (H, W, C), changed at random by `augmentation`, or an int8 latent
        (latent_bytes,), or None for a sample of the replay memory. `target` is a class, or the int8
        codes (outputs,) of a model that is no classifier, whose class is -1. An inference has a
        loss of 0.
        """
        name, result = _FUNCTIONS[call], ctypes.byref(self._result)
        given: list[object] = [self._replay] if name.startswith("mt_replay") else []
        if call.source == "frame":
            self._fill(_present(data), augmentation)
        elif call.source == "latent":
            data = self._checked(_present(data))
            given.append(data.ctypes.data)
        if call.trains and call.source != "memory":
            given.append(self._target(target))
        if name == _KEEP_LATENT:
            self._call(name, *given)
            return self.step(Call.TRAIN_LATENT, data, target)
        self._call(name, *given, result)
        loss = int(self._result.loss_q16) if call.trains else 0
        return int(self._result.predicted_class), loss

    def infer(self, frame: Array) -> int:
        """Class predicted for an int8 frame (H, W, C)."""
        return self.step(Call.INFER, frame)[0]

    def train_step(
        self, frame: Array, target: int | Array, augmentation: Augmentation = NONE
    ) -> tuple[int, int]:
        """One training step on an int8 frame; what `step` returns."""
        return self.step(Call.TRAIN, frame, target, augmentation)

    @property
    def latent_bytes(self) -> int:
        """Bytes of a latent; 0 if no layer is frozen before the first trained one."""
        return int(self._c.mt_latent_bytes())

    def make_latent(self, frame: Array) -> Array:
        """The output of the frozen layers for a frame, int8 (latent_bytes,)."""
        self._fill(frame)
        latent = np.empty(self.latent_bytes, np.int8)
        self._call("mt_make_latent", latent.ctypes.data)
        return latent

    def _target(self, target: int | Array) -> object:
        """A pointer to the mt_target of a class or of codes; it keeps the codes alive."""
        if not isinstance(target, np.ndarray):
            return ctypes.byref(_Target(int(target), None))
        if target.dtype != np.int8 or target.size != self._outputs:
            raise MicrotuneError(f"a target of this model is {self._outputs} values of int8")
        codes = np.ascontiguousarray(target)
        made = _Target(0, codes.ctypes.data)
        made.codes_kept = codes
        return ctypes.byref(made)

    def _checked(self, latent: Array) -> Array:
        if latent.dtype != np.int8 or latent.size != self.latent_bytes:
            raise MicrotuneError(f"a latent of this model is {self.latent_bytes} values of int8")
        return np.ascontiguousarray(latent)

    def logits(self) -> Array:
        """The logits of the last call as raw 4-byte words, int32 (N,)."""
        address = self._c.mt_output(self._context)
        return np.frombuffer(ctypes.string_at(address, 4 * self._outputs), "<i4").astype(np.int32)

    def parameters(self) -> dict[str, Array]:
        """The trained parameters by tensor name."""
        size = ctypes.c_size_t()
        address = self._c.mt_parameters(self._context, ctypes.byref(size))
        return unpack_block(ctypes.string_at(address, size.value), self._slots)

    def save(self) -> bytes:
        """The trained state as `mt_save` writes it."""
        buffer, written = ctypes.create_string_buffer(self._save_bytes), ctypes.c_size_t()
        status = self._c.mt_save(self._context, buffer, self._save_bytes, ctypes.byref(written))
        _check(status, "mt_save")
        return buffer.raw[: written.value]

    def load(self, blob: bytes) -> None:
        """Restore a state that `save` wrote.

        Raises MicrotuneError if it does not match; nothing is changed then.
        """
        _check(self._c.mt_load(self._context, blob, len(blob)), "mt_load")


def _present(data: Array | None) -> Array:
    if data is None:
        raise MicrotuneError("an inference or a training step needs a frame or a latent")
    return data


def _aligned(size: int) -> Array:
    return np.zeros(-(-size // 8) or 1, np.int64).view(np.int8)[: max(size, 1)]


def _check(status: int, what: str) -> None:
    if status != 0:
        name = STATUS[status] if status < len(STATUS) else f"status {status}"
        raise MicrotuneError(f"{what}: {name}")
