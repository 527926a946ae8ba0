"""Convolutions and fully connected layers."""

from __future__ import annotations

from typing import Any

import tflite

from microtune.importers.tflite.operators.fused import fused_bounds
from microtune.importers.tflite.operators.registry import takes
from microtune.importers.tflite.reader import Operator
from microtune.importers.tflite.translation import (
    NHWC,
    NO_PADS,
    CannotError,
    Translation,
    Value,
)
from microtune.importers.tflite.weights import Weights, layer_weights


def sides(
    padding: int, size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int]
) -> tuple[int, int, int, int]:
    """(top, left, bottom, right) of a window operator; the odd one is at the bottom and right."""
    if padding == tflite.Padding.VALID:
        return 0, 0, 0, 0
    total = [
        max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(size, kernel, stride, strict=True)
    ]
    before = [n // 2 for n in total]
    return before[0], before[1], total[0] - before[0], total[1] - before[1]


def strides(options: Any) -> tuple[int, int]:  # noqa: ANN401
    """(vertical, horizontal) stride. Raises CannotError for what is no stride."""
    found = options.StrideH(), options.StrideW()
    if not all(1 <= n <= 2**15 for n in found):
        raise CannotError(f"strides {found}", "strides of at least 1")
    return found


def dilations(options: Any) -> tuple[int, int]:  # noqa: ANN401
    """(vertical, horizontal) dilation. Raises CannotError for what is none."""
    found = options.DilationHFactor(), options.DilationWFactor()
    if not all(1 <= n <= 2**15 for n in found):
        raise CannotError(f"dilations {found}", "dilations of at least 1")
    return found


@takes("CONV_2D")
def conv_2d(t: Translation, operator: Operator) -> None:
    """A convolution; groups follow from the channels of its weight."""
    weight = t.tensor(operator, 1)
    if len(weight.shape) != 4 or min(weight.shape) < 1:
        raise CannotError(f"a weight of shape {list(weight.shape)}", "(O, KH, KW, I)")
    channels = t.tensor(operator, 0).shape[-1]
    if channels % weight.shape[3] or weight.shape[0] % (channels // weight.shape[3]):
        raise CannotError(f"a weight {list(weight.shape)} on {channels} channels", "one that fits")
    parameters = layer_weights(weight, t.optional(operator, 2), 0)
    options = operator.read(tflite.Conv2DOptions)
    _convolution(t, operator, parameters, options, channels // weight.shape[3])


@takes("DEPTHWISE_CONV_2D")
def depthwise_conv_2d(t: Translation, operator: Operator) -> None:
    """A depthwise convolution; its weight is (1, KH, KW, O), channel i·multiplier + m of it."""
    weight, channels = t.tensor(operator, 1), t.tensor(operator, 0).shape[-1]
    if len(weight.shape) != 4 or weight.shape[0] != 1 or min(weight.shape) < 1:
        raise CannotError(f"a weight of shape {list(weight.shape)}", "(1, KH, KW, O)")
    if weight.shape[3] % channels:
        raise CannotError(f"a weight {list(weight.shape)} on {channels} channels", "one that fits")
    found = layer_weights(weight, t.optional(operator, 2), 3)
    # (O, 1, KH, KW) -> (O, KH, KW, 1)
    turned = Weights(found.weight.transpose(0, 2, 3, 1), found.scales, found.bias, found.converted)
    _convolution(t, operator, turned, operator.read(tflite.DepthwiseConv2DOptions), channels)


def _convolution(
    t: Translation,
    operator: Operator,
    parameters: Weights,
    options: Any,  # noqa: ANN401
    groups: int,
) -> None:
    x, y = t.image(operator, pads=True), t.quant(t.result(operator))
    height, width = t.shape(x)[1] + x.pads[0] + x.pads[2], t.shape(x)[2] + x.pads[1] + x.pads[3]
    kernel = (parameters.weight.shape[1], parameters.weight.shape[2])
    dilation, around = dilations(options), NO_PADS
    if x.blocks is not None:
        if (options.Padding(), strides(options), dilation) != (
            tflite.Padding.VALID,
            (1, 1),
            (1, 1),
        ):
            raise CannotError("it works on a batch", "padding VALID, no stride and no dilation")
        dilation = x.blocks
    else:
        reach = ((kernel[0] - 1) * dilation[0] + 1, (kernel[1] - 1) * dilation[1] + 1)
        around = sides(options.Padding(), (height, width), reach, strides(options))
    name = t.name("conv")
    made = t.builder.conv2d(
        name, x.name, parameters.weight, parameters.scales, parameters.bias, y,
        stride=strides(options), padding=t.with_pads(x, around).pads, groups=groups,
        clamp=fused_bounds(options.FusedActivationFunction(), y), dilation=dilation,
    )  # fmt: skip
    if parameters.converted:
        t.converted.append(name)
    if x.blocks is not None:
        t.alias(operator, Value(made, NHWC, blocks=x.blocks))
    else:
        t.give(operator, made)


@takes("TRANSPOSE_CONV")
def transpose_conv(t: Translation, operator: Operator) -> None:
    """A transposed convolution; its weight is (O, KH, KW, I), its operand 0 the result's shape."""
    x, result, weight = t.image(operator, 2), t.result(operator), t.tensor(operator, 1)
    size = [int(n) for n in t.constant(operator, 0).reshape(-1)]
    if len(weight.shape) != 4 or min(weight.shape) < 1 or weight.shape[3] != t.shape(x)[3]:
        raise CannotError(f"a weight of shape {list(weight.shape)}", "(O, KH, KW, I)")
    if len(size) != 4 or size[0] != 1 or size[3] != weight.shape[0]:
        raise CannotError(f"a result of shape {size}", "(1, H, W, O)")
    options, y = operator.read(tflite.TransposeConvOptions), t.quant(result)
    parameters, kernel = layer_weights(weight, t.optional(operator, 3), 0), weight.shape[1:3]
    around = sides(options.Padding(), (size[1], size[2]), (kernel[0], kernel[1]), strides(options))
    name = t.name("conv")
    made = t.builder.transposed_conv2d(
        name, x.name, parameters.weight, parameters.scales, parameters.bias, y,
        (size[1], size[2]), stride=strides(options), cut=(around[0], around[1]),
        clamp=fused_bounds(options.FusedActivationFunction(), y),
    )  # fmt: skip
    _finish(t, operator, made, parameters)


@takes("FULLY_CONNECTED")
def fully_connected(t: Translation, operator: Operator) -> None:
    """A fully connected layer; an image is flattened as the file orders it."""
    options = operator.read(tflite.FullyConnectedOptions)
    if options.WeightsFormat() != tflite.FullyConnectedOptionsWeightsFormat.DEFAULT:
        raise CannotError("shuffled weights", "weights in their plain order")
    weight, result = t.tensor(operator, 1), t.result(operator)
    x = flat(t, t.value(operator))
    if len(weight.shape) != 2 or weight.shape[1] != t.shape(x)[1]:
        raise CannotError(
            f"a weight {list(weight.shape)} on {t.shape(x)[1]} values", "one row for each output"
        )
    parameters = layer_weights(weight, t.optional(operator, 2), 0)
    y = t.quant(result)
    name = t.name("fc")
    t.builder.fully_connected(
        name, x.name, parameters.weight, parameters.scales, parameters.bias, y,
        clamp=fused_bounds(options.FusedActivationFunction(), y),
    )  # fmt: skip
    shape = result.shape
    if len(shape) == 2:
        _finish(t, operator, name, parameters)
        return
    axes = (*range(len(shape) - 1), 3) if len(shape) in (3, 4) else None
    if axes is None or max(shape[:-1]) > 1:
        raise CannotError(f"a result of shape {list(shape)}", "one row of outputs")
    name = t.builder.reshape(t.name("reshape"), name, (1, 1, 1, shape[-1]))
    _finish(t, operator, name, parameters, axes)


def flat(t: Translation, value: Value) -> Value:
    """The value as a vector (1, C), in the file's order."""
    ordered = t.in_order(value)
    shape = t.shape(ordered)
    if len(shape) == 2:
        return ordered
    count = shape[1] * shape[2] * shape[3]
    return Value(t.builder.reshape(t.name("reshape"), ordered.name, (1, count)), (0, 1))


def _finish(
    t: Translation, operator: Operator, name: str, parameters: Weights,
    axes: tuple[int, ...] | None = None,
) -> None:  # fmt: skip
    if parameters.converted:
        t.converted.append(name)
    t.give(operator, name, axes)
