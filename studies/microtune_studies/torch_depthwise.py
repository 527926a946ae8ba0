"""Depthwise convolution of small frames as one matrix a channel (simulated baselines).

PyTorch's own depthwise gradient takes ten to fifteen times longer on frames of 4×4 and minibatches
of 16, which made it most of a study's time. The sums are the same, in another order.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

_LARGEST_FRAME = 64  # input elements a channel; a larger matrix costs more than it saves


def suits(x: Tensor, weight: Tensor, groups: int) -> bool:
    """Whether `depthwise` is the faster way for x (N, C, H, W) and weight (O, I, KH, KW)."""
    batch, channels, height, width = x.shape
    one_each = groups == channels == weight.shape[0]
    small = height * width <= _LARGEST_FRAME
    return bool(one_each and batch > 1 and small and weight.shape[-1] > 1)


def depthwise(
    torch: ModuleType, x: Tensor, weight: Tensor, stride: Sequence[int], padding: Sequence[int]
) -> Tensor:
    """A depthwise convolution: (N, C, OH, OW) of x (N, C, H, W) and weight (C, 1, KH, KW).

    Zero padding is (top, left, bottom, right).
    """
    batch, channels, height, width = x.shape
    geometry = (height, width, *weight.shape[2:], *stride, *padding)
    taps, rows, columns = _taps(torch, *geometry)
    matrices = (weight.flatten(1) @ taps).reshape(channels, height * width, rows * columns)
    y = torch.bmm(x.flatten(2).transpose(0, 1), matrices)
    found: Tensor = y.transpose(0, 1).reshape(batch, channels, rows, columns)
    return found


@cache
def _taps(
    torch: ModuleType, height: int, width: int, kernel_h: int, kernel_w: int, stride_h: int,
    stride_w: int, top: int, left: int, bottom: int, right: int,
) -> tuple[Tensor, int, int]:  # fmt: skip
    """A matrix (KH·KW, H·W·OH·OW) with 1 where an element of the kernel joins input and output."""
    rows = (height + top + bottom - kernel_h) // stride_h + 1
    columns = (width + left + right - kernel_w) // stride_w + 1
    taps = np.zeros((kernel_h, kernel_w, height, width, rows, columns), np.float32)
    for tap_y, tap_x, row, column in np.ndindex(kernel_h, kernel_w, rows, columns):
        y, x = row * stride_h + tap_y - top, column * stride_w + tap_x - left
        if 0 <= y < height and 0 <= x < width:
            taps[tap_y, tap_x, y, x, row, column] = 1
    return torch.from_numpy(taps.reshape(kernel_h * kernel_w, -1)), rows, columns
