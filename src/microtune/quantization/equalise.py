"""Cross-layer equalisation: channels of an activation get ranges of one size.

A layer's output channel i divided by s and the next layer's input channel i multiplied by s is the
same function, as long as only a ReLU is between them. One scale for the whole tensor then loses
less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from microtune.floats import FloatGraph, FloatNode, Floats

_MOST = 64.0  # how far a channel is scaled, in both directions
_BELOW = 0.98  # of a ReLU6's bound: a channel that reaches it is clamped


def equalised(graph: FloatGraph, largest: Mapping[str, Floats]) -> FloatGraph:
    """The same function on the calibration samples, with channels of equal range.

    `largest` has the largest magnitude of each channel (C,) of each tensor.
    """
    nodes = {node.name: node for node in graph.nodes}
    for first, second in pairs(graph):
        scale = _scales(nodes[first], nodes[second], largest[first])
        if scale is not None:
            nodes[first] = _divided(nodes[first], scale)
            nodes[second] = _multiplied(nodes[second], scale)
    return graph.with_nodes(nodes[node.name] for node in graph.nodes)


def pairs(graph: FloatGraph) -> list[tuple[str, str]]:
    """(layer, layer that alone reads it), with nothing but a ReLU between them."""
    readers, found = graph.consumers(), []
    for node in graph.nodes:
        its = readers[node.name]
        if node.op != "conv" or len(its) != 1 or its[0].op != "conv" or node.name == graph.output:
            continue
        if node.bounds[0] in (0.0, -np.inf) and (node.bounds[0] == 0.0 or node.bounds[1] == np.inf):
            found.append((node.name, its[0].name))
    return found


def _is_depthwise(layer: FloatNode) -> bool:
    weight = layer.arrays["weight"]
    return weight.shape[3] == 1 and layer.int("groups") == len(weight)


def _input_ranges(layer: FloatNode) -> npt.NDArray[np.float64]:
    """The largest weight that meets each input channel, (I,)."""
    weight, groups = np.abs(layer.arrays["weight"].astype(np.float64)), layer.int("groups")
    parts = np.split(weight, groups)
    return np.concatenate([part.max(axis=(0, 1, 2)) for part in parts])


def _scales(first: FloatNode, second: FloatNode, largest: Floats) -> Floats | None:
    """What each channel is divided by, (C,); None if nothing is gained."""
    reach = largest.astype(np.float64)
    live = reach > reach.max() * 1e-6
    hi = first.bounds[1]
    free = live & (reach < _BELOW * hi)
    if not free.any():
        return None
    if _is_depthwise(second):
        wish = reach / reach.max()  # its own scale for each channel takes all of it
    else:
        met = np.maximum(_input_ranges(second), 1e-9)
        wish = np.sqrt(reach / met)
        wish = wish / (wish[live].max() if np.isinf(hi) else 1.0)
    if np.isfinite(hi):
        # No channel may reach the bound that it did not reach before.
        wish = np.maximum(wish, reach / (_BELOW * hi))
    scale = np.where(free, np.clip(wish, 1 / _MOST, _MOST), 1.0)
    return np.asarray(scale, np.float32)


def _divided(layer: FloatNode, scale: Floats) -> FloatNode:
    weight = layer.arrays["weight"] / scale.reshape(-1, 1, 1, 1)
    return replace(layer, arrays={"weight": weight, "bias": layer.arrays["bias"] / scale})


def _multiplied(layer: FloatNode, scale: Floats) -> FloatNode:
    weight, groups = layer.arrays["weight"], layer.int("groups")
    parts = zip(np.split(weight, groups), np.split(scale, groups), strict=True)
    made = np.concatenate([part * own for part, own in parts])
    return replace(layer, arrays=layer.arrays | {"weight": made})
