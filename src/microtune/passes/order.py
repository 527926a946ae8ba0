"""The order of the backward part that needs least memory.

What follows the loss may run in any order that keeps its dependencies; the forward part keeps its
order, because inference and training share it. List schedules come first, then a constraint solver
(`order_solver`). Both work on a model of who uses which buffer; which order is better is decided by
the lifetimes that `step_buffers` gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from microtune.ir.graph import Graph, Node
from microtune.ir.ops import Trait, has
from microtune.ir.stages import Stage
from microtune.memory.lifetimes import Buffer, step_buffers, views
from microtune.memory.planner import Plan, granule, live_bytes, plan_arena
from microtune.memory.solver import InitialPlan, available, smaller_arena, smaller_peak
from microtune.memory.tasks import Memory, Order, Tasks

DETERMINISTIC_SECONDS = 0.1
LOCAL_MOVES = 20_000

Scratch = Callable[[Node], int]


@dataclass(frozen=True)
class Backward:
    """The nodes behind the loss, from `start` on; `tasks` says what binds them."""

    graph: Graph
    scratch_bytes: Scratch
    start: int
    tasks: Tasks

    def reordered(self, order: Order) -> Graph:
        """The graph with this order of its backward nodes."""
        result = self.graph.copy()
        result.nodes[self.start :] = [self.graph.nodes[self.start + i] for i in order]
        return result

    def buffers(self, order: Order) -> list[Buffer]:
        """The buffers of the whole step with this order."""
        return step_buffers(self.reordered(order), self.scratch_bytes)

    def plan(self, order: Order, *, solve: bool = False) -> Plan:
        """The arena that the backward part needs by itself with this order."""
        alive = [b for b in self.buffers(order) if b.last > self.start]
        return plan_arena([_since(b, self.start) for b in alive], solve=solve)

    def cost(self, order: Order) -> tuple[int, int]:
        """(largest live set, sum of live bytes over the steps) of the backward part."""
        live = live_bytes(self.buffers(order))[self.start : -1]
        return int(live.max()), int(live.sum())

    def cheapest(self, orders: Iterable[Order]) -> Order:
        """The first one of the smallest peak, then the smallest greedy arena of the backward part,
        then of the whole step, then the smallest sum; each is worked out for equals only."""
        costs = {order: self.cost(order) for order in orders}
        parts: tuple[Callable[[Order], int], ...] = (
            lambda order: costs[order][0],
            lambda order: self.plan(order).arena_bytes,
            lambda order: plan_arena(self.buffers(order), solve=False).arena_bytes,
            lambda order: costs[order][1],
        )
        equals = list(costs)
        for part in parts:
            if len(equals) == 1:
                break
            found = [part(order) for order in equals]
            equals = [o for o, cost in zip(equals, found, strict=True) if cost == min(found)]
        return equals[0]


def _since(buffer: Buffer, step: int) -> Buffer:
    """What is left of the buffer's life from this step on."""
    gaps = tuple(g._replace(first=max(g.first, step)) for g in buffer.gaps if g.last > step)
    return replace(buffer, first=max(buffer.first, step), gaps=gaps)


def minimise_peak_order(
    graph: Graph,
    scratch_bytes: Scratch,
    *,
    solve: bool = True,
    deterministic_seconds: float = DETERMINISTIC_SECONDS,
) -> Graph:
    """The graph with its backward nodes in the order of least memory; no bit depends on it.

    First the largest live set of the backward part is made small, then the arena that it packs
    into, then the sum of live bytes over its steps; never worse than the order given. Equal graphs
    get equal orders. Where that arena is not known to be minimal, order and offsets are searched
    together. A graph without a loss comes back as it is.
    """
    backward = backward_part(graph, scratch_bytes)
    if backward is None:
        return graph
    tasks = backward.tasks
    given, *listed = _list_schedules(tasks)
    quick = min(listed, key=backward.cost)
    best = backward.cheapest((_improved(tasks, quick), quick, given))
    if solve and available():
        best = _solved(backward, best, deterministic_seconds)
    return backward.reordered(best)


def backward_part(graph: Graph, scratch_bytes: Scratch) -> Backward | None:
    """The nodes behind the loss and what binds their order; None if nothing follows the loss."""
    start = next((i + 1 for i, node in enumerate(graph.nodes) if has(node, Trait.LOSS)), None)
    if start is None or start == len(graph.nodes):
        return None
    tasks = _tasks(graph, start, step_buffers(graph, scratch_bytes))
    return Backward(graph, scratch_bytes, start, tasks)


# -- what binds the nodes -------------------------------------------------------------------------


def _tasks(graph: Graph, start: int, buffers: list[Buffer]) -> Tasks:
    """Dependencies and memory of the nodes from `start` on."""
    nodes = graph.nodes[start:]
    owner = views(graph)
    users: dict[str, list[int]] = {}
    for i, node in enumerate(nodes):
        for name in dict.fromkeys(owner.get(n, n) for n in (*node.inputs, *node.outputs)):
            users.setdefault(name, []).append(i)
    memories = []
    for buffer in buffers:
        scratch = buffer.name not in graph.tensors and buffer.first >= start
        by = [buffer.first - start] if scratch else users.get(buffer.name, [])
        after = not scratch and buffer.last == len(graph.nodes) and _kept(graph, owner, buffer)
        memories.append(Memory(buffer, tuple(by), buffer.first < start, after))
    return Tasks(start, tuple(_follows(graph, nodes, owner, users)), tuple(memories))


