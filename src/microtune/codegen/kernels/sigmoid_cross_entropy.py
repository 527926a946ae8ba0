"""Kernels of sigmoid cross-entropy (`ir/ops/sigmoid_cross_entropy.py`)."""

from __future__ import annotations

from microtune.codegen.emitter import Emitter
from microtune.codegen.kernels.registry import kernel
from microtune.ir.graph import Node
from microtune.ir.ops.sigmoid_cross_entropy import SigmoidCrossEntropy


@kernel("sigmoid_cross_entropy", "loss")
def _loss(e: Emitter, node: Node) -> None:
    logit, (_, gradient) = SigmoidCrossEntropy[str].of(node.inputs).logit, node.outputs
    kind = "int16" if e.graph.tensors[logit].dtype == "i32" else "float32"
    params = e.params("mt_loss_params", "loss", {"classes": "2"})
    e.call(f"mt_sigmoid_loss_{kind}", f"mt_loss_{kind}_io", params, {
        "logits": e.address(logit), "label": "target->class_index",
        "d_logits": e.address(gradient), "loss_q16": "loss_q16",
    })  # fmt: skip
