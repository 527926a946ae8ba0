"""Differences of two tensors: of any scales, of a constant, of a tensor and itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from microtune.ir.graph import Attr, Node, Quant
from tests.cases.case import OpCase
from tests.cases.product import constant

if TYPE_CHECKING:
    from tests.training.graphs import RandomGraph

TAGS = {"two images", "turned", "constant image", "from a constant", "of itself"}


def grow(graph: RandomGraph, x: str) -> str:
    """A difference whose result scale fits both."""
    rng, tensors = graph.rng, graph.builder.graph
    kind = str(rng.choice(sorted(TAGS), p=[0.15, 0.15, 0.1, 0.3, 0.3]))
    graph.tags.add(kind)
    if kind in ("two images", "turned"):
        other = graph.conv(x, graph.shape(x)[3], keep_size=True)
    else:
        other = x if kind == "of itself" else constant(graph, graph.shape(x))
    a, b = (other, x) if kind in ("turned", "from a constant") else (x, other)
    scale = float(np.float32(max(tensors.scale(a), tensors.scale(b)) * rng.uniform(0.6, 1.6)))
    attrs: dict[str, Attr] = {"clamp": [-90, 100]} if rng.random() < 0.3 else {}
    return graph.builder.apply(
        "sub", graph._name("sub"), (a, b), Quant(scale, graph._zero()), attrs
    )


def torch_sub(oracle: Any, node: Node, a: Any, b: Any) -> Any:
    """The difference of reals; its codes in float32 as mode mcunet rounds them."""
    import torch

    graph, f = oracle.graph, np.float32
    one, two, y = (graph.quant(name) for name in (*node.inputs, node.outputs[0]))
    d1, d2 = a - one.zero_point, b - two.zero_point
    total = d1.detach().to(torch.float32) * f(one.scale)
    total = total - d2.detach().to(torch.float32) * f(two.scale)
    value = torch.round(total / f(y.scale)).to(a.dtype) + y.zero_point
    return oracle.clamped(node, d1 * (one.scale / y.scale) - d2 * (two.scale / y.scale), value)


CASE = OpCase("difference", grow, {"sub": torch_sub}, frozenset(TAGS))
