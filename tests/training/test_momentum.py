"""Momentum's meaning against real numbers over rounding seeds; limits; dead channels; bytes."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest

from microtune.codegen import layout
from microtune.errors import MicrotuneError
from microtune.ir.graph import Array, Graph, Node
from microtune.ir.ops import OPS, Context, Trait, with_trait
from microtune.ir.ops.convolution_operands import WeightUpdate
from microtune.ir.ops.momentum import MomentumStep
from microtune.ir.ops.parameter_update import weight_factors
from microtune.run.interpreter import Interpreter
from microtune.training.build import build_training_graph
from microtune.training.optimisers import SGD, Momentum, Optimizer, make_optimizer
from tests.run.training_cases import _fill_head, draw, frames_of

DECAY = 58982
SEEDS = 2000


def moved(
    value: Array, velocity: Array, unit: int, seed: int, decay: int = DECAY
) -> tuple[Array, Array]:
    """(value, velocity) after the op, by its numpy meaning."""
    node = Node("momentum_step", (), (), {"decay": decay, "unit": unit, "site": 5, "groups": 1})
    key, step = np.array([seed], np.uint32), np.array([3], np.uint32)
    meaning = OPS["momentum_step"].meaning
    value, velocity = meaning(
        Context(Graph("one op"), node), MomentumStep[Array](value, velocity, key, step, None)
    )
    return value, velocity


@pytest.mark.parametrize(("dtype", "unit"), [("i1", 7), ("i2", 2), ("i2", 6), ("i4", 4)])
def test_the_mean_over_seeds_is_the_step_in_real_numbers(dtype: str, unit: int) -> None:
    """w + v/2^unit and v·m, within five standard errors: neither rounding has a bias."""
    rng = np.random.default_rng(unit)
    value = rng.integers(-60, 61, 64).astype(dtype)
    velocity = rng.integers(-120, 121, 64).astype(dtype)
    runs = [moved(value, velocity, unit, seed) for seed in range(SEEDS)]
    for found, exact in (
        (np.mean([w for w, _ in runs], 0), value + velocity / 2**unit),
        (np.mean([v for _, v in runs], 0), velocity * (DECAY / 2**16)),
    ):
        assert np.abs(found - exact).max() < 5 * 0.5 / np.sqrt(SEEDS)


def test_the_three_roundings_of_an_element_are_independent() -> None:
    """Whether value and velocity are rounded up: uncorrelated over elements and seeds."""
    value, velocity = np.zeros(4096, np.int8), np.full(4096, 61, np.int8)
    ups = [moved(value, velocity, 7, seed) for seed in range(20)]
    first = np.concatenate([w for w, _ in ups]).astype(float)
    second = np.concatenate([v for _, v in ups]).astype(float)
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / np.sqrt(first.size)


@pytest.mark.parametrize(("dtype", "limit"), [("i1", 127), ("i2", 32767), ("i4", 2**30)])
def test_values_and_velocities_saturate_and_never_wrap(dtype: str, limit: int) -> None:
    for sign in (1, -1):
        edge = np.full(256, sign * limit, dtype)
        value, velocity = moved(edge, edge, 0, 1, 65535)
        assert (value == edge).all()
        assert (np.abs(velocity.astype(np.int64)) <= limit).all()
        assert (np.sign(velocity) == sign).all()
        back, _ = moved(edge, -edge, 0, 1)
        assert (back == 0).all()


def test_a_velocity_of_zero_moves_nothing() -> None:
    value, still = np.arange(-127, 128, dtype=np.int8), np.zeros(255, np.int8)
    for seed in range(50):
        found, velocity = moved(value, still, 7, seed)
        assert (found == value).all()
        assert (velocity == 0).all()


# -- whole steps ----------------------------------------------------------------------------------


Moves = dict[str, npt.NDArray[np.float64]]


@dataclass
class Steps:
    """A graph, and the mean over seeds of how far each parameter moved in two steps."""

    graph: Graph
    first: Moves
    second: Moves


RUNS = 60
# Where SGD moves a parameter enough to be seen, and a velocity does not saturate.
SEEN = {"i8": (0.2, 0.7), "i16": (0.2, 400.0), "i32": (0.2, 1e6), "f32": (0.0, 1e3)}
FORMATS = [("int16", "int16"), ("int32", "int16"), ("int16", "float32")]


RATES = (2.0**-12, 2.0**-9, 2.0**-6)


@cache
def steps(optimizer: Optimizer, bias: str, head: str) -> list[Steps]:
    """For each rate a step with a gradient and one at rate 0."""
    wanted = {f"bias {bias}", f"head {head}", "scheme full"}
    drawn = draw(next(seed for seed in range(200) if wanted <= draw(seed).tags))
    graph = build_training_graph(
        drawn.case.graph, drawn.case.classes, drawn.scheme, drawn.formats, optimizer
    )
    _fill_head(graph, np.random.default_rng(1))
    frame = frames_of(drawn.case, np.random.default_rng(2))[0]
    return [_two_steps(graph, frame, rate) for rate in RATES]


def _two_steps(graph: Graph, frame: Array, rate: float) -> Steps:
    params = [t.name for t in graph.with_role("param")]
    sums = [{name: np.zeros(graph.tensors[name].shape) for name in params} for _ in range(2)]
    for seed in range(RUNS):
        interpreter = Interpreter(graph, seed)
        for total, lr in zip(sums, (rate, 0.0), strict=True):
            before = dict(interpreter.data)
            interpreter.train_step(frame, 1, lr)
            for name in params:
                moved_by = interpreter.data[name].astype(np.float64) - before[name]
                total[name] += moved_by / RUNS
    return Steps(graph, *sums)


def shares(graph: Graph, pairs: list[tuple[Moves, Moves]]) -> dict[str, float]:
    """By element type: how far params moved, in units of how far they should."""
    there: dict[str, float] = defaultdict(float)
    should = Counter[str]()
    for found, wanted in pairs:
        for name, exact in wanted.items():
            dtype = graph.tensors[name].dtype
            least, most = SEEN[dtype]
            seen = (np.abs(exact) > least) & (np.abs(exact) < most)
            # Each seen element counts alike, whatever its size.
            sizes = np.abs(exact[seen])
            there[dtype] += float((np.sign(exact[seen]) * found[name][seen] / sizes).sum())
            should[dtype] += int(seen.sum())
    return {dtype: there[dtype] / count for dtype, count in should.items() if count >= 5}


@pytest.mark.parametrize(("bias", "head"), FORMATS)
def test_the_first_step_is_that_of_sgd_whatever_the_unit(bias: str, head: str) -> None:
    """The velocity starts at 0, so that v is SGD's step, in each format of parameter."""
    plain, run = steps(SGD(), bias, head), steps(Momentum(DECAY), bias, head)
    pairs = [(a.first, b.first) for a, b in zip(run, plain, strict=True)]
    found = shares(plain[0].graph, pairs)
    formats = {"int16": "i16", "int32": "i32", "float32": "f32"}
    assert {formats[head], *(() if head == "float32" else ("i8", formats[bias]))} <= found.keys()
    assert {dtype: share for dtype, share in found.items() if not 0.9 < share < 1.1} == {}


