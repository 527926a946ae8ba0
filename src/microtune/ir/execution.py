"""How a graph is executed: what no bit of any result depends on, apart from what it computes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

InputMode = Literal["resident", "rows"]


@dataclass(frozen=True)
class Execution:
    """The options of a run of a graph.

    `input` says whether the input lies in memory as a whole ("resident") or a callback gives its
    rows one after the other ("rows"). `replay_slots` is the number of samples that the replay
    memory holds; 0: there is none. A node, named by its first result, is in one of the `segments`
    if it is executed row by row together with its neighbours; `in_place` gives the operand whose
    memory its first result takes.
    """

    input: InputMode = "resident"
    replay_slots: int = 0
    segments: Mapping[str, int] = field(default_factory=dict)
    in_place: Mapping[str, str] = field(default_factory=dict)

    def in_segment(self, nodes: Iterable[str], number: int) -> Execution:
        """These nodes as a segment: each with rows of its own, no longer in place."""
        streamed = dict.fromkeys(nodes, number)
        rest = {name: old for name, old in self.in_place.items() if name not in streamed}
        return replace(self, segments={**self.segments, **streamed}, in_place=rest)

    @property
    def by_rows(self) -> bool:
        """Whether a callback gives the rows of the input."""
        return self.input == "rows"

    def changes(self) -> dict[str, Any]:
        """The options that differ from the defaults, as JSON has them."""
        usual = Execution()
        return {k: v for k, v in asdict(self).items() if v != getattr(usual, k)}

    def in_order(self) -> list[tuple[int, list[str]]]:
        """Each segment's number and nodes."""
        numbers = dict.fromkeys(self.segments.values())
        return [(n, [name for name, of in self.segments.items() if of == n]) for n in numbers]

    @staticmethod
    def of(options: Mapping[str, Any]) -> Execution:
        """The reverse of `changes`. Raises ValueError for what is no option."""
        known = {option.name for option in fields(Execution)}
        if unknown := sorted(options.keys() - known):
            raise ValueError(f"unknown options {unknown}; there are {sorted(known)}")
        execution = Execution(**options)
        for problem in execution.problems():
            raise ValueError(problem)
        return execution

    def problems(self) -> list[str]:
        """What is wrong with the options; empty if nothing is."""
        modes = get_args(InputMode)
        found = []
        if self.input not in modes:
            found.append(f"input {self.input!r} is none of {', '.join(modes)}")
        if type(self.replay_slots) is not int or self.replay_slots < 0:
            found.append(f"replay_slots {self.replay_slots!r} is no number of samples")
        for name, kind in (("segments", int), ("in_place", str)):
            table = getattr(self, name)
            if not isinstance(table, Mapping) or any(type(v) is not kind for v in table.values()):
                found.append(f"{name} {table!r:.80} is no table of {kind.__name__} by node")
        return found
