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


def write(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(("text", "message"), [
    ('model = "mcunet-5fps"', "is for model mcunet-5fps, not for fashion5"),
    ("colour = 1", "unknown keys .*colour"),
    ("bias_layers = 999", "has 20 layers"),
    ("bias_layers = -1", "has 20 layers"),
    ("bias_layers = true", "has 20 layers"),
    ("head = 1", "true or false"),
    ("weights = 3", "table"),
    ('[weights]\n99 = "1"', "no layer '99'; layers are 0 to 19"),
    ('[weights]\n"²" = "1"', "no layer"),
    ('[weights]\nclassifier = "1"', "no layer 'classifier'"),
    ('[weights]\n0 = "1"\nstem = "1/2"', "stem is given twice"),
    ("[weights]\n0 = 0", "not in"),
    ("[weights]\n0 = 1.5", "not in"),
    ("[weights]\n0 = nan", "not in"),
    ("[weights]\n0 = true", "not in"),
    ('[weights]\n0 = "1/0"', "not in"),
    ("[weights", "not a readable TOML"),
])  # fmt: skip
def test_a_wrong_file_is_refused_with_the_reason(
    graph: Graph, tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(MicrotuneError, match=message):
        resolve_scheme(write(tmp_path, text), graph, graph.name)


def test_layers_by_index_and_name_ratios_as_text_and_numbers(graph: Graph, tmp_path: Path) -> None:
    text = '[weights]\n1 = "1/4"\nblock2_depthwise = 0.5\n0 = 0.001\nlast = 1\n'
    scheme = resolve_scheme(write(tmp_path, text), graph, graph.name)
    counts = {"block1_expand": 4, "block2_depthwise": 32, "stem": 1, "last": 40}
    assert dict(scheme.weights) == counts and scheme.head and not scheme.biases


def test_wrong_names_say_what_exists(graph: Graph) -> None:
    with pytest.raises(MicrotuneError, match=r"99KB is for mbv2-w0\.35, mcunet-5fps, not"):
        resolve_scheme("99KB", graph, graph.name)
    for name in ("nothing", "full-3", "last-", "mcunet-5fps"):
        with pytest.raises(MicrotuneError, match=r"unknown scheme .* head-only"):
            resolve_scheme(name, graph, graph.name)


def test_equal_norms_go_to_the_lower_index_and_order_is_kept(graph: Graph) -> None:
    copy, layer = graph.copy(), backbone_layers(graph)[7]
    weight = np.zeros_like(graph.data[f"{layer}.weight"])
    weight[0, 0, 0, [1, 4, 7, 9]] = 5
    weight[0, 0, 0, 20] = -6
    copy.data[f"{layer}.weight"] = weight
    order = trained_channels(copy, layer, 3)
    rest = [c for c in range(weight.shape[-1]) if c not in (1, 4, 20)]
    assert order.tolist() == [1, 4, 20, *rest] and order.dtype == np.uint16
