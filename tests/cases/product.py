"""Products: of two tensors, by a constant, and by a factor for each channel that is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from microtune.ir.graph import Attr, Node, Quant
from tests.cases import activation
from tests.cases.case import OpCase

if TYPE_CHECKING:
    from tests.training.graphs import RandomGraph

TAGS = {"gates", "two images", "square", "constant factors", "constant image", "product clamps"}


def constant(graph: RandomGraph, shape: tuple[int, ...]) -> str:
    """Constant codes of this shape, of any zero point."""
    codes = graph.rng.integers(-128, 128, shape).astype(np.int8)
    name, quant = graph._name("factors"), Quant(0.03, int(graph.rng.integers(-128, 128)))
    return graph.builder.graph.constant(name, codes, "i8", quant)


def gates(graph: RandomGraph, x: str, function: str | None = None) -> str:
    """Squeeze and excitation: a factor for each channel of x."""
    pooled = graph.builder.average_pool(graph._name("pool"), x)
    made = graph.conv(pooled, graph.shape(x)[3], keep_size=True)
    return activation.activated(graph, made, function)


def _factor(graph: RandomGraph, x: str, kind: str) -> str:
    if kind == "gates":
        return gates(graph, x)
    if kind == "two images":
        return graph.conv(x, graph.shape(x)[3], keep_size=True)
    if kind == "square":
        return x
    shape = graph.shape(x)
    return constant(graph, shape if kind == "constant image" else (1, 1, 1, shape[3]))


def grow(graph: RandomGraph, x: str) -> str:
    """A product of x, whose result fills the codes or leaves them."""
    rng = graph.rng
    kind = str(rng.choice(
        ["gates", "two images", "square", "constant factors", "constant image"],
        p=[0.4, 0.2, 0.1, 0.2, 0.1],
    ))  # fmt: skip
    v = _factor(graph, x, kind)
    graph.tags.add(kind)
    return multiplied(graph, x, v)


def multiplied(graph: RandomGraph, x: str, v: str) -> str:
    """The product of two tensors, perhaps with bounds of its own."""
    rng, tensors = graph.rng, graph.builder.graph
    scale = float(np.float32(tensors.scale(x) * tensors.scale(v) * rng.uniform(20, 120)))
    attrs: dict[str, Attr] = {}
    if rng.random() < 0.3:
        attrs["clamp"] = [int(rng.integers(-100, -20)), int(rng.integers(20, 100))]
        graph.tags.add("product clamps")
    return graph.builder.apply(
        "mul", graph._name("mul"), (x, v), Quant(scale, graph._zero()), attrs
    )


def torch_mul(oracle: Any, node: Node, x: Any, v: Any) -> Any:
    """The product of reals; its codes in float32 as mode mcunet rounds them."""
    import torch

    graph, y = oracle.graph, node.outputs[0]
    quants = [graph.quant(name) for name in (*node.inputs, y)]
    product = (x - quants[0].zero_point) * (v - quants[1].zero_point)
    s1, s2, sy = (np.float32(quant.scale) for quant in quants)
    value = torch.round(product.detach().to(torch.float32) * (s1 * s2 / sy)).to(x.dtype)
    scale = quants[0].scale * quants[1].scale / quants[2].scale
    return oracle.clamped(node, product * scale, value + quants[2].zero_point)


CASE = OpCase("product", grow, {"mul": torch_mul}, frozenset(TAGS))
