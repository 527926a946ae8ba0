"""The one graph: forward, backward and update are nodes of the same IR.

A `Graph` is a list of nodes in execution order over named tensors (SSA: each value has one
producer). Parameters and states are changed only through `updates`: after a step the named value
takes the parameter's place, in the parameter's own memory.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from microtune.ir.execution import Execution
from microtune.ir.signature import StepSignature, signature_of

Array = npt.NDArray[Any]
Role = Literal["input", "const", "param", "state", "value"]
# What an input, a state or an output is for; None: an input of the model, an output of the model.
Kind = Literal["target", "rate", "seed", "step", "exponent_offset", "momentum", "loss", "gradient"]
Attr = bool | int | float | str | list[int] | list[float]


def plain(value: Any) -> Any:  # noqa: ANN401
    """The value with numpy's numbers and arrays, and tuples, as Python's own numbers and lists."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


DTYPES: dict[str, tuple[type[np.generic], float]] = {
    "i8": (np.int8, 1), "u8": (np.uint8, 1), "i16": (np.int16, 2), "u16": (np.uint16, 2),
    "i32": (np.int32, 4), "u32": (np.uint32, 4), "i64": (np.int64, 8),
    "f32": (np.float32, 4), "f64": (np.float64, 8), "b1": (np.bool_, 1 / 8),
}  # fmt: skip


@dataclass(frozen=True)
class Quant:
    """The quantisation of a tensor: real = scale·(code - zero_point).

    Per output channel the scales are in a const tensor. `factor` is used by int8 gradient tensors
    instead: real = code·factor·2^exponent.
    """

    scale: float | None = None
    zero_point: int = 0
    scales: str | None = None
    factor: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "zero_point", plain(self.zero_point))
        for name in ("scale", "factor"):
            value = plain(getattr(self, name))
            object.__setattr__(self, name, float(value) if type(value) is int else value)


@dataclass(frozen=True)
class Tensor:
    """A named value: shape (activations NHWC, weights O·KH·KW·I), element type, quantisation.

    `kind` says what an input, a state or an output is for. `part_of` is the name of the parameter
    of which a param is a part or another format; None: it is the whole parameter. A name is for
    people: nothing is read from it.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    role: Role = "value"
    quant: Quant | None = None
    kind: Kind | None = None
    part_of: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(plain(self.shape)))

    @property
    def elements(self) -> int:
        """The number of elements of the tensor."""
        return int(math.prod(self.shape))

    @property
    def numpy(self) -> type[np.generic]:
        """The element type of the tensor in numpy."""
        return DTYPES[self.dtype][0]

    @property
    def parameter(self) -> str:
        """The name of the parameter that this param is, or is a part or another format of."""
        return self.part_of or self.name

    @property
    def bytes(self) -> int:
        """Bytes in memory; masks are packed eight to a byte."""
        return int(-(-self.elements * DTYPES[self.dtype][1] // 1))


@dataclass(frozen=True)
class Node:
    """One operation. `inputs` and `outputs` name tensors of the graph."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: dict[str, Attr] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "attrs", {key: plain(v) for key, v in self.attrs.items()})

    def ints(self, name: str) -> list[int]:
        """A list-of-integers attribute."""
        value = self.attrs[name]
        if not isinstance(value, list):
            raise TypeError(f"{self.op}: attribute {name} is not a list")
        return [int(v) for v in value]

    def int(self, name: str, default: int | None = None) -> int:
        """An integer attribute of the node. Raises TypeError if it is none."""
        value = self.attrs.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{self.op}: attribute {name} is not an integer")
        return value

    def str(self, name: str) -> str:
        """A text attribute of the node. Raises TypeError if it is none."""
        value = self.attrs[name]
        if not isinstance(value, str):
            raise TypeError(f"{self.op}: attribute {name} is not text")
        return value


