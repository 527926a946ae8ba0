"""What the text and the model file can carry: the rules that make saving and loading the identity.

A graph that keeps these rules survives save -> load -> save byte for byte.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import get_args

from microtune.ir.graph import DTYPES, Graph, Quant, Role, Tensor

NAME = r"[A-Za-z0-9_.\-/]+"
_NAME = re.compile(NAME)
LONGEST_NAME = 1000  # a member of a zip
_ROLES = get_args(Role)


def written_rule(graph: Graph) -> Iterator[str]:
    """Names, numbers and attributes that the text has words for."""
    if not isinstance(graph.name, str):
        yield f"the graph's name is no text: {graph.name!r}"
    yield from _attributes("the graph", graph.attrs)
    for tensor in graph.tensors.values():
        yield from _tensor(tensor)
    for name in graph.data.keys() - graph.tensors.keys():
        yield f"there is data of {name!r}, which is no tensor"
    for node in graph.nodes:
        if not node.outputs:
            yield f"{node.op}: a node without a result"
            continue
        yield from _attributes(f"{node.op} %{node.outputs[0]}", node.attrs)
        for name in node.outputs:
            if name not in graph.tensors:
                yield f"{node.op}: its result %{name} is not declared"


def _tensor(tensor: Tensor) -> Iterator[str]:
    name, shape = tensor.name, tensor.shape
    if not (isinstance(name, str) and _NAME.fullmatch(name) and len(name) <= LONGEST_NAME):
        yield (
            f"a tensor is named {name!r:.80}; a name is 1 to {LONGEST_NAME} letters (A-Z, a-z), "
            "digits and . _ - /"
        )
    if tensor.dtype not in DTYPES:
        yield f"%{name}: unknown element type {tensor.dtype!r}"
    if tensor.role not in _ROLES:
        yield f"%{name}: unknown role {tensor.role!r}"
    if any(type(size) is not int or size < 1 for size in shape):
        yield f"%{name}: its shape {shape} is not of sizes of 1 or more"
    whole = tensor.part_of
    if whole is not None and not (isinstance(whole, str) and _NAME.fullmatch(whole)):
        yield f"%{name}: it is a part of {whole!r:.80}, which is no name"
    if tensor.quant is not None:
        yield from (f"%{name}: {problem}" for problem in _quant(tensor.quant))


def _quant(quant: Quant) -> Iterator[str]:
    kinds = [k for k in ("scale", "scales", "factor") if getattr(quant, k) is not None]
    if len(kinds) != 1:
        yield f"its quantisation has {' and '.join(kinds) or 'no scale'}; it has one scale, the " \
            "name of scales, or a gradient's factor"  # fmt: skip
        return
    if quant.scales is not None:
        if not (isinstance(quant.scales, str) and _NAME.fullmatch(quant.scales)):
            yield f"the name of its scales is {quant.scales!r}"
    elif not (type(value := getattr(quant, kinds[0])) is float and 0 < value < math.inf):
        yield f"its {kinds[0]} {value!r} is not a finite float above 0"
    zero = quant.zero_point
    if type(zero) is not int or not -128 <= zero <= 127:
        yield f"its zero point {zero!r} is no int8 code"
    elif zero != 0 and quant.scale is None:
        yield "it has a zero point without a scale"


def _attributes(where: str, attrs: Mapping[str, object]) -> Iterator[str]:
    for key, value in attrs.items():
        if not isinstance(key, str):
            yield f"{where}: attribute {key!r} is not named by a text"
        items = value if isinstance(value, list) else [value]
        numbers_only = isinstance(value, list)
        for item in items:
            number = type(item) in (bool, int) or (type(item) is float and math.isfinite(item))
            if not (number or (type(item) is str and not numbers_only)):
                yield f"{where}: attribute {key} has no text form: {value!r:.80}"
                break
