"""Kernels of average pools (`ir/ops/average_pool.py`)."""

from __future__ import annotations

from microtune.codegen.emitter import Emitter, struct_text
from microtune.codegen.kernels.common import address_or_null, hwc, round_io, round_params
from microtune.codegen.kernels.registry import Stage, kernel
from microtune.ir.graph import Graph, Node
from microtune.ir.ops.average_pool import QAveragePoolGrad, pool_windows
from microtune.ir.ops.operands import Single


def _pool_fields(graph: Graph, image: str, node: Node) -> dict[str, object]:
    """Fields of mt_pool_params; `image` is what the windows lie on."""
    x = hwc(graph, image)
    (kh, kw), (sh, sw) = node.ints("kernel"), node.ints("stride")
    out = pool_windows(x[:2], node)
    return {
        "in_h": x[0], "in_w": x[1], "channels": x[2], "out_h": out[0], "out_w": out[1],
        "k_h": kh, "k_w": kw, "stride_h": sh, "stride_w": sw,
    }  # fmt: skip


def _params(e: Emitter, node: Node) -> str:
    fields = _pool_fields(e.graph, Single[str].of(node.inputs).x, node)
    values = {key: str(value) for key, value in fields.items()}
    return e.params("mt_pool_params", node.outputs[0], values)


def _stage(e: Emitter, node: Node) -> Stage:
    return Stage("mt_average_pool_stage", _params(e, node))


@kernel("average_pool", "pool", stage=_stage)
def _average_pool(e: Emitter, node: Node) -> None:
    x, y, params = Single[str].of(node.inputs).x, node.outputs[0], _params(e, node)
    e.call("mt_average_pool", "mt_pool_io", params, {"x": e.address(x), "y": e.address(y)})


@kernel("q_average_pool_grad", "pool gradient", faster="mt_round_run")
def _average_pool_grad(e: Emitter, node: Node) -> None:
    o, dx = QAveragePoolGrad[str].of(node.inputs), node.outputs[0]
    params = e.params("mt_average_pool_grad_params", dx, {
        "pool": struct_text(_pool_fields(e.graph, dx, node)),
        "round": round_params(node, node.int("exponent_delta")),
        "overlapping": str(int(o.rounding is not None)),
    })  # fmt: skip
    if o.rounding is not None:
        rounding = round_io(e, node, o.rounding, o.mask)
    else:
        exponent = e.address(node.outputs[1])
        rounding = struct_text({"exponent": exponent, "mask": address_or_null(e, o.mask)})
    e.call("mt_average_pool_grad", "mt_average_pool_grad_io", params, {
        "g": e.address(o.g.codes), "g_exponent": e.address(o.g.exponent), "dx": e.address(dx),
        "round": rounding,
    })  # fmt: skip
