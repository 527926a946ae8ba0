"""Dilated and transposed convolutions, of ops that are there: exact for codes and for gradients.

The outputs of a dilated convolution fall into phases: those whose row and column leave the same
remainders read only inputs of one phase, and among these neighbours. So an ordinary convolution
makes all of them once the phases lie apart. Rows need no move: the image (H, W) read as (H/d, d·W)
has the phases of rows side by side. Phases of columns are a transpose. Real zeros between the
phases are the padding; what the convolution makes across them is cut away, and has the gradient 0.

A transposed convolution is a convolution of the image with real zeros between its elements, by the
kernel turned round. Where the kernel is a multiple of the stride, each phase of the result has as
many taps: then one convolution makes all phases as channels, and no zero is multiplied.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from microtune.ir.graph import Array, Attr, Graph

Apply = Callable[[str, str, Sequence[str], dict[str, Attr]], str]
Pads = tuple[int, int, int, int]


@dataclass(frozen=True)
class Phases:
    """One axis of a dilated convolution, cut into `dilation` phases of `length` elements each.

    `begin` is where the image begins once it has been padded, `pads` are those of the convolution
    of phases, `made` is how many elements of each phase it makes, `wanted` how many there are in
    all phases together.
    """

    dilation: int
    begin: int
    length: int
    pads: tuple[int, int]
    made: int
    wanted: int

    @property
    def size(self) -> int:
        """Elements of the padded image along this axis."""
        return self.dilation * self.length

    @staticmethod
    def of(size: int, kernel: int, dilation: int, pads: tuple[int, int], blocks: int) -> Phases:
        """The phases of an axis. `blocks` is how often they follow each other in memory: where it
        is more than once, zeros lie between them. Raises ValueError if the kernel does not fit."""
        wanted = size + sum(pads) - (kernel - 1) * dilation
        if wanted < 1:
            raise ValueError(
                f"a kernel of {kernel} with dilation {dilation} is larger than {size} with pads "
                f"{pads}"
            )
        before = min(pads[0] // dilation, kernel - 1)
        begin = pads[0] - before * dilation
        filled, outputs = -(-(size + begin) // dilation), -(-wanted // dilation)
        reach = outputs + kernel - 1 - before
        if blocks > 1:
            length = max(reach, filled + before)
            return Phases(dilation, begin, length, (before, kernel - 1 - before), length, wanted)
        behind = max(reach - filled, 0)
        made = filled + before + behind - kernel + 1
        return Phases(dilation, begin, filled, (before, behind), made, wanted)


@dataclass(frozen=True)
class Window:
    """A dilated kernel: (height, width), taps so far apart, and (top, left, bottom, right)."""

    kernel: tuple[int, int]
    dilation: tuple[int, int]
    stride: tuple[int, int]
    padding: Pads

    def turned(self) -> Window:
        """The window of the image turned round its diagonal."""
        top, left, bottom, right = self.padding
        kernel, dilation, stride = (
            (pair[1], pair[0]) for pair in (self.kernel, self.dilation, self.stride)
        )
        pads = (left, top, right, bottom)
        return Window(kernel, dilation, stride, pads)


@dataclass(frozen=True)
class Moves:
    """Appends moves to a graph; `apply` takes an op, a name, operands and attributes."""

    graph: Graph
    apply: Apply

    def reshaped(self, name: str, x: str, shape: tuple[int, ...]) -> str:
        """The elements of x in this shape."""
        if self.graph.tensors[x].shape == shape:
            return x
        return self.apply("reshape", name, (x,), {"shape": list(shape)})

    def padded(
        self, name: str, x: str, size: tuple[int, int], begin: tuple[int, int],
        stride: tuple[int, int] = (1, 1),
    ) -> str:  # fmt: skip
        """An image of this size of real zeros that has x from `begin` on, by steps of `stride`."""
        shape = self.graph.tensors[x].shape
        if (1, *size, shape[3]) == shape:
            return x
        return self.apply("pad", name, (x,), {
            "shape": [1, *size, shape[3]], "begin": [0, *begin, 0], "stride": [1, *stride, 1],
            "value": self.graph.quant(x).zero_point,
        })  # fmt: skip

    def turned(self, name: str, x: str, grid: tuple[int, int]) -> str:
        """The elements of a grid (a, b) of channels as the grid (b, a)."""
        if 1 in grid:
            return x
        seen = self.reshaped(f"{name}.grid", x, (1, *grid, self.graph.tensors[x].shape[3]))
        return self.apply("transpose", name, (seen,), {"axes": [0, 2, 1, 3]})


def dilated(
    moves: Moves, name: str, x: str, w: Window, convolve: Callable[[str, Pads], str]
) -> str:
    """Append a dilated convolution of x (1, H, W, C); returns its result.

    `convolve` gets the image of phases and its padding, and appends a convolution of stride 1.
    Raises ValueError if the kernel does not fit.
    """
    shape, (down, across) = moves.graph.tensors[x].shape, w.dilation
    top, left, bottom, right = w.padding
    rows = Phases.of(shape[1], w.kernel[0], down, (top, bottom), across)
    columns = Phases.of(shape[2], w.kernel[1], across, (left, right), down)
    size, begin = (rows.size, columns.size), (rows.begin, columns.begin)
    image = moves.padded(f"{name}.padded", x, size, begin)
    image = moves.turned(f"{name}.apart", image, (rows.size * columns.length, across))
    seen = (1, across * rows.length, down * columns.length, shape[3])
    image = moves.reshaped(f"{name}.phases", image, seen)
    image = convolve(image, (rows.pads[0], columns.pads[0], rows.pads[1], columns.pads[1]))
    outputs = moves.graph.tensors[image].shape[3]
    image = moves.turned(f"{name}.together", image, (across, rows.made * down * columns.made))
    made = (rows.made * down, columns.made * across)
    image = moves.reshaped(f"{name}.image", image, (1, *made, outputs))
    wanted = [(p.wanted - 1) // s + 1 for p, s in zip((rows, columns), w.stride, strict=True)]
    if tuple(wanted) == made and w.stride == (1, 1):
        return image
    return moves.apply("slice", f"{name}.cut", (image,), {
        "shape": [1, *wanted, outputs], "begin": [0, 0, 0, 0], "stride": [1, *w.stride, 1],
    })  # fmt: skip


def spread(
    moves: Moves, name: str, x: str, w: Window, size: tuple[int, int]
) -> tuple[str, Pads]:  # fmt: skip
    """The image under a transposed convolution whose result has this size, and its padding.

    x gets stride - 1 real zeros between its elements. `w.padding` is what is cut from the result:
    the convolution backwards would pad it so. Raises ValueError for a size that cannot be.
    """
    shape, pads = moves.graph.tensors[x].shape, []
    for axis in (0, 1):
        n, kernel, stride, cut = shape[axis + 1], w.kernel[axis], w.stride[axis], w.padding[axis]
        before = kernel - 1 - cut
        behind = size[axis] - 1 - (n - 1) * stride + cut
        if before < 0 or not 0 <= behind < kernel - 1 + stride:
            raise ValueError(
                f"a transposed convolution of {n} elements by a kernel of {kernel} and a stride of "
                f"{stride} does not make {size[axis]}, of which {cut} were cut before"
            )
        pads.append((before, behind))
    (top, bottom), (left, right) = pads
    large = ((shape[1] - 1) * w.stride[0] + 1, (shape[2] - 1) * w.stride[1] + 1)
    image = moves.padded(f"{name}.spread", x, large, (0, 0), w.stride)
    return image, (top, left, bottom, right)


def has_whole_phases(shape: tuple[int, ...], w: Window, size: tuple[int, int]) -> bool:
    """Whether `joined_phases` can make a transposed convolution of an image (1, H, W, C)."""
    whole = all(k % s == 0 for k, s in zip(w.kernel, w.stride, strict=True))
    reach = [
        (n - 1) * s + k for n, s, k in zip(shape[1:3], w.stride, w.kernel, strict=True)
    ]  # fmt: skip
    fits = all(
        0 <= cut < k and cut + made <= whole_size
        for cut, k, made, whole_size in zip(w.padding[:2], w.kernel, size, reach, strict=True)
    )
    return whole and fits and max(w.stride) > 1


def phases_of_kernel(weight: Array, stride: tuple[int, int]) -> Array:
    """A kernel (O, KH, KW, I) as (SH·SW·O, KW/SW, KH/SH, I): the taps of each phase turned round,
    for an image turned round its diagonal."""
    outputs, kh, kw, inputs = weight.shape
    down, across = stride
    taps = weight.reshape(outputs, kh // down, down, kw // across, across, inputs)
    turned = taps[:, ::-1, :, ::-1].transpose(2, 4, 0, 3, 1, 5)
    shape = (down * across * outputs, kw // across, kh // down, inputs)
    made: Array = np.ascontiguousarray(turned.reshape(shape))
    return made


def joined_phases(
    moves: Moves, name: str, x: str, w: Window, size: tuple[int, int],
    convolve: Callable[[str, Pads], str],
) -> str:  # fmt: skip
    """Append a transposed convolution of x (1, H, W, C) around `convolve`; returns its result.

    `convolve` gets the image turned round its diagonal, whose convolution makes the rows of phases
    as channels: they lie behind each other, and a turn brings them into place.
    """
    _, height, width, channels = moves.graph.tensors[x].shape
    (down, across), taps = w.stride, [k // s for k, s in zip(w.kernel, w.stride, strict=True)]
    image = moves.turned(f"{name}.turned", x, (height, width))
    image = moves.reshaped(f"{name}.columns", image, (1, width, height, channels))
    image = convolve(image, (taps[1] - 1, taps[0] - 1, taps[1] - 1, taps[0] - 1))
    _, columns, rows, parts = moves.graph.tensors[image].shape
    outputs = parts // (down * across)
    image = moves.reshaped(
        f"{name}.parts", image, (1, columns, rows * down, across * outputs)
    )  # fmt: skip
    image = moves.turned(f"{name}.together", image, (columns, rows * down))
    whole = (1, rows * down, columns * across, outputs)
    image = moves.reshaped(f"{name}.image", image, whole)
    if size == whole[1:3]:
        return image
    return moves.apply("slice", f"{name}.cut", (image,), {
        "shape": [1, *size, outputs], "begin": [0, *w.padding[:2], 0], "stride": [1, 1, 1, 1],
    })  # fmt: skip
