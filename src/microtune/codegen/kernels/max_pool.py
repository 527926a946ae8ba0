"""Kernels of max pools (`ir/ops/max_pool.py`)."""

from __future__ import annotations

from microtune.codegen.emitter import Emitter, struct_text
from microtune.codegen.kernels.common import (
    address_or_null,
    hwc,
    mask_field,
    round_io,
    round_params,
)
from microtune.codegen.kernels.registry import Stage, kernel
from microtune.ir.graph import Node
from microtune.ir.ops.max_pool import QMaxPoolGrad, choice_bits, pool_geometry
from microtune.ir.ops.operands import Single

HEADER = "mt_max_pool"


def _fields(e: Emitter, image: str, windows: str, node: Node) -> dict[str, str]:
    """Fields of mt_max_pool_params for windows on an image."""
    (in_h, in_w, channels), (out_h, out_w, _) = hwc(e.graph, image), hwc(e.graph, windows)
    (kh, kw), geometry = pool_geometry(node)
    fields = {
        "in_h": in_h, "in_w": in_w, "channels": channels, "out_h": out_h, "out_w": out_w,
        "k_h": kh, "k_w": kw, "stride_h": geometry.stride[0], "stride_w": geometry.stride[1],
        "pad_top": geometry.padding[0], "pad_left": geometry.padding[1],
        "choice_bits": choice_bits(node),
    }  # fmt: skip
    return {key: str(value) for key, value in fields.items()}


def _params(e: Emitter, node: Node) -> str:
    y = node.outputs[0]
    return e.params("mt_max_pool_params", y, _fields(e, Single[str].of(node.inputs).x, y, node))


def _stage(e: Emitter, node: Node) -> Stage:
    return Stage("mt_max_pool_stage", _params(e, node))


@kernel("max_pool", "max pool", stage=_stage, header=HEADER, faster="mt_max_bytes")
def _max_pool(e: Emitter, node: Node) -> None:
    x, y = Single[str].of(node.inputs).x, node.outputs[0]
    e.call("mt_max_pool", "mt_max_pool_io", _params(e, node), {
        "x": e.address(x), "y": e.address(y), "choice": mask_field(e, node),
    })  # fmt: skip


@kernel("q_max_pool_grad", "max pool gradient", header=HEADER, faster="mt_round_run")
def _max_pool_grad(e: Emitter, node: Node) -> None:
    o, dx = QMaxPoolGrad[str].of(node.inputs), node.outputs[0]
    params = e.params("mt_max_pool_grad_params", dx, {
        "pool": struct_text(_fields(e, dx, o.g.codes, node)), "round": round_params(node, 0),
        "overlapping": str(int(o.rounding is not None)),
    })  # fmt: skip
    if o.rounding is not None:
        rounding = round_io(e, node, o.rounding, o.mask)
    else:
        exponent = e.address(node.outputs[1])
        rounding = struct_text({"exponent": exponent, "mask": address_or_null(e, o.mask)})
    e.call("mt_max_pool_grad", "mt_max_pool_grad_io", params, {
        "g": e.address(o.g.codes), "g_exponent": e.address(o.g.exponent),
        "choice": e.address(o.choice), "dx": e.address(dx), "round": rounding,
    })  # fmt: skip
