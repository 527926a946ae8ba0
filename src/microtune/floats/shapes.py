"""The shape that each op of the float graph makes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from microtune.floats.graph import FloatNode

Shape = tuple[int, ...]


def result_shape(node: FloatNode, operands: Sequence[Shape]) -> Shape:
    """The shape of a node's result. Raises ValueError for operands that do not fit."""
    x = operands[0]
    if node.op in ("conv", "max_pool", "average_pool"):
        return _window_shape(node, x)
    if node.op == "linear":
        outputs, inputs = node.arrays["weight"].shape
        if x != (1, inputs):
            raise ValueError(f"linear: a weight for {inputs} inputs on {list(x)}")
        return 1, outputs
    if node.op == "concat":
        axis = node.int("axis")
        if any((*o[:axis], *o[axis + 1 :]) != (*x[:axis], *x[axis + 1 :]) for o in operands):
            raise ValueError(f"concat of {[list(o) for o in operands]} along axis {axis}")
        return (*x[:axis], sum(o[axis] for o in operands), *x[axis + 1 :])
    if node.op in ("resize", "transposed_conv"):
        height, width = node.ints("size")
        return 1, height, width, len(node.arrays["weight"]) if node.arrays else x[3]
    if node.op in ("reshape", "pad", "slice"):
        shape = tuple(node.ints("shape"))
        if node.op == "reshape" and math.prod(shape) != math.prod(x):
            raise ValueError(f"reshape of {list(x)} to {list(shape)}")
        return shape
    if node.op == "transpose":
        return tuple(x[axis] for axis in node.ints("axes"))
    if node.op in ("add", "sub", "mul"):
        channels = (*(1,) * (len(x) - 1), x[-1])
        if operands[1] != x and not (node.op == "mul" and operands[1] == channels):
            raise ValueError(f"{node.op} of {list(x)} and {list(operands[1])}")
    if node.op == "affine" and node.arrays["scale"].shape != x[-1:]:
        raise ValueError(f"affine of {node.arrays['scale'].shape} on {list(x)}")
    return x


def _window_shape(node: FloatNode, x: Shape) -> Shape:
    if len(x) != 4:
        raise ValueError(f"{node.op}: {list(x)} is not (1, H, W, C)")
    channels = x[3]
    if node.op == "conv":
        channels, *kernel, per_group = node.arrays["weight"].shape
        if per_group * node.int("groups") != x[3]:
            raise ValueError(f"conv: a weight for {per_group} channels a group on {list(x)}")
    else:
        kernel = node.ints("kernel")
    top, left, bottom, right = node.ints("padding") if "padding" in node.attrs else (0,) * 4
    dilation = node.ints("dilation") if "dilation" in node.attrs else (1, 1)
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    stride = node.ints("stride")
    height = (x[1] + top + bottom - spans[0]) // stride[0] + 1
    width = (x[2] + left + right - spans[1]) // stride[1] + 1
    if min(height, width) < 1:
        raise ValueError(f"{node.op}: a window of {spans} is larger than {list(x)}")
    return 1, height, width, channels
