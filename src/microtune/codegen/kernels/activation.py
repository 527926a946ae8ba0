"""Kernels of activations by table (`ir/ops/activation.py`)."""

from __future__ import annotations

from microtune.codegen.emitter import Emitter
from microtune.codegen.kernels.common import round_io, round_params, stage_elements
from microtune.codegen.kernels.registry import Stage, kernel
from microtune.ir.graph import Node
from microtune.ir.ops.activation import Activation, QActivationGrad

HEADER = "mt_activation"


def _params(e: Emitter, node: Node, count: int) -> str:
    """Parameters of `count` elements."""
    table = e.constant(Activation[str].of(node.inputs).table)
    fields = {"count": str(count), "table": table}
    return e.params("mt_activation_params", node.outputs[0], fields)


def _stage(e: Emitter, node: Node) -> Stage:
    return Stage("mt_activation_stage", _params(e, node, stage_elements(e, node)))


@kernel("activation", "activation", stage=_stage, header=HEADER, faster="mt_look_up")
def _activation(e: Emitter, node: Node) -> None:
    x, y = Activation[str].of(node.inputs).x, node.outputs[0]
    params = _params(e, node, e.graph.tensors[y].elements)
    io = {"x": e.address(x), "y": e.address(y)}
    e.call("mt_activation", "mt_activation_io", params, io)


@kernel("q_activation_grad", "activation gradient", header=HEADER, faster="mt_look_up mt_round_run")
def _activation_grad(e: Emitter, node: Node) -> None:
    o, dx = QActivationGrad[str].of(node.inputs), node.outputs[0]
    params = e.params("mt_activation_grad_params", dx, {
        "count": str(e.graph.tensors[dx].elements), "slope": e.constant(o.slope),
        "round": round_params(node, node.int("exponent_delta")),
    })  # fmt: skip
    e.call("mt_activation_grad", "mt_activation_grad_io", params, {
        "g": e.address(o.g.codes), "g_exponent": e.address(o.g.exponent), "x": e.address(o.x),
        "dx": e.address(dx), "round": round_io(e, node, o.rounding, o.mask),
    })  # fmt: skip
