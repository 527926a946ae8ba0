"""What is in a model: layers, shapes, MACs, parameters and quantisation, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from microtune.importers.dead_channels import ChannelReport, channel_reports
from microtune.ir.graph import Graph, Node
from microtune.ir.macs import graph_macs, node_macs
from microtune.ir.modelfile import ModelFile
from microtune.ir.ops import Trait, has
from microtune.ir.ops.layer import layer_of
from microtune.memory.lifetimes import step_buffers
from microtune.memory.planner import largest_live_set
from microtune.training.scheme import backbone_layers, scheme_names


@dataclass(frozen=True)
class LayerFigures:
    """One node: its kernel (weight O·KH·KW·I), bytes of weights and biases, quantisation of its
    output. `index` numbers the convolutions that schemes speak of; None: no such layer."""

    name: str
    op: str
    output: list[int]
    weight: list[int] | None
    stride: list[int] | None
    padding: list[int] | None
    groups: int | None
    macs: int
    weight_bytes: int
    scale: float | None
    zero_point: int | None
    weight_scale_min: float | None
    weight_scale_max: float | None
    index: int | None
    dead_channels: int
    tiny_channels: int


@dataclass(frozen=True)
class SchemePlan:
    """What training a scheme with new classes would take, before it is compiled.

    Bytes of SRAM with the frame in memory and with its rows from a callback, bytes of flash, and
    estimated instructions of a training step (of an inference, where nothing is trained) on the
    Cortex-M7. `targets` are those that come with microtune and hold it, with the frame by rows;
    `too_small` are the others.
    """

    scheme: str
    sram_bytes: int
    sram_rows_bytes: int
    flash_bytes: int
    step_instructions: int
    targets: list[str]
    too_small: list[str]


@dataclass(frozen=True)
class Inspection:
    """What is in a model. Shapes are NHWC, `macs` are those of one inference, and the peak of
    activations is without in-place and streaming schedules. `schemes` has the names that
    `compile` knows for this model. `plans` say what training `plan_classes` new classes would take
    (empty: not asked for)."""

    name: str
    source: str
    sha256: str
    requantize: str | None
    preprocessing: dict[str, Any]
    input: list[int]
    classes: list[str]
    layers: list[LayerFigures]
    macs: int
    weight_bytes: int
    peak_activation_bytes: int
    peak_at: str
    dead_channels: int
    tiny_channels: int
    schemes: list[str]
    licence: str
    plan_classes: int = 0
    plans: list[SchemePlan] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The fields of `inspect --json`."""
        return asdict(self)


def inspect_model(model: ModelFile) -> Inspection:
    """All figures that `inspect` shows, as values for JSON."""
    graph = model.graph
    channels = {report.layer: report for report in channel_reports(graph)}
    index = {name: number for number, name in enumerate(backbone_layers(graph))}
    layers = [_layer(graph, node, index, channels) for node in graph.nodes]
    peak, step = largest_live_set(step_buffers(graph, lambda node: 0))
    requantize = graph.attrs.get("requantize")
    return Inspection(
        name=graph.name, source=model.source, sha256=model.sha256(),
        requantize=None if requantize is None else str(requantize),
        preprocessing=model.preprocessing,
        input=list(graph.input_tensor.shape), classes=model.classes, layers=layers,
        macs=graph_macs(graph)[0], weight_bytes=sum(row.weight_bytes for row in layers),
        peak_activation_bytes=peak, peak_at=graph.nodes[step].outputs[0],
        dead_channels=sum(row.dead_channels for row in layers),
        tiny_channels=sum(row.tiny_channels for row in layers),
        schemes=scheme_names(graph.name),
        licence=next((line for line in model.licence.splitlines() if line.strip()), ""),
    )  # fmt: skip


def _layer(
    graph: Graph, node: Node, index: Mapping[str, int], channels: Mapping[str, ChannelReport]
) -> LayerFigures:
    y = graph.tensors[node.outputs[0]]
    consts = [graph.data[name] for name in node.inputs if name in graph.data]
    layer = layer_of(node) if has(node, Trait.LAYER) else None
    weight = graph.tensors[layer.weight].shape if layer else None
    scales = graph.channel_scales(layer.weight) if layer else np.zeros(0)
    report = channels.get(y.name)
    return LayerFigures(
        name=y.name, op=node.op, output=list(y.shape), weight=list(weight) if weight else None,
        stride=node.ints("stride") if "stride" in node.attrs else None,
        padding=node.ints("padding") if "padding" in node.attrs else None,
        groups=node.int("groups") if "groups" in node.attrs else None, macs=node_macs(graph, node),
        weight_bytes=sum(array.nbytes for array in consts),
        scale=y.quant.scale if y.quant else None,
        zero_point=y.quant.zero_point if y.quant else None,
        weight_scale_min=float(scales.min()) if scales.size else None,
        weight_scale_max=float(scales.max()) if scales.size else None,
        index=index.get(y.name), dead_channels=report.dead if report else 0,
        tiny_channels=report.tiny if report else 0,
    )  # fmt: skip
