"""The kernel table: what the generator knows about an op, one entry an op.

The families of `ir/ops` have a module of the same name here, which registers their kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from microtune.codegen.emitter import Emitter
from microtune.ir.graph import Graph, Node

# What bounds the instructions of a kernel (codegen/instructions_bound.py).
CostClass = Literal["convolution", "input gradient", "weight gradient", "bias gradient", "add"]


@dataclass(frozen=True)
class Work:
    """The shape of a kernel's work.

    `kind` is the class of kernel and `text` its shape, both for people; `length` the products
    summed for one output, `taps` the width of its kernel; `inputs` and `outputs` are elements.
    `cost` says which bound of instructions holds; None: no bound is known.
    """

    kind: str
    text: str
    length: int = 0
    taps: int = 1
    inputs: int = 0
    outputs: int = 0
    cost: CostClass | None = None
    depthwise: bool = False


@dataclass(frozen=True)
class Stage:
    """How one row of an op is made (runtime/portable/mt_stream.h).

    `function` is the C that makes a row, `params` its parameters, or what emits them given the
    initialiser of a tensor's mt_ring; `x2` is the second image operand, `weight` and `bias` are
    symbols of tables.
    """

    function: str
    params: str | Callable[[Callable[[str], str]], str]
    x2: str | None = None
    weight: str | None = None
    bias: str | None = None


Emit = Callable[[Emitter, Node], None]
StageRule = Callable[[Emitter, Node], Stage]
ScratchRule = Callable[[Graph, Node], int]
WorkRule = Callable[[Graph, Node], Work]


def no_scratch(graph: Graph, node: Node) -> int:
    """A kernel that needs its operands only."""
    return 0


def elementwise(kind: str, cost: CostClass | None = None) -> WorkRule:
    """Work that is told by the elements of the first operand and the first result."""

    def rule(graph: Graph, node: Node) -> Work:
        elements = graph.tensors[node.inputs[0]].elements
        made = graph.tensors[node.outputs[0]].elements
        return Work(kind, f"{elements:,} elements", inputs=elements, outputs=made, cost=cost)

    return rule


@dataclass(frozen=True)
class Kernel:
    """What code generation knows of an op.

    emit      appends the parameters and the call
    work      class and shape of its work, for reports and bounds
    stage     how it makes one row (ops with Trait.STREAMED)
    scratch   bytes beside its operands: the formula of its C function `mt_*_scratch_bytes`
    header    C header that declares it, without suffix
    faster    functions of C that an instruction set may have a version of
    """

    emit: Emit
    work: WorkRule
    stage: StageRule | None = None
    scratch: ScratchRule = no_scratch
    header: str = "mt_kernels"
    faster: tuple[str, ...] = ()


KERNELS: dict[str, Kernel] = {}


def kernel(
    op: str, work: WorkRule | str, *, stage: StageRule | None = None,
    scratch: ScratchRule = no_scratch, header: str = "mt_kernels", faster: str = "",
) -> Callable[[Emit], Emit]:  # fmt: skip
    """Register the decorated function as what emits `op`.

    `work` may be the class's name; `faster` lists functions of C.
    """

    def register(emit: Emit) -> Emit:
        if op in KERNELS:
            raise ValueError(f"op {op} has two kernels")
        rule = elementwise(work) if isinstance(work, str) else work
        KERNELS[op] = Kernel(emit, rule, stage, scratch, header, tuple(faster.split()))
        return emit

    return register
