"""How a graph is executed: what no bit of any result depends on, apart from what it computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

InputMode = Literal["resident", "rows"]


@dataclass(frozen=True)
class Execution:
    """The options of a run of a graph.

    `input` says whether the input lies in memory as a whole ("resident") or a callback gives its
    rows one after the other ("rows"). `replay_slots` is the number of samples that the replay
    memory holds; 0: there is none.
    """

    input: InputMode = "resident"
    replay_slots: int = 0

    @property
    def by_rows(self) -> bool:
        """Whether a callback gives the rows of the input."""
        return self.input == "rows"

    def changes(self) -> dict[str, Any]:
        """The options that differ from the defaults, as JSON has them."""
        usual = Execution()
        return {k: v for k, v in asdict(self).items() if v != getattr(usual, k)}

    @staticmethod
    def of(options: Mapping[str, Any]) -> Execution:
        """The reverse of `changes`. Raises ValueError for what is no option."""
        known = {field.name for field in fields(Execution)}
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
        return found
