"""Convolution and its two gradients on plain arrays, exact for integers below 2^53.

Everything is computed in float64 through BLAS: products and sums of the integer ranges that occur
(at most 2^32 before requantisation) are exact, so one routine serves integer and float graphs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.float64]


class ConvKind(Enum):
    """What a convolution's groups mean: the one definition, which the C gets as a constant.

    The value is the C enumerator. A layer of one channel in and one out is depthwise.
    """

    DENSE = "MT_DENSE"
    GROUPED = "MT_GROUPED"
    DEPTHWISE = "MT_DEPTHWISE"


def kind_of(groups: int, inputs: int, outputs: int) -> ConvKind:
    """The kind of a convolution with these numbers of groups and channels."""
    if groups == inputs == outputs:
        return ConvKind.DEPTHWISE
    return ConvKind.DENSE if groups == 1 else ConvKind.GROUPED


def is_per_channel(groups: int, inputs: int, outputs: int) -> bool:
    """Whether an output channel reads one input channel: depthwise, or with a channel multiplier,
    which makes the kind "grouped"."""
    return groups == inputs and (groups > 1 or outputs == 1)


def split_axis(groups: int) -> int:
    """The axis of O·KH·KW·I along which a partly trained weight is split.

    Only dense layers (input channels) and depthwise layers (output channels) can be split.
    """
    return 3 if groups == 1 else 0


@dataclass(frozen=True)
class Geometry:
    """Stride (h, w), padding (top, left, bottom, right) and groups."""

    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    groups: int

    def output_size(self, height: int, width: int, kh: int, kw: int) -> tuple[int, int]:
        """(out_h, out_w); non-positive where the kernel does not fit."""
        top, left, bottom, right = self.padding
        return (
            (height + top + bottom - kh) // self.stride[0] + 1,
            (width + left + right - kw) // self.stride[1] + 1,
        )


def _padded(x: Reals, g: Geometry) -> Reals:
    top, left, bottom, right = g.padding
    return np.pad(x, ((top, bottom), (left, right), (0, 0)))


def _taps(
    padded: Reals, kh: int, kw: int, out: tuple[int, int], g: Geometry
) -> Iterator[tuple[int, int, Reals]]:
    """Views of the padded input (out_h, out_w, C), one for each kernel position."""
    for i in range(kh):
        for j in range(kw):
            rows = slice(i, i + (out[0] - 1) * g.stride[0] + 1, g.stride[0])
            columns = slice(j, j + (out[1] - 1) * g.stride[1] + 1, g.stride[1])
            yield i, j, padded[rows, columns]


def convolve(x: npt.ArrayLike, w: npt.ArrayLike, g: Geometry) -> Reals:
    """(H, W, I), (O, KH, KW, I/groups) -> (out_h, out_w, O)."""
    x64, w64 = np.asarray(x, np.float64), np.asarray(w, np.float64)
    o, kh, kw, _ = w64.shape
    out = g.output_size(x64.shape[0], x64.shape[1], kh, kw)
    y = np.zeros((*out, o))
    single = is_per_channel(g.groups, x64.shape[2], o)
    for i, j, view in _taps(_padded(x64, g), kh, kw, out, g):
        if single:
            y += np.repeat(view, o // g.groups, axis=2) * w64[:, i, j, 0]
            continue
        for inputs, outputs in _group_slices(x64.shape[2], o, g.groups):
            y[..., outputs] += view[..., inputs] @ w64[outputs, i, j].T
    return y


def _group_slices(inputs: int, outputs: int, groups: int) -> list[tuple[slice, slice]]:
    ci, co = inputs // groups, outputs // groups
    return [(slice(k * ci, (k + 1) * ci), slice(k * co, (k + 1) * co)) for k in range(groups)]


def input_gradient(
    grad: npt.ArrayLike, w: npt.ArrayLike, size: tuple[int, int], g: Geometry
) -> Reals:
    """Transposed convolution: (out_h, out_w, O), (O, KH, KW, I/groups) -> (H, W, I)."""
    g64, w64 = np.asarray(grad, np.float64), np.asarray(w, np.float64)
    o, kh, kw, per_group = w64.shape
    channels = per_group * g.groups
    top, left, bottom, right = g.padding
    padded = np.zeros((size[0] + top + bottom, size[1] + left + right, channels))
    single = is_per_channel(g.groups, channels, o)
    for i, j, view in _taps(padded, kh, kw, (g64.shape[0], g64.shape[1]), g):
        if single:
            product = g64 * w64[:, i, j, 0]
            view += product.reshape(*g64.shape[:2], channels, o // channels).sum(axis=3)
            continue
        for inputs, outputs in _group_slices(channels, o, g.groups):
            view[..., inputs] += g64[..., outputs] @ w64[outputs, i, j]
    return padded[top : top + size[0], left : left + size[1]]


def weight_gradient(
    x: npt.ArrayLike, grad: npt.ArrayLike, kernel: tuple[int, int], g: Geometry
) -> Reals:
    """Correlation: (H, W, I), (out_h, out_w, O) -> (O, KH, KW, I/groups)."""
    x64, g64 = np.asarray(x, np.float64), np.asarray(grad, np.float64)
    channels, o = x64.shape[2], g64.shape[2]
    dw = np.zeros((o, *kernel, channels // g.groups))
    single = is_per_channel(g.groups, channels, o)
    out = (g64.shape[0], g64.shape[1])
    for i, j, view in _taps(_padded(x64, g), *kernel, out, g):
        if single:
            dw[:, i, j, 0] = (np.repeat(view, o // channels, axis=2) * g64).sum(axis=(0, 1))
            continue
        for inputs, outputs in _group_slices(channels, o, g.groups):
            flat = view[..., inputs].reshape(-1, channels // g.groups)
            dw[outputs, i, j] = g64[..., outputs].reshape(-1, o // g.groups).T @ flat
    return dw
