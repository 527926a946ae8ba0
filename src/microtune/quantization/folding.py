"""Rewrites of the float graph that change no result: batch norms and borders go into layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from microtune.floats import FloatGraph, FloatNode, Floats
from microtune.ir.graph import Attr

_LAYERS = ("conv", "transposed_conv", "linear")
_CLAMPED = (*_LAYERS, "add", "sub", "mul")


def fold(graph: FloatGraph) -> FloatGraph:
    """The same function with as few nodes as possible.

    Batch norms (`affine`) become part of the layer before or behind them, or a depthwise
    convolution of one weight a channel where neither can take them (one table, if all channels have
    the same numbers); borders of zeros become padding of convolutions; a clamp ends the layer
    before it.
    """
    rules: tuple[Callable[[FloatGraph], FloatGraph], ...] = (
        _affine_into_layer, _affine_before_layer, _pad_into_convolution, _affine_alone, _clamp,
    )  # fmt: skip
    for rule in rules:
        graph = rule(graph)
    return graph


def _replaced(graph: FloatGraph, changes: dict[str, FloatNode | str]) -> FloatGraph:
    """The graph with nodes replaced, or (where a name is given) left out in favour of a tensor."""

    def there(name: str) -> str:
        while isinstance(found := changes.get(name), str):
            name = found
        return name

    nodes = []
    for node in graph.nodes:
        other = changes.get(node.name, node)
        if isinstance(other, FloatNode):
            nodes.append(replace(other, inputs=tuple(there(name) for name in other.inputs)))
    return graph.with_nodes(nodes, there(graph.output))


def _scaled(layer: FloatNode, scale: Floats, shift: Floats) -> FloatNode:
    """The layer whose result is scale·y + shift."""
    weight, bias = layer.arrays["weight"], layer.arrays["bias"]
    factor = scale.astype(np.float64).reshape(-1, *[1] * (weight.ndim - 1))
    arrays = {
        "weight": (weight * factor).astype(np.float32),
        "bias": (bias * scale.astype(np.float64) + shift).astype(np.float32),
    }
    return replace(layer, arrays=arrays)


def _affine_into_layer(graph: FloatGraph) -> FloatGraph:
    """Layer, batch norm -> layer; also several affines behind each other."""
    while True:
        readers, makers = graph.consumers(), graph.producers()
        for node in graph.nodes:
            before = makers.get(node.inputs[0])
            if node.op != "affine" or before is None or before.name == graph.output:
                continue
            if len(readers[before.name]) > 1 or before.op not in (*_LAYERS, "affine"):
                continue
            scale, shift = node.arrays["scale"], node.arrays["shift"]
            if before.op == "affine":
                arrays = {
                    "scale": before.arrays["scale"] * scale,
                    "shift": before.arrays["shift"] * scale + shift,
                }
                merged = replace(before, arrays=arrays)
            else:
                merged = _scaled(before, scale, shift)
            graph = _replaced(graph, {before.name: merged, node.name: before.name})
            break
        else:
            return graph


def _affine_before_layer(graph: FloatGraph) -> FloatGraph:
    """Batch norm behind a ReLU, then a layer without a border -> the layer.

    A border is 0 before the shift, so a convolution with one keeps its batch norm.
    """
    changes: dict[str, FloatNode | str] = {}
    readers = graph.consumers()
    for node in graph.nodes:
        if node.op != "affine" or node.name == graph.output or node.inputs[0] in changes:
            continue
        found = [changes.get(reader.name, reader) for reader in readers[node.name]]
        layers = [layer for layer in found if isinstance(layer, FloatNode) and _takes_affine(layer)]
        if not layers or len(layers) < len(found):
            continue
        for layer in layers:
            changes[layer.name] = _shifted(layer, node.arrays["scale"], node.arrays["shift"])
        changes[node.name] = node.inputs[0]
    return _replaced(graph, changes)


def _takes_affine(layer: FloatNode) -> bool:
    return layer.op == "linear" or (layer.op == "conv" and not any(layer.ints("padding")))


def _shifted(layer: FloatNode, scale: Floats, shift: Floats) -> FloatNode:
    """The layer of x whose result is that of `layer` of scale·x + shift."""
    weight = layer.arrays["weight"].astype(np.float64)
    groups = layer.int("groups", 1)
    # Channels of the input that each output reads, (O, I/groups).
    outputs, per_group = len(weight), weight.shape[-1]
    first = np.arange(outputs) // (outputs // groups) * per_group
    channels = first[:, None] + np.arange(per_group)
    between = [1] * (weight.ndim - 2)
    own_scale = scale.astype(np.float64)[channels].reshape(outputs, *between, per_group)
    own_shift = shift.astype(np.float64)[channels].reshape(outputs, *between, per_group)
    more = (weight * own_shift).reshape(outputs, -1).sum(axis=1)
    arrays = {
        "weight": (weight * own_scale).astype(np.float32),
        "bias": (layer.arrays["bias"] + more).astype(np.float32),
    }
    return replace(layer, arrays=arrays)


def _pad_into_convolution(graph: FloatGraph) -> FloatGraph:
    """A border of zeros that only convolutions read -> their padding."""
    changes: dict[str, FloatNode | str] = {}
    readers = graph.consumers()
    for node in graph.nodes:
        around = _border(graph, node)
        layers = readers[node.name] if around else []
        if around and layers and all(layer.op == "conv" for layer in layers):
            if node.name == graph.output:
                continue
            for layer in layers:
                padding = [a + b for a, b in zip(layer.ints("padding"), around, strict=True)]
                changes[layer.name] = replace(layer, attrs=layer.attrs | {"padding": padding})
            changes[node.name] = node.inputs[0]
    return _replaced(graph, changes)


def _border(graph: FloatGraph, node: FloatNode) -> list[int] | None:
    """(top, left, bottom, right) of a pad by zeros that only makes an image larger."""
    if node.op != "pad" or node.real("value") != 0 or set(node.ints("stride")) != {1}:
        return None
    small, large, begin = graph.shapes[node.inputs[0]], node.ints("shape"), node.ints("begin")
    if len(large) != 4 or large[3] != small[3]:
        return None
    ends = [large[axis] - small[axis] - begin[axis] for axis in (1, 2)]
    return [begin[1], begin[2], *ends]


def _affine_alone(graph: FloatGraph) -> FloatGraph:
    """What no layer can take is a depthwise convolution, (1, 1), of one weight a channel."""
    made = FloatGraph(graph.name, graph.input, {graph.input: graph.shapes[graph.input]})
    for node in graph.nodes:
        if node.op != "affine":
            made.add(node)
            continue
        shape, x = graph.shapes[node.name], node.inputs[0]
        scale, shift = node.arrays["scale"], node.arrays["shift"]
        if (scale == scale[0]).all() and (shift == shift[0]).all():
            numbers = [float(scale[0]), float(shift[0])]
            table: dict[str, Attr] = {"function": "affine", "parameters": numbers}
            made.add(FloatNode("activation", node.name, (x,), table, {}, node.where))
            continue
        channels = shape[-1]
        if len(shape) == 2:
            attrs = {"shape": [1, 1, 1, channels]}
            x = made.add(FloatNode("reshape", made.fresh(f"{node.name}.image"), (x,), {**attrs}))
        name = node.name if len(shape) == 4 else made.fresh(f"{node.name}.scaled")
        weight = scale.reshape(channels, 1, 1, 1)
        made.add(
            FloatNode(
                "conv", name, (x,),
                {"stride": [1, 1], "padding": [0] * 4, "dilation": [1, 1], "groups": channels},
                {"weight": weight, "bias": shift}, node.where,
            )
        )  # fmt: skip
        if len(shape) == 2:
            made.add(FloatNode("reshape", node.name, (name,), {"shape": list(shape)}))
    return made.with_nodes(made.nodes, graph.output)


def _clamp(graph: FloatGraph) -> FloatGraph:
    """A clamp that alone reads a layer is the end of that layer."""
    while True:
        readers, makers = graph.consumers(), graph.producers()
        for node in graph.nodes:
            before = makers.get(node.inputs[0])
            if node.op != "clamp" or before is None or before.op not in (*_CLAMPED, "clamp"):
                continue
            if len(readers[before.name]) > 1 or before.name == graph.output:
                continue
            lo, hi = node.real("lo"), node.real("hi")
            if before.op == "clamp":
                low, high = before.real("lo"), before.real("hi")
                bounds = {"lo": float(np.clip(low, lo, hi)), "hi": float(np.clip(high, lo, hi))}
                merged = replace(before, attrs=before.attrs | bounds)
            else:
                low, high = before.bounds
                both = [float(np.clip(low, lo, hi)), float(np.clip(high, lo, hi))]
                merged = replace(before, attrs=before.attrs | {"clamp": both})
            graph = _replaced(graph, {before.name: merged, node.name: before.name})
            break
        else:
            return graph
