"""Kernels of products and their gradients (`ir/ops/product.py`)."""

from __future__ import annotations

from microtune.codegen.emitter import Emitter
from microtune.codegen.kernels.common import (
    clamp_fields,
    mask_field,
    round_io,
    round_params,
    stage_elements,
)
from microtune.codegen.kernels.registry import Stage, kernel
from microtune.ir.graph import Node
from microtune.ir.ops.product import Mul, QMulGrad, is_vector, places_of, product_multiplier

HEADER = "mt_product"


def _params(e: Emitter, node: Node, count: int) -> str:
    """Parameters of `count` elements; a vector starts again at each place."""
    o, y, graph = Mul[str].of(node.inputs), node.outputs[0], e.graph
    multiplier, shift = product_multiplier(graph, node)
    period = graph.tensors[o.v].elements if is_vector(graph, node) else count
    return e.params("mt_mul_params", y, {
        "count": str(count), "period": str(period), "x_zero": str(graph.quant(o.x).zero_point),
        "v_zero": str(graph.quant(o.v).zero_point), "multiplier": str(multiplier),
        "shift": str(shift), "y_zero": str(graph.quant(y).zero_point), **clamp_fields(node),
    })  # fmt: skip


def _stage(e: Emitter, node: Node) -> Stage:
    v, params = Mul[str].of(node.inputs).v, _params(e, node, stage_elements(e, node))
    if e.graph.tensors[v].role == "const":
        return Stage("mt_mul_stage", params, weight=e.constant(v))
    return Stage("mt_mul_stage", params, x2=v)


@kernel("mul", "product", stage=_stage, header=HEADER, faster="mt_mul_run")
def _mul(e: Emitter, node: Node) -> None:
    o, y = Mul[str].of(node.inputs), node.outputs[0]
    e.call("mt_mul", "mt_mul_io", _params(e, node, e.graph.tensors[y].elements), {
        "x": e.address(o.x), "v": e.address(o.v), "y": e.address(y), "mask": mask_field(e, node),
    })  # fmt: skip


@kernel(
    "q_mul_grad", "product gradient", header=HEADER, faster="mt_mul_sums mt_products mt_round_run"
)
def _mul_grad(e: Emitter, node: Node) -> None:
    o, dx = QMulGrad[str].of(node.inputs), node.outputs[0]
    count, places = e.graph.tensors[dx].elements, places_of(e.graph, node)
    params = e.params("mt_mul_grad_params", dx, {
        "count": str(count), "zero": str(node.int("zero")), "places": str(places),
        "period": str(min(count, e.graph.tensors[o.other].elements)),
        "round": round_params(node, node.int("exponent_delta")),
    })  # fmt: skip
    e.call("mt_mul_grad", "mt_mul_grad_io", params, {
        "g": e.address(o.g.codes), "g_exponent": e.address(o.g.exponent),
        "other": e.address(o.other), "dx": e.address(dx),
        "round": round_io(e, node, o.rounding, o.mask),
    })  # fmt: skip
