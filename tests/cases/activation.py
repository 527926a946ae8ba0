"""Activations by table: each function, between quantisations that fit and that clamp."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from microtune.ir.functions import FUNCTIONS, Table
from microtune.ir.graph import Attr, Node, Quant
from tests.cases.case import OpCase

if TYPE_CHECKING:
    from tests.training.graphs import RandomGraph


def _parameters(graph: RandomGraph, function: str, channels: int, reach: float) -> list[float]:
    rng = graph.rng
    if function == "leaky_relu":
        return [float(rng.uniform(0.01, 0.4))]
    if function == "affine":
        return [float(rng.choice([-1, 1]) * rng.uniform(0.3, 2)), float(rng.normal(0, reach / 4))]
    return rng.normal(0.1, 0.2, channels).tolist() if function == "prelu" else []


def grow(graph: RandomGraph, x: str) -> str:
    """Two activations, so that all of the functions occur."""
    return activated(graph, activated(graph, x))


def activated(graph: RandomGraph, x: str, function: str | None = None) -> str:
    """An activation, any if none is named, whose result fills the codes, or leaves them."""
    rng, tensors = graph.rng, graph.builder.graph
    function = function or str(rng.choice(sorted(FUNCTIONS)))
    before = tensors.quant(x)
    real = (np.arange(-128, 128) - before.zero_point) * tensors.scale(x)
    channels, reach = tensors.tensors[x].shape[-1], float(np.abs(real).max())
    parameters = _parameters(graph, function, channels, reach)
    values = FUNCTIONS[function].value(real, np.array(parameters))
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    scale = float(np.float32(max((high - low) / 255, 1e-6) * rng.uniform(0.7, 1.3)))
    zero = int(np.clip(np.round(-128 - low / scale), -128, 127))
    after = Quant(scale, zero)
    graph.tags |= {function, *({"activation clamps"} if scale * 255 < high - low else set())}
    attrs: dict[str, Attr] = {"function": function}
    if parameters:
        attrs["parameters"] = parameters
    if rng.random() < 0.15:
        attrs["clamp"] = [int(rng.integers(-100, -20)), int(rng.integers(20, 100))]
        graph.tags.add("bounds of its own")
    name = graph._name(function)
    what = Table.of(attrs)
    tensors.constant(f"{name}.table", what.codes(before, after), "i8")
    return graph.builder.apply("activation", name, (x, f"{name}.table"), after, attrs)


def torch_activation(oracle: Any, node: Node, x: Any, table: Any) -> Any:
    """Codes of the table; the slope is that of PyTorch's function."""
    import torch
    from torch.nn import functional

    from tests.training.torch_oracle import Replace

    what = Table.of(node.attrs)
    parameters, (low, high) = what.parameters, what.bounds
    functions = {
        "hard_swish": functional.hardswish, "sigmoid": torch.sigmoid, "tanh": torch.tanh,
        "silu": functional.silu, "gelu": functional.gelu, "identity": lambda x: x,
        "hard_sigmoid": functional.hardsigmoid, "softplus": functional.softplus,
        "mish": functional.mish,
        "elu": functional.elu, "leaky_relu": lambda x: functional.leaky_relu(x, parameters[0]),
        "affine": lambda x: parameters[0] * x + parameters[1],
        "prelu": lambda x: torch.where(x > 0, x, torch.tensor(parameters, dtype=x.dtype) * x),
    }  # fmt: skip
    before, after = (oracle.graph.quant(name) for name in (node.inputs[0], node.outputs[0]))
    real = functions[node.str("function")]((x - before.zero_point) * before.scale)
    smooth = real / after.scale + after.zero_point
    code = torch.floor(smooth.detach() + 0.5)
    index = x.detach().to(torch.int64) + 128
    value = table[index] if table.ndim == 1 else table[torch.arange(len(table)), index]
    assert (value == code.clamp(low, high)).all()
    return Replace.apply(smooth, value, ((code >= low) & (code <= high)).to(x.dtype))


TAGS = frozenset({*FUNCTIONS, "activation clamps", "bounds of its own"})
CASE = OpCase("activation", grow, {"activation": torch_activation}, TAGS)
