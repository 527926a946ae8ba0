"""The order of the backward part: less memory, the same bits, the forward part untouched."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microtune.codegen.scratch import scratch_rule
from microtune.ir.evaluate import evaluate
from microtune.ir.graph import Graph, Node
from microtune.ir.ops import Trait, has
from microtune.ir.verifier import verify
from microtune.memory.lifetimes import Buffer, step_buffers
from microtune.memory.planner import largest_live_set, live_bytes, plan_arena
from microtune.memory.solver import available
from microtune.memory.tasks import Memory, Order, Tasks
from microtune.passes.early_updates import early_updates
from microtune.passes.in_place import in_place
from microtune.passes.order import minimise_peak_order
from microtune.training.build import Formats, build_training_graph
from microtune.training.scheme import resolve_scheme
from tests.training.graphs import GraphCase, graph_cases, random_graph


def training_graph(case: GraphCase, scheme: str = "full") -> Graph:
    """The random graph's training step on the device."""
    chosen = resolve_scheme(scheme, case.graph, "random")
    return build_training_graph(case.graph, case.classes, chosen, Formats())


def result_bytes(graph: Graph, case: GraphCase) -> dict[str, bytes]:
    """Everything that a step leaves behind: outputs, params and states."""
    inputs = {
        "input": case.frame, "label": np.array([case.label]), "lr": np.array([0.05], np.float32),
        "seed": np.array([7], np.uint32), "step": np.array([3], np.uint32),
    }  # fmt: skip
    needed = {t.name: inputs[t.name].reshape(t.shape) for t in graph.with_role("input")}
    values = evaluate(graph, needed)
    return {name: np.asarray(value).tobytes() for name, value in values.items()}


def backward_cost(graph: Graph) -> tuple[int, int]:
    """(largest live set, sum of live bytes) behind the loss."""
    start = [has(node, Trait.LOSS) for node in graph.nodes].index(True) + 1
    live = live_bytes(step_buffers(graph, scratch_rule(graph)))[start:-1]
    return int(live.max()), int(live.sum())


def backward_arena(graph: Graph) -> int:
    """The arena of what lives behind the loss, by greedy."""
    start = [has(node, Trait.LOSS) for node in graph.nodes].index(True) + 1
    buffers = [b for b in step_buffers(graph, scratch_rule(graph)) if b.last > start]
    clipped = [replace(b, first=max(b.first, start)) for b in buffers]
    return plan_arena(clipped, solve=False).arena_bytes


@settings(deadline=None, max_examples=25)
@given(graph_cases(), st.sampled_from(["full", "last-1", "bias-only"]), st.booleans())
def test_order_saves_memory_and_changes_no_bit(
    case: GraphCase, scheme: str, overwriting: bool
) -> None:
    graph = training_graph(case, scheme)
    if overwriting:
        graph = in_place(early_updates(graph))
    ordered = verify(minimise_peak_order(graph, scratch_rule(graph)))
    (before, _), (after, _) = backward_cost(graph), backward_cost(ordered)
    assert after <= before
    if after == before:
        assert backward_arena(ordered) <= backward_arena(graph)
    start = [has(node, Trait.LOSS) for node in graph.nodes].index(True) + 1
    assert ordered.nodes[:start] == graph.nodes[:start]
    assert sorted(n.outputs for n in ordered.nodes) == sorted(n.outputs for n in graph.nodes)
    assert result_bytes(ordered, case) == result_bytes(graph, case)


@pytest.mark.parametrize("seed", range(4))
def test_equal_graphs_get_equal_orders(seed: int) -> None:
    graph = training_graph(random_graph(seed))
    orders = [minimise_peak_order(graph.copy(), scratch_rule(graph)).nodes for _ in range(2)]
    assert orders[0] == orders[1]


def backward_orders(graph: Graph) -> list[Order]:
    """Every order of the nodes behind the loss that is legal in a graph without `in_place`: what a
    node reads is made before, and who reads an old value runs before the node that replaces it."""
    nodes = graph.nodes[[has(node, Trait.LOSS) for node in graph.nodes].index(True) + 1 :]
    maker = {name: i for i, node in enumerate(nodes) for name in node.outputs}
    replaces = {value: name for name, value in graph.updates.items()}
    earlier = [{maker[name] for name in node.inputs if name in maker} for node in nodes]
    for i, node in enumerate(nodes):
        old = {replaces[name] for name in node.outputs if name in replaces}
        earlier[i] |= {j for j, other in enumerate(nodes) if old & set(other.inputs)} - {i}

    def complete(done: Order) -> list[Order]:
        ready = [i for i in range(len(nodes)) if i not in done and earlier[i] <= set(done)]
        return [order for i in ready for order in complete((*done, i))] if ready else [done]

    return complete(())


def reordered(graph: Graph, order: Order) -> Graph:
    start = [has(node, Trait.LOSS) for node in graph.nodes].index(True) + 1
    result = graph.copy()
    result.nodes[start:] = [graph.nodes[start + i] for i in order]
    return result


