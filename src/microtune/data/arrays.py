"""Plain arrays as a network's input: motion, vibration, spectra, any numbers."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from microtune.errors import MicrotuneError
from microtune.ir.graph import Tensor

Codes = npt.NDArray[np.int8]
Frame = tuple[Codes, tuple[str, ...]]
"""int8 (H, W, C), and what there is to say of the sample."""

KIND = "array"
_RANK = 3
SATURATED = "with values outside of the network's range, which were saturated"


def frame_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """(H, W, C) of a sample of this shape: axes of length 1 are put in front.

    A series of W readings of C sensors, (W, C), is (1, W, C); a vector (C,) is (1, 1, C). This is
    the only place that says so.
    """
    return (*(1,) * (_RANK - len(shape)), *shape)


@dataclass(frozen=True)
class Arrays:
    """Samples of `shape` (H, W, C): int8 codes as they are, floats as real values.

    code = floor(real / scale + 1/2) + zero_point, saturated to int8; `scale` and `zero_point` are
    those of the network's input.
    """

    shape: tuple[int, int, int]
    scale: float
    zero_point: int

    @staticmethod
    def of(model_input: Tensor) -> Arrays:
        """From the input of a graph, int8 (1, H, W, C) or (1, C). Raises MicrotuneError."""
        quant = model_input.quant
        if quant is None or quant.scale is None:
            raise MicrotuneError("the model's input has no scale: real values have no codes")
        height, width, channels = frame_shape(model_input.shape[1:])
        return Arrays((height, width, channels), quant.scale, quant.zero_point)

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the int8 input."""
        return self.shape

    @property
    def noun(self) -> str:
        """What one sample is called in messages."""
        return "sample"

    @property
    def real_range(self) -> tuple[float, float]:
        """The smallest and the largest real value that has a code of its own."""
        low, high = (self.scale * (code - self.zero_point) for code in (-128, 127))
        return low, high

    def to_json(self) -> dict[str, Any]:
        """The settings that decide the codes, as model files and plan.json store them."""
        return {"kind": KIND, "shape": self.shape, "scale": self.scale, "zero": self.zero_point}

    def codes(self, values: np.ndarray, name: str) -> tuple[Codes, tuple[str, ...]]:
        """(codes of one sample, int8 (H, W, C), notes about it).

        Raises MicrotuneError that names the sample.
        """
        if frame_shape(values.shape) != self.shape:
            raise MicrotuneError(
                f"{name}: a sample of shape {values.shape}; the network takes {self.shape} "
                "(height, width, channels; axes of length 1 in front may be left out)"
            )
        if values.dtype == np.int8:
            return values.reshape(self.shape), ()
        if values.dtype.kind != "f":
            raise MicrotuneError(
                f"{name}: {values.dtype}; samples must be int8 codes or floating-point real values "
                "(multiply integers by their unit's scale first)"
            )
        real = values.astype(np.float64)
        if not np.isfinite(real).all():
            raise MicrotuneError(f"{name}: holds a value that is not finite (NaN or infinity)")
        exact = np.floor(real / self.scale + 0.5) + self.zero_point
        codes = np.clip(exact, -128, 127)
        notes = (SATURATED,) if (codes != exact).any() else ()
        return codes.astype(np.int8).reshape(self.shape), notes

    def decode_noted(self, content: bytes, name: str) -> tuple[Codes, tuple[str, ...]]:
        """As `codes`, of the bytes of a `.npy` file."""
        try:
            values = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
        except (ValueError, EOFError, OSError, MemoryError, OverflowError) as error:
            raise MicrotuneError(
                f"{name}: not a .npy file of numbers, which this network takes: {error}"
            ) from error
        return self.codes(values, name)


def array_sha256(kind: str, array: np.ndarray) -> str:
    """A hash of an array's shape, type and values, and of what kind of sample it is."""
    digest = hashlib.sha256(f"{kind} {array.dtype} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
