"""What the inputs and outputs of a step are for, whatever their tensors are called."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from microtune.errors import MicrotuneError

if TYPE_CHECKING:
    from microtune.ir.graph import Array, Graph, Kind, Tensor

INPUT_KINDS: tuple[Kind, ...] = ("target", "rate", "seed", "step")
OUTPUT_KINDS: tuple[Kind, ...] = ("loss", "gradient")
STATE_KINDS: tuple[Kind, ...] = ("exponent_offset", "momentum")
# What a step has at most once, with its element type.
SINGLE: dict[Kind, tuple[str, ...]] = {
    "rate": ("f32",), "seed": ("u32",), "step": ("u32",), "loss": ("i32", "f32", "f64"),
}  # fmt: skip


@dataclass(frozen=True)
class StepSignature:
    """The tensors of a step by what they are for.

    `inputs` is what the model computes on, `outputs` what it answers. Only a training step has the
    rest: `targets` (what it should answer), `loss` (1,), `rate` (float32 (1,), the learning rate),
    `seed` and `step` (uint32 (1,), of the random bits).
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    targets: tuple[str, ...] = ()
    loss: str | None = None
    rate: str | None = None
    seed: str | None = None
    step: str | None = None

    @property
    def input(self) -> str:
        """The only input. Raises MicrotuneError where a model has none or several."""
        return _only(self.inputs, "input")

    @property
    def output(self) -> str:
        """The only output. Raises MicrotuneError where a model has none or several."""
        return _only(self.outputs, "output")

    @property
    def target(self) -> str:
        """The only target. Raises MicrotuneError where a step has none or several."""
        return _only(self.targets, "target")

    @property
    def training_loss(self) -> str:
        """The loss. Raises MicrotuneError in a graph that only infers."""
        if self.loss is None:
            raise MicrotuneError("this graph only infers: it has no loss")
        return self.loss


def _only(names: tuple[str, ...], what: str) -> str:
    if len(names) != 1:
        shown = f": {', '.join(names)}" if names else ""
        raise MicrotuneError(f"a model has one {what}; this one has {len(names)}{shown}")
    return names[0]


def signature_of(tensors: Iterable[Tensor], outputs: Iterable[Tensor]) -> StepSignature:
    """The signature of a graph with these tensors, some of which are its outputs."""
    inputs = [tensor for tensor in tensors if tensor.role == "input"]
    results = list(outputs)

    def of_kind(these: list[Tensor], kind: Kind | None) -> tuple[str, ...]:
        return tuple(tensor.name for tensor in these if tensor.kind == kind)

    def first(these: list[Tensor], kind: Kind) -> str | None:
        return next(iter(of_kind(these, kind)), None)

    return StepSignature(
        of_kind(inputs, None), of_kind(results, None), of_kind(inputs, "target"),
        first(results, "loss"), first(inputs, "rate"), first(inputs, "seed"),
        first(inputs, "step"),
    )  # fmt: skip


_OF_ROLE: dict[str, tuple[Kind | None, ...]] = {
    "input": (None, *INPUT_KINDS), "state": STATE_KINDS, "value": (None, *OUTPUT_KINDS),
}  # fmt: skip


def signature_rule(graph: Graph) -> Iterator[str]:
    """Each tensor is of a kind that its role has; what a step has once is there once."""
    seen: dict[Kind | None, str] = {}
    whole: dict[str, str] = {}
    for tensor in graph.tensors.values():
        name, kind = tensor.name, tensor.kind
        if kind not in _OF_ROLE.get(tensor.role, (None,)):
            yield f"%{name}: a tensor of role {tensor.role} is of no kind {kind}"
        if kind in OUTPUT_KINDS and name not in graph.outputs:
            yield f"%{name} is of kind {kind} and no output"
        if kind in SINGLE:
            if kind in seen:
                yield f"%{name} and %{seen[kind]} are both of kind {kind}"
            if tensor.shape != (1,) or tensor.dtype not in SINGLE[kind]:
                yield f"%{name}: kind {kind} is {tensor.dtype}{list(tensor.shape)}"
            seen[kind] = name
        if tensor.role != "param":
            if tensor.part_of is not None:
                yield f"%{name} is no param and a part of {tensor.part_of}"
        elif tensor.parameter in whole:
            yield f"%{name} and %{whole[tensor.parameter]} are both parameter {tensor.parameter}"
        else:
            whole[tensor.parameter] = name


def feed(
    graph: Graph, frame: npt.ArrayLike, target: npt.ArrayLike | None = None, *,
    rate: float = 0.0, seed: int = 0, step: int = 0,
) -> dict[str, Array]:  # fmt: skip
    """The inputs of one step by tensor name, in the shapes and types that the graph declares.

    `target` may be missing where the graph has none; what the graph does not ask for is left out.
    """
    signature = graph.signature
    values: dict[str | None, npt.ArrayLike] = {
        signature.input: frame, signature.rate: rate, signature.seed: seed, signature.step: step,
    }  # fmt: skip
    if signature.targets:
        if target is None:
            raise MicrotuneError(f"{graph.name}: a training step needs a target")
        values[signature.target] = target
    fed: dict[str, Array] = {}
    for name, value in values.items():
        if name is not None:
            tensor = graph.tensors[name]
            fed[name] = np.asarray(value).astype(tensor.numpy, copy=False).reshape(tensor.shape)
    return fed
