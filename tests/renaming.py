"""Other names for the tensors of a graph: a name is for people and decides no bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from microtune.ir.graph import Graph, Tensor

# What the tensors of a training step are called, what is made from them, and buffers.
WORDS = (
    "input", "logits", "label", "loss", "lr", "seed", "step", "head", "head.weight", "head.bias",
    "head.dx", "logits.grad", "target", "rate",
    "stack", "context", "replay", "segment0",
)  # fmt: skip
ENDINGS = (
    "frozen", "trained", "order", "delta", "effective", "offset", "offset.next", "next",
    "exponent", "mask", "masked", "saved", "ring", "grad", "dx", "sum0", "live_scale", "scale",
    "multiplier", "shift", "lanes", "dead", "conv2d_params", "2",
)  # fmt: skip
STARTS = ("scratch", "rows", "initial")


def renamed(graph: Graph, names: Mapping[str, str]) -> Graph:
    """The same graph, its tensors called by other names; names that are not given stay."""

    def of(name: str) -> str:
        return names.get(name, name)

    def all_of(these: Sequence[str]) -> tuple[str, ...]:
        return tuple(of(name) for name in these)

    def tensor(old: Tensor) -> Tensor:
        scales = old.quant.scales if old.quant else None
        quant = replace(old.quant, scales=of(scales)) if old.quant and scales else old.quant
        return replace(old, name=of(old.name), quant=quant)

    result = graph.copy()
    result.tensors = {of(name): tensor(old) for name, old in graph.tensors.items()}
    result.data = {of(name): array for name, array in graph.data.items()}
    result.nodes = [
        replace(node, inputs=all_of(node.inputs), outputs=all_of(node.outputs))
        for node in graph.nodes
    ]
    result.outputs = list(all_of(graph.outputs))
    options = graph.execution
    result.execution = replace(
        options,
        segments={of(name): number for name, number in options.segments.items()},
        in_place={of(name): of(old) for name, old in options.in_place.items()},
    )
    result.updates = {of(old): of(new) for old, new in graph.updates.items()}
    return result


def awkward_names(graph: Graph, turn: int = 0) -> dict[str, str]:
    """A name for each tensor that a training step, a split, an update or a buffer would choose.

    With an even `turn` they are drawn from one list, which begins with the words that have a
    meaning in a training step. With an odd one each constant has a name that would be made for
    the layer before it, such as its table of shifts.
    """
    return _made_for_the_layer_before(graph, turn) if turn % 2 else _from_a_list(graph, turn)


def _from_a_list(graph: Graph, turn: int) -> dict[str, str]:
    bases = ["conv", *(f"conv.{ending}" for ending in ENDINGS)]
    pool = [*WORDS, "x.offset", *bases, *(f"{start}.conv" for start in STARTS)]
    pool += [f"{word}.{ending}" for ending in ENDINGS for word in ("label", "conv.trained", "lr")]
    pool += [f"{base}.{ending}" for base in bases for ending in ENDINGS]
    chosen = list(dict.fromkeys(pool))[: len(graph.tensors)]
    turned = [*chosen[turn % len(chosen) :], *chosen[: turn % len(chosen)]]
    return dict(zip(graph.tensors, turned, strict=True))


def _made_for_the_layer_before(graph: Graph, turn: int) -> dict[str, str]:
    words = iter([*WORDS, *(f"conv{number}" for number in range(len(graph.tensors)))])
    endings = (ENDINGS[(turn + 5 * number) % len(ENDINGS)] for number in range(10**6))
    names: dict[str, str] = {}
    layer = "input"
    for tensor in _in_order_of_use(graph):
        if graph.tensors[tensor].role == "const":
            made = (f"{layer}.{ending}" for ending in endings)
            names[tensor] = next(name for name in made if name not in names.values())
        else:
            layer = next(word for word in words if word not in names.values())
            names[tensor] = layer
    return names


def _in_order_of_use(graph: Graph) -> list[str]:
    """Each layer's result first, then what the next layer reads."""
    used = [name for node in graph.nodes for name in (*node.inputs, *node.outputs)]
    return list(dict.fromkeys([*used, *graph.tensors]))
