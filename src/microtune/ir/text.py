"""The textual form of a graph: text -> parse -> text is the identity.

    microtune graph 1 "name" {"requantize": "device"}
    input %x: i8[1,28,28,1] quant(0.0078125, 0)
    const %w: i8[16,3,3,1] channels(%w.scale)
    %y: i8[1,14,14,16] quant(0.02, -128), %y.mask: b1[1,14,14,16] = conv2d(%x, %w, %b) {...}
    update %w = %w.next
    output %y

Data is not part of the text: consts, params and states are named by it (see `modelfile`).
"""

from __future__ import annotations

import json
import re

from microtune.errors import MicrotuneError
from microtune.ir.graph import DTYPES, Graph, Node, Quant, Role, Tensor
from microtune.ir.written import NAME

TEXT_VERSION = 1

_NAME = f"%{NAME}"
_NUMBER = r"[-+0-9.einfa]+"
_TENSOR = re.compile(
    rf"({_NAME}): ([a-z0-9]+)\[([0-9,]*)\]"
    rf"(?: quant\(({_NUMBER}), (-?\d+)\)| channels\(({_NAME})\)| gradient\(({_NUMBER})\))?"
)
_HEADER = re.compile(r"microtune graph (\d+) (\"(?:[^\"\\]|\\.)*\") (\{.*\})")
_ROLES: tuple[Role, ...] = ("input", "const", "param", "state")


def _tensor_text(tensor: Tensor) -> str:
    shape = ",".join(str(d) for d in tensor.shape)
    text = f"%{tensor.name}: {tensor.dtype}[{shape}]"
    quant = tensor.quant
    if quant is None:
        return text
    if quant.scales is not None:
        return f"{text} channels(%{quant.scales})"
    if quant.factor is not None:
        return f"{text} gradient({quant.factor!r})"
    return f"{text} quant({quant.scale!r}, {quant.zero_point})"


def format_graph(graph: Graph) -> str:
    """The graph as text, one declaration or node a line, ending in a newline."""
    attrs = json.dumps(graph.attrs, sort_keys=True)
    lines = [f"microtune graph {TEXT_VERSION} {json.dumps(graph.name)} {attrs}"]
    for tensor in graph.tensors.values():
        if tensor.role != "value":
            lines.append(f"{tensor.role} {_tensor_text(tensor)}")
    for node in graph.nodes:
        outputs = ", ".join(_tensor_text(graph.tensors[name]) for name in node.outputs)
        inputs = ", ".join(f"%{name}" for name in node.inputs)
        attrs = " " + json.dumps(node.attrs, sort_keys=True) if node.attrs else ""
        lines.append(f"{outputs} = {node.op}({inputs}){attrs}")
    lines += [f"update %{param} = %{value}" for param, value in graph.updates.items()]
    lines += [f"output %{name}" for name in graph.outputs]
    return "\n".join(lines) + "\n"


def _parse_tensor(match: re.Match[str], role: Role) -> Tensor:
    name, dtype, shape, scale, zero, scales, factor = match.groups()
    if dtype not in DTYPES:
        raise ValueError(f"unknown element type {dtype}")
    quant = None
    if scale is not None:
        quant = Quant(scale=float(scale), zero_point=int(zero))
    elif scales is not None:
        quant = Quant(scales=scales[1:])
    elif factor is not None:
        quant = Quant(factor=float(factor))
    dims = tuple(int(d) for d in shape.split(",")) if shape else ()
    return Tensor(name[1:], dims, dtype, role, quant)


def _parse_node(graph: Graph, line: str) -> None:
    outputs: list[Tensor] = []
    position = 0
    while True:
        match = _TENSOR.match(line, position)
        if match is None:
            raise ValueError("expected a tensor")
        outputs.append(_parse_tensor(match, "value"))
        position = match.end()
        if line.startswith(", ", position):
            position += 2
            continue
        break
    call = re.fullmatch(r" = ([a-z0-9_]+)\(([^)]*)\)(?: (\{.*\}))?", line[position:])
    if call is None:
        raise ValueError("expected '= op(%inputs) {attributes}'")
    names = call[2].split(", ") if call[2] else []
    if any(re.fullmatch(_NAME, name) is None for name in names):
        raise ValueError("expected '%name' as input")
    attrs = json.loads(call[3]) if call[3] else {}
    inputs = tuple(name[1:] for name in names)
    graph.add_node(Node(call[1], inputs, tuple(t.name for t in outputs), attrs), outputs)


def _parse_line(graph: Graph, line: str) -> None:
    word, _, rest = line.partition(" ")
    if word in _ROLES:
        match = _TENSOR.fullmatch(rest)
        if match is None:
            raise ValueError("expected '%name: type[shape]'")
        graph.add_tensor(_parse_tensor(match, next(r for r in _ROLES if r == word)))
    elif word == "update":
        match = re.fullmatch(rf"({_NAME}) = ({_NAME})", rest)
        if match is None:
            raise ValueError("expected 'update %param = %value'")
        graph.updates[match[1][1:]] = match[2][1:]
    elif word == "output":
        if re.fullmatch(_NAME, rest) is None:
            raise ValueError("expected 'output %name'")
        graph.outputs.append(rest[1:])
    else:
        _parse_node(graph, line)


def parse_graph(text: str) -> Graph:
    """Read the textual form. Raises MicrotuneError with the line that is wrong."""
    lines = text.splitlines()
    header = _HEADER.fullmatch(lines[0]) if lines else None
    if header is None:
        raise MicrotuneError("not a microtune graph: the first line must be 'microtune graph ...'")
    if int(header[1]) != TEXT_VERSION:
        raise MicrotuneError(
            f"graph text version {header[1]} is unknown; this microtune reads {TEXT_VERSION}"
        )
    try:
        graph = Graph(json.loads(header[2]), json.loads(header[3]))
    except ValueError as error:
        raise MicrotuneError(f"graph text, line 1: {error}") from error
    for number, line in enumerate(lines[1:], start=2):
        try:
            _parse_line(graph, line)
        except ValueError as error:
            raise MicrotuneError(f"graph text, line {number}: {error}: {line[:120]}") from error
    return graph
