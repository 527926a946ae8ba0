"""Convolutions and pools over batches of images, (N, H, W, C) float32."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
# Elements of unrolled patches that a dense convolution holds at once.
_PATCH_ELEMENTS = 1 << 23


def _padded(x: Floats, padding: Sequence[int], value: float = 0.0) -> Floats:
    if not any(padding):
        return x
    top, left, bottom, right = padding
    return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=value)


def _taps(
    x: Floats, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int] = (1, 1)
) -> Iterator[tuple[int, int, Floats]]:
    """(row, column, view (N, OH, OW, C)) for each position of a window on a padded image."""
    span = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    rows, columns = ((n - s) // st for n, s, st in zip(x.shape[1:3], span, stride, strict=True))
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            top, left = i * dilation[0], j * dilation[1]
            yield i, j, x[
                :, top : top + rows * stride[0] + 1 : stride[0],
                left : left + columns * stride[1] + 1 : stride[1],
            ]  # fmt: skip


def convolve(
    x: Floats, weight: Floats, stride: Sequence[int], padding: Sequence[int],
    dilation: Sequence[int], groups: int,
) -> Floats:  # fmt: skip
    """(N, H, W, I), (O, KH, KW, I/groups) -> (N, OH, OW, O)."""
    x = _padded(x, padding)
    outputs, kh, kw, per_group = weight.shape
    if groups == 1:
        return _dense(x, weight, stride, dilation)
    if per_group == 1 and groups == outputs:
        total: Floats | None = None
        for i, j, view in _taps(x, (kh, kw), stride, dilation):
            product = view * weight[:, i, j, 0]
            total = product if total is None else np.add(total, product, out=total)
        assert total is not None
        return total
    parts = zip(np.split(x, groups, axis=3), np.split(weight, groups), strict=True)
    return np.concatenate([_dense(part, w, stride, dilation) for part, w in parts], axis=3)


def _dense(x: Floats, weight: Floats, stride: Sequence[int], dilation: Sequence[int]) -> Floats:
    outputs, kh, kw, _ = weight.shape
    matrix = np.ascontiguousarray(weight.reshape(outputs, -1).T)
    made = []
    patch = int(np.prod(x.shape[1:3])) * len(matrix)
    step = max(_PATCH_ELEMENTS // patch, 1)
    for first in range(0, len(x), step):
        views = [view for _, _, view in _taps(x[first : first + step], (kh, kw), stride, dilation)]
        made.append(np.concatenate(views, axis=3) @ matrix)
    return np.concatenate(made)


def transposed(
    x: Floats, weight: Floats, stride: Sequence[int], cut: Sequence[int], size: Sequence[int]
) -> Floats:
    """(N, H, W, I), (O, KH, KW, I) -> (N, *size, O): x[i]·weight[k] counts for i·stride + k - cut.

    It is a convolution of x with zeros between its elements.
    """
    _, kh, kw, channels = weight.shape
    places = [(n - 1) * s + k for n, s, k in zip(x.shape[1:3], stride, (kh, kw), strict=True)]
    reach = [max(place, c + n) for place, c, n in zip(places, cut, size, strict=True)]
    spread = np.zeros((len(x), reach[0] + kh - 1, reach[1] + kw - 1, channels), np.float32)
    rows, columns = (
        slice(k - 1, k + (n - 1) * s, s)
        for k, n, s in zip((kh, kw), x.shape[1:3], stride, strict=True)
    )
    spread[:, rows, columns] = x
    made = _dense(spread, np.ascontiguousarray(weight[:, ::-1, ::-1]), (1, 1), (1, 1))
    return made[:, cut[0] : cut[0] + size[0], cut[1] : cut[1] + size[1]]


def max_pool(
    x: Floats, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int]
) -> Floats:
    """The largest value of each window; a border never wins."""
    views = [view for _, _, view in _taps(_padded(x, padding, -np.inf), kernel, stride)]
    made: Floats = np.maximum.reduce(views)
    return made


def average_pool(x: Floats, kernel: Sequence[int], stride: Sequence[int]) -> Floats:
    """The mean of each window, which lies inside of the image."""
    total = np.zeros((), np.float32)
    for _, _, view in _taps(x, kernel, stride):
        total = total + view
    return total / np.float32(kernel[0] * kernel[1])


def resize(x: Floats, size: Sequence[int], *, bilinear: bool, corners: bool) -> Floats:
    """The image in another size; bilinear with the centres of elements, or with the corners, in
    place."""
    rows, columns = (
        _weights(count, wanted, bilinear=bilinear, corners=corners)
        for count, wanted in zip(x.shape[1:3], size, strict=True)
    )
    made: Floats = np.einsum("ri,nijc,sj->nrsc", rows, x, columns, optimize=True)
    return made.astype(np.float32)


def _weights(count: int, size: int, *, bilinear: bool, corners: bool) -> Floats:
    """What each element counts for each of the result, (size, count)."""
    index = np.arange(size)
    made = np.zeros((size, count), np.float32)
    if not bilinear:
        made[index, np.minimum(index * count // size, count - 1)] = 1
        return made
    place: npt.NDArray[np.float64] = (index + 0.5) * count / size - 0.5
    if corners:
        place = index.astype(np.float64) * ((count - 1) / max(size - 1, 1))
    place = np.clip(place, 0.0, count - 1.0)
    lower = np.floor(place).astype(np.int64)
    np.add.at(made, (index, lower), 1 - (place - lower))
    np.add.at(made, (index, np.minimum(lower + 1, count - 1)), place - lower)
    return made