@pytest.mark.parametrize(("bias", "head"), FORMATS)
def test_without_a_gradient_the_velocity_moves_on_and_decays(bias: str, head: str) -> None:
    """The second move is 0.9 of the first; SGD makes none."""
    run = steps(Momentum(DECAY), bias, head)
    found = shares(run[0].graph, [(each.second, each.first) for each in run])
    assert found
    assert {dtype: share for dtype, share in found.items() if not 0.8 < share < 1.0} == {}
    for plain in steps(SGD(), bias, head):
        assert all((moved_by == 0).all() for moved_by in plain.second.values())


def test_dead_channels_are_never_trained() -> None:
    seed = next(s for s in range(200) if {"dead channel", "scheme full"} <= draw(s).tags)
    drawn = draw(seed)
    graph = build_training_graph(
        drawn.case.graph, drawn.case.classes, drawn.scheme, drawn.formats, Momentum(DECAY)
    )
    _fill_head(graph, np.random.default_rng(1))
    interpreter = Interpreter(graph, 3)
    frames = frames_of(drawn.case, np.random.default_rng(2))
    for i in range(6):
        interpreter.train_step(frames[i % 3], 1, 0.05)
    dead, alive = 0, 0
    for node in graph.nodes:
        if node.op != "conv2d_weight_update":
            continue
        velocity = WeightUpdate[str].of(node.inputs).weight
        still = weight_factors(graph, node).multiplier == 0
        dead += int(still.sum())
        alive += int(np.count_nonzero(interpreter.data[velocity]))
        assert (interpreter.data[velocity][still] == 0).all()
    assert dead > 0
    assert alive > 0


def test_the_block_is_charged_for_the_velocities() -> None:
    """Parameters first, where SGD has them, then as many bytes again, and in no arena."""
    drawn = draw(0)
    args = drawn.case.graph, drawn.case.classes, drawn.scheme, drawn.formats
    plain = build_training_graph(*args, SGD(), calibrate=False)
    graph = build_training_graph(*args, Momentum(DECAY), calibrate=False)
    slots, more = layout.parameter_slots(plain), layout.parameter_slots(graph)
    assert more[: len(slots)] == slots
    assert layout.momentum_bytes(graph) == layout.block_bytes(slots) > 0
    assert layout.block_bytes(more) == 2 * layout.block_bytes(slots)
    assert layout.offset_names(graph) == layout.offset_names(plain)
    assert layout.momentum_bytes(plain) == 0
    assert len(list(with_trait(graph, Trait.UPDATE))) > len(list(with_trait(plain, Trait.UPDATE)))


@pytest.mark.parametrize("momentum", [0.0, 1.0, -0.5, 2.0, float("nan"), 1e-9])
def test_a_momentum_that_is_no_share_is_refused(momentum: float) -> None:
    with pytest.raises(MicrotuneError, match="between 0 and 1"):
        make_optimizer("momentum", momentum)


def test_momentum_without_its_optimiser_is_refused() -> None:
    with pytest.raises(MicrotuneError, match="--optimizer momentum"):
        make_optimizer("sgd", 0.9)
    assert make_optimizer("momentum") == Momentum(round(0.9 * 2**16))
