"""Activations by table: each function, between quantisations that fit and that clamp."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from microtune.ir.graph import Node, Quant
from microtune.ir.ops.activation import FUNCTIONS, activation_table
from tests.cases.case import OpCase

if TYPE_CHECKING:
    from tests.training.graphs import RandomGraph


def grow(graph: RandomGraph, x: str) -> str:
    """An activation whose result fills the codes, or leaves them."""
    rng, tensors = graph.rng, graph.builder.graph
    function = str(rng.choice(sorted(FUNCTIONS)))
    before = tensors.quant(x)
    real = (np.arange(-128, 128) - before.zero_point) * tensors.scale(x)
    values = FUNCTIONS[function].value(real)
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    scale = float(np.float32(max((high - low) / 255, 1e-6) * rng.uniform(0.7, 1.3)))
    zero = int(np.clip(np.round(-128 - low / scale), -128, 127))
    after = Quant(scale, zero)
    table = activation_table(function, before, after)
    graph.tags |= {function, *({"activation clamps"} if scale * 255 < high - low else set())}
    name = graph._name(function)
    tensors.constant(f"{name}.table", table, "i8")
    operands = (x, f"{name}.table")
    return graph.builder.apply("activation", name, operands, after, {"function": function})


def torch_activation(oracle: Any, node: Node, x: Any, table: Any) -> Any:
    """Codes of the table; the slope is that of PyTorch's function."""
    import torch
    from torch.nn import functional

    from tests.training.torch_oracle import Replace

    functions = {
        "hard_swish": functional.hardswish, "sigmoid": torch.sigmoid, "tanh": torch.tanh,
        "silu": functional.silu, "gelu": functional.gelu, "identity": lambda x: x,
        "hard_sigmoid": functional.hardsigmoid, "softplus": functional.softplus,
        "elu": functional.elu, "mish": functional.mish,
    }  # fmt: skip
    before, after = (oracle.graph.quant(name) for name in (node.inputs[0], node.outputs[0]))
    real = functions[node.str("function")]((x - before.zero_point) * before.scale)
    smooth = real / after.scale + after.zero_point
    code = torch.floor(smooth.detach() + 0.5)
    value = table[x.detach().to(torch.int64) + 128]
    assert (value == code.clamp(-128, 127)).all()
    return Replace.apply(smooth, value, ((code >= -128) & (code <= 127)).to(x.dtype))


TAGS = frozenset({*FUNCTIONS, "activation clamps"})
CASE = OpCase("activation", grow, {"activation": torch_activation}, TAGS)
