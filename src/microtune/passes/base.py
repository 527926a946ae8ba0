"""A pass takes a graph in one stage to a graph in another; a pipeline is a sequence of passes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Protocol

from microtune.errors import MicrotuneError
from microtune.ir.graph import Graph
from microtune.ir.stages import Stage, check_stage
from microtune.ir.verifier import InvalidGraphError, verify


class Pass(Protocol):
    """One step of the compiler. Its options are its fields.

    `name` is how people call it, `needs` the stage of the graph that it takes, `gives` the stage of
    the graph that it returns.
    """

    name: ClassVar[str]
    needs: ClassVar[Stage]
    gives: ClassVar[Stage]

    def run(self, graph: Graph) -> Graph:
        """The changed graph; the one given stays as it is."""
        ...


def run_passes(graph: Graph, passes: Sequence[Pass], after: str | None = None) -> Graph:
    """The graph behind these passes, or behind the one called `after`.

    Each graph is verified, with the rules of its stage, before and after every pass. Raises
    InvalidGraphError with the name of the pass; MicrotuneError if none is called `after`.
    """
    if after is not None and after not in (known := [each.name for each in passes]):
        raise MicrotuneError(f"there is no pass '{after}' here; passes: {', '.join(known)}")
    verify(graph)
    for each, result in _results(graph, passes):
        graph = result
        if each.name == after:
            break
    return graph


def _results(graph: Graph, passes: Sequence[Pass]) -> Iterator[tuple[Pass, Graph]]:
    for each in passes:
        try:
            check_stage(graph, each.needs)
        except InvalidGraphError as error:
            raise InvalidGraphError(f"before pass {each.name}: {error}") from error
        try:
            graph = check_stage(verify(each.run(graph)), each.gives)
        except InvalidGraphError as error:
            raise InvalidGraphError(f"after pass {each.name}: {error}") from error
        yield each, graph
