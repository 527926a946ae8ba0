"""What a model's input is: pixels minus 128, or numbers of another kind."""

from __future__ import annotations

from typing import Any

from microtune.ir.graph import Tensor

RESIZE_RATIO = 0.875
# The `kind` of preprocessing of plain arrays (docs/data.md).
ARRAY = "array"
# (smallest, largest) real of a pixel, as networks for photos have them.
_RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (-128.0, 127.0))
_TOLERANCE_CODES = 1.0


def preprocessing_of(model_input: Tensor) -> dict[str, Any]:
    """The preprocessing, as a model file has it, of an input, int8 (1, H, W, C) or (1, C).

    It is a picture where it has one or three channels and its quantisation maps one of the usual
    ranges of pixels to the codes −128 to 127: then the code of a pixel is pixel − 128. Anything
    else takes arrays of numbers.
    """
    shape = model_input.shape
    if len(shape) != 4 or shape[3] not in (1, 3) or min(shape[1:3]) < 8 or not _pixels(model_input):
        return {"kind": ARRAY}
    return {
        "height": shape[1], "width": shape[2], "channels": shape[3], "resize_ratio": RESIZE_RATIO,
    }  # fmt: skip


def _pixels(model_input: Tensor) -> bool:
    quant = model_input.quant
    assert quant is not None and quant.scale is not None
    for low, high in _RANGES:
        codes = [real / quant.scale + quant.zero_point for real in (low, high)]
        if abs(codes[0] + 128) <= _TOLERANCE_CODES and abs(codes[1] - 127) <= _TOLERANCE_CODES:
            return True
    return False
