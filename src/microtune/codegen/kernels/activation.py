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
    table = Activation[str].of(node.inputs).table
    fields = {"count": str(count), "table": e.constant(table)}
    if _channels(e, table):
        fields["channels"] = str(_channels(e, table))
    return e.params(f"{_name(e, table)}_params", node.outputs[0], fields)


def _channels(e: Emitter, table: str) -> int:
    """How many tables there are, one a channel; 0 for a single one."""
    shape = e.graph.tensors[table].shape
    return shape[0] if len(shape) == 2 else 0


def _name(e: Emitter, table: str) -> str:
    """The C function that looks up in this table, or in these."""
    return "mt_channel_activation" if _channels(e, table) else "mt_activation"


def _stage(e: Emitter, node: Node) -> Stage:
    name = _name(e, Activation[str].of(node.inputs).table)
    return Stage(f"{name}_stage", _params(e, node, stage_elements(e, node)))


@kernel("activation", "activation", stage=_stage, header=HEADER, faster="mt_look_up")
def _activation(e: Emitter, node: Node) -> None:
    o, y = Activation[str].of(node.inputs), node.outputs[0]
    params = _params(e, node, e.graph.tensors[y].elements)
    io = {"x": e.address(o.x), "y": e.address(y)}
    e.call(_name(e, o.table), "mt_activation_io", params, io)


@kernel(
    "q_activation_grad",
    "activation gradient",
    header=HEADER,
    faster="mt_look_up mt_products mt_round_run",
)
def _activation_grad(e: Emitter, node: Node) -> None:
    o, dx = QActivationGrad[str].of(node.inputs), node.outputs[0]
    name, channels = _name(e, o.slope), _channels(e, o.slope)
    params = e.params(f"{name}_grad_params", dx, {
        "count": str(e.graph.tensors[dx].elements), "slope": e.constant(o.slope),
        "round": round_params(node, node.int("exponent_delta")),
        **({"channels": str(channels)} if channels else {}),
    })  # fmt: skip
    e.call(f"{name}_grad", "mt_activation_grad_io", params, {
        "g": e.address(o.g.codes), "g_exponent": e.address(o.g.exponent), "x": e.address(o.x),
        "dx": e.address(dx), "round": round_io(e, node, o.rounding, o.mask),
    })  # fmt: skip
