"""Max pools: windows of 1 to 16 elements, padded, overlapping, apart, and with equal elements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from microtune.ir.graph import Attr, Node
from tests.cases.case import OpCase

if TYPE_CHECKING:
    from tests.training.graphs import RandomGraph

TAGS = {"pool overlaps", "pool apart", "pool with gaps", "pool padded", "pool 1 bit", "pool 4 bits"}


def grow(graph: RandomGraph, x: str) -> str:
    """A max pool of any window that fits."""
    rng = graph.rng
    _, height, width, _ = graph.shape(x)
    kernel = [int(v) for v in rng.choice([1, 2, 3, 4], 2, p=[0.2, 0.4, 0.3, 0.1])]
    stride = [int(rng.integers(1, k + 2)) for k in kernel]
    padding = [int(rng.integers(0, k)) if rng.random() < 0.4 else 0 for k in (*kernel, *kernel)]
    for axis, size in enumerate((height, width)):
        kernel[axis] = min(kernel[axis], size)
        padding[axis] = min(padding[axis], kernel[axis] - 1)
        padding[axis + 2] = min(padding[axis + 2], kernel[axis] - 1)
    taps = kernel[0] * kernel[1]
    gaps = [s - k for s, k in zip(stride, kernel, strict=True)]
    graph.tags.add(
        "pool overlaps" if min(gaps) < 0 else "pool with gaps" if max(gaps) > 0 else "pool apart"
    )
    if any(padding):
        graph.tags.add("pool padded")
    graph.tags |= {"pool 1 bit"} if taps <= 2 else {"pool 4 bits"} if taps > 4 else set()
    quant = graph.builder.graph.tensors[x].quant
    attrs: dict[str, Attr] = {"kernel": kernel, "stride": stride, "padding": padding}
    return graph.builder.apply("max_pool", graph._name("max"), (x,), quant, attrs)


def torch_max_pool(oracle: Any, node: Node, x: Any) -> Any:
    """Codes of the largest elements; a tensor of -1000 around the image stands for padding."""
    from torch.nn import functional

    top, left, bottom, right = node.ints("padding")
    image = functional.pad(x.permute(0, 3, 1, 2), (left, right, top, bottom), value=-1000.0)
    made = functional.max_pool2d(image, node.ints("kernel"), node.ints("stride"))
    return made.permute(0, 2, 3, 1)


CASE = OpCase("max pool", grow, {"max_pool": torch_max_pool}, frozenset(TAGS))
