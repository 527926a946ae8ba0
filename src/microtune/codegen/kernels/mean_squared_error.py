"""Kernels of the mean squared error (`ir/ops/mean_squared_error.py`)."""

from __future__ import annotations

from microtune.codegen.emitter import Emitter
from microtune.codegen.kernels.registry import kernel
from microtune.ir.graph import Node
from microtune.ir.ops.mean_squared_error import MeanSquaredError


@kernel("mean_squared_error", "loss")
def _loss(e: Emitter, node: Node) -> None:
    outputs, (_, gradient) = MeanSquaredError[str].of(node.inputs).outputs, node.outputs
    tensor = e.graph.tensors[outputs]
    kind = "int16" if tensor.dtype == "i32" else "float32"
    params = e.params("mt_squared_error_params", "loss", {"outputs": str(tensor.elements)})
    e.call(f"mt_squared_error_{kind}", f"mt_squared_error_{kind}_io", params, {
        "outputs": e.address(outputs), "codes": "target->codes",
        "d_outputs": e.address(gradient), "loss_q16": "loss_q16",
    })  # fmt: skip
