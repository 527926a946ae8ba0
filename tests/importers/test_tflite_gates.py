"""A `.tflite` as MobileNetV3 is written: hard-swish, and gates for each channel. Exact beside
LiteRT, trained in C and in numpy to the same bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tflite

import microtune as mt
from microtune.ir.ops import OPS
from microtune.train.session import OpenProject
from tests.importers.small_tflite import Op, T, options, write
from tests.importers.test_tflite_convolutions import IMAGE, Network, as_uint8
from tests.importers.test_tflite_operators import CASES

B, OPTIONS, ACT = tflite.BuiltinOperator, tflite.BuiltinOptions, tflite.ActivationFunctionType


class Gated(Network):
    """With operators of two tensors."""

    def pair(
        self, code: int, a: int, b: int, y: tuple[int, ...], scale: float, zero: int = 0,
        act: int = ACT.NONE,
    ) -> int:  # fmt: skip
        name = {B.ADD: "AddOptions", B.MUL: "MulOptions"}[code]
        (made,) = self.add(T(y, scale, zero))
        write_options = options(name, FusedActivationFunction=act)
        self.ops.append(Op(code, (a, b), made, getattr(OPTIONS, name), write_options))
        return made

    def hard_swish(self, scale: float) -> int:
        x = self.ops[-1].output
        (made,) = self.add(T(self.tensors[x].shape, scale, -120))
        self.ops.append(Op(B.HARD_SWISH, (x,), made))
        return made

    def gates(self, x: int, channels: int) -> int:
        """Mean, two layers, then min(max(v + 3, 0), 6)/6 as two operators with constants."""
        shape = (1, 1, 1, channels)
        axes, mean = self.add(
            T((2,), data=(1, 2), dtype="int32"), T(shape, self.tensors[x].scale, -120)
        )
        keep = options("ReducerOptions", KeepDims=True)
        self.ops.append(Op(B.MEAN, (x, axes), mean, OPTIONS.ReducerOptions, keep))
        self.layer(B.CONV_2D, (4, 1, 1, channels), (1, 1, 1, 4), 0.02)
        self.layer(B.CONV_2D, (channels, 1, 1, 4), shape, 0.04)
        three, sixth = self.add(T((), 3 / 127, 0, 127), T((1,), 1 / 6 / 127, 0, [127]))
        v = self.pair(B.ADD, self.ops[-1].output, three, shape, 6 / 255, -128, ACT.RELU6)
        return self.pair(B.MUL, v, sixth, shape, 1 / 256, -128)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One inverted residual."""
    n = Gated()
    n.layer(B.CONV_2D, (8, 3, 3, 4), (1, *IMAGE, 8), 0.05)
    trunk = n.hard_swish(0.025)
    n.layer(B.CONV_2D, (16, 1, 1, 8), (1, *IMAGE, 16), 0.06)
    n.hard_swish(0.03)
    n.layer(B.DEPTHWISE_CONV_2D, (1, 3, 3, 16), (1, *IMAGE, 16), 0.08, DepthMultiplier=1)
    y = n.hard_swish(0.04)
    gated = n.pair(B.MUL, y, n.gates(y, 16), (1, *IMAGE, 16), 0.03, -110)
    assert n.ops[-1].output == gated
    n.layer(B.CONV_2D, (8, 1, 1, 16), (1, *IMAGE, 8), 0.06)
    n.pair(B.ADD, trunk, n.ops[-1].output, (1, *IMAGE, 8), 0.07)
    return n.finish(tmp_path_factory.mktemp("network") / "gated.tflite")


def test_every_layer_equals_the_reference_kernels(network: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="the verify extra is not installed")
    found = mt.verify(network, samples=20)
    assert (found.first_difference, found.layers) == (None, 17)


def test_it_learns_with_the_same_bits_in_c_and_numpy(network: Path, tmp_path: Path) -> None:
    images = np.random.default_rng(1).normal(size=(9, *IMAGE, 4)).astype(np.float32)
    np.savez(
        tmp_path / "few.npz", x=images, label=np.array([0, 1, 2] * 3),
        test=np.arange(9) >= 6, classes=np.array(["a", "b", "c"]),
    )  # fmt: skip
    project = mt.compile(
        network, data=tmp_path / "few.npz", scheme="full", output=tmp_path / "project"
    )
    nodes = OpenProject.read(project.path).graph.nodes
    assert sum("weight_update" in node.op for node in nodes) == 6
    back = set(OPS["mul"].back.values())
    assert sum(node.op in back for node in nodes) == 2
    hashes = {
        on: project.train(tmp_path / "few.npz", epochs=2, on=on).runs[0].parameters_sha256
        for on in ("host", "numpy")
    }  # fmt: skip
    assert hashes["host"] == hashes["numpy"]


LEGACY = [
    n for n in CASES
    if n.startswith(("product", "sum with", "difference", "leaky", "prelu", "hard", "mean"))
]  # fmt: skip


@pytest.mark.parametrize("name", LEGACY)
def test_legacy_uint8_operators_equal_the_reference_kernels(tmp_path: Path, name: str) -> None:
    """Behind a layer of their own: it is by a layer that a model is known to be of uint8."""
    pytest.importorskip("ai_edge_litert", reason="the verify extra is not installed")
    rng, (tensors, ops) = np.random.default_rng(4), CASES[name]
    x, first = tensors[0], len(tensors)
    layer = [
        T(x.shape, 1 / 64, 0), T((4, 1, 1, 4), 0.01, 0, rng.integers(-127, 128, (4, 1, 1, 4))),
        T((4,), 0.01 / 64, 0, rng.integers(-900, 900, 4), "int32"),
    ]  # fmt: skip
    # The file's input is tensor 0: the case's own input moves behind the others.
    moved = [*layer[:1], *tensors[1:], x, *layer[1:]]
    write_options = options("Conv2DOptions", Padding=0, StrideH=1, StrideW=1)
    conv = Op(
        B.CONV_2D, (0, first + 1, first + 2), first, OPTIONS.Conv2DOptions, write_options
    )  # fmt: skip
    behind = [
        replace(op, inputs=tuple(first if i == 0 else i for i in op.inputs)) for op in ops
    ]  # fmt: skip
    all_tensors, all_ops = as_uint8((moved, [conv, *behind]))
    path = write(tmp_path / "legacy.tflite", all_tensors, all_ops, all_ops[-1].outputs)
    found = mt.verify(path, samples=20)
    assert found.first_difference is None and found.layers == 1 + len(ops)
