"""All kinds of convolutions of a `.tflite` in one network: exact beside LiteRT, trained in C and
in numpy to the same bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tflite

import microtune as mt
from microtune.train.session import OpenProject
from tests.importers.small_tflite import Op, T, options, write
from tests.importers.test_tflite_operators import CASES, Case, refusals

B, OPTIONS, P = tflite.BuiltinOperator, tflite.BuiltinOptions, tflite.Padding
IMAGE = (10, 9)
CLASSES = 3


class Network:
    """Grows a file, one layer behind the other."""

    def __init__(self) -> None:
        self.tensors, self.ops = [T((1, *IMAGE, 4), 1 / 64, 0)], [Op(B.RELU, (0,), 1)]
        self.tensors.append(T((1, *IMAGE, 4), 1 / 64, -128))
        self.rng = np.random.default_rng(2)

    def add(self, *tensors: T) -> tuple[int, ...]:
        self.tensors += tensors
        return tuple(range(len(self.tensors) - len(tensors), len(self.tensors)))

    def parameters(
        self, shape: tuple[int, ...], outputs: int, scale: float = 0.0005
    ) -> tuple[int, ...]:
        weight = self.rng.integers(-127, 128, shape)
        biases = self.rng.integers(-900, 900, outputs)
        return self.add(T(shape, 0.01, 0, weight), T((outputs,), scale, 0, biases, "int32"))

    def layer(
        self, code: int, weight: tuple[int, ...], y: tuple[int, ...], scale: float, **fields: int
    ) -> None:
        """A convolution; `fields` are options beside padding SAME and steps of 1."""
        x, depthwise = self.ops[-1].output, code == B.DEPTHWISE_CONV_2D
        operands = self.parameters(weight, y[-1])
        name = "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions"
        plain = {"Padding": P.SAME, "StrideH": 1, "StrideW": 1}
        plain |= {"DilationHFactor": 1, "DilationWFactor": 1}
        (made,) = self.add(T(y, scale, 3))
        write_options = options(name, **(plain | fields))
        self.ops.append(
            Op(code, (x, *operands), made, getattr(OPTIONS, name), write_options)
        )  # fmt: skip

    def transposed(self, weight: tuple[int, ...], y: tuple[int, ...], scale: float) -> None:
        x, operands = self.ops[-1].output, self.parameters(weight, y[-1])
        size, made = self.add(T((4,), data=y, dtype="int32"), T(y, scale, 5))
        write_options = options("TransposeConvOptions", Padding=P.SAME, StrideH=2, StrideW=2)
        inputs = (size, operands[0], x, operands[1])
        self.ops.append(
            Op(B.TRANSPOSE_CONV, inputs, made, OPTIONS.TransposeConvOptions, write_options)
        )

    def finish(self, path: Path) -> Path:
        """A mean over the image, and logits."""
        x = self.ops[-1].output
        shape = self.tensors[x].shape
        axes, mean = self.add(
            T((2,), data=(1, 2), dtype="int32"),
            T((1, shape[3]), self.tensors[x].scale, self.tensors[x].zero),
        )
        keep = options("ReducerOptions", KeepDims=False)
        self.ops.append(Op(B.MEAN, (x, axes), mean, OPTIONS.ReducerOptions, keep))
        operands = self.parameters((CLASSES, shape[3]), CLASSES, self.tensors[x].scale * 0.01)
        (logits,) = self.add(T((1, CLASSES), 0.05, 0))
        plain = options("FullyConnectedOptions")
        inputs = (mean, *operands)
        self.ops.append(Op(B.FULLY_CONNECTED, inputs, logits, OPTIONS.FullyConnectedOptions, plain))
        return write(path, self.tensors, self.ops, [logits])


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grouped, with a channel multiplier, dilated, and transposed."""
    n = Network()
    n.layer(B.CONV_2D, (6, 3, 3, 2), (1, *IMAGE, 6), 0.05)
    n.layer(B.DEPTHWISE_CONV_2D, (1, 3, 3, 12), (1, *IMAGE, 12), 0.1, DepthMultiplier=2)
    n.layer(B.CONV_2D, (8, 3, 3, 12), (1, 5, 5, 8), 0.4, StrideH=2, StrideW=2)
    n.layer(
        B.DEPTHWISE_CONV_2D, (1, 3, 3, 8), (1, 5, 5, 8), 0.8, DepthMultiplier=1,
        DilationHFactor=2, DilationWFactor=2,
    )  # fmt: skip
    n.transposed((5, 2, 2, 8), (1, *IMAGE, 5), 1.6)
    n.layer(B.CONV_2D, (4, 3, 3, 5), (1, *IMAGE, 4), 4.0, DilationHFactor=3, DilationWFactor=2)
    return n.finish(tmp_path_factory.mktemp("network") / "all.tflite")


