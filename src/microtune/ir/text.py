"""The textual form of a graph: text -> parse -> text is the identity.

    microtune graph 1 "name" {"requantize": "device"}
    input %x: i8[1,28,28,1] quant(0.0078125, 0)
    const %w: i8[16,3,3,1] channels(%w.scale)
    %y: i8[1,14,14,16] quant(0.02, -128), %y.mask: b1[1,14,14,16] = conv2d(%x, %w, %b) {...}
    update %w = %w.next
    output %y

An input, a state or an output that is not the model's own says what it is for, as in
`input(rate) %lr: f32[1]`, and a param of what it is a part: `param %w.trained: i8[4] of(w)`.

Lines such as `execution {"input": "rows"}`, `in_place %y = %x` (the result y takes the memory of x)
and `segment 0: %a, %b` (made row by row together) say how the graph is executed.
Data is not part of the text: consts, params and states are named by it (see `modelfile`).
"""

from __future__ import annotations

import json
import re
from dataclasses import replace

from microtune.errors import MicrotuneError
from microtune.ir.execution import Execution
from microtune.ir.graph import DTYPES, Graph, Kind, Node, Quant, Role, Tensor
from microtune.ir.signature import INPUT_KINDS, OUTPUT_KINDS, STATE_KINDS
from microtune.ir.written import NAME

TEXT_VERSION = 1

_NAME = f"%{NAME}"
_NUMBER = r"[-+0-9.einfa]+"
_TENSOR = re.compile(
    rf"({_NAME}): ([a-z0-9]+)\[([0-9,]*)\]"
    rf"(?: quant\(({_NUMBER}), (-?\d+)\)| channels\(({_NAME})\)| gradient\(({_NUMBER})\))?"
    rf"(?: of\(({NAME})\))?"
)
_HEADER = re.compile(r"microtune graph (\d+) (\"(?:[^\"\\]|\\.)*\") (\{.*\})")
_ROLES: tuple[Role, ...] = ("input", "const", "param", "state")
_KINDS: dict[str, tuple[Kind, ...]] = {
    "input": INPUT_KINDS, "state": STATE_KINDS, "output": OUTPUT_KINDS,
}  # fmt: skip


def _tensor_text(tensor: Tensor) -> str:
    shape = ",".join(str(d) for d in tensor.shape)
    text = f"%{tensor.name}: {tensor.dtype}[{shape}]{_quant_text(tensor.quant)}"
    return f"{text} of({tensor.part_of})" if tensor.part_of else text


def _quant_text(quant: Quant | None) -> str:
    if quant is None:
        return ""
    if quant.scales is not None:
        return f" channels(%{quant.scales})"
    if quant.factor is not None:
        return f" gradient({quant.factor!r})"
    return f" quant({quant.scale!r}, {quant.zero_point})"


def _word(role: str, kind: str | None) -> str:
    return f"{role}({kind})" if kind else role


def format_graph(graph: Graph) -> str:
    """The graph as text, one declaration or node a line, ending in a newline."""
    attrs = json.dumps(graph.attrs, sort_keys=True)
    lines = [f"microtune graph {TEXT_VERSION} {json.dumps(graph.name)} {attrs}"]
    options = graph.execution.changes()
    if plain := {k: v for k, v in options.items() if k not in ("segments", "in_place")}:
        lines.append(f"execution {json.dumps(plain, sort_keys=True)}")
    for tensor in graph.tensors.values():
        if tensor.role != "value":
            lines.append(f"{_word(tensor.role, tensor.kind)} {_tensor_text(tensor)}")
    for node in graph.nodes:
        outputs = ", ".join(_tensor_text(graph.tensors[name]) for name in node.outputs)
        inputs = ", ".join(f"%{name}" for name in node.inputs)
        attrs = " " + json.dumps(node.attrs, sort_keys=True) if node.attrs else ""
        lines.append(f"{outputs} = {node.op}({inputs}){attrs}")
    lines += [f"update %{param} = %{value}" for param, value in graph.updates.items()]
    lines += [f"in_place %{name} = %{old}" for name, old in graph.execution.in_place.items()]
    for number, names in graph.execution.in_order():
        lines.append(f"segment {number}: {', '.join(f'%{name}' for name in names)}")
    kinds = (graph.tensors[name].kind for name in graph.outputs)
    words = (_word("output", kind if kind in OUTPUT_KINDS else None) for kind in kinds)
    lines += [f"{word} %{name}" for word, name in zip(words, graph.outputs, strict=True)]
    return "\n".join(lines) + "\n"


def _parse_tensor(match: re.Match[str], role: Role, kind: Kind | None = None) -> Tensor:
    name, dtype, shape, scale, zero, scales, factor, whole = match.groups()
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
    return Tensor(name[1:], dims, dtype, role, quant, kind, whole)


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


def _kind(word: str, of: str) -> Kind | None:
    """What stands in brackets behind the first word of a declaration."""
    if of == word:
        return None
    for kind in _KINDS.get(word, ()):
        if of == _word(word, kind):
            return kind
    known = ", ".join(_KINDS.get(word, ())) or "none"
    raise ValueError(f"{of} is no kind of {word}; kinds: {known}")


def _parse_line(graph: Graph, line: str) -> None:
    declared, _, rest = line.partition(" ")
    word = declared.partition("(")[0]
    if word in _ROLES:
        match = _TENSOR.fullmatch(rest)
        if match is None:
            raise ValueError("expected '%name: type[shape]'")
        role = next(r for r in _ROLES if r == word)
        graph.add_tensor(_parse_tensor(match, role, _kind(word, declared)))
    elif word in ("update", "in_place"):
        match = re.fullmatch(rf"({_NAME}) = ({_NAME})", rest)
        if match is None:
            raise ValueError(f"expected '{word} %name = %name'")
        _pair(graph, word, match[1][1:], match[2][1:])
    elif word == "segment":
        number, _, names = rest.partition(": ")
        if not number.isdecimal() or any(not re.fullmatch(_NAME, n) for n in names.split(", ")):
            raise ValueError("expected 'segment number: %result, %result'")
        nodes = [name[1:] for name in names.split(", ")]
        graph.execution = graph.execution.in_segment(nodes, int(number))
    elif word == "execution":
        graph.execution = Execution.of(json.loads(rest))
    elif word == "output":
        _parse_output(graph, rest, _kind(word, declared))
    else:
        _parse_node(graph, line)


def _pair(graph: Graph, word: str, name: str, other: str) -> None:
    if word == "update":
        graph.updates[name] = other
    else:
        taken = {**graph.execution.in_place, name: other}
        graph.execution = replace(graph.execution, in_place=taken)


def _parse_output(graph: Graph, text: str, kind: Kind | None) -> None:
    name = text[1:]
    if re.fullmatch(_NAME, text) is None:
        raise ValueError("expected 'output %name'")
    graph.outputs.append(name)
    if kind is not None:
        if name not in graph.tensors:
            raise ValueError(f"no node makes {text}")
        graph.tensors[name] = replace(graph.tensors[name], kind=kind)


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
