"""Update schemes: the published ones with their KB, general names, trained channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from microtune import embedded
from microtune.errors import MicrotuneError
from microtune.importers import load_any
from microtune.ir.graph import Graph
from microtune.training.apply_scheme import apply_scheme
from microtune.training.head import replace_head
from microtune.training.scheme import (
    analytic_kb,
    backbone_layers,
    channel_count,
    published_schemes,
    resolve_scheme,
    trained_channels,
)


@pytest.fixture(scope="module")
def graph() -> Graph:
    """The embedded model."""
    return load_any(embedded.MODEL).graph


@pytest.mark.data
@pytest.mark.parametrize(
    ("model", "count"), [("mcunet-5fps", 42), ("mbv2-w0.35", 51), ("proxyless-w0.3", 60)]
)
def test_the_published_kilobytes_are_reproduced(data_folder: Path, model: str, count: int) -> None:
    graph = load_any(data_folder / "models/mit_tiny-training" / f"{model}.pkl").graph
    assert len(backbone_layers(graph)) == count
    schemes = published_schemes(model)
    assert len(schemes) == 5
    for name, entry in schemes.items():
        scheme = resolve_scheme(name.lower(), graph, model)
        assert abs(analytic_kb(graph, scheme) - entry["analytic_kb"]) <= 0.051, name


def test_general_names(graph: Graph) -> None:
    layers = backbone_layers(graph)
    full = resolve_scheme("FULL", graph, graph.name)
    assert full.biases == tuple(layers) and set(full.weights) == set(layers)
    assert all(full.weights[name] == channel_count(graph, name) for name in layers)
    assert resolve_scheme("last-2", graph, graph.name).biases == tuple(layers[-2:])
    assert not resolve_scheme("bias-only-3", graph, graph.name).weights
    assert resolve_scheme("head-only", graph, graph.name).head
    assert not resolve_scheme("none", graph, graph.name).head
    with pytest.raises(MicrotuneError, match="layers, not 999"):
        resolve_scheme("last-999", graph, graph.name)


def test_channels_are_chosen_by_magnitude_in_the_compiled_graph_too(
    graph: Graph, tmp_path: Path
) -> None:
    """Trap 5: not `the first k`."""
    layer = backbone_layers(graph)[7]
    weight = graph.data[f"{layer}.weight"].astype(np.int64)
    half = channel_count(graph, layer) // 2
    order = trained_channels(graph, layer, half)
    norms = (weight**2).reshape(-1, weight.shape[-1]).sum(axis=0)
    assert norms[order[:half]].min() >= norms[order[half:]].max()
    assert sorted(order) == list(range(weight.shape[-1]))
    path = tmp_path / "s.toml"
    path.write_text(f'weights = {{ {layer} = "1/2" }}\n')
    scheme = resolve_scheme(str(path), graph, graph.name)
    compiled = apply_scheme(replace_head(graph, 5), scheme)
    assert (compiled.data[f"{layer}.weight.trained"] == weight[..., order[:half]]).all()
    assert (compiled.data[f"{layer}.weight.order"] == order).all()


def test_the_hash_is_of_what_is_trained(graph: Graph, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("bias_layers = 3\n")
    mine = resolve_scheme(str(path), graph, graph.name)
    assert mine.sha256() == resolve_scheme("bias-only-3", graph, graph.name).sha256()
    assert mine.sha256() != resolve_scheme("bias-only-2", graph, graph.name).sha256()
