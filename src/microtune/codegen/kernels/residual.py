"""Kernels of residual adds and of the ways back through them (`ir/ops/residual.py`)."""

from __future__ import annotations

from microtune.codegen.emitter import Emitter
from microtune.codegen.kernels.common import (
    clamp_fields,
    mask_field,
    round_io,
    round_params,
    stage_elements,
)
from microtune.codegen.kernels.registry import Stage, elementwise, kernel
from microtune.ir import numerics
from microtune.ir.graph import Node
from microtune.ir.ops.operands import Single
from microtune.ir.ops.residual import Add, QGradientSum, QScaleGradient, sum_multiplier


def _params(e: Emitter, node: Node, count: int) -> str:
    """Parameters of a residual add of `count` elements."""
    o, y, graph = Add[str].of(node.inputs), node.outputs[0], e.graph
    a1, a2, k = numerics.add_constants(graph.scale(o.x1), graph.scale(o.x2), graph.scale(y))
    if node.op == "sub":
        a2 = -a2
    return e.params("mt_add_params", y, {
        "count": str(count), "x1_zero": str(graph.quant(o.x1).zero_point),
        "x2_zero": str(graph.quant(o.x2).zero_point), "a1": str(a1), "a2": str(a2),
        "shift": str(k), "y_zero": str(graph.quant(y).zero_point), **clamp_fields(node),
    })  # fmt: skip


def _stage(e: Emitter, node: Node) -> Stage:
    params = _params(e, node, stage_elements(e, node))
    return Stage("mt_add_stage", params, x2=Add[str].of(node.inputs).x2)


@kernel("add", elementwise("add", "add"), stage=_stage, faster="mt_add")
@kernel("sub", elementwise("add", "add"), stage=_stage, faster="mt_add")
def _add(e: Emitter, node: Node) -> None:
    o, y = Add[str].of(node.inputs), node.outputs[0]
    e.call("mt_add", "mt_add_io", _params(e, node, e.graph.tensors[y].elements), {
        "x1": e.address(o.x1), "x2": e.address(o.x2), "y": e.address(y),
        "mask": mask_field(e, node),
    })  # fmt: skip


@kernel("negate", "negative gradient", header="mt_product")
def _negate(e: Emitter, node: Node) -> None:
    x, y = Single[str].of(node.inputs).x, node.outputs[0]
    params = e.params("mt_negate_params", y, {"count": str(e.graph.tensors[y].elements)})
    e.call("mt_negate", "mt_negate_io", params, {"g": e.address(x), "y": e.address(y)})


@kernel("q_scale_gradient", "q scale gradient")
def _scale_gradient(e: Emitter, node: Node) -> None:
    """A view of the mantissas; the exponent moves by a constant."""
    o = QScaleGradient[str].of(node.inputs)
    source, target = e.address(o.g.exponent), e.address(node.outputs[1])
    e.line(f"*({target}) = *({source}) + ({node.int('exponent_delta')});")


@kernel("q_gradient_sum", "gradient sum", faster="mt_round_run")
def _gradient_sum(e: Emitter, node: Node) -> None:
    o, y = QGradientSum[str].of(node.inputs), node.outputs[0]
    params = e.params("mt_gradient_sum_params", y, {
        "count": str(e.graph.tensors[y].elements),
        "b_multiplier": str(sum_multiplier(e.graph, node)), "round": round_params(node, 0),
    })  # fmt: skip
    e.call("mt_gradient_sum", "mt_gradient_sum_io", params, {
        "a": e.address(o.a.codes), "a_exponent": e.address(o.a.exponent),
        "b": e.address(o.b.codes), "b_exponent": e.address(o.b.exponent), "y": e.address(y),
        "round": round_io(e, node, o.rounding, o.mask),
    })  # fmt: skip
