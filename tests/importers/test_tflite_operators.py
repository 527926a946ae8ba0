"""Each translated operator alone, in a file made here, beside LiteRT: every code is equal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tflite

import microtune as mt
from microtune.importers import load_any
from tests.importers.small_tflite import Op, T, options, write

pytest.importorskip("ai_edge_litert", reason="the verify extra is not installed")
B, OPTIONS, P = tflite.BuiltinOperator, tflite.BuiltinOptions, tflite.Padding
ACT = tflite.ActivationFunctionType
X = T((1, 6, 5, 4), 0.05, -7)
Case = tuple[list[T], list[Op]]


def const(*values: int, shape: tuple[int, ...] | None = None) -> T:
    return T(shape or (len(values),), data=values, dtype="int32")


def pool(code: int, kernel: int, stride: int, out: tuple[int, int], padding: int, act: int) -> Case:
    write_options = options(
        "Pool2DOptions", Padding=padding, StrideH=stride, StrideW=stride, FilterHeight=kernel,
        FilterWidth=kernel, FusedActivationFunction=act,
    )  # fmt: skip
    return [X, T((1, *out, 4), 0.05, -7)], [Op(code, (0,), 1, OPTIONS.Pool2DOptions, write_options)]


def unary(code: int, scale: float, zero: int) -> Case:
    return [X, T(X.shape, scale, zero)], [Op(code, (0,), 1)]


def leaky_relu(alpha: float, scale: float, zero: int) -> Case:
    write_options = options("LeakyReluOptions", Alpha=alpha)
    op = Op(B.LEAKY_RELU, (0,), 1, OPTIONS.LeakyReluOptions, write_options)
    return [X, T(X.shape, scale, zero)], [op]


def prelu(scale: float, zero: int) -> Case:
    slopes = T((1, 1, 4), 0.004, -20, [-128, 127, -20, 30])
    return [X, slopes, T(X.shape, scale, zero)], [Op(B.PRELU, (0, 1), 2)]


def requantize(scale: float, zero: int) -> Case:
    """Another scale, and a ReLU behind it: at the end a QUANTIZE would be left out."""
    other = T(X.shape, scale, zero)
    return [X, other, other], [Op(B.QUANTIZE, (0,), 1), Op(B.RELU, (1,), 2)]


def layer(
    code: int, *, act: int, multiplier: int = 1, channels: int = 3, padding: int, groups: int = 1,
    image: tuple[int, int] = (6, 5), kernel: tuple[int, int] = (3, 3),
    stride: tuple[int, int] = (2, 1), dilation: tuple[int, int] = (1, 1),
) -> Case:  # fmt: skip
    rng = np.random.default_rng(channels)
    depthwise = code == B.DEPTHWISE_CONV_2D
    outputs = 4 * multiplier if depthwise else channels
    shape = (1, *kernel, outputs) if depthwise else (outputs, *kernel, 4 // groups)
    weight = T(shape, 0.01, 0, rng.integers(-127, 128, shape))
    bias = T((outputs,), 0.0005, 0, rng.integers(-900, 900, outputs), "int32")
    name = "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions"
    fields = {"Padding": padding, "StrideH": stride[0], "StrideW": stride[1]}
    fields |= {"DilationHFactor": dilation[0], "DilationWFactor": dilation[1]}
    fields |= {"DepthMultiplier": multiplier} if depthwise else {}
    fields["FusedActivationFunction"] = act
    reach = [0 if padding == P.SAME else (k - 1) * d for k, d in zip(kernel, dilation, strict=True)]
    out = [-(-(n - r) // s) for n, r, s in zip(image, reach, stride, strict=True)]
    op = Op(code, (0, 1, 2), 3, getattr(OPTIONS, name), options(name, **fields))
    return [T((1, *image, 4), 0.05, -7), weight, bias, T((1, *out, outputs), 0.03, 4)], [op]


def by_batches(
    code: int, blocks: tuple[int, int], pads: tuple[int, ...], cuts: tuple[int, ...],
    image: tuple[int, int] = (6, 5), kernel: tuple[int, int] = (3, 3),
) -> Case:  # fmt: skip
    """The old form of a dilated convolution. `pads` and `cuts`: top, bottom, left, right."""
    size = [n + pads[2 * i] + pads[2 * i + 1] for i, n in enumerate(image)]
    phase = (size[0] // blocks[0], size[1] // blocks[1])
    (_, weight, bias, y), (conv,) = layer(
        code, act=ACT.RELU, padding=P.VALID, image=phase, kernel=kernel, stride=(1, 1)
    )
    batch, made = blocks[0] * blocks[1], y.shape[1:]
    out = [made[i] * blocks[i] - cuts[2 * i] - cuts[2 * i + 1] for i in (0, 1)]
    tensors = [
        T((1, *image, 4), 0.05, -7), const(*blocks), const(*pads, shape=(2, 2)),
        T((batch, *phase, 4), 0.05, -7), weight, bias, T((batch, *made), 0.03, 4),
        const(*cuts, shape=(2, 2)), T((1, *out, made[2]), 0.03, 4),
    ]  # fmt: skip
    ops = [
        Op(B.SPACE_TO_BATCH_ND, (0, 1, 2), 3),
        Op(conv.code, (3, 4, 5), 6, conv.options_type, conv.options),
        Op(B.BATCH_TO_SPACE_ND, (6, 1, 7), 8),
    ]
    return tensors, ops


def signal_by_batches(block: int, pads: tuple[int, int], cut: int, *, row: bool) -> Case:
    """The same of a signal (1, T, C), which is an image between two reshapes."""
    length, (steps, kernel) = 23, (1, 3) if row else (3, 1)
    phase = (length + sum(pads)) // block
    image = (1, phase) if row else (phase, 1)
    (_, weight, bias, y), (conv,) = layer(
        B.CONV_2D, act=ACT.RELU, padding=P.VALID, image=image, kernel=(steps, kernel), stride=(1, 1)
    )
    made = phase - 2
    tensors = [
        T((1, length, 4), 0.05, -7), const(block), const(*pads, shape=(1, 2)),
        T((block, phase, 4), 0.05, -7), const(block, *image, 4), T((block, *image, 4), 0.05, -7),
        weight, bias, T((block, *y.shape[1:]), 0.03, 4), const(block, made, 3),
        T((block, made, 3), 0.03, 4), const(0, cut, shape=(1, 2)),
        T((1, made * block - cut, 3), 0.03, 4),
    ]  # fmt: skip
    ops = [
        Op(B.SPACE_TO_BATCH_ND, (0, 1, 2), 3), Op(B.RESHAPE, (3, 4), 5),
        Op(conv.code, (5, 6, 7), 8, conv.options_type, conv.options), Op(B.RESHAPE, (8, 9), 10),
        Op(B.BATCH_TO_SPACE_ND, (10, 1, 11), 12),
    ]  # fmt: skip
    return tensors, ops


def causal_signal() -> Case:
    """A signal padded before it, then a dilated convolution of one row."""
    (_, weight, bias, _), (conv,) = layer(
        B.CONV_2D, act=ACT.NONE, padding=P.VALID, image=(1, 31), kernel=(1, 3), stride=(1, 1),
        dilation=(1, 4),
    )  # fmt: skip
    tensors = [
        T((1, 23, 4), 0.05, -7), const(0, 0, 8, 0, 0, 0, shape=(3, 2)), T((1, 31, 4), 0.05, -7),
        const(1, 1, 31, 4), T((1, 1, 31, 4), 0.05, -7), weight, bias, T((1, 1, 23, 3), 0.03, 4),
    ]  # fmt: skip
    ops = [
        Op(B.PAD, (0, 1), 2), Op(B.RESHAPE, (2, 3), 4),
        Op(conv.code, (4, 5, 6), 7, conv.options_type, conv.options),
    ]  # fmt: skip
    return tensors, ops


def transposed(
    image: tuple[int, int], kernel: int, stride: tuple[int, int], size: tuple[int, int],
    padding: int, *, act: int = ACT.NONE, bias: bool = True, zero: int = -7,
) -> Case:  # fmt: skip
    rng, shape = np.random.default_rng(kernel), (3, kernel, kernel, 4)
    weight = T(shape, 0.01, 0, rng.integers(-127, 128, shape), scales=(0.004, 0.01, 0.007))
    biases = T((3,), 0.0005, 0, rng.integers(-900, 900, 3), "int32")
    write_options = options(
        "TransposeConvOptions", Padding=padding, StrideH=stride[0], StrideW=stride[1],
        FusedActivationFunction=act,
    )  # fmt: skip
    inputs = (1, 2, 0, 3) if bias else (1, 2, 0)
    op = Op(B.TRANSPOSE_CONV, inputs, 4, OPTIONS.TransposeConvOptions, write_options)
    y = T((1, *size, 3), 0.03, 4)
    return [T((1, *image, 4), 0.05, zero), const(1, *size, 3), weight, biases, y], [op]


def resize(
    code: int, size: tuple[int, int], *, corners: bool = False, centers: bool = False
) -> Case:
    bilinear = code == B.RESIZE_BILINEAR
    name = "ResizeBilinearOptions" if bilinear else "ResizeNearestNeighborOptions"
    write_options = options(name, AlignCorners=corners, HalfPixelCenters=centers)
    op = Op(code, (0, 1), 2, getattr(OPTIONS, name), write_options)
    return [X, const(*size), T((1, *size, 4), 0.05, -7)], [op]


def concat(axis: int) -> Case:
    shape = list(X.shape)
    shape[axis] *= 2
    made = T(tuple(shape), 0.05, -7)
    relu = Op(B.RELU, (0,), 1)
    write_options = options("ConcatenationOptions", Axis=axis)
    joined = Op(B.CONCATENATION, (0, 1), 2, OPTIONS.ConcatenationOptions, write_options)
    return [X, T(X.shape, 0.05, -7), made], [relu, joined]


def strided_slice() -> Case:
    bounds = [const(0, 1, 0, 1), const(1, 6, 5, 4), const(1, 2, 1, 1)]
    write_options = options("StridedSliceOptions", BeginMask=4)
    op = Op(B.STRIDED_SLICE, (0, 1, 2, 3), 4, OPTIONS.StridedSliceOptions, write_options)
    return [X, *bounds, T((1, 3, 5, 3), 0.05, -7)], [op]


def split(code: int, axis: int, sizes: tuple[int, ...]) -> Case:
    """All of the parts are outputs of the file."""
    parts = [T((*X.shape[:axis], n, *X.shape[axis + 1 :]), 0.05, -7) for n in sizes]
    more = tuple(range(4, 3 + len(sizes)))
    if code == B.SPLIT:
        write_options = options("SplitOptions", NumSplits=len(sizes))
        op = Op(code, (1, 0), 3, OPTIONS.SplitOptions, write_options, more)
    else:
        write_options = options("SplitVOptions", NumSplits=len(sizes))
        op = Op(code, (0, 2, 1), 3, OPTIONS.SplitVOptions, write_options, more)
    return [X, const(axis, shape=()), const(*sizes), *parts], [op]


def pad() -> Case:
    widths = const(0, 0, 1, 2, 0, 1, 0, 0, shape=(4, 2))
    return [X, widths, T((1, 9, 6, 4), 0.05, -7)], [Op(B.PAD, (0, 1), 2)]


def add(act: int) -> Case:
    relu = Op(B.RELU6, (0,), 1)
    write_options = options("AddOptions", FusedActivationFunction=act)
    summed = Op(B.ADD, (0, 1), 2, OPTIONS.AddOptions, write_options)
    return [X, T(X.shape, 0.02, -100), T(X.shape, 0.06, 3)], [relu, summed]


def pair(
    code: int, other: T, *, act: int = ACT.NONE, swapped: bool = False, result: T | None = None
) -> Case:
    """A tensor and a constant, or a tensor and one that is computed of it by pooling and a ReLU."""
    name = {B.ADD: "AddOptions", B.MUL: "MulOptions", B.SUB: "SubOptions"}[code]
    write_options = options(name, FusedActivationFunction=act)
    y = result or T(X.shape, 0.04, 3)
    if other.data is not None:
        inputs = (1, 0) if swapped else (0, 1)
        return [X, other, y], [Op(code, inputs, 2, getattr(OPTIONS, name), write_options)]
    same = other.shape == X.shape
    pooled = Op(B.MEAN, (0, 1), 2, OPTIONS.ReducerOptions, options("ReducerOptions", KeepDims=True))
    tensors = [X, const(1, 2), X if same else T((1, 1, 1, 4), 0.05, -7), other, y]
    ops = [Op(B.RELU, (0,), 2) if same else pooled, Op(B.RELU, (2,), 3)]
    inputs = (3, 0) if swapped else (0, 3)
    return tensors, [*ops, Op(code, inputs, 4, getattr(OPTIONS, name), write_options)]


def codes(shape: tuple[int, ...], scale: float = 0.03, zero: int = 5) -> T:
    return T(shape, scale, zero, np.random.default_rng(9).integers(-128, 128, shape))


def mean(axes: tuple[int, ...], shape: tuple[int, ...], *, keep: bool) -> Case:
    op = Op(B.MEAN, (0, 1), 2, OPTIONS.ReducerOptions, options("ReducerOptions", KeepDims=keep))
    return [X, const(*axes), T(shape, 0.05, -7)], [op]


def transposed_sum() -> Case:
    """Two transposes of a tensor are summed, then brought into another shape."""
    turned = T((1, 4, 6, 5), 0.05, -7)
    ops = [
        Op(B.RELU, (0,), 1), Op(B.TRANSPOSE, (0, 2), 3), Op(B.TRANSPOSE, (1, 2), 4),
        Op(B.ADD, (3, 4), 5, OPTIONS.AddOptions, options("AddOptions")),
        Op(B.RESHAPE, (5, 6), 7), Op(B.RELU6, (7,), 8),
    ]  # fmt: skip
    tensors = [
        X, T(X.shape, 0.05, -7), const(0, 3, 1, 2), turned, turned, T((1, 4, 6, 5), 0.08, 1),
        const(1, 120), T((1, 120), 0.08, 1), T((1, 120), 0.08, 1),
    ]  # fmt: skip
    return tensors, ops


CASES: dict[str, Case] = {
    "max pool, same": pool(B.MAX_POOL_2D, 3, 2, (3, 3), P.SAME, ACT.NONE),
    "max pool, relu": pool(B.MAX_POOL_2D, 2, 2, (3, 2), P.VALID, ACT.RELU),
    "average pool": pool(B.AVERAGE_POOL_2D, 3, 1, (4, 3), P.VALID, ACT.NONE),
    "average pool, even window, relu6": pool(B.AVERAGE_POOL_2D, 2, 2, (3, 2), P.VALID, ACT.RELU6),
    "relu": unary(B.RELU, 0.05, -7), "relu, another scale": unary(B.RELU, 0.031, -128),
    "logistic": unary(B.LOGISTIC, 1 / 256, -128), "tanh": unary(B.TANH, 1 / 128, 0),
    "relu6": unary(B.RELU6, 0.0235, -128), "relu n1 to 1": unary(B.RELU_N1_TO_1, 0.05, -7),
    "hard swish": unary(B.HARD_SWISH, 0.031, -100),
    "hard swish, clamps": unary(B.HARD_SWISH, 0.007, 3),
    "leaky relu": leaky_relu(0.1, 0.04, -90), "leaky relu, clamps": leaky_relu(0.3, 0.017, 40),
    "prelu": prelu(0.05, -7), "prelu, clamps": prelu(0.011, -60),
    "quantize up": requantize(0.02, 11), "quantize down": requantize(0.11, -3),
    "conv, same, relu": layer(B.CONV_2D, act=ACT.RELU, padding=P.SAME),
    "conv, valid": layer(B.CONV_2D, act=ACT.NONE, padding=P.VALID),
    "depthwise, same": layer(B.DEPTHWISE_CONV_2D, act=ACT.RELU6, padding=P.SAME),
    "depthwise, multiplier 2": layer(
        B.DEPTHWISE_CONV_2D, act=ACT.NONE, multiplier=2, padding=P.VALID),
    "conv, grouped": layer(
        B.CONV_2D, act=ACT.RELU, padding=P.SAME, channels=6, groups=2),
    "conv, grouped, dilated": layer(
        B.CONV_2D, act=ACT.NONE, padding=P.SAME, channels=6, groups=2, stride=(1, 1),
        dilation=(2, 3)),
    "conv, dilated, same": layer(
        B.CONV_2D, act=ACT.RELU, padding=P.SAME, image=(11, 9), stride=(1, 1), dilation=(2, 2)),
    "conv, dilated, valid, even kernel": layer(
        B.CONV_2D, act=ACT.NONE, padding=P.VALID, image=(11, 9), stride=(1, 1), kernel=(2, 4),
        dilation=(3, 2)),
    "conv, dilated by 8 in one dimension": layer(
        B.CONV_2D, act=ACT.RELU6, padding=P.SAME, image=(1, 37), stride=(1, 1), kernel=(1, 3),
        dilation=(1, 8)),
    "depthwise, dilated": layer(
        B.DEPTHWISE_CONV_2D, act=ACT.RELU, padding=P.SAME, image=(10, 13), stride=(1, 1),
        dilation=(4, 2)),
    "depthwise, dilated, multiplier 2": layer(
        B.DEPTHWISE_CONV_2D, act=ACT.NONE, multiplier=2, padding=P.VALID, image=(10, 13),
        stride=(1, 1), dilation=(1, 3)),
    "conv by batches": by_batches(B.CONV_2D, (2, 2), (2, 2, 2, 3), (0, 0, 0, 1)),
    "conv by batches, valid": by_batches(B.CONV_2D, (2, 2), (0, 0, 0, 1), (0, 0, 0, 1)),
    "depthwise by batches of columns": by_batches(
        B.DEPTHWISE_CONV_2D, (1, 3), (0, 0, 3, 4), (0, 0, 0, 1), (1, 17), (1, 3)),
    "signal by batches, a row": signal_by_batches(4, (4, 5), 1, row=True),
    "signal by batches, a column": signal_by_batches(3, (6, 1), 1, row=False),
    "causal signal, dilated": causal_signal(),
    "transposed conv, same": transposed((5, 4), 3, (2, 2), (10, 8), P.SAME),
    "transposed conv, same, odd": transposed((5, 4), 4, (2, 3), (9, 10), P.SAME, zero=100),
    "transposed conv, 2 x 2": transposed((5, 4), 2, (2, 2), (10, 8), P.VALID),
    "transposed conv, valid, relu": transposed((5, 4), 3, (2, 1), (11, 6), P.VALID, act=ACT.RELU),
    "transposed conv, gaps, no bias": transposed((3, 4), 1, (2, 2), (5, 7), P.VALID, bias=False),
    "nearest by 2": resize(B.RESIZE_NEAREST_NEIGHBOR, (12, 10)),
    "nearest, any size": resize(B.RESIZE_NEAREST_NEIGHBOR, (4, 13)),
    "nearest, corners": resize(B.RESIZE_NEAREST_NEIGHBOR, (9, 8), corners=True),
    "nearest, centers": resize(B.RESIZE_NEAREST_NEIGHBOR, (3, 11), centers=True),
    "bilinear by 2": resize(B.RESIZE_BILINEAR, (12, 10)),
    "bilinear by 2, centers": resize(B.RESIZE_BILINEAR, (12, 10), centers=True),
    "bilinear, corners": resize(B.RESIZE_BILINEAR, (11, 17), corners=True),
    "bilinear, smaller": resize(B.RESIZE_BILINEAR, (3, 4), centers=True),
    "bilinear, one row": resize(B.RESIZE_BILINEAR, (1, 23), corners=True),
    "bilinear, far larger": resize(B.RESIZE_BILINEAR, (61, 43), centers=True),
    "concat of channels": concat(3), "concat of rows": concat(1),
    "split of channels": split(B.SPLIT, 3, (2, 2)),
    "split of rows, unequal": split(B.SPLIT_V, 1, (1, 3, 2)),
    "strided slice": strided_slice(), "pad": pad(),
    "product": pair(B.MUL, T(X.shape, 0.02, -100)),
    "product with gates": pair(B.MUL, T((1, 1, 1, 4), 0.011, -128), act=ACT.RELU6, swapped=True),
    "product with constants": pair(B.MUL, codes((4,)), act=ACT.RELU),
    "product with constants, turned": pair(B.MUL, codes((1, 1, 1, 4), zero=-128), swapped=True),
    "product with a constant image": pair(B.MUL, codes((6, 5, 1))),
    "product with a number": pair(
        B.MUL, codes((), zero=-90), act=ACT.RELU6, result=T(X.shape, 0.05, -120)),
    "sum with a number": pair(B.ADD, codes((1,)), swapped=True),
    "difference": pair(B.SUB, T(X.shape, 0.02, -100), act=ACT.RELU),
    "difference, turned": pair(B.SUB, T(X.shape, 0.06, 3), swapped=True),
    "difference with a vector": pair(B.SUB, T((1, 1, 1, 4), 0.011, -128)),
    "difference with a number": pair(B.SUB, codes((1,))),
    "difference from a number": pair(B.SUB, codes((1,)), swapped=True, act=ACT.RELU),
    "difference with constants": pair(B.SUB, codes((4,))),
    "sum with a vector": pair(B.ADD, T((1, 1, 1, 4), 0.011, -128), swapped=True),
    "sum with constants": pair(B.ADD, codes((4,)), act=ACT.RELU),
    "sum with a constant image": pair(B.ADD, codes((1, 6, 5, 4)), swapped=True),
    "add": add(ACT.NONE), "add, relu": add(ACT.RELU),
    "mean of both": mean((1, 2), (1, 4), keep=False),
    "mean of height, kept": mean((1,), (1, 1, 5, 4), keep=True),
    "transposed sum": transposed_sum(),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_an_operator_alone_equals_the_reference_kernel(tmp_path: Path, name: str) -> None:
    tensors, ops = CASES[name]
    path = write(tmp_path / "small.tflite", tensors, ops, ops[-1].outputs)
    found = mt.verify(path, samples=40)
    assert found.first_difference is None, found
    assert found.layers >= 1 and not found.converted


def refusals(path: Path) -> list[str]:
    """The kinds of the operators that cannot be taken, each with its reason."""
    with pytest.raises(mt.UnsupportedError) as error:
        load_any(path)
    return [f"{p.node.split()[1]}: {p.why}" for p in error.value.problems]


def test_all_that_cannot_be_taken_is_one_table(tmp_path: Path) -> None:
    """Also what stands behind an operator that cannot be taken."""
    crossing = pool(B.AVERAGE_POOL_2D, 3, 1, (6, 5), P.SAME, ACT.NONE)
    (x, y), (behind,) = crossing
    ops = [Op(B.ABS, (0,), 1), Op(behind.code, (1,), 2, behind.options_type, behind.options),
           Op(B.ABS, (2,), 3)]  # fmt: skip
    path = write(tmp_path / "no.tflite", [x, X, y, X], ops, [3])
    assert refusals(path) == [
        "ABS: microtune has no such operator",
        "AVERAGE_POOL_2D: an average over windows that cross the border",
        "ABS: microtune has no such operator",
    ]


def test_a_result_of_another_shape_than_the_file_says_is_refused(tmp_path: Path) -> None:
    (x, y), ops = pool(B.MAX_POOL_2D, 2, 2, (3, 2), P.VALID, ACT.NONE)
    path = write(tmp_path / "no.tflite", [x, replace(y, shape=(1, 4, 2, 4))], ops, [1])
    assert refusals(path) == [
        "MAX_POOL_2D: it makes [1, 3, 2, 4], the file says [1, 4, 2, 4]"
    ]  # fmt: skip


def test_a_rule_of_an_op_names_the_operator(tmp_path: Path) -> None:
    tensors, ops = pool(B.AVERAGE_POOL_2D, 9, 1, (1, 1), P.VALID, ACT.NONE)
    (reason,) = refusals(write(tmp_path / "no.tflite", tensors, ops, [1]))
    assert reason.startswith("AVERAGE_POOL_2D: average_pool: window [9, 9] is larger than")


def test_a_pad_that_is_an_output_too_is_not_lost(tmp_path: Path) -> None:
    """A convolution reads it, and so does who runs the model."""
    (x, widths, padded), (border,) = pad()
    (_, weight, bias, _), (conv,) = layer(B.CONV_2D, act=ACT.NONE, padding=P.VALID)
    tensors = [x, widths, padded, weight, bias, T((1, 4, 4, 3), 0.03, 4)]
    ops = [border, Op(conv.code, (2, 3, 4), 5, conv.options_type, conv.options)]
    path = write(tmp_path / "both.tflite", tensors, ops, [2, 5])
    graph = load_any(path).graph
    assert [graph.tensors[name].shape for name in graph.outputs] == [(1, 9, 6, 4), (1, 4, 4, 3)]
    assert mt.verify(path).first_difference is None
