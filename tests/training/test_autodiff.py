"""The proof: forward codes equal PyTorch's, gradients equal autograd's, on random graphs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from microtune.importers import load_any
from microtune.ir import convolution
from microtune.ir.evaluate import evaluate
from microtune.ir.graph import Graph
from microtune.ir.ops import convolution as convolution_op
from microtune.training.apply_scheme import apply_scheme
from microtune.training.autodiff import Tape, differentiate
from microtune.training.head import replace_head
from microtune.training.scheme import resolve_scheme, scheme_names
from tests.training.graphs import TAGS, random_graph, train_everything

pytestmark = pytest.mark.oracle
GRAPHS = 240
TOLERANCE = 1e-4


def compare(graph: Graph, frame: np.ndarray, label: int) -> None:  # type: ignore[type-arg]
    """Codes with ==, gradients to 1e-4 relative, zero where the reference is zero."""
    from tests.training.torch_oracle import TorchGraph

    training, gradients = differentiate(graph)
    forward = {node.outputs[0] for node in graph.nodes}
    values = evaluate(
        training, {"input": frame, "label": np.array([label])}, real=np.float64, keep=forward
    )
    oracle = TorchGraph(graph, set(gradients))
    oracle.loss(frame, label).backward()  # type: ignore[no-untyped-call]
    for name in forward:
        if graph.tensors[name].dtype == "i8":
            assert (values[name] == oracle.codes[name]).all(), name
    for name, gradient in gradients.items():
        leaf = oracle.leaves[name].grad
        reference = np.zeros(graph.tensors[name].shape) if leaf is None else leaf.numpy()
        size = np.linalg.norm(reference)
        error = np.linalg.norm(values[gradient] - reference)
        if size == 0:
            assert not values[gradient].any(), name
        else:
            assert error / size < TOLERANCE, (name, error / size)


def one_graph(seed: int) -> set[str]:
    """A random graph, with a head of its own or on its int8 logits."""
    case = random_graph(seed, "mcunet")
    graph = case.with_head("float32") if seed % 3 else case.graph
    compare(train_everything(graph), case.frame, case.label)
    return case.tags


def test_random_graphs_equal_autograd() -> None:
    """At least 200 random graphs, and everything that is hard occurred in them."""
    seen: Counter[str] = Counter()
    for seed in range(GRAPHS):
        seen.update(one_graph(seed))
    assert all(seen[tag] >= 5 for tag in TAGS), seen


@pytest.mark.data
@pytest.mark.parametrize("model", ["mcunet-5fps", "mbv2-w0.35", "proxyless-w0.3"])
def test_reference_models_equal_autograd(data_folder: Path, model: str) -> None:
    """Full update and every published scheme, in mode mcunet."""
    source = load_any(data_folder / "models/mit_tiny-training" / f"{model}.pkl").graph
    shape = source.tensors["input"].shape
    frame = np.random.default_rng(1).integers(-128, 128, shape).astype(np.int8)
    graph = replace_head(source, 10, "float32")
    weights = np.random.default_rng(0).normal(0, 0.5, graph.data["head.weight"].shape)
    graph.data["head.weight"] = weights.astype(np.float32)
    published = [name for name in scheme_names(model) if name.endswith("KB")]
    for name in ["full", *published]:
        scheme = resolve_scheme(name, source, model)
        compare(apply_scheme(graph, scheme), frame, 3)


def test_an_assigned_skip_gradient_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trap 1: where two paths meet the last one wins instead of the sum."""

    def assign(self: Tape, name: str, gradient: str) -> None:
        self.contributions[name] = [gradient]

    monkeypatch.setattr(Tape, "contribute", assign)
    with pytest.raises(AssertionError):
        for seed in range(12):
            one_graph(seed)


def test_raw_inputs_in_the_weight_gradient_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trap 2: dW computed with q_x instead of q_x - z_x."""
    original = convolution_op._weight_gradient

    def raw(tape: Tape, node: object, g: str, scales: str, attrs: dict[str, object]) -> None:
        original(tape, node, g, scales, attrs)  # type: ignore[arg-type]
        last = tape.graph.nodes[-1]
        last.attrs["x_zero"] = 0

    monkeypatch.setattr(convolution_op, "_weight_gradient", raw)
    with pytest.raises(AssertionError):
        for seed in range(12):
            one_graph(seed)


def test_only_what_a_parameter_needs_is_created() -> None:
    """Head-only training has no backward node before the head."""
    training, gradients = differentiate(random_graph(1, "mcunet").with_head("float32"))
    backward = [node.op for node in training.nodes if node.op.endswith("_grad")]
    assert sorted(backward) == ["head_bias_grad", "head_weight_grad"]
    assert set(gradients) == {"head.weight", "head.bias"}


def test_convolution_gradients_are_adjoint() -> None:
    """<conv(x, w), g> = <x, dx> = <w, dw>: independent of PyTorch."""
    rng = np.random.default_rng(0)
    geometry = convolution.Geometry((2, 1), (1, 0, 2, 1), 2)
    x, w = rng.normal(size=(7, 6, 4)), rng.normal(size=(6, 3, 3, 2))
    y = convolution.convolve(x, w, geometry)
    g = rng.normal(size=y.shape)
    expected = (y * g).sum()
    assert np.isclose((convolution.input_gradient(g, w, (7, 6), geometry) * x).sum(), expected)
    assert np.isclose((convolution.weight_gradient(x, g, (3, 3), geometry) * w).sum(), expected)
