"""Kernels of momentum (`ir/ops/momentum.py`)."""

from __future__ import annotations

from microtune.codegen.emitter import Emitter, float_literal
from microtune.codegen.kernels.common import STATE
from microtune.codegen.kernels.registry import elementwise, kernel
from microtune.ir.graph import Node
from microtune.ir.ops.momentum import UNIT_BITS, MomentumStep

_KINDS = {"i8": "int8", "i16": "int16", "i32": "int32", "f32": "float32"}


def _walk(e: Emitter, o: MomentumStep[str], tied: int) -> dict[str, str]:
    """How the elements lie, and the index of each one's random bits: the same in tied parts."""
    tensor = e.graph.tensors[o.value]
    if tied > 1:
        rows, columns = tied, tensor.elements // tied
        steps = 0, 1
    elif o.value in e.depthwise:
        columns = tensor.shape[0]
        rows = tensor.elements // columns
        steps = 1, rows
    else:
        columns = tensor.shape[-1]
        rows = tensor.elements // columns
        steps = e.graph.tensors[o.order].elements if o.order else columns, 1
    return {
        "rows": str(rows), "columns": str(columns), "row_step": str(steps[0]),
        "column_step": str(steps[1]), "order": e.constant(o.order) if o.order else "NULL",
    }  # fmt: skip


@kernel("momentum_step", elementwise("momentum"))
def _momentum_step(e: Emitter, node: Node) -> None:
    o = MomentumStep[str].of(node.inputs)
    kind = _KINDS[e.graph.tensors[o.value].dtype]
    params = e.params("mt_momentum_params", o.value, {
        **_walk(e, o, node.int("tied", 1)), "decay": str(node.int("decay")),
        "unit": str(node.int("unit")), "site": f"{node.int('site')}u",
        "real_decay": float_literal(node.int("decay") / 2**UNIT_BITS),
    })  # fmt: skip
    e.call(f"mt_momentum_{kind}", f"mt_momentum_{kind}_io", params, {
        "value": e.address(o.value), "velocity": e.address(o.velocity), "state": STATE,
    })  # fmt: skip
