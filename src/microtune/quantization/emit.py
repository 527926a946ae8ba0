"""The int8 graph of a float graph whose ranges are chosen."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from microtune.floats import FloatGraph, FloatNode
from microtune.ir.builder import Builder
from microtune.ir.functions import Table
from microtune.ir.graph import Attr, Graph, Quant
from microtune.quantization.post_training import (
    CODE_MAX,
    CODE_MIN,
    quantize_bias,
    quantize_weight,
)


class _Emitter:
    """The graph so far; `names` has the int8 tensor of each float tensor."""

    def __init__(
        self, graph: FloatGraph, quants: Mapping[str, Quant], owner: Mapping[str, str]
    ) -> None:
        self.graph, self.quants, self.owner = graph, quants, owner
        self.builder = Builder(graph.name)
        self.names: dict[str, str] = {}

    def quant(self, tensor: str) -> Quant:
        """The quantisation of a float tensor."""
        return self.quants[self.owner[tensor]]

    def scale(self, tensor: str) -> float:
        """Its scale."""
        scale = self.quant(tensor).scale
        assert scale is not None
        return scale

    def clamp(self, node: FloatNode) -> tuple[int, int]:
        """The codes between which the node's result stays."""
        quant = self.quant(node.name)
        codes = []
        for bound, none in zip(node.bounds, (CODE_MIN, CODE_MAX), strict=True):
            code = none
            if math.isfinite(bound):
                code = math.floor(bound / (quant.scale or 1.0) + 0.5) + quant.zero_point
            codes.append(min(max(code, CODE_MIN), CODE_MAX))
        return codes[0], codes[1]

    def apply(self, node: FloatNode, op: str, attrs: dict[str, Attr]) -> str:
        """Append an op with the operands of a node."""
        inputs = [self.names[x] for x in node.inputs]
        return self.builder.apply(op, self.fresh(node.name), inputs, self.quant(node.name), attrs)

    def fresh(self, name: str) -> str:
        """A name that no tensor has."""
        return self.builder.graph.fresh(name)


def emit(graph: FloatGraph, quants: Mapping[str, Quant], owner: Mapping[str, str]) -> Graph:
    """The int8 graph in the device's arithmetic; its tensors are called as those of `graph`.

    Raises ValueError for what the int8 ops cannot take.
    """
    e = _Emitter(graph, quants, owner)
    start = e.quant(graph.input)
    given = e.builder.input(graph.shapes[graph.input], start.scale or 1.0, start.zero_point)
    e.names[graph.input] = given
    for node in graph.nodes:
        e.names[node.name] = _EMITTERS[node.op](e, node)
    return e.builder.finish(e.names[graph.output])


def _conv(e: _Emitter, node: FloatNode) -> str:
    codes, scales = quantize_weight(node.arrays["weight"])
    bias = quantize_bias(node.arrays["bias"], e.scale(node.inputs[0]), scales)
    return e.builder.conv2d(
        e.fresh(node.name), e.names[node.inputs[0]], codes, scales, bias, e.quant(node.name),
        stride=node.ints("stride"), padding=node.ints("padding"), groups=node.int("groups"),
        clamp=e.clamp(node), dilation=node.ints("dilation"),
    )  # fmt: skip


def _transposed_conv(e: _Emitter, node: FloatNode) -> str:
    codes, scales = quantize_weight(node.arrays["weight"])
    bias = quantize_bias(node.arrays["bias"], e.scale(node.inputs[0]), scales)
    size, stride, cut = (node.ints(name) for name in ("size", "stride", "cut"))
    return e.builder.transposed_conv2d(
        e.fresh(node.name), e.names[node.inputs[0]], codes, scales, bias, e.quant(node.name),
        (size[0], size[1]), stride=(stride[0], stride[1]), cut=(cut[0], cut[1]),
        clamp=e.clamp(node),
    )  # fmt: skip


def _linear(e: _Emitter, node: FloatNode) -> str:
    codes, scales = quantize_weight(node.arrays["weight"])
    bias = quantize_bias(node.arrays["bias"], e.scale(node.inputs[0]), scales)
    return e.builder.fully_connected(
        e.fresh(node.name), e.names[node.inputs[0]], codes, scales, bias, e.quant(node.name),
        clamp=e.clamp(node),
    )  # fmt: skip


def _clamp(e: _Emitter, node: FloatNode) -> str:
    quant, codes = e.quant(node.name), []
    for name, none in (("lo", CODE_MIN), ("hi", CODE_MAX)):
        bound = node.real(name)
        code = none
        if math.isfinite(bound):
            code = math.floor(bound / (quant.scale or 1.0) + 0.5) + quant.zero_point
        codes.append(min(max(code, CODE_MIN), CODE_MAX))
    return e.apply(node, "clamp", {"clamp": [int(c) for c in codes]})


def _activation(e: _Emitter, node: FloatNode) -> str:
    return _table(e, e.names[node.inputs[0]], e.quant(node.inputs[0]), e.quant(node.name),
                  Table.of(node.attrs), node.name)  # fmt: skip


def _table(e: _Emitter, x: str, before: Quant, after: Quant, what: Table, name: str) -> str:
    made = e.fresh(name)
    table = what.codes(before, after)
    codes = e.builder.graph.constant(e.fresh(f"{made}.table"), table, "i8")
    return e.builder.apply("activation", made, (x, codes), after, what.attrs)


def _with_clamp(op: str) -> Callable[[_Emitter, FloatNode], str]:
    def emitted(e: _Emitter, node: FloatNode) -> str:
        lo, hi = e.clamp(node)
        attrs: dict[str, Attr] = {} if (lo, hi) == (CODE_MIN, CODE_MAX) else {"clamp": [lo, hi]}
        return e.apply(node, op, attrs)

    return emitted


def _concat(e: _Emitter, node: FloatNode) -> str:
    after, parts = e.quant(node.name), []
    for name in node.inputs:
        part = e.names[name]
        if e.quant(name) != after:
            part = _table(e, part, e.quant(name), after, Table("identity"), f"{name}.requantised")
        parts.append(part)
    made = e.fresh(node.name)
    return e.builder.apply("concat", made, parts, after, {"axis": node.int("axis")})


def _pad(e: _Emitter, node: FloatNode) -> str:
    quant = e.quant(node.name)
    code = math.floor(node.real("value") / (quant.scale or 1.0) + 0.5) + quant.zero_point
    attrs = node.attrs | {"value": int(np.clip(code, CODE_MIN, CODE_MAX))}
    return e.apply(node, "pad", attrs)


def _same(op: str) -> Callable[[_Emitter, FloatNode], str]:
    return lambda e, node: e.apply(node, op, dict(node.attrs))


_EMITTERS: dict[str, Callable[[_Emitter, FloatNode], str]] = {
    "conv": _conv, "transposed_conv": _transposed_conv, "linear": _linear,
    "clamp": _clamp, "activation": _activation,
    "add": _with_clamp("add"), "sub": _with_clamp("sub"),
    "mul": _with_clamp("mul"), "concat": _concat, "pad": _pad,
    **{op: _same(op) for op in (
        "max_pool", "average_pool", "reshape", "transpose", "slice", "resize",
    )},
}  # fmt: skip
