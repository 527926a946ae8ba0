"""The PyTorch side of the memory comparison: the same network, and figures that make sense."""

from __future__ import annotations

from pathlib import Path

import memory_torch
import numpy as np
import pytest

from microtune.importers import load_any
from microtune.ir.evaluate import evaluate


def test_without_torch_the_reason_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_torch, "find_spec", lambda name: None)
    result = memory_torch.torch_peak("mcunet-5fps")
    assert result["model"] == "mcunet-5fps" and "not installed" in result["skipped"]


@pytest.mark.oracle
@pytest.mark.data
@pytest.mark.parametrize("name", memory_torch.MODELS)
def test_the_float_network_is_the_same_network(data_folder: Path, name: str) -> None:
    import torch

    graph = load_any(data_folder / f"models/mit_tiny-training/{name}.pkl").graph
    codes = np.random.default_rng(0).integers(-128, 128, graph.tensors["input"].shape, np.int8)
    quant = graph.quant("input")
    real = (codes.astype(np.float32) - quant.zero_point) * np.float32(quant.scale or 0)
    pooled = graph.nodes[-1].inputs[0]
    kept = evaluate(graph, {"input": codes}, keep={pooled})[pooled]
    expected = kept.ravel().astype(np.float64) - graph.quant(pooled).zero_point
    with torch.no_grad():
        x = torch.from_numpy(real.transpose(0, 3, 1, 2).copy())
        features = memory_torch.build_network(graph).features(x).numpy().ravel()
    cosine = expected @ features / np.linalg.norm(expected) / np.linalg.norm(features)
    assert cosine > 0.99


@pytest.mark.oracle
@pytest.mark.data
def test_the_figures_make_sense(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROTUNE_DATA", str(data_folder))
    figures = memory_torch.torch_peak("mcunet-5fps")
    graph = load_any(data_folder / "models/mit_tiny-training/mcunet-5fps.pkl").graph
    activations = sum(4 * graph.tensors[node.outputs[0]].elements for node in graph.nodes)
    least = figures["parameter_bytes"] + activations
    assert least < figures["tensor_peak_bytes"] < 4 * least
    assert figures["tensor_peak_bytes"] < figures["rss_delta_bytes"]
    assert figures["rss_delta_bytes"] < figures["process_peak_bytes"]
