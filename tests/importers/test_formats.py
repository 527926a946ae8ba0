"""Files are told apart by what is in them; what cannot be taken is listed whole."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from microtune import embedded
from microtune.errors import MicrotuneError
from microtune.importers import IMPORTERS, UnsupportedError, load_any
from tests.importers.test_malformed_mcunet import layer, network, write


@pytest.mark.parametrize("name", ["model", "model.pkl", "model.onnx", "model.MT"])
def test_a_native_model_loads_under_any_name(tmp_path: Path, name: str) -> None:
    shutil.copy(embedded.MODEL, tmp_path / name)
    assert load_any(tmp_path / name).sha256() == load_any(embedded.MODEL).sha256()


@pytest.mark.parametrize("name", ["net", "net.mt", "net.zip"])
def test_a_pickle_of_the_family_loads_under_any_name(tmp_path: Path, name: str) -> None:
    source = write(network(), tmp_path)
    shutil.copy(source, tmp_path / name)
    one, other = load_any(source), load_any(tmp_path / name)
    # A .pkl names the graph after its file.
    assert [node.op for node in one.graph.nodes] == [node.op for node in other.graph.nodes]
    assert all((one.graph.data[key] == other.graph.data[key]).all() for key in one.graph.data)


def test_each_format_knows_its_own_files_and_no_others(tmp_path: Path) -> None:
    files = [embedded.MODEL, write(network(), tmp_path), tmp_path / "begins_like.tflite"]
    files[2].write_bytes(b"\x1c\0\0\0TFL3rest")
    for number, path in enumerate(files):
        start = path.read_bytes()[:512]
        assert [i.sniff(start, path) for i in IMPORTERS] == [number == k for k in range(3)]


@pytest.mark.parametrize(("content", "words"), [
    (b"", "it is empty"), (b"\x08\0\0\0\0\0\0\0", "begins with"),
    (b"\x89HDF\r\n\x1a\n", "HDF5"), (b"hello", "b'hello'"),
])  # fmt: skip
def test_an_unknown_file_names_the_formats_that_are_known(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "net.mt"
    path.write_bytes(content)
    with pytest.raises(MicrotuneError, match=r"unknown model format.*\.mt .*\.pkl ") as raised:
        load_any(path)
    assert words in str(raised.value)


def test_another_zip_is_an_unknown_file(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.mt", "w") as archive:
        archive.writestr("model/weights.npy", b"x")
    with pytest.raises(MicrotuneError, match="a zip, but of other content"):
        load_any(tmp_path / "m.mt")


def test_a_cut_off_file_is_damaged_and_not_unknown(tmp_path: Path) -> None:
    for source in (embedded.MODEL, write(network(), tmp_path)):
        content = source.read_bytes()
        (tmp_path / "cut").write_bytes(content[: len(content) // 2])
        with pytest.raises(MicrotuneError, match="not a readable"):
            load_any(tmp_path / "cut")


def test_all_nodes_that_cannot_be_taken_are_listed(tmp_path: Path) -> None:
    """Three faults of three kinds, in three blocks: one table with all of them."""
    content, after = network(), (0.06, 1)
    first = content["blocks"][0]
    # A block behind the first one reads what that gives.
    residual = {"params": {**first["residual"]["params"], "x_scale": after[0], "x_zero": after[1]}}
    block = {**first, "pointwise1": layer(6, 4, 1, after, (0.05, -128)), "residual": residual}
    asymmetric = layer(6, 4, 1, after, (0.05, -128))
    asymmetric["params"]["weight"] = np.full((6, 4, 1, 1), -128, np.int8)
    other_skip = {"params": {**residual["params"], "x_scale": 0.5}}
    content["blocks"] = [
        first, {**block, "se": {"reduce": 1}}, {**block, "pointwise1": asymmetric},
        {**block, "residual": other_skip}, block,
    ]  # fmt: skip
    with pytest.raises(UnsupportedError) as raised:
        load_any(write(content, tmp_path))
    assert [one.node for one in raised.value.problems] == ["block 1", "conv7", "add3"]
    lines = str(raised.value).splitlines()
    assert "3 nodes of the model cannot be taken" in lines[0]
    assert lines[1].split() == ["node", "why", "instead"]
    assert "squeeze-and-excitation" in lines[2] and "-128" in lines[3] and "skip" in lines[4]
    assert isinstance(raised.value, MicrotuneError)


def test_all_unknown_ops_of_a_native_file_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "newer.mt"
    with zipfile.ZipFile(embedded.MODEL) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "graph.txt":
                content = content.replace(b" = add(", b" = hyper_add(")
            new.writestr(name, content)
    with pytest.raises(UnsupportedError, match="hyper_add") as raised:
        load_any(path)
    added = [n for n in load_any(embedded.MODEL).graph.nodes if n.op == "add"]
    assert [one.node for one in raised.value.problems] == [n.outputs[0] for n in added]
    assert len(added) > 1
