"""Random convolutions, gradients and training states for the kernel tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from microtune.ir import numerics
from microtune.ir.convolution import ConvKind, Geometry, kind_of
from microtune.ir.ops.parameter_update import FactorTable
from tests.runtime.runtime_native import ConvShape, RoundIo, StepState, Struct, fill

Array = npt.NDArray[Any]


@dataclass
class ConvCase:
    """One convolution: full weights O·KH·KW·I/groups, geometry, perhaps a channel order."""

    rng: np.random.Generator
    size: tuple[int, int, int]
    weight: Array
    geometry: Geometry
    order: npt.NDArray[np.uint16] | None
    trained: int

    @property
    def depthwise(self) -> bool:
        return self.kind is ConvKind.DEPTHWISE

    @property
    def kind(self) -> ConvKind:
        return kind_of(self.geometry.groups, self.size[2], self.weight.shape[0])

    @property
    def out(self) -> tuple[int, int]:
        return self.geometry.output_size(*self.size[:2], *self.weight.shape[1:3])

    def shape(self) -> Struct:
        o, kh, kw, _ = self.weight.shape
        return ConvShape(
            *self.size, *self.out, o, kh, kw, *self.geometry.stride,
            *self.geometry.padding[:2], self.geometry.groups, list(ConvKind).index(self.kind),
        )  # fmt: skip

    def lay_out(self, weight: Array) -> Array:
        """Device layout: depthwise [KH][KW][O], else O·KH·KW·I."""
        moved = np.moveaxis(weight[..., 0], 0, -1) if self.depthwise else weight
        return np.ascontiguousarray(moved, dtype=np.int8)

    def select(self, weight: Array, channels: Array) -> Array:
        """The weights of some channels (depthwise: output channels, else input channels)."""
        return weight[channels] if self.depthwise else weight[..., channels]

    def device_weights(self) -> tuple[Array | None, Array | None]:
        """(weight, trained_weight) as the kernels take them."""
        if self.order is None:
            whole = self.lay_out(self.weight)
            return (whole, None) if self.trained == 0 else (None, whole)
        parts = np.split(self.order, [self.trained])
        trained, rest = (self.lay_out(self.select(self.weight, part)) for part in parts)
        return rest if rest.size else None, trained if trained.size else None

    def codes(self, *shape: int, low: int = -128) -> Array:
        """Random int8 codes with many extremes."""
        return codes(self.rng, shape, low)

    def ordered(self) -> dict[str, Any]:
        """Members channel_order and trained_channels of the parameter structures."""
        return {"channel_order": self.order, "trained_channels": self.trained}


def codes(rng: np.random.Generator, shape: tuple[int, ...], low: int = -128) -> Array:
    """Random int8 codes in [low, 127]: uniform, small or extreme."""
    kind = rng.integers(4)
    if kind == 0:
        return rng.choice(np.array([low, 127, 0], np.int8), shape).astype(np.int8)
    if kind == 1:
        return rng.integers(-3, 4, shape).astype(np.int8)
    return rng.integers(low, 128, shape).astype(np.int8)


def random_case(seed: int) -> ConvCase:
    """A dense, grouped or depthwise convolution down to size 1.

    Everything comes from one random generator: strategies of many small numbers would spend most
    examples near the smallest shapes.
    """
    rng = np.random.default_rng(seed)
    kind = rng.choice(["dense", "dense", "grouped", "depthwise", "multiplier"])
    kh, kw = (int(v) for v in rng.integers(1, 5, 2))
    sh, sw = (int(v) for v in rng.integers(1, 4, 2))
    pads = [int(rng.integers(0, k)) for k in (kh, kw, kh, kw)]
    height = int(rng.integers(max(1, kh - pads[0] - pads[2]), 8))
    width = int(rng.integers(max(1, kw - pads[1] - pads[3]), 8))
    wide = np.array([*range(1, 10), 16, 24, 27, 31, 32, 33, 40, 48, 67])
    first, second = (int(v) for v in rng.choice(wide, 2))
    if kind == "dense":
        groups, inputs, outputs = 1, first, second
    elif kind == "grouped":
        groups = int(rng.integers(2, 5))
        inputs, outputs = (groups * int(v) for v in rng.integers(1, 6, 2))
    else:
        groups = inputs = first
        outputs = first * (2 if kind == "multiplier" else 1)
    weight = codes(rng, (outputs, kh, kw, inputs // groups), -127)
    geometry = Geometry((sh, sw), (pads[0], pads[1], pads[2], pads[3]), groups)
    trained = int(rng.integers(2))
    case = ConvCase(rng, (height, width, inputs), weight, geometry, None, trained)
    if (groups == 1 or case.depthwise) and rng.integers(2):
        case.order = rng.permutation(inputs).astype(np.uint16)
        case.trained = (0, inputs, int(rng.integers(inputs + 1)))[rng.integers(3)]
    return case


def conv_cases() -> st.SearchStrategy[ConvCase]:
    """Random convolutions."""
    return st.integers(0, 2**32 - 1).map(random_case)


@dataclass
class RoundCase:
    """The surroundings of one rounded gradient tensor; `moved` is the offset after the kernel."""

    rng: np.random.Generator
    state: Struct
    site: int
    e_acc: int
    base: Array
    offset: Array
    exponent: Array
    mask: Array | None
    moved: int = 0

    def io(self) -> Struct:
        """mt_round_io; exponent and offset are written in place."""
        packed = None if self.mask is None else np.packbits(self.mask, bitorder="little")
        return fill(
            RoundIo, exponent=self.exponent, offset=self.offset, base=self.base,
            state=self.state, mask=packed,
        )  # fmt: skip

    def expected(self, acc: Array) -> tuple[Array, int, int]:
        """(mantissas, exponent, next offset) by the numpy meaning."""
        key = numerics.random_key(self.state.seed, self.state.step, self.site)
        mask = None if self.mask is None else self.mask.reshape(acc.shape)
        wanted = int(self.base[0]) + int(self.offset[0])
        g, e, change = numerics.round_gradient(acc, mask, self.e_acc, wanted, key)
        return g, e, min(max(int(self.offset[0]) + change, -64), 63)


def step_state(rng: np.random.Generator) -> Struct:
    """A training state with an ordinary, an extreme or a zero learning rate."""
    lr = np.float32(rng.choice([0.0, 1.0, 2.0 ** rng.uniform(-20, 10), 1e-40, 1024.0]))
    mantissa, exponent = numerics.split_float32(float(lr))
    return StepState(*map(int, rng.integers(0, 2**32, 2)), mantissa, exponent, float(lr))


def round_case(rng: np.random.Generator, elements: int, bits: float) -> RoundCase:
    """Surroundings for accumulators of about `bits` bits."""
    e_acc, offset = int(rng.integers(-60, 20)), int(rng.integers(-64, 64))
    near = int(rng.integers(-9, 4)) + int(bits)
    mask = rng.integers(0, 2, elements).astype(np.bool_) if rng.integers(2) else None
    return RoundCase(
        rng, step_state(rng), int(rng.integers(2**32)), e_acc,
        np.array([e_acc + near - offset], np.int32), np.array([offset], np.int8),
        np.zeros(1, np.int32), mask,
    )  # fmt: skip


def factors(rng: np.random.Generator, count: int) -> FactorTable:
    """A table of `count` channels: like a real layer's, or of any size, some dead."""
    top = rng.uniform(-12, -4, count) if rng.integers(3) else rng.uniform(-30, 3, count)
    real = 2.0**top * (rng.integers(8, size=count) > 0)
    m, n = numerics.quantize_multipliers(real)
    return FactorTable(m, n, numerics.split_factor(float(2.0 ** rng.uniform(-20, 20))))
