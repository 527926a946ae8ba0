"""Convolutions, transposed convolutions, linear layers and batch norms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from microtune.floats import Floats
from microtune.importers.base import CannotError
from microtune.importers.pytorch.lowering import FxNode, Lowering, module_of, name_of, shape_of
from microtune.importers.pytorch.operators.registry import pair, row, takes
from microtune.importers.pytorch.views import View


@takes("conv2d")
def conv2d(
    low: Lowering, fx: FxNode, x: Any, weight: Any, bias: Any = None, stride: Any = 1,  # noqa: ANN401
    padding: Any = 0, dilation: Any = 1, groups: int = 1,  # noqa: ANN401
) -> None:  # fmt: skip
    """A convolution of images; `padding` may be the word "same" or "valid"."""
    w = low.constant(weight).transpose(0, 2, 3, 1)
    _convolve(low, fx, low.image(x), w, bias, pair(stride), padding, pair(dilation), groups, pair)


@takes("conv1d")
def conv1d(
    low: Lowering, fx: FxNode, x: Any, weight: Any, bias: Any = None, stride: Any = 1,  # noqa: ANN401
    padding: Any = 0, dilation: Any = 1, groups: int = 1,  # noqa: ANN401
) -> None:  # fmt: skip
    """A convolution of signals: images of height 1."""
    w = low.constant(weight).transpose(0, 2, 1)[:, None]
    stride, dilation = (1, row(stride)[1]), (1, row(dilation)[1])
    _convolve(low, fx, low.image(x), w, bias, stride, padding, dilation, groups, _along)


def _along(padding: Any) -> tuple[int, int]:  # noqa: ANN401
    return 0, row(padding)[1]


def _convolve(
    low: Lowering, fx: FxNode, x: str, weight: Floats, bias: Any, stride: Sequence[int],  # noqa: ANN401
    padding: Any, dilation: Sequence[int], groups: int, sides: Any,  # noqa: ANN401
) -> None:  # fmt: skip
    if padding == "same":
        spans = [(k - 1) * d for k, d in zip(weight.shape[1:3], dilation, strict=True)]
        around = [spans[0] // 2, spans[1] // 2, -(-spans[0] // 2), -(-spans[1] // 2)]
    elif padding == "valid":
        around = [0, 0, 0, 0]
    else:
        height, width = sides(padding)
        around = [height, width, height, width]
    low.give(
        fx, "conv", [x],
        {"stride": list(stride), "padding": around, "dilation": list(dilation), "groups": groups},
        {"weight": np.ascontiguousarray(weight), "bias": _bias(low, bias, len(weight))},
    )  # fmt: skip


def _bias(low: Lowering, bias: Any, outputs: int) -> Floats:  # noqa: ANN401
    return np.zeros(outputs, np.float32) if bias is None else low.constant(bias)


@takes("convolution")
def convolution(
    low: Lowering, fx: FxNode, x: Any, weight: Any, bias: Any, stride: Any, padding: Any,  # noqa: ANN401
    dilation: Any, transposed: bool, output_padding: Any, groups: int,  # noqa: ANN401
) -> None:  # fmt: skip
    """The form of core ATen, for signals and images."""
    image = len(shape_of(fx)) == 4
    if transposed:
        if not image:
            raise CannotError("a transposed convolution of a signal", "conv_transpose2d")
        conv_transpose2d(
            low, fx, x, weight, bias, stride, padding, output_padding, groups, dilation
        )
    else:
        (conv2d if image else conv1d)(low, fx, x, weight, bias, stride, padding, dilation, groups)


@takes("conv_transpose2d")
def conv_transpose2d(
    low: Lowering, fx: FxNode, x: Any, weight: Any, bias: Any = None, stride: Any = 1,  # noqa: ANN401
    padding: Any = 0, output_padding: Any = 0, groups: int = 1, dilation: Any = 1,  # noqa: ANN401
) -> None:  # fmt: skip
    """A transposed convolution, whose padding cuts the border of the result."""
    if groups != 1 or pair(dilation) != (1, 1):
        raise CannotError("a grouped or dilated transposed convolution", "groups=1, dilation=1")
    w = low.constant(weight).transpose(1, 2, 3, 0)
    low.give(
        fx, "transposed_conv", [low.image(x)],
        {"stride": list(pair(stride)), "cut": list(pair(padding)), "size": list(shape_of(fx)[2:])},
        {"weight": np.ascontiguousarray(w), "bias": _bias(low, bias, len(w))},
    )  # fmt: skip


@takes("linear")
def linear(low: Lowering, fx: FxNode, x: Any, weight: Any, bias: Any = None) -> None:  # noqa: ANN401
    """A fully connected layer; its columns are put into the order of our memory."""
    _linear(low, fx, low.view(x), low.constant(weight), bias)


@takes("addmm")
def addmm(
    low: Lowering, fx: FxNode, bias: Any, x: Any, weight: Any, *, beta: float = 1,  # noqa: ANN401
    alpha: float = 1,
) -> None:  # fmt: skip
    """The form of core ATen of a linear layer."""
    if beta != 1 or alpha != 1:
        raise CannotError("a scaled sum", "beta and alpha of 1")
    _linear(low, fx, low.view(x), low.constant(weight).T, bias)


@takes("mm", "matmul")
def matmul(low: Lowering, fx: FxNode, x: Any, weight: Any) -> None:  # noqa: ANN401
    """A product with a constant matrix; one of two computed tensors is attention or its kin."""
    if low.is_computed(weight):
        raise CannotError("a product of two computed matrices", "layers with constant weights")
    _linear(low, fx, low.view(x), low.constant(weight).T, None)


def _linear(low: Lowering, fx: FxNode, view: View, weight: Floats, bias: Any) -> None:  # noqa: ANN401
    shape = view.shape
    if any(size != 1 for size in shape[:-1]) or weight.ndim != 2:
        raise CannotError(f"a linear layer on {list(shape)}", "one vector, (1, C)")
    columns = np.empty_like(weight)
    columns[:, view.index(len(shape) - 1)] = weight
    x = low.shaped(view.name, (1, shape[-1]))
    arrays = {"weight": np.ascontiguousarray(columns), "bias": _bias(low, bias, len(weight))}
    low.give(fx, "linear", [x], {}, arrays)


@takes("batch_norm", "_native_batch_norm_legit_no_training")
def batch_norm(
    low: Lowering, fx: FxNode, x: Any, weight: Any, bias: Any, mean: Any, var: Any, *rest: Any  # noqa: ANN401
) -> None:  # fmt: skip
    """A scale and a shift of each channel, with the statistics of training."""
    # The form of core ATen has (momentum, eps), the other (training, momentum, eps, cudnn).
    training, eps = (rest[0], rest[2]) if len(rest) == 4 else (False, rest[1])
    if training or mean is None or var is None:
        raise CannotError("batch norm without stored statistics", "track_running_stats=True")
    variance = low.constant(var).astype(np.float64)
    scale = (1.0 if weight is None else low.constant(weight)) / np.sqrt(variance + float(eps))
    shift = (0.0 if bias is None else low.constant(bias)) - low.constant(mean) * scale
    affine(low, fx, low.view(x), scale.astype(np.float32), shift.astype(np.float32))


@takes("getitem")
def getitem(low: Lowering, fx: FxNode, x: Any, number: int) -> None:  # noqa: ANN401
    """A part of an operator with many results; a batch norm of core ATen has one that is used."""
    if x.name in low.parts:
        low.alias(fx, low.parts[x.name][number])
    elif number == 0:
        low.alias(fx, low.view(x))
    else:
        raise CannotError("a second result", "the first one")


def affine(low: Lowering, fx: FxNode, view: View, scale: Floats, shift: Floats) -> None:
    """Append scale·x + shift; both are one number, or one a channel (axis 1) of `view`."""
    channels = view.shape[1] if len(view.shape) > 1 else 1
    scale, shift = (np.broadcast_to(a, (channels,)).astype(np.float32) for a in (scale, shift))
    if len(view.shape) == 2:
        place, ours = view.index(1), {}
        for name, array in (("scale", scale), ("shift", shift)):
            ours[name] = np.empty_like(array)
            ours[name][place] = array
        x = low.shaped(view.name, (1, channels))
        made = low.node("affine", name_of(fx), [x], {}, ours, module_of(fx))
        low.alias(fx, View(made, view.axes))
        return
    low.give(fx, "affine", [low.plain(view)], {}, {"scale": scale, "shift": shift})
