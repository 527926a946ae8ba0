"""Builds the kernels that run on this machine and calls them through ctypes."""

from __future__ import annotations

import ctypes
import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from microtune.run.debug import DebugLibrary
from microtune.runtime.files import RUNTIME, RUNTIME_INCLUDES, kernel_sources
from microtune.tools.compilers import Compiler, run_tool
from microtune.tools.objects import Compilation, object_store
from microtune.tools.toolchain import find_clang, find_host_gcc

Array = npt.NDArray[Any]

WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Werror"]
# All tests that compile the runtime by itself take these, so that they share the objects.
COMMON = ["-std=c99", "-ffp-contract=off", "-fno-common", "-fPIC", *WARNINGS]
PORTABLE = ["-O1", "-DMT_PORTABLE"]
SANITIZE = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
BUILDS: dict[str, list[str]] = {
    "gcc-O0": ["-O0"],
    "gcc-O3": ["-O3", "-march=native"],
    "debug": ["-O2", "-DMT_DEBUG"],
    "clang-O2": ["-O2", "-fno-sanitize=all"],
    "sanitize": [*PORTABLE, *SANITIZE],
    "sanitize-native": ["-O1", "-march=native", *SANITIZE],
}

TYPES: dict[str, Any] = {
    "h": ctypes.c_uint16, "i": ctypes.c_int32, "u": ctypes.c_uint32, "f": ctypes.c_float,
    "p": ctypes.c_void_p,
}  # fmt: skip


Struct = ctypes.Structure


def structure(name: str, *members: tuple[str, str | type[Struct]]) -> type[Struct]:
    """A ctypes structure; each member is (type letter or structure, space-separated names)."""
    fields = [
        (field, TYPES[kind] if isinstance(kind, str) else kind)
        for names, kind in members
        for field in names.split()
    ]
    return type(name, (ctypes.Structure,), {"_fields_": fields})


ConvShape = structure(
    "ConvShape",
    ("in_h in_w in_c out_h out_w out_c k_h k_w stride_h stride_w pad_top pad_left", "i"),
    ("groups kind", "h"),
)
StepState = structure(
    "StepState", ("seed step", "u"), ("lr_mantissa lr_exponent", "i"), ("lr", "f")
)
RoundParams = structure("RoundParams", ("site", "u"), ("acc_exponent_delta", "i"))
RoundIo = structure("RoundIo", ("exponent offset base state mask", "p"))
ConvParams = structure(
    "ConvParams", ("shape", ConvShape), ("multiplier shift", "p"),
    ("x_zero y_zero clamp_lo clamp_hi", "i"), ("channel_order", "p"), ("trained_channels", "i"),
)  # fmt: skip
ConvIo = structure("ConvIo", ("x weight trained_weight bias y mask scratch", "p"))
AddParams = structure(
    "AddParams", ("count x1_zero x2_zero a1 a2 shift y_zero clamp_lo clamp_hi", "i")
)
AddIo = structure("AddIo", ("x1 x2 y mask", "p"))
PoolParams = structure(
    "PoolParams", ("in_h in_w channels out_h out_w k_h k_w stride_h stride_w", "i")
)
PoolIo = structure("PoolIo", ("x y", "p"))
ClampParams = structure("ClampParams", ("count lo hi", "i"))
ClampIo = structure("ClampIo", ("x y mask", "p"))
GatherParams = structure("GatherParams", ("pixels channels selected", "i"), ("order", "p"))
DeltaParams = structure("DeltaParams", ("count shift", "i"), ("base", "p"))
DeltaIo = structure("DeltaIo", ("delta bias", "p"))
HeadParams = structure(
    "HeadParams", ("classes features x_zero fraction_bits", "i"), ("x_scale", "f")
)
HeadIo = structure("HeadIo", ("x weight bias logits", "p"))
LossParams = structure("LossParams", ("classes", "i"))
LossIo = structure("LossIo", ("logits", "p"), ("label", "u"), ("d_logits loss_q16", "p"))
HeadGradParams = structure(
    "HeadGradParams", ("head", HeadParams), ("site", "u"), ("exponent_delta", "i")
)
HeadGradIo = structure("HeadGradIo", ("d_logits weight g exponent state", "p"))
ConvGradParams = structure(
    "ConvGradParams", ("shape", ConvShape), ("multiplier", "p"), ("depthwise_shift", "i"),
    ("channel_order", "p"), ("trained_channels", "i"), ("round", RoundParams),
)  # fmt: skip
ConvGradIo = structure(
    "ConvGradIo", ("g g_exponent weight trained_weight dx scratch", "p"), ("round", RoundIo)
)
SumParams = structure("SumParams", ("count b_multiplier", "i"), ("round", RoundParams))
SumIo = structure("SumIo", ("a a_exponent b b_exponent y", "p"), ("round", RoundIo))
PoolGradParams = structure(
    "PoolGradParams", ("pool", PoolParams), ("round", RoundParams), ("overlapping", "i")
)
PoolGradIo = structure("PoolGradIo", ("g g_exponent dx", "p"), ("round", RoundIo))
MaskParams = structure("MaskParams", ("count", "i"))
MaskIo = structure("MaskIo", ("g mask y", "p"))
FactorParams = structure(
    "FactorParams", ("multiplier shift", "p"), ("mantissa exponent cap", "i"), ("dead", "p"),
)  # fmt: skip
WeightUpdateParams = structure(
    "WeightUpdateParams", ("shape", ConvShape), ("x_zero", "i"),
    ("factor", FactorParams), ("channel_order", "p"), ("trained_channels", "i"),
    ("site", "u"),
)  # fmt: skip
WeightUpdateIo = structure("WeightUpdateIo", ("g g_exponent x weight state scratch", "p"))
BiasUpdateParams = structure(
    "BiasUpdateParams", ("pixels channels", "i"), ("factor", FactorParams),
    ("site", "u"),
)  # fmt: skip
BiasUpdateIo = structure("BiasUpdateIo", ("g g_exponent value state", "p"))
HeadUpdateParams = structure(
    "HeadUpdateParams", ("head", HeadParams),
    ("weight_mantissa weight_exponent bias_mantissa bias_exponent", "i"),
    ("weight_site bias_site", "u"),
)  # fmt: skip
HeadUpdateIo = structure("HeadUpdateIo", ("x d_logits weight bias state", "p"))