def _kept(graph: Graph, owner: dict[str, str], buffer: Buffer) -> bool:
    return any(owner.get(name, name) == buffer.name for name in graph.outputs)


def _follows(
    graph: Graph, nodes: list[Node], owner: dict[str, str], users: dict[str, list[int]]
) -> Iterator[frozenset[int]]:
    """For each node the nodes that it must follow: what it reads is made, what it overwrites read.

    An update overwrites its param or state, a node in place the memory of one of its inputs.
    """
    maker = {name: i for i, node in enumerate(nodes) for name in node.outputs}
    target = {value: name for name, value in graph.updates.items()}
    overwriter: dict[str, list[int]] = {}
    for i, node in enumerate(nodes):
        if node.outputs[0] in graph.execution.in_place:
            overwriter.setdefault(owner[node.outputs[0]], []).append(i)
    for i, node in enumerate(nodes):
        earlier = {maker[name] for name in node.inputs if name in maker}
        for name in node.outputs:
            old = target.get(name)
            if old is not None:
                earlier |= {j for j in users[old] if old in nodes[j].inputs}
        for name in (*node.inputs, *node.outputs):
            buffer = owner.get(name, name)
            writers = overwriter.get(buffer, [])
            earlier |= {j for j in (users[buffer] if i in writers else writers) if j < i}
        yield frozenset(earlier - {i})


# -- list schedules -------------------------------------------------------------------------------

Rank = tuple[int, ...]


def _list_schedules(tasks: Tasks) -> Iterator[Order]:
    """The given order, then list schedules: of the ready nodes the one of least rank is next."""
    yield tuple(range(len(tasks.follows)))
    ranks: tuple[Callable[[int, int, int], Rank], ...] = (
        lambda during, after, i: (after, during, i),
        lambda during, after, i: (during, after, i),
        lambda during, after, i: (max(after, 0), during, i),
        lambda during, after, i: (0 if after < 0 else 1, i),
    )
    for rank in ranks:
        yield _list_schedule(tasks, rank)


def _list_schedule(tasks: Tasks, rank: Callable[[int, int, int], Rank]) -> Order:
    """`rank` gets the change of live bytes during a node and after it, and its number."""
    waiting = [set(earlier) for earlier in tasks.follows]
    left = [len(m.users) for m in tasks.memories]
    alive = [m.before for m in tasks.memories]
    uses: list[list[int]] = [[] for _ in waiting]
    for k, memory in enumerate(tasks.memories):
        for i in memory.users:
            uses[i].append(k)

    def rank_of(i: int) -> Rank:
        born = sum(tasks.memories[k].bytes for k in uses[i] if not alive[k])
        freed = [tasks.memories[k] for k in uses[i] if left[k] == 1]
        return rank(born, born - sum(m.bytes for m in freed if not m.after), i)

    order: list[int] = []
    todo = set(range(len(waiting)))
    while todo:
        chosen = min((i for i in todo if not waiting[i]), key=rank_of)
        order.append(chosen)
        todo.remove(chosen)
        for k in uses[chosen]:
            alive[k], left[k] = True, left[k] - 1
        for i in todo:
            waiting[i].discard(chosen)
    return tuple(order)


# -- better orders ---------------------------------------------------------------------------------


def _improved(tasks: Tasks, order: Order) -> Order:
    """The order after moving single nodes, as long as that helps, for at most LOCAL_MOVES tries."""
    best, cost, tries, task, unmoved = order, tasks.cost(order), 0, 0, 0
    while unmoved < len(order) and tries < LOCAL_MOVES:
        unmoved += 1
        for moved in tasks.moves(best, task):
            tries += 1
            if tasks.cost(moved) < cost:
                best, cost, unmoved = moved, tasks.cost(moved), 0
        task = (task + 1) % len(order)
    return best


def _solved(backward: Backward, order: Order, deterministic_seconds: float) -> Order:
    """The order or a better one: of a smaller peak, else of a smaller arena."""
    tasks, best = backward.tasks, order
    if tasks.cost(order)[0] > tasks.least_peak():
        found = _improved(tasks, smaller_peak(tasks, order, deterministic_seconds))
        best = backward.cheapest((order, found))
    plan = backward.plan(best, solve=True)
    if plan.optimal:
        return best
    placement = InitialPlan(plan.offsets, plan.arena_bytes, granule(plan.buffers))
    together = smaller_arena(tasks, best, placement, deterministic_seconds)
    if together == best:
        return best
    smaller = backward.plan(together, solve=True).arena_bytes < plan.arena_bytes
    return together if smaller else best


@dataclass(frozen=True)
class MinimisePeak:
    """Order the nodes behind the loss; `scratch_rule` tells what else kernels need."""

    scratch_rule: Callable[[Graph], Scratch]
    name: ClassVar[str] = "order"
    needs: ClassVar[Stage] = Stage.SCHEDULED
    gives: ClassVar[Stage] = Stage.SCHEDULED

    def run(self, graph: Graph) -> Graph:
        """The graph with its backward nodes in the order of least memory."""
        return minimise_peak_order(graph, self.scratch_rule(graph))
