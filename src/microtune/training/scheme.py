"""Update schemes: which biases and which channels of which weights are trained.

A scheme is data. By name (case-insensitive): the published ones of a model, `full`, `last-K`,
`bias-only`, `bias-only-K`, `head-only`, `none`; or a TOML file (docs/schemes.md).
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from microtune.errors import MicrotuneError
from microtune.ir.convolution import is_per_channel
from microtune.ir.graph import Array, Graph, Node
from microtune.ir.ops import Trait, has
from microtune.ir.ops.layer import layer_of
from microtune.training.head import find_classifier
from microtune.training.head_origin import NEW, HeadOrigin

AUTO = "auto"  # by this name `compile` chooses (search/automatic.py)
PUBLISHED = Path(__file__).parent / "schemes"
# `evidence` is what a search knows of its scheme; it decides nothing.
_KEYS = {"name", "model", "bias_layers", "weights", "head", "analytic_kb", "evidence"}


@dataclass(frozen=True)
class Scheme:
    """Layers by name: `biases` are trained, `weights` maps a layer to its trained channels.

    Channels are input channels; for a depthwise layer output channels. All channels of a layer mean
    its whole weight.
    """

    name: str
    biases: tuple[str, ...]
    weights: Mapping[str, int]
    head: bool

    def sha256(self, head: HeadOrigin = NEW) -> str:
        """Hash of what is trained (not of the scheme's name), and of what the head starts from:
        the codes of a head that keeps the model's own classifier are in another unit."""
        content = [list(self.biases), dict(self.weights), self.head]
        content += [str(head)] if head.own else []
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def backbone_layers(graph: Graph) -> list[str]:
    """Convolutions and fully connected layers in order, without the classifier."""
    classifier = find_classifier(graph).outputs[0]
    return [
        node.outputs[0] for node in graph.nodes
        if has(node, Trait.LAYER) and node.outputs[0] != classifier
    ]  # fmt: skip


def _node(graph: Graph, layer: str) -> Node:
    return next(node for node in graph.nodes if node.outputs[0] == layer)


def selects_outputs(graph: Graph, layer: str) -> bool:
    """Whether a ratio selects output channels of this layer: each has an input of its own."""
    node = _node(graph, layer)
    inputs, outputs = (graph.tensors[n].shape[-1] for n in (layer_of(node).x, layer))
    return is_per_channel(node.int("groups", 1), inputs, outputs)


def channel_count(graph: Graph, layer: str) -> int:
    """How many channels a ratio of 1 trains."""
    weight = graph.tensors[layer_of(_node(graph, layer)).weight]
    return weight.shape[0 if selects_outputs(graph, layer) else -1]


def trained_channels(graph: Graph, layer: str, count: int) -> Array:
    """Permutation (uint16) of the layer's channels: the `count` largest L2 norms come first.

    The norm is of the int8 weights per input channel (depthwise: per output channel), unscaled;
    ties go to the lower index. Both parts are in ascending original order.
    """
    weight = graph.data[layer_of(_node(graph, layer)).weight].astype(np.int64)
    if selects_outputs(graph, layer):
        norms = (weight**2).reshape(weight.shape[0], -1).sum(axis=1)
    else:
        norms = (weight**2).reshape(-1, weight.shape[-1]).sum(axis=0)
    ranked = np.argsort(-norms, kind="stable")
    return np.concatenate([np.sort(ranked[:count]), np.sort(ranked[count:])]).astype(np.uint16)


def published_schemes(model_name: str) -> dict[str, dict[str, Any]]:
    """The published schemes of a model by upper-case name; empty for other models."""
    path = PUBLISHED / f"{model_name.lower()}.toml"
    if not path.is_file():
        return {}
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    return {name.upper(): entry for name, entry in content["schemes"].items()}


def scheme_names(model_name: str) -> list[str]:
    """Every name that `compile --scheme` takes for this model; AUTO is resolved before."""
    general = ["full", "last-K", "bias-only", "bias-only-K", "head-only", "none"]
    return [AUTO, *published_schemes(model_name), *general]


def resolve_scheme(name_or_path: str | Scheme, graph: Graph, model_name: str) -> Scheme:
    """The scheme for this graph; one that is made already stands.

    Raises MicrotuneError saying what is wrong and what exists.
    """
    if isinstance(name_or_path, Scheme):
        return name_or_path
    layers = backbone_layers(graph)
    name = name_or_path.strip()
    general = _general(name.lower(), graph, layers)
    if general is not None:
        return general
    published = published_schemes(model_name)
    if name.upper() in published:
        return _from_table(name.upper(), published[name.upper()], graph, layers)
    path = Path(name_or_path)
    if path.suffix == ".toml" or path.is_file():
        return _from_file(path, graph, layers, model_name)
    others = sorted(
        p.stem for p in PUBLISHED.glob("*.toml") if name.upper() in published_schemes(p.stem)
    )
    if others:
        raise MicrotuneError(
            f"scheme {name} is for {', '.join(others)}, not for {model_name}; "
            f"for {model_name} there are: {', '.join(scheme_names(model_name))}"
        )
    raise MicrotuneError(
        f"unknown scheme '{name}' for {model_name}; there are: "
        f"{', '.join(scheme_names(model_name))}, or give a .toml file"
    )


def _general(name: str, graph: Graph, layers: list[str]) -> Scheme | None:
    match = re.fullmatch(r"(full|last|bias-only|head-only|none)(?:-(\d+))?", name)
    if match is None:
        return None
    kind, number = match[1], match[2]
    if (kind in ("full", "head-only", "none") and number) or (kind == "last" and not number):
        return None
    count = len(layers) if number is None else int(number)
    if number is not None and not 1 <= count <= len(layers):
        raise MicrotuneError(f"scheme {name}: {graph.name} has {len(layers)} layers, not {count}")
    chosen = layers[len(layers) - count :]
    if kind in ("full", "last"):
        return Scheme(name, tuple(chosen), {n: channel_count(graph, n) for n in chosen}, True)
    if kind == "bias-only":
        return Scheme(name, tuple(chosen), {}, True)
    return Scheme(name, (), {}, kind == "head-only")


def _from_file(path: Path, graph: Graph, layers: list[str], model_name: str) -> Scheme:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MicrotuneError(f"{path}: no such scheme file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MicrotuneError(f"{path}: not a readable TOML file: {error}") from error
    model = table.get("model")
    if model is not None and str(model).lower() != model_name.lower():
        raise MicrotuneError(f"{path}: this scheme is for model {model}, not for {model_name}")
    return _from_table(str(table.get("name", path.stem)), table, graph, layers)


def scheme_from_table(table: Mapping[str, Any], graph: Graph) -> Scheme:
    """The scheme of a file's content (docs/schemes.md). Raises MicrotuneError."""
    return _from_table(str(table.get("name", "scheme")), table, graph, backbone_layers(graph))


def _from_table(name: str, table: Mapping[str, Any], graph: Graph, layers: list[str]) -> Scheme:
    unknown = table.keys() - _KEYS
    if unknown:
        raise MicrotuneError(
            f"scheme {name}: unknown keys {sorted(unknown)}; keys: {sorted(_KEYS)}"
        )
    count = table.get("bias_layers", 0)
    if type(count) is not int or not 0 <= count <= len(layers):
        raise MicrotuneError(
            f"scheme {name}: bias_layers = {count!r}; {graph.name} has {len(layers)} layers"
        )
    entries = table.get("weights", {})
    if not isinstance(entries, dict):
        raise MicrotuneError(f"scheme {name}: weights must be a table of layer = ratio")
    weights: dict[str, int] = {}
    for key, value in entries.items():
        layer = _layer(name, key, layers)
        if layer in weights:
            raise MicrotuneError(f"scheme {name}: layer {layer} is given twice, once as '{key}'")
        weights[layer] = max(1, int(_ratio(name, key, value) * channel_count(graph, layer)))
    head = table.get("head", True)
    if not isinstance(head, bool):
        raise MicrotuneError(f"scheme {name}: head must be true or false")
    biases = tuple(layers[len(layers) - count :])
    if not (head or biases or weights):
        raise MicrotuneError(
            f"scheme {name} trains nothing. Leave head = false out, or for inference only take "
            "--scheme none"
        )
    return Scheme(name, biases, dict(sorted(weights.items())), head)


def _layer(name: str, key: str, layers: list[str]) -> str:
    if key in layers:
        return key
    if key.isascii() and key.isdigit() and int(key) < len(layers):
        return layers[int(key)]
    raise MicrotuneError(
        f"scheme {name}: no layer '{key}'; layers are 0 to {len(layers) - 1} or their names"
    )


def _ratio(name: str, key: str, value: object) -> Fraction:
    try:
        ratio = Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        ratio = Fraction(0)
    if not 0 < ratio <= 1:
        raise MicrotuneError(f"scheme {name}: ratio {value!r} of layer {key} is not in (0, 1]")
    return ratio


def analytic_kb(graph: Graph, scheme: Scheme) -> float:
    """The published memory formula in KB: masks, biases, saved inputs, trained weights, features.

    Per layer with a trained bias out-elements × 1 bit + channels × 32 bit; for trained weights
    H·W·channels × 8 bit of saved input and the weights × 8 bit; the classifier's input × 8 bit. It
    leaves out the head, the forward peak, gradients and scratch: see the planned bytes.
    """
    bits = graph.tensors[layer_of(find_classifier(graph)).x].elements * 8
    for layer in scheme.biases:
        y = graph.tensors[layer]
        bits += y.elements + 32 * y.shape[-1]
    for layer, count in scheme.weights.items():
        o = layer_of(_node(graph, layer))
        x, w = graph.tensors[o.x], graph.tensors[o.weight]
        bits += x.elements // x.shape[-1] * count * 8
        bits += w.elements // channel_count(graph, layer) * count * 8
    return bits / 8 / 1024
