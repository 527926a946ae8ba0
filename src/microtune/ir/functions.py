"""Functions of reals that the op `activation` has tables of, with their derivatives.

`parameters` are numbers of the node: the slope of a leaky ReLU, or that of each channel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from microtune.ir.graph import Attr, Quant

Reals = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.int64]
Real = Callable[[Reals, Reals], Reals]
CODES = np.arange(-128, 128)
CODE_BOUNDS = (-128, 127)


@dataclass(frozen=True)
class Function:
    """A function of reals (256,) and its derivative, with parameters float64 (count,).

    Both are float64 (256,), or (C, 256) where `per_channel`: then there is a parameter a channel.
    """

    value: Real
    slope: Real
    count: int = 0
    per_channel: bool = False


def _sigmoid(x: Reals) -> Reals:
    result: Reals = 0.5 * (1.0 + np.tanh(0.5 * x))
    return result


def _normal(x: Reals) -> Reals:
    """The distribution function of the standard normal distribution."""
    below = np.array([math.erf(v / math.sqrt(2.0)) for v in x.ravel()])
    result: Reals = 0.5 * (1.0 + below.reshape(x.shape))
    return result


def _density(x: Reals) -> Reals:
    result: Reals = np.exp(-0.5 * x**2) / math.sqrt(2.0 * math.pi)
    return result


def _hard_swish_slope(x: Reals, p: Reals) -> Reals:
    return np.where(x < -3.0, 0.0, np.where(x > 3.0, 1.0, (2.0 * x + 3.0) / 6.0))


def _mish_slope(x: Reals, p: Reals) -> Reals:
    inner = np.tanh(np.logaddexp(0.0, x))
    slope: Reals = inner + x * _sigmoid(x) * (1.0 - inner**2)
    return slope


FUNCTIONS: dict[str, Function] = {
    "hard_swish": Function(lambda x, p: x * np.clip(x + 3.0, 0.0, 6.0) / 6.0, _hard_swish_slope),
    "sigmoid": Function(
        lambda x, p: _sigmoid(x), lambda x, p: _sigmoid(x) * (1.0 - _sigmoid(x))
    ),
    "tanh": Function(lambda x, p: np.tanh(x), lambda x, p: 1.0 - np.tanh(x) ** 2),
    "silu": Function(
        lambda x, p: x * _sigmoid(x),
        lambda x, p: _sigmoid(x) * (1.0 + x * (1.0 - _sigmoid(x))),
    ),
    "gelu": Function(lambda x, p: x * _normal(x), lambda x, p: _normal(x) + x * _density(x)),
    "hard_sigmoid": Function(
        lambda x, p: np.clip(x + 3.0, 0.0, 6.0) / 6.0,
        lambda x, p: np.where((x > -3.0) & (x < 3.0), 1.0 / 6.0, 0.0),
    ),
    "softplus": Function(lambda x, p: np.logaddexp(0.0, x), lambda x, p: _sigmoid(x)),
    "mish": Function(lambda x, p: x * np.tanh(np.logaddexp(0.0, x)), _mish_slope),
    # Another scale and zero point for the same numbers.
    "identity": Function(lambda x, p: x, lambda x, p: np.ones_like(x)),
    "elu": Function(
        lambda x, p: np.where(x < 0, np.expm1(np.minimum(x, 0)), x),
        lambda x, p: np.where(x < 0, np.exp(np.minimum(x, 0)), 1.0),
    ),
    "leaky_relu": Function(
        lambda x, p: np.where(x < 0, p[0] * x, x), lambda x, p: np.where(x > 0, 1.0, p[0]), 1
    ),
    # A product with a constant, and the sum with another one.
    "affine": Function(lambda x, p: p[0] * x + p[1], lambda x, p: np.full_like(x, p[0]), 2),
    "prelu": Function(
        lambda x, p: np.where(x < 0, p[:, None] * x, x),
        lambda x, p: np.where(x > 0, 1.0, p[:, None]), per_channel=True,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """What a table is of: a function, its parameters, and bounds of its codes."""

    name: str
    parameters: Sequence[float] = ()
    bounds: tuple[int, int] = CODE_BOUNDS

    @classmethod
    def of(cls, attrs: Mapping[str, Attr]) -> Table:
        """What the attributes `function`, `parameters` and `clamp` of a node say."""
        parameters, bounds = attrs.get("parameters", []), attrs.get("clamp", [*CODE_BOUNDS])
        if not isinstance(parameters, list) or not isinstance(bounds, list):
            raise TypeError("activation: its parameters or its bounds are no list")
        return cls(str(attrs["function"]), parameters, (int(bounds[0]), int(bounds[1])))

    @property
    def attrs(self) -> dict[str, Attr]:
        """The attributes of a node with this table."""
        found: dict[str, Attr] = {"function": self.name}
        if self.parameters:
            found["parameters"] = list(self.parameters)
        if self.bounds != CODE_BOUNDS:
            found["clamp"] = list(self.bounds)
        return found

    def value(self, x: Reals) -> Reals:
        """The function of reals of any shape, without bounds."""
        return self.function.value(x, np.array(self.parameters, np.float64))

    @property
    def function(self) -> Function:
        """The function. Raises ValueError for an unknown one, or another number of parameters."""
        found = FUNCTIONS.get(self.name)
        if found is None:
            raise ValueError(
                f"activation: no function {self.name}; there are {', '.join(FUNCTIONS)}"
            )
        if not found.per_channel and len(self.parameters) != found.count:
            raise ValueError(f"activation: {self.name} has {found.count} parameters")
        return found

    def _unclamped(self, x: Quant, y: Quant) -> tuple[Reals, Reals, Ints]:
        """(real input, parameters, code before the clamp) of each code."""
        real = (CODES - x.zero_point) * float(x.scale or 0.0)
        parameters = np.array(self.parameters, np.float64)
        value = self.function.value(real, parameters)
        codes = np.floor(value / float(y.scale or 1.0) + 0.5)
        return real, parameters, codes.astype(np.int64) + y.zero_point

    def codes(self, x: Quant, y: Quant) -> npt.NDArray[np.int8]:
        """The table between these quantisations, rounded half up, int8 (256,) or (C, 256)."""
        return np.clip(self._unclamped(x, y)[2], *self.bounds).astype(np.int8)

    def slopes(self, x: Quant, y: Quant) -> Reals:
        """Slopes in codes, float64: s_x/s_y·f'(x), and 0 where the result is clamped."""
        real, parameters, codes = self._unclamped(x, y)
        ratio = float(x.scale or 0.0) / float(y.scale or 1.0)
        slope = self.function.slope(real, parameters) * ratio
        low, high = self.bounds
        return np.where((codes >= low) & (codes <= high), slope, 0.0)
