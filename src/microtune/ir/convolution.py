"""Convolution and its two gradients on plain arrays, exact for integers below 2^53.

Everything is computed in float64 through BLAS: products and sums of the integer ranges that occur
(at most 2^32 before requantisation) are exact, so one routine serves integer and float graphs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.float64]


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
    depthwise = w64.shape[3] == 1 and g.groups == x64.shape[2]
    for i, j, view in _taps(_padded(x64, g), kh, kw, out, g):
        if depthwise:
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
    depthwise = per_group == 1 and g.groups == channels
    for i, j, view in _taps(padded, kh, kw, (g64.shape[0], g64.shape[1]), g):
        if depthwise:
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
    depthwise = g.groups == channels
    out = (g64.shape[0], g64.shape[1])
    for i, j, view in _taps(_padded(x64, g), *kernel, out, g):
        if depthwise:
            dw[:, i, j, 0] = (np.repeat(view, o // channels, axis=2) * g64).sum(axis=(0, 1))
            continue
        for inputs, outputs in _group_slices(channels, o, g.groups):
            flat = view[..., inputs].reshape(-1, channels // g.groups)
            dw[outputs, i, j] = g64[..., outputs].reshape(-1, o // g.groups).T @ flat
    return dw
