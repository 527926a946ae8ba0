"""What binds nodes that are to be put in order, and the memory that an order needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from microtune.memory.lifetimes import Buffer

Order = tuple[int, ...]


@dataclass(frozen=True)
class Memory:
    """A buffer and the tasks that use it, its maker first.

    `before`: it is there before the first task; `after`: it is needed after the last one.
    """

    buffer: Buffer
    users: tuple[int, ...]
    before: bool
    after: bool

    @property
    def bytes(self) -> int:
        """Bytes of the buffer, rounded up to its alignment."""
        return -(-self.buffer.bytes // self.buffer.alignment) * self.buffer.alignment

    @property
    def in_use(self) -> bool:
        """Whether the memory is in use while some of the tasks run."""
        return bool(self.users) or self.after


@dataclass(frozen=True)
class Tasks:
    """Nodes that take steps `start`, `start` + 1, ... in any order that `follows` allows.

    `follows[i]` are the tasks that task i must follow, all of lower number.
    """

    start: int
    follows: tuple[frozenset[int], ...]
    memories: tuple[Memory, ...]

    @cached_property
    def ancestors(self) -> list[int]:
        """For each task the tasks before it in every order, as a bit mask."""
        found: list[int] = []
        for earlier in self.follows:
            mask = 0
            for j in earlier:
                mask |= found[j] | 1 << j
            found.append(mask)
        return found

    @cached_property
    def descendants(self) -> list[int]:
        """For each task the tasks after it in every order, as a bit mask."""
        masks = self.ancestors
        return [sum(1 << j for j, m in enumerate(masks) if m >> i & 1) for i in range(len(masks))]

    def least_peak(self) -> int:
        """Bytes that are alive in some step of every order: a lower bound of every peak."""
        alive = (self.surely_alive(i) for i in range(len(self.follows)))
        return max((sum(m.bytes for m in memories) for memories in alive), default=0)

    def surely_alive(self, task: int) -> list[Memory]:
        """The memories that are alive while the task runs, in every order."""
        until, since = self.ancestors[task] | 1 << task, self.descendants[task] | 1 << task
        return [
            m for m, users in zip(self.memories, self._user_masks, strict=True)
            if (m.before or (m.users and until >> m.users[0] & 1)) and (m.after or users & since)
        ]  # fmt: skip

    @cached_property
    def _user_masks(self) -> list[int]:
        return [sum(1 << user for user in m.users) for m in self.memories]

    def cost(self, order: Order) -> tuple[int, int]:
        """(largest live set, sum of live bytes over the steps)."""
        table, count = self._table, len(order)
        at = np.empty(count + 2, np.int64)
        at[list(order)] = np.arange(count)
        at[count], at[count + 1] = -1, count - 1  # before the first task, after the last one
        first = np.maximum(at[table.maker], 0)
        last = np.maximum.reduceat(at[table.users], table.starts) + 1
        change = np.bincount(first, table.bytes, count + 1)
        change -= np.bincount(last, table.bytes, count + 1)
        return int(np.cumsum(change).max()), int(table.bytes @ (last - first))

    @cached_property
    def _table(self) -> _Table:
        count = len(self.follows)
        alive = [m for m in self.memories if m.in_use]
        users = [(*m.users, count + 1) if m.after else m.users for m in alive]
        return _Table(
            np.array([m.bytes for m in alive], np.int64),
            np.array([count if m.before else m.users[0] for m in alive], np.int64),
            np.array([u for by in users for u in by], np.int64),
            np.cumsum([0, *(len(by) for by in users[:-1])]),
        )

    def moves(self, order: Order, task: int) -> Iterator[Order]:
        """The orders that differ from this one in the place of one task."""
        place = order.index(task)
        others = order[:place] + order[place + 1 :]
        earlier, later = self.ancestors[task], self.descendants[task]
        low = max((k + 1 for k, other in enumerate(others) if earlier >> other & 1), default=0)
        high = min((k for k, o in enumerate(others) if later >> o & 1), default=len(others))
        for k in range(low, high + 1):
            if k != place:
                yield (*others[:k], task, *others[k:])


@dataclass(frozen=True)
class _Table:
    """Memories as arrays: bytes, maker, and users with where each memory's users start."""

    bytes: npt.NDArray[np.int64]
    maker: npt.NDArray[np.int64]
    users: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