@pytest.mark.parametrize("seed", [0, 3, 11, 29, 161])
def test_the_order_reaches_the_least_peak_of_all_orders(seed: int) -> None:
    """All of them tried, from the worst one and from the one that autodiff gives; here list
    schedules and moves of single nodes find the least without the solver too."""
    graph = training_graph(random_graph(seed), "last-2")
    orders = backward_orders(graph)
    peaks = {order: backward_cost(reordered(graph, order))[0] for order in orders}
    least, worst = min(peaks.values()), max(orders, key=lambda order: peaks[order])
    assert len(orders) > 500
    assert least < peaks[tuple(range(len(worst)))] < peaks[worst]
    for start, solve in product((graph, verify(reordered(graph, worst))), (False, True)):
        found = minimise_peak_order(start, scratch_rule(graph), solve=solve)
        assert backward_cost(found)[0] == least


@pytest.mark.skipif(not available(), reason="needs the solver extra")
def test_the_solver_finds_an_order_that_list_schedules_miss() -> None:
    graph = training_graph(random_graph(5))
    listed, solved = (
        minimise_peak_order(graph, scratch_rule(graph), solve=solve) for solve in (False, True)
    )
    assert backward_cost(solved)[0] < backward_cost(listed)[0]


def test_a_graph_without_a_loss_comes_back() -> None:
    graph = random_graph(0).graph
    assert minimise_peak_order(graph, lambda node: 0) is graph


def test_an_update_waits_for_the_readers_of_the_old_value() -> None:
    graph = minimise_peak_order(training_graph(random_graph(5)), lambda node: 64)
    made = {name: i for i, node in enumerate(graph.nodes) for name in node.outputs}
    for old, new in graph.updates.items():
        readers = [i for i, node in enumerate(graph.nodes) if old in node.inputs]
        assert max(readers) <= made[new]


# -- the model of tasks ---------------------------------------------------------------------------


@st.composite
def random_tasks(draw: st.DrawFn, most: int = 7) -> Tasks:
    """A few tasks; each makes a buffer that later ones read."""
    count = draw(st.integers(1, most))
    follows = [
        frozenset(draw(st.sets(st.integers(0, i - 1), max_size=2))) if i else frozenset[int]()
        for i in range(count)
    ]
    memories = []
    for i in range(count):
        users = (i, *(j for j in range(i + 1, count) if i in follows[j]))
        size = draw(st.integers(1, 12)) * 8
        memories.append(Memory(Buffer(f"b{i}", size, 10 + i, 11 + users[-1]), users, False, False))
    after = draw(st.booleans())
    saved = tuple(sorted(draw(st.sets(st.integers(0, count - 1), min_size=1))))
    memories.append(Memory(Buffer("saved", 40, 0, 11 + saved[-1]), saved, True, after))
    return Tasks(10, tuple(follows), tuple(memories))


def all_orders(tasks: Tasks, done: Order = ()) -> list[Order]:
    """Every order that the dependencies allow."""
    rest = [i for i in range(len(tasks.follows)) if i not in done]
    if not rest:
        return [done]
    ready = [i for i in rest if tasks.follows[i] <= set(done)]
    return [order for i in ready for order in all_orders(tasks, (*done, i))]


def peak_by_hand(tasks: Tasks, order: Order) -> int:
    """The largest live set, step by step."""
    peak = 0
    for step in range(len(order)):
        live = 0
        for m in tasks.memories:
            born = m.before or order.index(m.users[0]) <= step
            needed = m.after or max(order.index(u) for u in m.users) >= step
            live += m.bytes if born and needed else 0
        peak = max(peak, live)
    return peak


@settings(deadline=None, max_examples=60)
@given(random_tasks())
def test_costs_and_the_least_peak_hold_for_every_order(tasks: Tasks) -> None:
    for order in all_orders(tasks)[:50]:
        assert tasks.cost(order)[0] == peak_by_hand(tasks, order) >= tasks.least_peak()


@settings(deadline=None, max_examples=60)
@given(random_tasks(5))
def test_moves_are_the_orders_that_differ_in_one_place(tasks: Tasks) -> None:
    allowed = set(all_orders(tasks))
    order = tuple(range(len(tasks.follows)))
    for task in order:
        moved = set(tasks.moves(order, task))
        without = tuple(i for i in order if i != task)
        assert moved == {
            o for o in allowed if o != order and tuple(i for i in o if i != task) == without
        }


@pytest.mark.skipif(not available(), reason="list schedules alone need not find the least")
@pytest.mark.parametrize("op", ["head_update", "bias_update", "conv2d_weight_update"])
def test_scratch_counts_for_its_own_node(op: str) -> None:
    """A node with a large scratch runs when least else is alive, of all orders."""
    graph = training_graph(random_graph(3), "last-2")
    heavy = next(n.outputs[0] for n in graph.nodes if n.op == op)

    def scratch(node: Node) -> int:
        return 10_000 if node.outputs[0] == heavy else 0

    def peak(ordered: Graph) -> int:
        return largest_live_set(step_buffers(ordered, scratch))[0]

    peaks = [peak(reordered(graph, order)) for order in backward_orders(graph)]
    assert min(peaks) < max(peaks)
    assert peak(minimise_peak_order(graph, scratch)) == min(peaks)
