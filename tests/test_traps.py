"""Traps seen in earlier systems; 1 and 2 are injected in tests/training/test_autodiff.py."""

from __future__ import annotations

import numpy as np
import pytest

from microtune.importers.dead_channels import dead_codes, neutralize_dead_channels
from microtune.ir import numerics
from microtune.ir.builder import Builder
from microtune.ir.evaluate import evaluate
from microtune.ir.graph import Quant
from microtune.passes.lower_gradients import lower_gradients
from microtune.run.canonical import parameters_sha256
from microtune.training.apply_scheme import apply_scheme
from microtune.training.autodiff import differentiate
from microtune.training.head import replace_head
from microtune.training.optimisers import SGD
from microtune.training.scheme import Scheme, trained_channels
from tests.training.graphs import random_graph


def test_trap_3_updates_saturate_and_are_unbiased() -> None:
    """-120 - 50 stays at -127, and the mean over the random bits is the real step."""
    r16 = np.arange(65536, dtype=np.int64)
    value = np.full(r16.shape, -120, np.int64)
    assert (numerics.apply_step(value, np.int64(50 << 16), r16, 127) == -127).all()  # type: ignore[arg-type]
    for quanta in (-70000, -1, 0, 1, 257, 100_000):
        moved = numerics.apply_step(value, np.int64(quanta), r16, 127)  # type: ignore[arg-type]
        assert moved.mean() == -120 - quanta / 65536


def test_trap_4_logits_are_dequantized() -> None:
    """The loss of int8 logits is that of their real values: no hidden temperature."""
    case = random_graph(1)
    graph = case.graph.copy()
    graph.set_role("classifier.bias", "param")
    inputs = {"input": case.frame, "label": np.array([case.label], np.int32)}
    values = evaluate(differentiate(graph)[0], inputs, real=np.float64)
    quant = graph.quant("classifier")
    codes = values["classifier"].reshape(-1).astype(float)
    real = (codes - quant.zero_point) * graph.scale("classifier")
    wanted = np.log(np.exp(real - real.max()).sum()) + real.max() - real[case.label]
    assert float(values["loss"][0]) == pytest.approx(wanted, rel=1e-9, abs=1e-12)


def test_traps_5_and_hash_channels_by_magnitude_in_any_layout() -> None:
    """The compiled part is the largest channels, and the hash does not see the permutation."""
    builder = Builder("order")
    x = builder.input((1, 2, 2, 4), 0.1, 0)
    weight = np.ones((3, 1, 1, 4), np.int8) * np.array([1, 9, 3, 7], np.int8)
    y = builder.conv2d("conv", x, weight, [0.1] * 3, np.zeros(3), Quant(0.1, 0))
    y = builder.average_pool("pool", y)
    y = builder.conv2d("classifier", y, np.ones((2, 1, 1, 3)), [0.1] * 2, np.zeros(2), Quant(0.1))
    graph = replace_head(builder.finish(y), 2)
    assert trained_channels(graph, "conv", 2).tolist() == [1, 3, 0, 2]
    split = apply_scheme(graph, Scheme("s", (), {"conv": 2}, True))
    assert split.data["conv.weight.trained"][0].reshape(-1).tolist() == [9, 7]
    whole = apply_scheme(graph, Scheme("w", (), {"conv": 4}, True))
    first, second = (lower_gradients(*differentiate(g), optimizer=SGD()) for g in (split, whole))
    assert parameters_sha256(first, first.data) == parameters_sha256(second, second.data)


def test_trap_6_dead_channels_change_no_bit_and_never_train() -> None:
    builder = Builder("dead", "mcunet")
    x = builder.input((1, 2, 2, 2), 0.1, -3)
    bias = np.array([0, 2**31 - 1])
    weight = np.array([[50, -30], [7, 9]], np.int8).reshape(2, 1, 1, 2)
    scales = [0.01, 4e-9]
    graph = builder.finish(builder.conv2d("conv", x, weight, scales, bias, Quant(0.1, 5)))
    frame = np.arange(-120, 120, 30, dtype=np.int8).reshape(1, 2, 2, 2)
    before = evaluate(graph, {"input": frame})["conv"]
    assert list(dead_codes(graph, graph.nodes[0])) == [1]
    neutralize_dead_channels(graph)
    assert not graph.data["conv.weight"][1].any()
    assert (evaluate(graph, {"input": frame})["conv"] == before).all()
    for name in ("conv.weight", "conv.bias"):
        graph.set_role(name, "param")
    builder.graph.outputs.clear()
    training, gradients = differentiate(builder.finish(builder.average_pool("pool", "conv")))
    values = evaluate(training, {"input": frame, "label": np.zeros(1, np.int32)})
    assert all(not values[g][1].any() for g in gradients.values())
    assert any(values[g][0].any() for g in gradients.values())


def test_trap_9_softmax_of_very_negative_logits() -> None:
    """The maximum starts at the first logit, not at a small positive number."""
    logits = np.array([-200.0, -201.0], np.float32)
    d, loss = numerics.softmax_float32(logits, 0)
    assert d[1] == pytest.approx(0.26894, abs=1e-4) and float(loss) == pytest.approx(0.31326, 1e-4)
    q, _ = numerics.softmax_q15((logits * 65536).astype(np.int64), 0)
    assert q[1] / 32768 == pytest.approx(0.26894, abs=1e-3)
