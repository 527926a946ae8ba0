"""How a tensor of PyTorch lies in the memory of one of ours: no transpose moves anything.

Axes of PyTorch are (N, C, H, W), ours (1, H, W, C). A view, a permute or a flatten only changes
which element of our memory an index means. So an axis of the file's tensor is a list of digits
(size, step): index i of the axis, written in the mixed radix of the sizes, is the sum of
digit·step elements further in memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Digit = tuple[int, int]
Axis = tuple[Digit, ...]


@dataclass(frozen=True)
class View:
    """A tensor of PyTorch: `name` is ours, `axes` say where each of its elements is."""

    name: str
    axes: tuple[Axis, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape as PyTorch has it."""
        return tuple(math.prod(size for size, _ in axis) for axis in self.axes)

    def index(self, axis: int) -> npt.NDArray[np.int64]:
        """How far each index of an axis is in memory, int64 (size,)."""
        place = np.zeros(1, np.int64)
        for size, step in self.axes[axis]:
            place = (place[:, None] + np.arange(size, dtype=np.int64) * step).reshape(-1)
        return place

    def permuted(self, order: Sequence[int]) -> View:
        """The view whose axis i is axis order[i] of this one."""
        return View(self.name, tuple(self.axes[axis] for axis in order))

    def reshaped(self, shape: Sequence[int]) -> View | None:
        """The same elements in another shape; None if a digit would have to be cut unevenly."""
        left = [digit for axis in self.axes for digit in axis]
        axes: list[Axis] = []
        for wanted in shape:
            digits: list[Digit] = []
            while wanted > 1:
                if not left:
                    return None
                size, step = left.pop(0)
                if wanted % size == 0:
                    digits.append((size, step))
                    wanted //= size
                elif size % wanted == 0:
                    rest = size // wanted
                    digits.append((wanted, step * rest))
                    left.insert(0, (rest, step))
                    wanted = 1
                else:
                    return None
            axes.append(tuple(_joined(digits)))
        return View(self.name, tuple(axes))

    def order(self, axes: Iterable[int]) -> list[Digit]:
        """The digits of these axes behind each other, joined where they lie so in memory."""
        return _joined([digit for axis in axes for digit in self.axes[axis]])


def contiguous(name: str, shape: Sequence[int], order: Sequence[int]) -> View:
    """A tensor of this shape whose axes lie in memory in the given order, the last one fastest."""
    axes: list[Axis] = [() for _ in shape]
    step = 1
    for axis in reversed(order):
        axes[axis] = ((shape[axis], step),) if shape[axis] > 1 else ()
        step *= shape[axis]
    return View(name, tuple(axes))


def memory_order(rank: int) -> list[int]:
    """The order of PyTorch's axes in our memory: channels are the last."""
    return [0, *range(2, rank), 1] if rank > 1 else [0]


def is_plain(digits: Sequence[Digit]) -> bool:
    """Whether the digits are memory in its own order."""
    step = 1
    for size, own in reversed(digits):
        if own != step:
            return False
        step *= size
    return True


def _joined(digits: Iterable[Digit]) -> list[Digit]:
    made: list[Digit] = []
    for size, step in digits:
        if size == 1:
            continue
        if made and made[-1][1] == step * size:
            made[-1] = (made[-1][0] * size, step)
        else:
            made.append((size, step))
    return made
