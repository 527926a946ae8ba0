"""Kernels of images of another size (`ir/ops/resize.py`)."""

from __future__ import annotations

import numpy as np

from microtune.codegen.emitter import Emitter, struct_text
from microtune.codegen.kernels.common import hwc, round_io, round_params
from microtune.codegen.kernels.registry import kernel
from microtune.ir.graph import Array, Node
from microtune.ir.ops.operands import Single
from microtune.ir.ops.resize import GRADIENT_BITS, Places, QResizeGrad, places_of

HEADER = "mt_resize"


def _table(e: Emitter, node: Node, places: Places, what: str) -> str:
    """The symbol of (lower, upper, share) of each result along an axis."""
    values = np.stack([places.lower, places.upper, places.share], axis=1)
    return e.table(node.outputs[0], "uint16_t", values, what)


def _fields(e: Emitter, node: Node, small: str, large: str) -> dict[str, str]:
    """Fields of mt_resize_params: `small` is the operand of the forward op, `large` its result."""
    (in_h, in_w, channels), (out_h, out_w, _) = hwc(e.graph, small), hwc(e.graph, large)
    rows, columns = places_of(node, (in_h, in_w))
    return {
        "in_h": str(in_h), "in_w": str(in_w), "channels": str(channels), "out_h": str(out_h),
        "out_w": str(out_w), "rows": _table(e, node, rows, "rows"),
        "columns": _table(e, node, columns, "columns"),
    }  # fmt: skip


@kernel("resize", "resize", header=HEADER)
def _resize(e: Emitter, node: Node) -> None:
    x, y = Single[str].of(node.inputs).x, node.outputs[0]
    params = e.params("mt_resize_params", y, _fields(e, node, x, y))
    e.call("mt_resize", "mt_resize_io", params, {"x": e.address(x), "y": e.address(y)})


def _readers(places: Places) -> Array:
    """The first result that each row has a part in, and the one behind the last, int64 (count, 2).

    Results lie in order, so that all between have a part in it too.
    """
    taken = places.matrix() != 0
    first, behind = taken.argmax(axis=0), len(taken) - taken[::-1].argmax(axis=0)
    some = taken.any(axis=0)
    return np.stack([np.where(some, first, 0), np.where(some, behind, 0)], axis=1)


@kernel("q_resize_grad", "resize gradient", header=HEADER, faster="mt_round_run")
def _resize_grad(e: Emitter, node: Node) -> None:
    o, dx = QResizeGrad[str].of(node.inputs), node.outputs[0]
    rows, columns = places_of(node, hwc(e.graph, dx)[:2])
    params = e.params("mt_resize_grad_params", dx, {
        "resize": struct_text(_fields(e, node, dx, o.g.codes)),
        "row_readers": e.table(dx, "uint16_t", _readers(rows), "row_readers"),
        "column_readers": e.table(dx, "uint16_t", _readers(columns), "column_readers"),
        "round": round_params(node, -GRADIENT_BITS),
    })  # fmt: skip
    e.call("mt_resize_grad", "mt_resize_grad_io", params, {
        "g": e.address(o.g.codes), "g_exponent": e.address(o.g.exponent), "dx": e.address(dx),
        "round": round_io(e, node, o.rounding, o.mask),
    })  # fmt: skip
