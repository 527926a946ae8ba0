"""Which numbers a float network takes for pictures, and the input codes that stand for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from microtune.errors import MicrotuneError
from microtune.ir.graph import Quant

Floats = npt.NDArray[np.float32]
Values = Literal["auto", "0-1", "0-255", "-1-1", "numbers"]
RESIZE_RATIO = 0.875
_BYTE = 255.0
_SMALLEST_SIDE = 8
_CLOSE = 0.02  # codes
_PLAIN = "mean and std belong to the network now: the chip gets plain pixels"
_SAID = {
    "0-1": "pixels from 0 to 1",
    "0-255": "pixels from 0 to 255",
    "-1-1": "pixels from -1 to 1",
}


@dataclass(frozen=True)
class InputValues:
    """How a network's input is read.

    `samples` are what the network takes, float32 (N, H, W, C). `quant` is the quantisation under
    which the code of a pixel is pixel - 128; None: it is chosen by calibration. The network's first
    step is scale·x + shift where they are given, float32 (C,). `preprocessing` is as a model file
    has it, `notes` say what was found.
    """

    samples: Floats
    quant: Quant | None
    scale: Floats | None
    shift: Floats | None
    preprocessing: dict[str, Any]
    notes: tuple[str, ...]


def read_values(
    samples: npt.NDArray[Any], values: Values, mean: Sequence[float] | None,
    std: Sequence[float] | None, *, pictures: bool,
) -> InputValues:  # fmt: skip
    """What the samples, (N, H, W, C), are as the input of a network.

    `pictures` says that they may be pictures (one or three channels, an image). Raises
    MicrotuneError for a range that cannot be.
    """
    if values not in get_args(Values):
        raise MicrotuneError(f"values {values!r}: there are {', '.join(get_args(Values))}")
    shape = samples.shape[1:]
    is_image = pictures and shape[-1] in (1, 3) and min(shape[0], shape[1]) >= _SMALLEST_SIDE
    if not is_image and (mean is not None or std is not None or values not in ("auto", "numbers")):
        raise MicrotuneError(
            f"mean, std and values are for pictures of one or three channels; the samples are "
            f"{list(shape)} (height, width, channels)"
        )
    real = samples.astype(np.float32)
    if not is_image or values == "numbers":
        return InputValues(real, None, None, None, {"kind": "array"}, ())
    notes: list[str] = []
    raw = samples.dtype == np.uint8
    kind = _kind(real, values, notes, raw=raw, normalised=mean is not None or std is not None)
    if kind == "numbers":
        return InputValues(real, None, None, None, {"kind": "array"}, tuple(notes))
    preprocessing = {
        "height": shape[0], "width": shape[1], "channels": shape[2], "resize_ratio": RESIZE_RATIO,
    }  # fmt: skip
    if mean is not None or std is not None:
        return _normalised(real, kind, mean, std, preprocessing, tuple(notes), raw=raw)
    if raw and kind == "0-1":
        real = real / np.float32(_BYTE)
    if raw and kind == "-1-1":
        real = real / np.float32(_BYTE / 2) - np.float32(1)
    quant = {
        "0-1": Quant(1 / _BYTE, -128), "0-255": Quant(1.0, -128), "-1-1": Quant(2 / _BYTE, 0),
    }[kind]  # fmt: skip
    return InputValues(real, quant, None, None, preprocessing, tuple(notes))


def _kind(real: Floats, values: Values, notes: list[str], *, raw: bool, normalised: bool) -> str:
    """Which range the pixels have; what was not told is detected, and said."""
    low, high = float(real.min()), float(real.max())
    found = f"the calibration images have values from {low:.4g} to {high:.4g}"
    if values != "auto":
        limits = {"0-1": (0.0, 1.0), "0-255": (0.0, 255.0), "-1-1": (-1.0, 1.0)}[values]
        if not raw and not (limits[0] - 1e-3 <= low and high <= limits[1] + 1e-3):
            raise MicrotuneError(f"{found}: that is not values={values!r}")
        return values
    if raw:
        if not normalised:
            notes.append(
                f"{found} (bytes): the network is given {_SAID['0-1']}; give values='0-255' if it "
                "was trained on bytes"
            )
        return "0-1"
    if low >= 0 and high <= 1:
        kind = "0-1"
    elif low >= 0 and 2 < high <= _BYTE:
        kind = "0-255"
    elif -1 - 1e-3 <= low < 0 < high <= 1 + 1e-3 and not normalised:
        kind = "-1-1"
    elif normalised:
        raise MicrotuneError(
            f"{found}: with mean and std give images before they are normalised, from 0 to 1 or "
            "from 0 to 255"
        )
    else:
        notes.append(
            f"{found}: the model takes arrays of such numbers; for pictures give images from 0 to "
            "1 and mean= and std=, and the chip normalises pixels itself"
        )
        return "numbers"
    notes.append(f"{found}: taken as {_SAID[kind]}")
    return kind


def _normalised(
    real: Floats, kind: str, mean: Sequence[float] | None, std: Sequence[float] | None,
    preprocessing: dict[str, Any], notes: tuple[str, ...], *, raw: bool,
) -> InputValues:  # fmt: skip
    """Pixels of 0 to 1, of which the network's first step makes (x - mean)/std."""
    if kind == "-1-1":
        raise MicrotuneError("values='-1-1': such images are normalised already; leave out mean")
    channels = int(preprocessing["channels"])
    unit = real / np.float32(_BYTE) if raw or kind == "0-255" else real
    offset = _per_channel("mean", mean, 0.0, channels)
    spread = _per_channel("std", std, 1.0, channels)
    if not (spread > 0).all():
        raise MicrotuneError(f"std {std}: give numbers above 0")
    grey = len(set(offset)) == len(set(spread)) == 1
    exact = _BYTE * offset[0]
    if grey and abs(exact - round(exact)) < _CLOSE:
        # One scale and zero point say it all: the network needs no first step.
        quant = Quant(float(1 / (_BYTE * spread[0])), round(exact) - 128)
        scaled = ((unit - offset) / spread).astype(np.float32)
        return InputValues(scaled, quant, None, None, preprocessing, (*notes, _PLAIN))
    scale, shift = 1 / spread, -offset / spread
    return InputValues(
        unit, Quant(1 / _BYTE, -128), scale.astype(np.float32), shift.astype(np.float32),
        preprocessing, (*notes, _PLAIN),
    )  # fmt: skip


def _per_channel(
    name: str, given: Sequence[float] | None, default: float, channels: int
) -> npt.NDArray[np.float64]:
    try:
        numbers = np.asarray(default if given is None else given, np.float64).reshape(-1)
        result = np.broadcast_to(numbers, (channels,))
    except (TypeError, ValueError):
        raise MicrotuneError(f"{name} {given!r}: give one number, or {channels}") from None
    if not np.isfinite(result).all():
        raise MicrotuneError(f"{name} {given!r}: give finite numbers")
    return result