def test_every_layer_equals_the_reference_kernels(network: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="the verify extra is not installed")
    found = mt.verify(network, samples=20)
    assert (found.first_difference, found.layers) == (None, 9)


def as_uint8(case: Case) -> Case:
    """The same codes plus 128, with one scale a tensor."""
    tensors = [
        t if t.dtype == "int32" else replace(
            t, dtype="uint8", zero=t.zero + 128, scales=t.scales[:1],
            data=None if t.data is None else np.asarray(t.data).astype(np.int64) + 128,
        )
        for t in case[0]
    ]  # fmt: skip
    return tensors, case[1]


@pytest.mark.parametrize(
    "name", [n for n in CASES if n.startswith(("conv", "depth", "transposed c"))]
)
def test_legacy_uint8_convolutions_equal_the_reference_kernels(tmp_path: Path, name: str) -> None:
    pytest.importorskip("ai_edge_litert", reason="the verify extra is not installed")
    tensors, ops = as_uint8(CASES[name])
    path = write(tmp_path / "legacy.tflite", tensors, ops, [ops[-1].output])
    found = mt.verify(path, samples=20)
    assert (found.first_difference, found.layers) == (None, 1)


def test_a_bilinear_image_of_uint8_codes_is_refused(tmp_path: Path) -> None:
    """The reference kernel makes it of reals."""
    (x, weight, bias, y), (conv,) = as_uint8(CASES["conv, same, relu"])
    _, (resize,) = CASES["bilinear by 2"]
    size, made = T((2,), data=(6, 10), dtype="int32"), replace(y, shape=(1, 6, 10, 3))
    ops = [conv, replace(resize, inputs=(3, 4), output=5)]
    path = write(tmp_path / "no.tflite", [x, weight, bias, y, size, made], ops, [5])
    assert refusals(path) == ["RESIZE_BILINEAR: a mean of uint8 codes, which is made of reals"]


def test_all_of_them_learn_with_the_same_bits_in_c_and_numpy(network: Path, tmp_path: Path) -> None:
    images = np.random.default_rng(1).normal(size=(9, *IMAGE, 4)).astype(np.float32)
    np.savez(
        tmp_path / "few.npz", x=images, label=np.array([0, 1, 2] * 3),
        test=np.arange(9) >= 6, classes=np.array(["a", "b", "c"]),
    )  # fmt: skip
    project = mt.compile(
        network, data=tmp_path / "few.npz", scheme="full", output=tmp_path / "project"
    )
    nodes = OpenProject.read(project.path).graph.nodes
    assert sum(node.op == "conv2d_weight_update" for node in nodes) == 6
    hashes = {
        on: project.train(tmp_path / "few.npz", epochs=2, on=on).runs[0].parameters_sha256
        for on in ("host", "numpy")
    }  # fmt: skip
    assert hashes["host"] == hashes["numpy"]


def test_a_batch_that_is_no_dilated_convolution_is_refused(tmp_path: Path) -> None:
    x = T((1, 6, 4, 4), 0.05, -7)
    block, none = T((2,), data=(2, 2), dtype="int32"), T((2, 2), data=(0, 0, 0, 0), dtype="int32")
    batch = T((4, 3, 2, 4), 0.05, -7)
    ops = [
        Op(B.SPACE_TO_BATCH_ND, (0, 1, 2), 3), Op(B.RELU, (3,), 4),
        Op(B.BATCH_TO_SPACE_ND, (4, 1, 2), 5), Op(B.ABS, (5,), 6),
    ]  # fmt: skip
    tensors = [x, block, none, batch, batch, x, x]
    path = write(tmp_path / "no.tflite", tensors, ops, [6])
    assert refusals(path) == [
        "SPACE_TO_BATCH_ND: a batch that no convolution alone reads",
        "ABS: microtune has no such operator",
    ]
    alone = [Op(B.BATCH_TO_SPACE_ND, (0, 1, 2), 3)]
    path = write(tmp_path / "no.tflite", [x, block, none, x], alone, [3])
    assert refusals(path) == ["BATCH_TO_SPACE_ND: a batch that no convolution made"]


def test_a_transposed_convolution_of_another_size_is_refused(tmp_path: Path) -> None:
    n = Network()
    n.transposed((5, 3, 3, 4), (1, 31, 18, 5), 0.05)
    path = write(tmp_path / "no.tflite", n.tensors, n.ops, [n.ops[-1].output])
    (reason,) = refusals(path)
    assert reason.startswith("TRANSPOSE_CONV: a transposed convolution of 10 elements by a kernel")
