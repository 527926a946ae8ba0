"""Kernels of clamps and masks (`ir/ops/clamp.py`)."""

from __future__ import annotations

from microtune.codegen.emitter import Emitter
from microtune.codegen.kernels.common import mask_field, stage_elements
from microtune.codegen.kernels.registry import Stage, kernel
from microtune.ir.graph import Node
from microtune.ir.ops.clamp import MaskGradient
from microtune.ir.ops.operands import Single


def _params(e: Emitter, node: Node, count: int) -> str:
    """Parameters of a clamp of `count` elements."""
    lo, hi = node.ints("clamp")
    fields = {"count": str(count), "lo": str(lo), "hi": str(hi)}
    return e.params("mt_clamp_params", node.outputs[0], fields)


def _stage(e: Emitter, node: Node) -> Stage:
    return Stage("mt_clamp_stage", _params(e, node, stage_elements(e, node)))


@kernel("clamp", "clamp", stage=_stage)
def _clamp(e: Emitter, node: Node) -> None:
    x, y = Single[str].of(node.inputs).x, node.outputs[0]
    e.call("mt_clamp", "mt_clamp_io", _params(e, node, e.graph.tensors[x].elements), {
        "x": e.address(x), "y": e.address(y), "mask": mask_field(e, node),
    })  # fmt: skip


@kernel("q_mask_gradient", "mask")
def _mask_gradient(e: Emitter, node: Node) -> None:
    o, y = MaskGradient[str].of(node.inputs), node.outputs[0]
    params = e.params("mt_mask_params", y, {"count": str(e.graph.tensors[y].elements)})
    e.call("mt_apply_mask", "mt_mask_io", params, {
        "g": e.address(o.g), "mask": e.address(o.mask), "y": e.address(y),
    })  # fmt: skip
