"""Kernels of the head (`ir/ops/head.py`)."""

from __future__ import annotations

from microtune.codegen.emitter import Emitter, float_literal, struct_text
from microtune.codegen.kernels.common import STATE
from microtune.codegen.kernels.registry import kernel
from microtune.ir import numerics
from microtune.ir.graph import Node
from microtune.ir.ops.common import real_attr
from microtune.ir.ops.head import (
    Head,
    HeadUpdate,
    QHeadInputGrad,
    entering_bits,
    head_factors,
    head_of,
)


def _fields(e: Emitter, x: str, w: str, node: Node) -> dict[str, object]:
    """Fields of mt_head_params."""
    classes, features = e.graph.tensors[w].shape
    return {
        "classes": classes, "features": features, "x_zero": e.graph.quant(x).zero_point,
        "fraction_bits": node.int("fraction_bits", 0),
        "x_scale": float_literal(e.graph.scale(x)),
    }  # fmt: skip


def _kind(e: Emitter, w: str) -> str:
    """int16 or float32."""
    return "int16" if e.graph.tensors[w].dtype == "i16" else "float32"


@kernel("head", "head")
def _head(e: Emitter, node: Node) -> None:
    o = Head[str].of(node.inputs)
    fields = {key: str(value) for key, value in _fields(e, o.x, o.weight, node).items()}
    params, kind = e.params("mt_head_params", node.outputs[0], fields), _kind(e, o.weight)
    e.call(f"mt_head_{kind}", f"mt_head_{kind}_io", params, {
        "x": e.address(o.x), "weight": e.address(o.weight), "bias": e.address(o.bias),
        "logits": e.address(node.outputs[0]),
    })  # fmt: skip


@kernel("q_head_input_grad", "head dx")
def _head_input_grad(e: Emitter, node: Node) -> None:
    o, (g, exponent) = QHeadInputGrad[str].of(node.inputs), node.outputs
    fields, kind = _fields(e, head_of(e.graph).x, o.weight, node), _kind(e, o.weight)
    if kind == "int16":
        fields["fraction_bits"] = -15 - entering_bits(e.graph, node)
    params = e.params("mt_head_input_grad_params", g, {
        "head": struct_text(fields), "site": f"{node.int('site')}u",
        "exponent_delta": str(numerics.normalize_factor(real_attr(node, "x_scale"))[1]),
    })  # fmt: skip
    e.call(f"mt_head_input_grad_{kind}", f"mt_head_input_grad_{kind}_io", params, {
        "d_logits": e.address(o.d), "weight": e.address(o.weight), "g": e.address(g),
        "exponent": e.address(exponent), "state": STATE,
    })  # fmt: skip


@kernel("head_update", "head update")
def _head_update(e: Emitter, node: Node) -> None:
    o = HeadUpdate[str].of(node.inputs)
    kind = _kind(e, o.weight)
    # A float32 head computes in real numbers and reads no factors.
    weight, bias = head_factors(e.graph, node)
    params = e.params("mt_head_update_params", "head", {
        "head": struct_text(_fields(e, o.x, o.weight, node)),
        "weight_mantissa": str(weight[0]), "weight_exponent": str(weight[1]),
        "bias_mantissa": str(bias[0]), "bias_exponent": str(bias[1]),
        "weight_site": f"{node.int('weight_site')}u", "bias_site": f"{node.int('bias_site')}u",
    })  # fmt: skip
    e.call(f"mt_head_update_{kind}", f"mt_head_update_{kind}_io", params, {
        "x": e.address(o.x), "d_logits": e.address(o.d), "weight": e.address(o.weight),
        "bias": e.address(o.bias), "state": STATE,
    })  # fmt: skip
