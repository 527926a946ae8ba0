"""Kernels of softmax cross-entropy (`ir/ops/cross_entropy.py`)."""

from __future__ import annotations

from microtune.codegen.emitter import Emitter
from microtune.codegen.kernels.registry import kernel
from microtune.ir.graph import Node
from microtune.ir.ops.cross_entropy import CrossEntropy


@kernel("softmax_cross_entropy", "loss")
def _loss(e: Emitter, node: Node) -> None:
    logits, (_, gradient) = CrossEntropy[str].of(node.inputs).logits, node.outputs
    tensor = e.graph.tensors[logits]
    kind = "int16" if tensor.dtype == "i32" else "float32"
    params = e.params("mt_loss_params", "loss", {"classes": str(tensor.elements)})
    e.call(f"mt_loss_{kind}", f"mt_loss_{kind}_io", params, {
        "logits": e.address(logits), "label": "target->class_index",
        "d_logits": e.address(gradient),
        "loss_q16": "loss_q16",
    })  # fmt: skip