@dataclass
class Graph:
    """Nodes in execution order, the tensors they name, and the data of consts, params, states.

    `attrs["requantize"]` names the forward arithmetic: "device", "mcunet", "tflite" or
    "tflite-uint8" (docs/numerics.md).
    `execution` says how the graph is executed, which no result depends on.
    """

    name: str
    attrs: dict[str, Attr] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    updates: dict[str, str] = field(default_factory=dict)
    data: dict[str, Array] = field(default_factory=dict)
    execution: Execution = field(default_factory=Execution)

    def __post_init__(self) -> None:
        self.attrs = {key: plain(value) for key, value in self.attrs.items()}

    def copy(self) -> Graph:
        """A graph that can be changed without changing this one (arrays are shared)."""
        return Graph(
            self.name, dict(self.attrs), dict(self.tensors), list(self.nodes),
            list(self.outputs), dict(self.updates), dict(self.data), self.execution,
        )  # fmt: skip

    # -- building -------------------------------------------------------------------------------

    def add_tensor(self, tensor: Tensor, data: Array | None = None) -> str:
        """Declare a tensor; const, param and state need data. Returns its name."""
        if tensor.name in self.tensors:
            raise ValueError(f"tensor {tensor.name} is declared twice")
        self.tensors[tensor.name] = tensor
        if data is not None:
            dtype = DTYPES[tensor.dtype][0]
            self.data[tensor.name] = np.ascontiguousarray(data, dtype=dtype).reshape(tensor.shape)
        return tensor.name

    def constant(self, name: str, data: Array, dtype: str, quant: Quant | None = None) -> str:
        """Declare a const with its data."""
        return self.add_tensor(Tensor(name, tuple(data.shape), dtype, "const", quant), data)

    def input(
        self, name: str, shape: Iterable[int], dtype: str, quant: Quant | None = None,
        kind: Kind | None = None,
    ) -> str:  # fmt: skip
        """Declare a graph input; `kind` says what it is for (None: the model computes on it)."""
        return self.add_tensor(Tensor(name, tuple(shape), dtype, "input", quant, kind))

    def fresh(self, name: str, others: Container[str] = ()) -> str:
        """This name, or one made of it where a tensor, a parameter or one of `others` has it."""
        candidate, number = name, 2
        while candidate in others or self._has(candidate):
            candidate, number = f"{name}.{number}", number + 1
        return candidate

    def _has(self, name: str) -> bool:
        return name in self.tensors or any(t.part_of == name for t in self.tensors.values())

    def add_node(self, node: Node, outputs: Iterable[Tensor]) -> None:
        """Append a node and declare its outputs."""
        for tensor in outputs:
            self.add_tensor(tensor)
        self.nodes.append(node)

    def set_role(self, name: str, role: Role) -> None:
        """Change the role of a tensor (a const becomes a param when a scheme trains it)."""
        self.tensors[name] = replace(self.tensors[name], role=role)

    # -- asking ---------------------------------------------------------------------------------

    @property
    def signature(self) -> StepSignature:
        """What the inputs and outputs are for."""
        return signature_of(self.tensors.values(), (self.tensors[name] for name in self.outputs))

    @property
    def input_tensor(self) -> Tensor:
        """The only tensor that the model computes on."""
        return self.tensors[self.signature.input]

    @property
    def output_tensor(self) -> Tensor:
        """The only tensor that the model answers with."""
        return self.tensors[self.signature.output]

    def with_role(self, role: Role) -> Iterator[Tensor]:
        """The tensors with this role, in order of declaration."""
        return (t for t in self.tensors.values() if t.role == role)

    def producers(self) -> dict[str, Node]:
        """Value name -> the node that makes it."""
        return {name: node for node in self.nodes for name in node.outputs}

    def consumers(self) -> dict[str, list[Node]]:
        """Tensor name -> nodes that read it, in order."""
        readers: dict[str, list[Node]] = {name: [] for name in self.tensors}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                readers[name].append(node)
        return readers

    def quant(self, name: str) -> Quant:
        """The quantisation of a tensor that must have one."""
        quant = self.tensors[name].quant
        if quant is None:
            raise ValueError(f"tensor {name} has no quantisation")
        return quant

    def scale(self, name: str) -> float:
        """The scale of a tensor with a single one. Raises ValueError if it has none."""
        scale = self.quant(name).scale
        if scale is None:
            raise ValueError(f"tensor {name} has no per-tensor scale")
        return scale

    def channel_scales(self, name: str) -> npt.NDArray[np.float64]:
        """The scales of a weight per output channel, shape (O,), float64."""
        scales = self.quant(name).scales
        if scales is None:
            raise ValueError(f"tensor {name} has no per-channel scales")
        return self.data[scales].astype(np.float64)

    def factor(self, name: str) -> float:
        """The compile-time factor of an int8 gradient tensor."""
        factor = self.quant(name).factor
        if factor is None:
            raise ValueError(f"tensor {name} has no gradient factor")
        return factor
