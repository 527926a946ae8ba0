"""What the kernels of several families share: initialisers of C structs."""

from __future__ import annotations

from microtune.codegen.emitter import Emitter, struct_text
from microtune.ir.graph import Graph, Node
from microtune.ir.ops.common import clamp_bounds
from microtune.ir.ops.gradient_operands import Rounding

STATE = "&ctx->state"


def hwc(graph: Graph, name: str) -> tuple[int, int, int]:
    """(H, W, C); a vector is a 1x1 image."""
    shape = graph.tensors[name].shape
    return (shape[1], shape[2], shape[3]) if len(shape) == 4 else (1, 1, shape[-1])


def clamp_fields(node: Node) -> dict[str, str]:
    """The C fields clamp_lo and clamp_hi with the node's bounds."""
    lo, hi = clamp_bounds(node)
    return {"clamp_lo": str(lo), "clamp_hi": str(hi)}


def mask_field(e: Emitter, node: Node) -> str:
    """The mask operand of a forward op: only a training step writes masks."""
    if len(node.outputs) < 2:
        return "NULL"
    return f"train ? {e.address(node.outputs[1])} : NULL"


def stage_elements(e: Emitter, node: Node) -> int:
    """Elements of one row of the result."""
    height, width, channels = hwc(e.graph, node.outputs[0])
    return e.graph.tensors[node.outputs[0]].elements // height if height else width * channels


def round_params(node: Node, delta: int) -> str:
    """Initialiser of mt_round_params."""
    return struct_text({"site": f"{node.int('site')}u", "acc_exponent_delta": delta})


def round_io(e: Emitter, node: Node, rounding: Rounding[str], mask: str | None) -> str:
    """A C initialiser of mt_round_io: addresses of exponent, offset and mask."""
    return struct_text({
        "exponent": e.address(node.outputs[1]), "offset": e.address(rounding.offset),
        "base": e.address(rounding.base), "state": STATE, "mask": address_or_null(e, mask),
    })  # fmt: skip


def address_or_null(e: Emitter, name: str | None) -> str:
    """The address of an optional operand."""
    return e.address(name) if name else "NULL"
