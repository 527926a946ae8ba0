"""Images of another size: larger and smaller, nearest and bilinear, by corners and by centers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from microtune.ir.graph import Node
from microtune.ir.ops.resize import places_of
from tests.cases.case import OpCase

if TYPE_CHECKING:
    from tests.training.graphs import RandomGraph

TAGS = {"nearest", "bilinear", "larger", "smaller", "by corners", "by centers"}
MOST = 14  # rows and columns that are made of an image


def grow(graph: RandomGraph, x: str) -> str:
    """An image of any other size."""
    rng, shape = graph.rng, graph.shape(x)
    size = [int(rng.integers(max(1, min(n // 2, MOST)), min(3 * n, MOST) + 1)) for n in shape[1:3]]
    method, which = str(rng.choice(["nearest", "bilinear"])), int(rng.integers(3))
    graph.tags |= {method, *({"by corners"} if which == 1 else set())}
    graph.tags |= {"by centers"} if which == 2 else set()
    graph.tags |= {"larger"} if size[0] > shape[1] else {"smaller"} if size[0] < shape[1] else set()
    return graph.builder.apply(
        "resize", graph._name("resize"), (x,), graph.builder.graph.quant(x),
        {"size": size, "method": method, "corners": int(which == 1), "centers": int(which == 2)},
    )  # fmt: skip


def torch_resize(oracle: Any, node: Node, x: Any) -> Any:
    """Products with the matrices of rows and columns; the slope is that of the mean."""
    import torch

    from tests.training.torch_oracle import Replace

    rows, columns = (
        torch.tensor(p.matrix(), dtype=x.dtype) / 1024 for p in places_of(node, x.shape[1:3])
    )
    smooth = torch.einsum("ih,jw,bhwc->bijc", rows, columns, x)
    value = torch.sign(smooth) * torch.floor(smooth.detach().abs() + 0.5)
    return Replace.apply(smooth, value.detach(), torch.ones_like(smooth))


CASE = OpCase("resize", grow, {"resize": torch_resize}, frozenset(TAGS))
