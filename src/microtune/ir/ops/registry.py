"""The op table: everything that the compiler knows about an op is one entry (`Op`).

Passes, planner, generator and reports never compare an op's name; they ask the entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

import numpy as np
import numpy.typing as npt

from microtune.ir.graph import Graph, Node
from microtune.ir.ops.operands import Operands
from microtune.ir.ops.rules import Lowering, Tape

Array = npt.NDArray[Any]
Shape = tuple[int, ...]
ShapeList = list[tuple[Shape, str]]


class Trait(Enum):
    """What passes, planner and reports need to know about an op."""

    LAYER = auto()  # a weight and a bias (operands: convolution.Layer): what a scheme trains
    HEAD = auto()  # makes the logits: an inference ends here
    LOSS = auto()  # the forward part ends here, the backward part follows
    VIEW = auto()  # its first result is the memory of its first operand; nothing runs
    STREAMED = auto()  # can make its result row by row
    UPDATE = auto()  # writes its results into parameters
    TRAINING_ONLY = auto()  # in the forward part, but an inference leaves it out
    FLOAT = auto()  # a gradient in real numbers: every one is lowered, none runs on a device
    MASK = auto()  # passes a gradient where a mask is 1 (operands: clamp.MaskGradient)
    ENTERING = auto()  # makes the gradient that enters the backbone: (codes, exponent)


@dataclass(frozen=True)
class Context:
    """What a meaning may know besides its input arrays.

    `real` is the type that float32 tensors are computed in: float32, or float64 for oracles.
    """

    graph: Graph
    node: Node
    real: type[np.floating[Any]] = np.float32

    @property
    def mode(self) -> str:
        """Requantisation mode of the graph: "device", "mcunet", "tflite" or "tflite-uint8"."""
        return str(self.graph.attrs.get("requantize", "device"))

    @property
    def tflite(self) -> bool:
        """Whether the graph requantises as TensorFlow Lite does."""
        return self.mode in ("tflite", "tflite-uint8")


@dataclass(frozen=True)
class Window:
    """The rows of its image operands that a row of the result covers: `kernel` of them, for row r
    from row r·stride − padding on. A negative padding is rows that no result reads."""

    kernel: int = 1
    stride: int = 1
    padding: int = 0


# The meaning of an op takes its operands as arrays, by name (a subclass of Operands[Array]).
Meaning = Callable[[Context, Any], list[Array]]
ShapeRule = Callable[[Graph, Node], ShapeList]
GradientRule = Callable[[Tape, Node, str], None]
LoweringRule = Callable[[Lowering, Node], None]
CountRule = Callable[[Graph, Node], int]
ReadRule = Callable[[Graph, Node], dict[str, float]]
ProofRule = Callable[[Graph, Node], Iterator[str]]
OverwriteRule = Callable[[Graph, Node], tuple[str, ...]]
ClampRule = Callable[[Graph, Node], bool]
WindowRule = Callable[[Graph, Node], Window | None]


def no_macs(graph: Graph, node: Node) -> int:
    """An op that does not multiply and add."""
    return 0


def once(graph: Graph, node: Node) -> dict[str, float]:
    """Every operand is read once per element."""
    return {}


def nothing_to_prove(graph: Graph, node: Node) -> Iterator[str]:
    """An op whose sums always fit."""
    return iter(())


def overwrites_nothing(graph: Graph, node: Node) -> tuple[str, ...]:
    """The result needs memory of its own."""
    return ()


def never(graph: Graph, node: Node) -> bool:
    """False for every node: the answer of an op without a clamp."""
    return False


def always(graph: Graph, node: Node) -> bool:
    """An op whose clamp can always be active."""
    return True


def row_by_row(graph: Graph, node: Node) -> Window:
    """A row of the result needs the same row of each image."""
    return Window()


@dataclass(frozen=True)
class Op:
    """What the program knows of an op, in one entry.

    operands     class of its named operands
    attrs        attributes that it must have; `optional` may be there
    shapes       shapes and element types of its results
    meaning      what it computes, in numpy, exactly
    traits       what passes and planner ask
    gradient     appends the float gradients of its operands; None: it can only be frozen
    lowering     appends its int8 version; None: the device runs it as it is
    macs         multiply-accumulates
    reads        operand -> how often the portable kernel reads it, where not once per element
    proof        what could overflow, as a sentence each
    overwrites   operands whose memory the first result may take
    clamps       whether its clamp can be active, so that a gradient needs a mask
    writes       operands whose memory the results take, one each (ops that are UPDATE)
    window       the rows that a row of the result covers (ops that are STREAMED); None: this node
                 needs more of its image than a few rows at a time
    back         "dx", "dW", "db" -> the op of the way back that a device runs for it
    """

    name: str
    operands: type[Operands[Any]]
    attrs: frozenset[str]
    optional: frozenset[str]
    shapes: ShapeRule
    meaning: Meaning
    traits: frozenset[Trait] = frozenset()
    gradient: GradientRule | None = None
    lowering: LoweringRule | None = None
    macs: CountRule = no_macs
    reads: ReadRule = once
    proof: ProofRule = nothing_to_prove
    overwrites: OverwriteRule = overwrites_nothing
    clamps: ClampRule = never
    writes: tuple[str, ...] = ()
    window: WindowRule = row_by_row
    back: Mapping[str, str] = field(default_factory=dict)


OPS: dict[str, Op] = {}


def op(
    name: str, operands: type[Operands[Any]], shapes: ShapeRule, *traits: Trait,
    attrs: str = "", optional: str = "", **rules: Any,  # noqa: ANN401
) -> Callable[[Meaning], Meaning]:  # fmt: skip
    """Register the decorated function as the meaning of op `name`; `rules` are fields of `Op`."""

    def register(meaning: Meaning) -> Meaning:
        if name in OPS:
            raise ValueError(f"op {name} is defined twice")
        OPS[name] = Op(
            name, operands, frozenset(attrs.split()), frozenset(optional.split()), shapes, meaning,
            frozenset(traits), **rules,
        )  # fmt: skip
        return meaning

    return register


def operand_names(node: Node) -> dict[str, str]:
    """Path of an operand ("x", "split.trained") -> the tensor, of those that are there."""
    return dict(OPS[node.op].operands.of(node.inputs).names())


def has(node: Node, trait: Trait) -> bool:
    """Whether the node's op has the trait."""
    return trait in OPS[node.op].traits


def with_trait(graph: Graph, trait: Trait) -> Iterator[Node]:
    """The nodes whose op has the trait, in order."""
    return (node for node in graph.nodes if has(node, trait))


def first_with(graph: Graph, trait: Trait) -> Node | None:
    """The first node whose op has the trait."""
    return next(with_trait(graph, trait), None)
