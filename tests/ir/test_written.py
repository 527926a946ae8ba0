"""Any graph that verifies survives save -> load -> save byte for byte; the rest is refused."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microtune.ir.graph import Graph, Node, Quant, Tensor
from microtune.ir.modelfile import ModelFile, load_model, save_model
from microtune.ir.text import format_graph
from microtune.ir.verifier import InvalidGraphError, verify
from microtune.passes.lower_gradients import lower_gradients
from microtune.training.autodiff import differentiate
from microtune.training.optimisers import SGD
from tests.training.graphs import random_graph, train_everything

numbers = st.one_of(
    st.floats(), st.integers(-300, 300), st.sampled_from([-0.0, 1e-308, 5e-324, 1e308, True, None])
)
scalars = st.one_of(
    numbers, st.floats(width=32).map(np.float32), st.floats().map(np.float64),
    st.integers(-128, 127).map(np.int8), st.integers(-(2**40), 2**40).map(np.int64),
    st.booleans().map(np.bool_), st.text(max_size=5), st.text(max_size=5).map(np.str_),
)  # fmt: skip
names = st.one_of(
    st.text(min_size=1, max_size=8), st.from_regex(r"\A[A-Za-z0-9_.\-/]{1,12}\Z"),
    st.sampled_from(["a.npy", "a", "/", "..", "0", "a b", "a\n", "ä", "x" * 70_000, "\ud800"]),
)  # fmt: skip


def round_trip(graph: Graph) -> Graph:
    """The graph after saving and loading; saving it again gives the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder, "a.mt"), Path(folder, "b.mt")
        save_model(ModelFile(graph, {}, ""), first)
        loaded = load_model(first)
        save_model(loaded, second)
        assert first.read_bytes() == second.read_bytes()
    return loaded.graph


def check(graph: Graph) -> None:
    """Either the verifier refuses the graph, or nothing of it is lost."""
    try:
        verify(graph)
    except InvalidGraphError:
        return
    loaded = round_trip(graph)
    assert format_graph(loaded) == format_graph(graph)
    assert (loaded.name, loaded.attrs, loaded.nodes) == (graph.name, graph.attrs, graph.nodes)
    assert loaded.tensors == graph.tensors
    assert loaded.data.keys() == graph.data.keys()
    for name, array in graph.data.items():
        assert loaded.data[name].tobytes() == array.tobytes()


def rename(graph: Graph, old: str, new: str) -> None:
    """Another name for a tensor, wherever it is named."""

    def of(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(new if name == old else name for name in names)

    graph.tensors = {
        new if name == old else name: replace(tensor, name=new) if name == old else tensor
        for name, tensor in graph.tensors.items()
    }
    graph.data = {new if name == old else name: array for name, array in graph.data.items()}
    graph.nodes = [replace(n, inputs=of(n.inputs), outputs=of(n.outputs)) for n in graph.nodes]
    graph.outputs = list(of(tuple(graph.outputs)))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 500), zero=scalars, scale=scalars)
def test_quantisation_of_any_number(seed: int, zero: Any, scale: Any) -> None:
    graph = random_graph(seed, "device").graph
    graph.tensors["input"] = replace(graph.tensors["input"], quant=Quant(scale, zero))
    check(graph)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 500), value=st.one_of(scalars, st.lists(scalars, max_size=3)))
def test_attributes_of_any_value(seed: int, value: Any) -> None:
    graph = random_graph(seed, "device").graph
    graph.attrs["note"] = value
    check(graph)
    graph = random_graph(seed, "device").graph
    graph.nodes[0] = replace(graph.nodes[0], attrs=graph.nodes[0].attrs | {"clamp": value})
    check(graph)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 500), data=st.data(), new=names, title=st.text(max_size=9))
def test_tensors_of_any_name(seed: int, data: st.DataObject, new: str, title: str) -> None:
    graph = random_graph(seed, "device").graph
    old = data.draw(st.sampled_from(sorted(graph.tensors.keys() - {"input"})))
    if new not in graph.tensors:
        rename(graph, old, new)
    graph.name = title
    check(graph)


@pytest.mark.parametrize("seed", range(4))
def test_training_graphs_survive(seed: int) -> None:
    case = random_graph(seed, "device")
    check(
        lower_gradients(*differentiate(train_everything(case.with_head("int16"))), optimizer=SGD())
    )


def test_numpy_numbers_become_pythons() -> None:
    """An importer may hand over what it computed."""
    quant = Quant(np.float64(0.11), np.int8(-3))  # type: ignore[arg-type]
    assert (type(quant.scale), type(quant.zero_point)) == (float, int)
    node = Node("add", ("a", "b"), ("y",), {"clamp": np.array([-5, 5])})  # type: ignore[dict-item]
    assert node.attrs == {"clamp": [-5, 5]}
    shape: Any = (np.int64(2), 3)
    assert Tensor("x", shape, "i8").shape == (2, 3)


def test_two_names_that_differ_by_an_ending_keep_their_data() -> None:
    """np.load gives the array of tensor "w" for "w.npy" too."""
    graph = random_graph(3, "device").graph
    weight, bias = graph.nodes[0].inputs[1:3]
    rename(graph, weight, "w")
    rename(graph, bias, "w.npy")
    check(verify(graph))


def test_every_layout_of_an_array_is_saved_alike() -> None:
    graph = random_graph(3, "device").graph
    name = graph.nodes[0].inputs[1]
    graph.data[name] = np.asfortranarray(graph.data[name])
    check(verify(graph))
