"""The folded float network, its calibration, and the int8 graph of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from microtune.ir.builder import Builder
from microtune.ir.graph import Graph, Quant
from microtune.quantization import (
    choose_activation,
    fold_batch_norm,
    observed_range,
    quantize_bias,
    quantize_weight,
)
from pretraining.network import FEATURES, Layer, Network, network_layers

Floats = npt.NDArray[np.float32]
INPUT = Quant(1 / 128, 0)
POOLED, CLASSIFIER = "pool", "classifier"


def fold(network: Network, rows: slice) -> dict[str, Floats]:
    """`LAYER.weight` (O·I·KH·KW), `LAYER.bias`; `rows` selects outputs of the classifier."""
    folded: dict[str, Floats] = {}
    for layer, conv, norm in zip(network.layers, network.convs, network.norms, strict=True):
        if not isinstance(conv, nn.Conv2d) or not isinstance(norm, nn.BatchNorm2d):
            raise TypeError(f"{layer.name}: not a convolution with batch norm")
        if norm.running_mean is None or norm.running_var is None:
            raise TypeError(f"{layer.name}: batch norm without statistics")
        weight, bias = fold_batch_norm(
            conv.weight.detach().numpy(), None, norm.weight.detach().numpy(),
            norm.bias.detach().numpy(), norm.running_mean.numpy(), norm.running_var.numpy(),
            norm.eps,
        )  # fmt: skip
        folded[f"{layer.name}.weight"], folded[f"{layer.name}.bias"] = weight, bias
    folded[f"{CLASSIFIER}.weight"] = network.classifier.weight.detach().numpy()[rows]
    folded[f"{CLASSIFIER}.bias"] = network.classifier.bias.detach().numpy()[rows]
    return folded


def save_folded(folded: dict[str, Floats], path: Path) -> None:
    """One npz; arrays are named as in `fold`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **folded)


def load_folded(path: Path) -> dict[str, Floats]:
    """What `save_folded` wrote."""
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}


def run_folded(
    parameters: dict[str, torch.Tensor], x: torch.Tensor,
    observe: Callable[[str, torch.Tensor], None] = lambda name, value: None,
) -> torch.Tensor:  # fmt: skip
    """Logits (N, classes) of real input (N, 1, 28, 28); `observe` sees each tensor by name."""
    values: dict[str, torch.Tensor] = {}
    for layer in network_layers():
        x = functional.conv2d(
            x, parameters[f"{layer.name}.weight"], parameters[f"{layer.name}.bias"],
            layer.stride, layer.kernel // 2, groups=layer.groups,
        )  # fmt: skip
        x = functional.relu(x) if layer.relu else x
        observe(layer.name, x)
        if layer.add:
            x = x + values[layer.add]
            observe(layer.result, x)
        values[layer.result] = x
    pooled = x.mean((2, 3))
    observe(POOLED, pooled)
    logits = pooled @ parameters[f"{CLASSIFIER}.weight"].T + parameters[f"{CLASSIFIER}.bias"]
    observe(CLASSIFIER, logits)
    return logits


def calibrate(folded: dict[str, Floats], x: torch.Tensor) -> dict[str, Quant]:
    """Scale and zero point of every activation from real inputs (N, 1, 28, 28)."""
    quants: dict[str, Quant] = {}

    def observe(name: str, value: torch.Tensor) -> None:
        scale, zero_point = choose_activation(*observed_range(value.numpy()))
        quants[name] = Quant(scale, zero_point)

    with torch.no_grad():
        run_folded({name: torch.from_numpy(a) for name, a in folded.items()}, x, observe)
    return quants


def _scale(quant: Quant) -> float:
    if quant.scale is None:
        raise ValueError("an activation needs a per-tensor scale")
    return quant.scale


def int8_graph(folded: dict[str, Floats], quants: dict[str, Quant], name: str) -> Graph:
    """NHWC activations, O·KH·KW·I weights, input code = pixel - 128."""
    builder = Builder(name)
    x = builder.input((1, 28, 28, 1), _scale(INPUT), INPUT.zero_point)
    scales = {x: _scale(INPUT)} | {tensor: _scale(quant) for tensor, quant in quants.items()}

    def conv(layer: Layer, source: str) -> str:
        weight, s_w = quantize_weight(folded[f"{layer.name}.weight"])
        bias = quantize_bias(folded[f"{layer.name}.bias"], scales[source], s_w)
        pad = layer.kernel // 2
        return builder.conv2d(
            layer.name, source, weight.transpose(0, 2, 3, 1), s_w, bias, quants[layer.name],
            stride=(layer.stride, layer.stride), padding=(pad, pad, pad, pad), groups=layer.groups,
        )  # fmt: skip

    for layer in network_layers():
        x = conv(layer, x)
        x = builder.add(layer.result, x, layer.add, quants[layer.result]) if layer.add else x
    # The pool keeps the scale of its input; the classifier reads that, not its own calibration.
    pooled, scales[POOLED] = builder.average_pool(POOLED, x), scales[x]
    classes = len(folded[f"{CLASSIFIER}.bias"])
    folded = folded | {f"{CLASSIFIER}.weight": folded[f"{CLASSIFIER}.weight"][:, :, None, None]}
    return builder.finish(conv(Layer(CLASSIFIER, FEATURES, classes, relu=False), pooled))
