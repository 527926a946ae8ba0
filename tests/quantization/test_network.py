"""A float graph becomes an int8 one: each step keeps the function, and the choices pay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from microtune.errors import MicrotuneError
from microtune.floats import FloatGraph, FloatNode, Floats, run_floats
from microtune.ir.graph import Attr, Quant
from microtune.quantization.emit import emit
from microtune.quantization.equalise import equalised, pairs
from microtune.quantization.folding import fold
from microtune.quantization.network import quantize_network, run_int8
from microtune.quantization.scales import owners
from microtune.quantization.simulate import Simulation, rounded, sqnr

RELU6, RELU = [0.0, 6.0], [0.0, float("inf")]


class Net:
    """Builds a float graph with random weights."""

    def __init__(self, shape: Sequence[int] = (1, 12, 12, 3), seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.graph = FloatGraph("net", "input", {"input": tuple(shape)})
        self.last = "input"

    def add(self, op: str, inputs: Sequence[str] = (), arrays: dict[str, Floats] | None = None,
            **attrs: Attr) -> str:  # fmt: skip
        """Append a node on the last one. Returns its name."""
        name = self.graph.fresh(op)
        node = FloatNode(op, name, tuple(inputs) or (self.last,), attrs, arrays or {}, name)
        self.last = self.graph.add(node)
        return name

    def conv(self, outputs: int, kernel: int = 1, pad: int = 0, groups: int = 1) -> str:
        """Append a convolution."""
        inputs = self.graph.shapes[self.last][3]
        shape = (outputs, kernel, kernel, inputs // groups)
        size = np.sqrt(2 / (kernel * kernel * inputs / groups))
        arrays = {
            "weight": (self.rng.standard_normal(shape) * size).astype(np.float32),
            "bias": (self.rng.standard_normal(outputs) * 0.1).astype(np.float32),
        }
        return self.add("conv", (), arrays, stride=[1, 1], padding=[pad] * 4, dilation=[1, 1],
                        groups=groups)  # fmt: skip

    def affine(self) -> str:
        """Append a batch norm."""
        channels = self.graph.shapes[self.last][-1]
        scale, shift = self.rng.uniform(0.3, 2, (2, channels)).astype(np.float32)
        return self.add("affine", (), {"scale": scale, "shift": shift})

    def clamp(self, bounds: Sequence[float]) -> str:
        """Append a ReLU."""
        return self.add("clamp", lo=bounds[0], hi=bounds[1])

    def done(self) -> FloatGraph:
        """The graph, pooled to one number for each channel."""
        _, height, width, _ = self.graph.shapes[self.last]
        self.add("average_pool", kernel=[height, width], stride=[height, width])
        self.graph.output = self.last
        return self.graph

    def samples(self, count: int = 24) -> Floats:
        """Random samples from 0 to 1."""
        shape = (count, *self.graph.shapes["input"][1:])
        return self.rng.random(shape, dtype=np.float32)


def separable(bounds: Sequence[float]) -> Net:
    """Expand, depthwise, project."""
    net = Net()
    for outputs, kernel, pad, groups in ((16, 1, 0, 1), (16, 3, 1, 16), (8, 1, 0, 1)):
        net.conv(outputs, kernel, pad, groups)
        net.clamp(bounds)
    net.done()
    return net


def badly_scaled(graph: FloatGraph, names: tuple[str, str], factor: Floats) -> FloatGraph:
    """The same function, with channels between two layers scaled; there is a ReLU between them."""
    nodes = {node.name: node for node in graph.nodes}
    first, second = (nodes[name].arrays for name in names)
    scaled = {
        names[0]: {
            "weight": first["weight"] * factor.reshape(-1, 1, 1, 1), "bias": first["bias"] * factor,
        },
        names[1]: second | {"weight": second["weight"] / factor.reshape(-1, 1, 1, 1)},
    }  # fmt: skip
    return graph.with_nodes(
        replace(node, arrays=scaled.get(node.name, node.arrays)) for node in graph.nodes
    )


def no_update(done: int, total: int, note: str) -> None:
    """Progress is tested on its own."""


def test_folding_changes_no_result() -> None:
    net = Net()
    net.affine()  # before a padded layer: it stays, as a depthwise layer
    net.conv(8, 3, 1)
    net.affine()
    net.clamp(RELU6)
    net.affine()  # into the layer behind it
    net.conv(8, 1)
    net.clamp(RELU)
    shape: list[int] = [1, 14, 15, 8]
    net.add("pad", shape=shape, begin=[0, 1, 2, 0], stride=[1] * 4, value=0.0)
    net.conv(6, 3, 1, 2)
    graph = net.done()
    folded, samples = fold(graph), net.samples()
    assert [node.op for node in folded.nodes] == ["conv"] * 4 + ["average_pool"]
    assert folded.nodes[3].ints("padding") == [2, 3, 2, 2]
    wanted, made = run_floats(graph, samples), run_floats(folded, samples)
    assert np.abs(wanted - made).max() < 1e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("bounds", [RELU, RELU6])
def test_equalisation_keeps_the_function_and_evens_channels(bounds: list[float]) -> None:
    net = separable(bounds)
    graph, samples = fold(net.graph), net.samples()
    reach: dict[str, Floats] = {}
    run_floats(graph, samples, lambda node, v: reach.update({node.name: np.abs(v).max((0, 1, 2))}))
    made = equalised(graph, reach)
    assert len(pairs(graph)) == 2
    wanted, output = run_floats(graph, samples), run_floats(made, samples)
    assert np.abs(wanted - output).max() < 1e-5 * np.abs(wanted).max()
    after: dict[str, Floats] = {}
    run_floats(made, samples, lambda node, v: after.update({node.name: np.abs(v).max((0, 1, 2))}))
    first = graph.nodes[0].name
    live = reach[first] > reach[first].max() / 60  # channels are scaled by at most 64
    spread = [float(r[first][live].max() / r[first][live].min()) for r in (reach, after)]
    assert spread[1] < 1.1 < 2 < spread[0]


def test_a_badly_scaled_network_loses_little() -> None:
    net = separable(RELU)
    graph, samples = fold(net.graph), net.samples(36)
    factor = (30.0 ** np.linspace(-1, 1, 16)).astype(np.float32)
    scaled = badly_scaled(graph, (graph.nodes[0].name, graph.nodes[1].name), factor)
    plain = quantize_network(graph, samples, no_update)
    made = quantize_network(scaled, samples, no_update)
    assert made.equalised == 2
    assert made.sqnr > plain.sqnr - 3 and made.sqnr > 35


def test_biases_make_up_for_weights_that_are_rounded_to_one_side() -> None:
    net = Net((1, 6, 6, 64))
    net.conv(4)
    weight = net.graph.nodes[0].arrays["weight"]
    weight[:] = 0.4 / 127  # of a channel's largest weight: rounded to 0
    weight[..., 0] = 1
    assert quantize_network(net.done(), net.samples(), no_update).sqnr > 30


def test_the_simulation_is_close_to_the_exact_int8_network() -> None:
    net = separable(RELU6)
    found = quantize_network(net.graph, net.samples(), no_update, Quant(1 / 255, -128))
    owner = owners(found.folded)
    quants = {name: Quant(0.02, -128) for name in set(owner.values())}
    quants["input"] = Quant(1 / 255, -128)
    samples = rounded(net.samples(4), quants["input"])
    simulated = Simulation.of(found.folded, owner).run(samples, quants)[found.folded.output]
    exact = run_int8(emit(found.folded, quants, owner), samples)
    assert np.abs(simulated - exact).max() <= 0.0201  # one code
    assert sqnr(exact, simulated) > 30


def test_operands_of_a_concat_share_its_scale_unless_others_read_them() -> None:
    net = Net()
    one = net.conv(4)
    net.last = "input"
    two = net.conv(4)
    both = net.add("concat", (one, two, "input"), axis=3)
    net.conv(4)
    net.done()
    owner = owners(net.graph)
    assert owner[one] == owner[two] == both and owner["input"] == "input"
    net.add("add", (one, two))
    assert owners(net.graph)[one] == one


def test_infinite_results_name_the_layer() -> None:
    net = separable(RELU)
    net.graph.nodes[2].arrays["weight"][:] = 3e38
    with pytest.raises(MicrotuneError, match=r"^conv\.2: its results on the calibration samples"):
        quantize_network(net.graph, net.samples() + 10, no_update)
