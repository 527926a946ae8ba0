"""A float network -> an int8 network, with every choice made by its error on held-out samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from microtune.errors import MicrotuneError
from microtune.floats import FloatGraph, FloatNode, Floats, run_floats, run_node
from microtune.importers.dead_channels import neutralize_dead_channels
from microtune.ir.evaluate import evaluate
from microtune.ir.graph import Graph, Quant
from microtune.ir.verifier import verify
from microtune.quantization.emit import emit
from microtune.quantization.equalise import equalised, pairs
from microtune.quantization.folding import fold
from microtune.quantization.quality import LayerQuality, Quantized
from microtune.quantization.ranges import Observed, RangeMethod
from microtune.quantization.scales import owners
from microtune.quantization.simulate import Simulation, sqnr

Update = Callable[[int, int, str], None]
_BATCH = 32
_HELD_BYTES = 256 * 2**20  # of the held-out samples' activations
_HELD_MOST, _HELD_LEAST = 32, 2
_SEARCH_MACS = 150e9  # what the choice of ranges may cost, in float multiply-accumulates
_TRIED = 16  # held-out samples that the exact int8 network runs
_FULL = 50.0  # dB: what eight bits give at best
_GAIN = 0.999  # another range must lower the error at least to this part


def quantize_network(
    graph: FloatGraph, samples: Floats, update: Update, given: Quant | None = None
) -> Quantized:
    """Quantise a float network by calibration samples, (N, …) in the layout of its input.

    `given` is the input's quantisation where its codes are fixed (pictures). Raises MicrotuneError
    for a network that makes infinite values.
    """
    folded = fold(graph)
    train, held = _parted(folded, samples)
    update(0, 4, "calibrating")
    plain = _calibrated(folded, train, given)
    candidates = [plain]
    if pairs(folded):
        update(1, 4, "equalising channels")
        even = equalised(folded, plain.largest)
        candidates.append(_calibrated(even, train, given))
    scored = []
    for one in candidates:
        quants = {name: found["mse"] for name, found in one.candidates.items()}
        exact = run_floats(one.graph, held)
        simulated = Simulation.of(one.graph, one.owner).run(held, quants, ())
        scored.append(sqnr(exact, simulated[one.graph.output]))
    best = int(np.argmax(scored))
    chosen = candidates[best]
    update(2, 4, "choosing ranges")
    quants, methods = _choose(chosen, held, update)
    update(3, 4, "correcting biases")
    corrected = _bias_corrected(chosen, train, held, quants)
    update(4, 4, "")
    return _finished(chosen, corrected, quants, methods, held, len(train), best)


@dataclass(frozen=True)
class _Calibrated:
    graph: FloatGraph
    owner: Mapping[str, str]
    candidates: dict[str, dict[RangeMethod, Quant]]
    largest: dict[str, Floats]


def _parted(graph: FloatGraph, samples: Floats) -> tuple[Floats, Floats]:
    """(to calibrate, held out): every third one is held out, as many as memory and time allow."""
    if len(samples) == 1:
        return samples, samples
    elements = sum(int(np.prod(shape)) for shape in graph.shapes.values())
    tensors = len(set(owners(graph).values()))
    most = min(
        _HELD_MOST, _HELD_BYTES // (4 * elements),
        int(_SEARCH_MACS // (tensors * max(graph.macs(), 1))),
    )  # fmt: skip
    third = np.arange(len(samples)) % 3 == 2
    if len(samples) == 2:
        third = np.array([False, True])
    return samples[~third], samples[third][: max(most, _HELD_LEAST)]


def _calibrated(graph: FloatGraph, samples: Floats, given: Quant | None) -> _Calibrated:
    owner = owners(graph)
    seen = {name: Observed() for name in dict.fromkeys(owner.values())}
    largest: dict[str, Floats] = {}
    batches = -(-len(samples) // _BATCH)

    def observe(node: FloatNode, values: Floats) -> None:
        axes = tuple(range(values.ndim - 1))
        reach = np.abs(values).max(axis=axes)
        largest[node.name] = np.maximum(reach, largest.get(node.name, reach))
        if owner[node.name] in seen:
            _see(seen[owner[node.name]], values, node, batches)

    for start in range(0, len(samples), _BATCH):
        batch = samples[start : start + _BATCH]
        seen[graph.input].see(batch, batches)
        run_floats(graph, batch, observe)
    found = {name: observed.candidates() for name, observed in seen.items()}
    if given is not None:
        found[graph.input] = {"min-max": given, "percentile": given, "mse": given}
    return _Calibrated(graph, owner, found, largest)


def _see(observed: Observed, values: Floats, node: FloatNode, batches: int) -> None:
    try:
        observed.see(values, batches)
    except FloatingPointError:
        where = node.where or node.name
        raise MicrotuneError(
            f"{where}: its results on the calibration samples are NaN or infinite; check the "
            "weights, and that the samples have the range that the network was trained on"
        ) from None


def _choose(
    found: _Calibrated, held: Floats, update: Update
) -> tuple[dict[str, Quant], dict[str, RangeMethod]]:
    """The quantisation of each owner: tensor by tensor, the method whose output error is least."""
    graph, simulation = found.graph, Simulation.of(found.graph, found.owner)
    exact = run_floats(graph, held)
    quants = {name: candidates["mse"] for name, candidates in found.candidates.items()}
    methods: dict[str, RangeMethod] = dict.fromkeys(quants, "mse")
    values = simulation.run(held, quants)
    error = _error(exact, values[graph.output])
    place = {node.name: i for i, node in enumerate(graph.nodes)}
    firsts: dict[str, int] = {}
    for tensor, owner in found.owner.items():
        firsts[owner] = min(firsts.get(owner, len(place)), place.get(tensor, 0))
    for number, owner in enumerate(sorted(firsts, key=firsts.__getitem__)):
        update(2, 4, f"choosing ranges, {number + 1} of {len(firsts)}")
        for method, quant in found.candidates[owner].items():
            if quant == quants[owner]:
                continue
            trial = quants | {owner: quant}
            other = _again(simulation, values, trial, firsts[owner], held)
            found_error = _error(exact, other[graph.output])
            if found_error < error * _GAIN:
                error, quants, values, methods[owner] = found_error, trial, other, method
    return quants, methods


def _again(
    simulation: Simulation, values: dict[str, Floats], quants: dict[str, Quant], first: int,
    held: Floats,
) -> dict[str, Floats]:  # fmt: skip
    if simulation.owner[simulation.graph.input] not in values or first == 0:
        return simulation.run(held, quants)
    before = {simulation.graph.input: values[simulation.graph.input]}
    before |= {n.name: values[n.name] for n in simulation.graph.nodes[:first]}
    return simulation.again(before, quants, first)


def _error(exact: Floats, other: Floats) -> float:
    return float(np.square(exact - other, dtype=np.float64).mean())


def _bias_corrected(
    found: _Calibrated, samples: Floats, held: Floats, quants: Mapping[str, Quant]
) -> FloatGraph:
    """The graph with biases that make up for the mean error of each channel, where that helps."""
    graph = found.graph
    used = samples[:: max(len(samples) // _BATCH, 1)][:_BATCH]
    exact: dict[str, Floats] = {graph.input: used}
    unclamped = {
        n.name: replace(n, attrs={k: v for k, v in n.attrs.items() if k != "clamp"})
        for n in graph.nodes
    }
    nodes: list[FloatNode] = []
    simulation = Simulation.of(graph, found.owner)
    rounded = simulation.run(used, quants, (graph.input,))
    values = {graph.input: rounded[graph.input]}
    last = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
    for i, node in enumerate(graph.nodes):
        operands = [exact[x] for x in node.inputs]
        if "weight" in node.arrays:
            layer = simulation.layers[node.name]
            plain = replace(layer, attrs=unclamped[node.name].attrs)
            wrong = run_node(plain, [values[x] for x in node.inputs])
            right = run_node(unclamped[node.name], operands)
            axes = tuple(range(right.ndim - 1))
            shift = (right - wrong).mean(axis=axes, dtype=np.float64).astype(np.float32)
            bias = node.arrays["bias"] + shift
            node = replace(node, arrays=node.arrays | {"bias": bias})
            simulation.layers[node.name] = replace(layer, arrays=layer.arrays | {"bias": bias})
        exact[node.name] = run_node(graph.nodes[i], operands)
        values[node.name] = simulation.step(node, values, quants)
        nodes.append(node)
        for name in node.inputs:
            if last[name] == i:
                exact.pop(name, None)
                values.pop(name, None)
    corrected = graph.with_nodes(nodes)
    reference = run_floats(graph, held)
    errors = [
        _error(reference, Simulation.of(g, found.owner).run(held, quants, ())[graph.output])
        for g in (graph, corrected)
    ]
    return corrected if errors[1] < errors[0] else graph


def _finished(
    found: _Calibrated, corrected: FloatGraph, quants: dict[str, Quant],
    methods: Mapping[str, RangeMethod], held: Floats, samples: int, best: int,
) -> Quantized:  # fmt: skip
    exact: dict[str, Floats] = {}
    output = run_floats(found.graph, held, lambda node, values: exact.update({node.name: values}))
    values = Simulation.of(corrected, found.owner).run(held, quants)
    ratio = {name: sqnr(exact[name], values[name]) for name in exact}
    start = held.astype(np.float32)
    ratio[found.graph.input] = sqnr(start, values[found.graph.input])
    layers = tuple(
        LayerQuality(
            node.name, node.op, node.where, methods[node.name], ratio[node.name],
            min(_FULL, *(ratio[x] for x in node.inputs)) - ratio[node.name],
        )
        for node in found.graph.nodes if found.owner[node.name] == node.name
    )  # fmt: skip
    graph = emit(corrected, quants, found.owner)
    neutralize_dead_channels(graph)
    verify(graph)
    tried = held[:_TRIED]
    exact_output = output[: len(tried)].reshape(len(tried), -1)
    made = run_int8(graph, tried).reshape(len(tried), -1)
    same = exact_output.argmax(axis=1) == made.argmax(axis=1)
    return Quantized(
        graph, found.graph, layers, len(pairs(found.graph)) if best else 0, samples, len(tried),
        sqnr(exact_output, made), float(same.mean()),
    )  # fmt: skip


def run_int8(graph: Graph, samples: Floats) -> Floats:
    """The real outputs of an int8 graph, by the exact meaning of each op, for samples (N, …)."""
    given, result = graph.input_tensor, graph.output_tensor
    quant, scale = graph.quant(given.name), graph.scale(given.name)
    codes = np.floor(samples / scale + 0.5) + quant.zero_point
    codes = np.clip(codes, -128, 127).astype(np.int8)
    made = [
        evaluate(graph, {given.name: sample[None]})[result.name][0] for sample in codes
    ]  # fmt: skip
    zero, unit = graph.quant(result.name).zero_point, graph.scale(result.name)
    return ((np.stack(made).astype(np.float32) - zero) * np.float32(unit)).astype(np.float32)
