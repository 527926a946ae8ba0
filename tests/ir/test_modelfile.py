"""Model files: round trip, the same bytes each time, and refusal of everything else."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from microtune.errors import MicrotuneError
from microtune.ir.modelfile import ModelFile, load_model, save_model
from microtune.ir.text import format_graph
from tests.training.graphs import random_graph


def saved(path: Path) -> ModelFile:
    model = ModelFile(random_graph(5).graph, {"height": 1}, "MIT", "here", ["a", "b"])
    save_model(model, path)
    return model


def rewrite(path: Path, member: str, content: bytes) -> None:
    """Replace one member of the zip."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members[member] = content
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in members.items():
            archive.writestr(name, value)


def test_round_trip_and_same_bytes(tmp_path: Path) -> None:
    one, two = tmp_path / "one.mt", tmp_path / "two.mt"
    model = saved(one)
    saved(two)
    assert one.read_bytes() == two.read_bytes()
    loaded = load_model(one)
    assert format_graph(loaded.graph) == format_graph(model.graph)
    assert loaded.sha256() == model.sha256()
    assert (loaded.licence, loaded.source, loaded.classes) == ("MIT", "here", ["a", "b"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.mt", "two.mt"]


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.mt"
    saved(path)
    whole = path.read_bytes()
    for length in range(0, len(whole), max(1, len(whole) // 40)):
        path.write_bytes(whole[:length])
        with pytest.raises(MicrotuneError):
            load_model(path)


def test_damage_is_refused_or_harmless(tmp_path: Path) -> None:
    """A flipped byte never escapes as another kind of error, and what loads is the same model."""
    path = tmp_path / "m.mt"
    model = saved(path)
    whole, refused = path.read_bytes(), 0
    for position in range(0, len(whole), max(1, len(whole) // 150)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        try:
            loaded = load_model(path)
        except MicrotuneError:
            refused += 1
            continue
        assert loaded.sha256() == model.sha256(), position
        assert (loaded.classes, loaded.preprocessing) == (model.classes, model.preprocessing)
    assert refused > 50


def test_foreign_and_future_files(tmp_path: Path) -> None:
    path = tmp_path / "m.mt"
    with pytest.raises(MicrotuneError, match="no such model"):
        load_model(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other.txt", "x")
    with pytest.raises(MicrotuneError, match="not a microtune model"):
        load_model(path)
    saved(path)
    rewrite(path, "manifest.json", json.dumps({"format_version": 99}).encode())
    with pytest.raises(MicrotuneError, match="version 99 is unknown"):
        load_model(path)


@pytest.mark.parametrize("manifest", [b"[]", b"{", b"{}", b'{"format_version": 1}', b"\xff"])
def test_broken_manifests(tmp_path: Path, manifest: bytes) -> None:
    path = tmp_path / "m.mt"
    saved(path)
    rewrite(path, "manifest.json", manifest)
    with pytest.raises(MicrotuneError):
        load_model(path)


def test_a_graph_that_breaks_a_rule_is_refused(tmp_path: Path) -> None:
    """What the text says and what the arrays are need not fit."""
    path = tmp_path / "m.mt"
    model = saved(path)
    buffer = io.BytesIO()
    name = next(name for name, array in model.graph.data.items() if array.dtype == np.int8)
    np.savez(buffer, **(model.graph.data | {name: model.graph.data[name][:-1]}))  # type: ignore[arg-type]
    rewrite(path, "tensors.npz", buffer.getvalue())
    with pytest.raises(MicrotuneError, match=f"m.mt: the graph is invalid: .*{name}"):
        load_model(path)


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.mt"
    saved(path)
    buffer = io.BytesIO()
    np.savez(buffer, weight=np.array([{"a": 1}], dtype=object))
    rewrite(path, "tensors.npz", buffer.getvalue())
    with pytest.raises(MicrotuneError, match="not a readable microtune model"):
        load_model(path)