@functools.cache
def library(build: str) -> ctypes.CDLL:
    """The kernels compiled by one of BUILDS; warnings are errors."""
    path = Path(tempfile.mkdtemp(prefix="microtune-kernels-")) / "libkernels.so"
    return link(path, compiler_of(build), BUILDS[build], kernel_sources())


def compiler_of(build: str) -> Compiler:
    """Whose build it is by its name."""
    return find_clang() if build.startswith("clang") else find_host_gcc()


def compilation(compiler: Compiler, flags: Sequence[str], folder: Path) -> Compilation:
    """How files of the runtime become objects for this machine, kept for all tests; `folder` takes
    them where nothing is kept."""
    common = (*flags, *COMMON, *RUNTIME_INCLUDES, "-Iport")
    return Compilation(compiler, common, RUNTIME, folder, object_store())


def link(
    path: Path, compiler: Compiler, flags: Sequence[str], sources: Sequence[Path],
    *more: str | Path,
) -> ctypes.CDLL:  # fmt: skip
    """A library of these files of the runtime, whose objects are kept for all tests, and of `more`
    C files and flags."""
    objects = compilation(compiler, flags, path.parent).objects(sources)
    common = [*flags, *COMMON, *RUNTIME_INCLUDES]
    command = [*compiler.command, *common, "-shared", *map(str, (*more, *objects))]
    run_tool([*command, "-o", str(path)], f"building {path.name}", cwd=RUNTIME)
    return ctypes.CDLL(str(path))


def address(array: Array | ctypes.Structure | None) -> int | None:
    """The address of an array or structure that the caller keeps alive."""
    if array is None:
        return None
    if isinstance(array, ctypes.Structure):
        return ctypes.addressof(array)
    assert array.flags["C_CONTIGUOUS"]
    return int(array.ctypes.data)


def fill(kind: type[Struct], **members: object) -> Struct:
    """A structure whose array members become addresses; it keeps the arrays alive."""
    plain = {
        name: address(v) if isinstance(v, np.ndarray | StepState) else v
        for name, v in members.items()
    }
    made = kind(**plain)
    made.kept = members
    return made


def scratch_bytes(
    lib: ctypes.CDLL, function: str, params: ctypes.Structure, in_place: int = 0
) -> int:
    """Calls a mt_*_scratch_bytes function."""
    query = getattr(lib, function)
    query.restype = ctypes.c_size_t
    return int(query(ctypes.byref(params), in_place))


def call(lib: ctypes.CDLL, function: str, params: ctypes.Structure, io: ctypes.Structure) -> None:
    """Calls one kernel; the debug build counts, and none of its accumulators may overflow."""
    debug = DebugLibrary(lib) if hasattr(lib, "mt_debug_reset") else None
    if debug is not None:
        debug.reset()
    getattr(lib, function)(ctypes.byref(params), ctypes.byref(io))
    if debug is not None:
        debug.check()


def check_macs(lib: ctypes.CDLL, expected: int) -> None:
    """The products of the last call, where they are counted: in the debug build."""
    if hasattr(lib, "mt_debug_reset"):
        assert DebugLibrary(lib).macs().analytic == expected


def pack_mask(mask: Array) -> npt.NDArray[np.uint8]:
    """Bits as in docs/numerics.md."""
    return np.packbits(mask.reshape(-1).astype(np.bool_), bitorder="little")
