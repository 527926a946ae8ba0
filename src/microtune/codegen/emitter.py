"""The C text under construction: constants, parameter structs, calls, addresses."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from typing import Any

import numpy as np

from microtune.codegen import layout
from microtune.ir.graph import Array, Graph, Node
from microtune.memory.banks import MemoryPlan
from microtune.memory.lifetimes import scratch_name, views

C_TYPES = {
    "i8": "int8_t", "u8": "uint8_t", "i16": "int16_t", "u16": "uint16_t", "i32": "int32_t",
    "u32": "uint32_t", "f32": "float", "b1": "uint8_t",
}  # fmt: skip
_INDENT = "   "
_COLUMNS = 96

# What the generated source, its headers or C itself mean by a name.
_TAKEN = re.compile(
    r"mt_.*|MT_.*|_.*|[0-9].*|a[0-9]+|segment[0-9]+(_stages|_order)?|u?int(_.*)?[0-9]*_t|[A-Z0-9_]+"
    r"|ctx|io|target|loss_q16|o|p|part|status|forward|infer|train|segments|initial_offsets"
    r"|arena_bytes|main|memcpy|memset|memmove|memcmp|asm|auto|bool|break|case|char|const|continue"
    r"|default|do|double|else|enum|extern|false|float|for|goto|if|inline|int|long|register|restrict"
    r"|return|short|signed|sizeof|static|struct|switch|true|typedef|typeof|union|unsigned|void"
    r"|volatile|while"
)


def identifier(name: str) -> str:
    """A C identifier for a tensor's name; two names may have the same."""
    plain = re.sub(r"[^A-Za-z0-9]", "_", name)
    return f"t_{plain}" if _TAKEN.fullmatch(plain) else plain


INITIAL = "initial"


class Symbols:
    """C identifiers of tensors and of what is emitted for them: one for each pair."""

    def __init__(self) -> None:
        self._of: dict[tuple[str, str], str] = {}
        self._taken: set[str] = set()

    def of(self, name: str, what: str = "") -> str:
        """The symbol of a tensor's own data, or of `what` belongs to it."""
        key = (name, what)
        if key not in self._of:
            words = (what, name) if what == INITIAL else (name, what) if what else (name,)
            base = symbol = identifier(".".join(words))
            number = 1
            while symbol in self._taken:
                number += 1
                symbol = f"{base}_{number}"
            self._taken.add(symbol)
            self._of[key] = symbol
        return self._of[key]


def float_literal(value: float) -> str:
    """A float32 literal with exactly this value."""
    return f"{float(np.float32(value)).hex()}f"


def array_text(values: Iterable[float], is_float: bool = False) -> str:
    """Initialiser lines of at most `_COLUMNS` columns."""
    literal: Callable[[Any], str] = float_literal if is_float else _int_literal
    words = [literal(value) for value in values]
    ends = list(accumulate((len(word) + 2 for word in words), initial=0))
    lines, start = [], 0
    while start < len(words):
        stop = max(bisect_right(ends, ends[start] + _COLUMNS - len(_INDENT)) - 1, start + 1)
        lines.append(f"{_INDENT} {', '.join(words[start:stop])},")
        start = stop
    return "\n".join(lines or [_INDENT])


def _int_literal(value: int) -> str:
    return "INT32_MIN" if value == -(2**31) else str(value)


class Emitter:
    """Collects constants, structs and calls for one graph with its plan."""

    def __init__(self, graph: Graph, plan: MemoryPlan) -> None:
        self.graph = graph
        self.plan = plan
        self.owner = views(graph)
        self.depthwise = layout.depthwise_weights(graph)
        self.slots = {slot.name: slot for slot in layout.parameter_slots(graph)}
        self.offsets = {name: i for i, name in enumerate(layout.offset_names(graph))}
        self.constants: list[str] = []
        self.structs: list[str] = []
        self.calls: list[str] = []
        self._tables: dict[tuple[str, str], str] = {}
        self._symbols = Symbols()

    # -- constants ------------------------------------------------------------------------------

    def table(self, name: str, c_type: str, values: Array, what: str = "") -> str:
        """A static const array, a tensor's own data or `what` belongs to it; its symbol."""
        key, symbol = (name, what), self._symbols.of(name, what)
        text = array_text(values.reshape(-1).tolist(), c_type == "float")
        size = f"{values.size} + MT_TABLE_PAD" if c_type == "int8_t" else str(values.size)
        declaration = f"static const {c_type} {symbol}[{size}] = {{\n{text}\n}};"
        if key not in self._tables:
            self._tables[key] = declaration
            self.constants.append(declaration)
        elif self._tables[key] != declaration:
            raise ValueError(f"table {symbol} has two contents")
        return symbol

    def constant(self, name: str) -> str:
        """The table of a const tensor in its C layout."""
        tensor = self.graph.tensors[name]
        data = layout.to_c(self.graph.data[name], name in self.depthwise)
        return self.table(name, C_TYPES[tensor.dtype], data)

    # -- addresses ------------------------------------------------------------------------------

    def address(self, name: str) -> str:
        """C expression of the tensor's address."""
        tensor = self.graph.tensors[self.owner.get(name, name)]
        c_type = C_TYPES[self.graph.tensors[name].dtype]
        if tensor.role == "const":
            return self.constant(tensor.name)
        if tensor.name in self.slots:
            return f"({c_type} *)(void *)(p + {self.slots[tensor.name].offset})"
        if tensor.role == "state":
            return f"o + {self.offsets[tensor.name]}"
        return self.arena(tensor.name, c_type)

    def arena(self, name: str, c_type: str) -> str:
        """A C expression: the address of an arena buffer as a pointer to `c_type`."""
        return f"({c_type} *)(void *)({self.place(name)})"

    def place(self, name: str) -> str:
        """Byte address of an arena buffer: the pointer of its bank plus its offset."""
        bank, offset = self.plan.place(name)
        return f"a{bank} + {offset}"

    def place_fields(self, name: str) -> dict[str, object]:
        """Initialiser fields of mt_place (or of a struct that begins like it)."""
        bank, offset = self.plan.place(name)
        return {"bank": bank, "offset": offset}

    def scratch(self, node: Node) -> str:
        """Address of the node's scratch, or NULL."""
        name = scratch_name(node)
        return self.place(name) if name in self.plan.offsets else "NULL"

    # -- structs and calls ----------------------------------------------------------------------

    def params(self, c_type: str, name: str, fields: Mapping[str, str]) -> str:
        """A static const parameter struct; returns its symbol."""
        symbol = self._symbols.of(name, c_type.removeprefix("mt_"))
        body = "".join(f"\n    .{key} = {value}," for key, value in fields.items())
        self.structs.append(f"static const {c_type} {symbol} = {{{body}\n}};")
        return symbol

    def call(self, function: str, io_type: str, params: str, fields: Mapping[str, str]) -> None:
        """A kernel call with its operands in a struct."""
        # A block of its own ends the struct's life, so that calls share their stack. It has a name
        # because Clang lets a compound literal live to the end of the function.
        body = ",\n            ".join(f".{key} = {value}" for key, value in fields.items())
        struct = f"        const {io_type} io = {{\n            {body},\n        }};"
        self.calls.append(f"    {{\n{struct}\n        {function}(&{params}, &io);\n    }}")

    def line(self, text: str) -> None:
        """Append a C statement to the calls of the step."""
        self.calls.append(f"    {text}")


def struct_text(fields: Mapping[str, object]) -> str:
    """A nested designated initialiser on one line."""
    return "{" + ", ".join(f".{key} = {value}" for key, value in fields.items()) + "}"
