"""No int32 accumulator of a graph that verifies can overflow, whatever made the graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from microtune.errors import MicrotuneError
from microtune.ir.builder import Builder
from microtune.ir.graph import Graph, Quant
from microtune.ir.verifier import verify
from microtune.training.apply_scheme import apply_scheme
from microtune.training.build import Formats, build_training_graph
from microtune.training.head import replace_head
from microtune.training.scheme import resolve_scheme

INPUTS = 4
EDGE = 2**31


def network(bias: int = 0, weight: int = 127, zero: int = -128, scale: float = 0.01,
            size: int = 2) -> Graph:  # fmt: skip
    """A 1x1 convolution of four channels with this weight everywhere, then the classifier."""
    builder = Builder("edge")
    x = builder.input((1, size, size, INPUTS), 0.05, zero)
    for name in ("first", "second"):
        weights = np.full((2, 1, 1, builder.graph.tensors[x].shape[-1]), weight, np.int8)
        biases = np.array([0, bias], np.int32)
        x = builder.conv2d(name, x, weights, [scale, scale], biases, Quant(0.05, zero))
        weight, bias = 1, 0
    x = builder.reshape("flat", builder.average_pool("pool", x), (1, 2))
    w, s = np.ones((3, 2), np.int8), np.ones(3)
    return builder.finish(
        builder.fully_connected("classifier", x, w, s, np.zeros(3, np.int32), Quant(0.1))
    )


@pytest.mark.parametrize("zero", [-128, -1, 0, 127])
@pytest.mark.parametrize("weight", [3, 127, -128])
def test_a_frozen_layer_may_use_all_of_int32_and_no_more(zero: int, weight: int) -> None:
    """The bound is that of its own weights: the worst input takes the accumulator to the edge."""
    reach = max(127 - zero, zero + 128) * abs(weight) * INPUTS
    verify(network(EDGE - 1 - reach, weight, zero))
    with pytest.raises(MicrotuneError, match="accumulator of channel 1 can overflow int32"):
        verify(network(EDGE - reach, weight, zero))


def test_a_trained_weight_counts_as_what_it_can_become() -> None:
    graph = network(EDGE - 1 - 255 * INPUTS, weight=1)
    verify(graph)
    scheme = resolve_scheme("full", graph, "edge")
    with pytest.raises(MicrotuneError, match="can overflow int32"):
        apply_scheme(replace_head(graph, 2), replace(scheme, biases=()))


def test_a_trained_bias_counts_as_what_it_can_become() -> None:
    """±2^30 as int32; as an int16 delta the largest step, which small multipliers make large."""
    graph = network(scale=1e-8)
    scheme = resolve_scheme("bias-only", graph, "edge")
    build_training_graph(graph, 2, scheme, Formats("int32"), calibrate=False)
    with pytest.raises(MicrotuneError, match="--bias int32"):
        build_training_graph(graph, 2, scheme, Formats("int16"), calibrate=False)
    with pytest.raises(MicrotuneError, match=r"starts outside ±2\^30"):
        apply_scheme(replace_head(network(2**30 + 1), 2), scheme)


def test_gradients_pass_only_through_weights_within_127() -> None:
    graph = network()
    graph.data["second.weight"] = np.full_like(graph.data["second.weight"], -128)
    verify(graph)
    scheme = resolve_scheme("bias-only", graph, "edge")
    with pytest.raises(MicrotuneError, match="is below -127"):
        build_training_graph(graph, 2, scheme, Formats(), calibrate=False)


def test_a_weight_gradient_sums_over_a_bounded_image() -> None:
    """127·255·pixels must stay below 2^31: 257x257 pixels do, 258x258 do not."""
    for size, fits in ((257, True), (258, False)):
        graph = network(size=size)
        scheme = resolve_scheme("full", graph, "edge")
        if fits:
            build_training_graph(graph, 2, scheme, Formats(), calibrate=False)
            continue
        with pytest.raises(MicrotuneError, match="66,564 positions can overflow"):
            build_training_graph(graph, 2, scheme, Formats(), calibrate=False)


def test_a_parameter_of_two_layers_is_not_trained_by_halves() -> None:
    graph = network(weight=1)
    second = next(i for i, n in enumerate(graph.nodes) if n.outputs[0] == "second")
    bias = graph.nodes[0].inputs[2]
    x, w, _ = graph.nodes[second].inputs
    graph.nodes[second] = replace(graph.nodes[second], inputs=(x, w, bias))
    del graph.tensors["second.bias"], graph.data["second.bias"]
    scheme = resolve_scheme("bias-only", graph, "edge")
    with pytest.raises(MicrotuneError, match="belongs to several layers"):
        build_training_graph(graph, 2, scheme, Formats("int32"), calibrate=False)
