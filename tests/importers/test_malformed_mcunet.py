"""Files that are readable pickles of arrays but not networks that the importer knows."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microtune.errors import MicrotuneError
from microtune.importers import load_any

Content = dict[str, Any]


def layer(
    outputs: int, inputs: int, kernel: int, x: tuple[float, int], y: tuple[float, int],
    *, groups: int = 1,
) -> Content:  # fmt: skip
    """One convolution as the file stores it; x and y are (scale, zero point)."""
    weight = np.arange(outputs * (inputs // groups) * kernel**2) % 100 - 50
    params = {
        "weight": weight.reshape(outputs, inputs // groups, kernel, kernel).astype(np.int8),
        "bias": np.arange(outputs, dtype=np.int32),
        "w_scales": np.full(outputs, 0.01, np.float32),
        "x_scale": x[0], "x_zero": x[1], "y_scale": y[0], "y_zero": y[1],
    }  # fmt: skip
    return {"params": params, "stride": 1, "groups": groups, "in_shape": 8}


def network() -> Content:
    """First conv, one residual block, classifier."""
    a, b, c = (0.01, 0), (0.05, -128), (0.04, 3)
    block = {
        "pointwise1": layer(6, 4, 1, b, b), "depthwise": layer(6, 6, 3, b, b, groups=6),
        "se": None, "pointwise2": layer(4, 6, 1, b, c),
        "residual": {"params": {"x_scale": b[0], "x_zero": b[1], "y_scale": 0.06, "y_zero": 1}},
    }  # fmt: skip
    return {
        "first_conv": layer(4, 3, 3, a, b), "blocks": [block], "feature_mix": None,
        "classifier": layer(10, 4, 1, (0.06, 1), (0.1, 0)),
    }  # fmt: skip


def write(content: object, folder: Path) -> Path:
    path = folder / "net.pkl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(content, protocol=2))
    return path


def put(*keys: str | int, value: object) -> Callable[[Content], None]:
    """A change: content[keys[0]][keys[1]]... = value."""

    def change(content: Any) -> None:
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value

    return change


def param(name: str, value: object) -> Callable[[Content], None]:
    return put("first_conv", "params", name, value=value)


def test_the_unchanged_network_is_read(tmp_path: Path) -> None:
    graph = load_any(write(network(), tmp_path)).graph
    names = ["conv0", "conv1", "conv2", "conv3", "add0", "pool", "classifier"]
    assert [node.outputs[0] for node in graph.nodes] == names
    # OIHW in the file, O·KH·KW·I here.
    stored = network()["first_conv"]["params"]["weight"]
    assert (graph.data["conv0.weight"][2, 1, 0, 1]) == stored[2, 1, 1, 0]


@pytest.mark.parametrize("key", ["weight", "bias", "w_scales", "x_scale", "x_zero", "y_scale"])
def test_a_missing_parameter_is_named(tmp_path: Path, key: str) -> None:
    content = network()
    del content["first_conv"]["params"][key]
    with pytest.raises(MicrotuneError, match=f"net.pkl.*'{key}' is missing"):
        load_any(write(content, tmp_path))


@pytest.mark.parametrize("key", ["first_conv", "blocks", "classifier"])
def test_a_missing_part_is_named(tmp_path: Path, key: str) -> None:
    content = network()
    del content[key]
    with pytest.raises(MicrotuneError, match=f"'{key}' is missing"):
        load_any(write(content, tmp_path))


SCALES = [0.0, -1.0, float("nan"), float("inf"), 1e-320, 1e308]


@pytest.mark.parametrize("value", SCALES)
@pytest.mark.parametrize("which", ["x_scale", "y_scale"])
@pytest.mark.filterwarnings("error")
def test_a_scale_out_of_range_is_refused(tmp_path: Path, which: str, value: float) -> None:
    content = network()
    param(which, value)(content)
    with pytest.raises(MicrotuneError, match=which):
        load_any(write(content, tmp_path))


@pytest.mark.parametrize(("change", "message"), [
    (param("x_zero", 128), "x_zero 128"),
    (param("y_zero", -129), "y_zero -129"),
    (param("y_zero", True), "'y_zero' is a bool"),
    (param("weight", np.zeros((4, 3, 3, 3), np.float32)), "'weight' is float32"),
    (param("weight", np.zeros((4, 3, 3), np.int8)), r"'weight' is int8\[4, 3, 3\]"),
    (param("weight", np.zeros((4, 2, 3, 3), np.int8)), "on 3 channels"),
    (param("weight", np.full((4, 3, 3, 3), -128, np.int8)), r"conv0 +a weight of -128"),
    (param("weight", np.zeros((4, 3, 99, 1), np.int16)), "'weight' is int16"),
    (param("bias", np.zeros(4, np.int64)), "'bias' is int64"),
    (param("bias", np.zeros(3, np.int32)), "on 3 channels"),
    (param("w_scales", np.full(4, np.nan, np.float32)), "out of range"),
    (param("w_scales", np.zeros(4, np.float32)), "out of range"),
    (param("w_scales", np.full(4, 3e38, np.float32)), "out of range"),
    (put("first_conv", "stride", value=0), "out of range"),
    (put("first_conv", "groups", value=3), "on 3 channels"),
    (put("first_conv", "in_shape", value=4), "4 pixels"),
    (put("first_conv", "in_shape", value="8"), "'in_shape' is a str"),
    (put("first_conv", value=3), "'first_conv' is a int"),
    (put("blocks", value={}), "'blocks' is a dict"),
    (put("blocks", 0, value=5), "block 0"),
    (put("blocks", 0, "se", value={"reduce": 1}), "squeeze-and-excitation"),
    (put("blocks", 0, "pointwise1", value=None), "channels"),
    (put("blocks", 0, "depthwise", "params", "x_scale", value=0.5), "not its producer's"),
    (put("blocks", 0, "residual", "params", "x_scale", value=0.5), "the skip of block 0"),
    (put("blocks", 0, "depthwise", "stride", value=2), "another shape than its sum"),
])  # fmt: skip
def test_a_wrong_structure_is_refused_by_name(
    tmp_path: Path, change: Callable[[Content], None], message: str
) -> None:
    content = network()
    change(content)
    with pytest.raises(MicrotuneError, match=message):
        load_any(write(content, tmp_path))


def test_other_formats_are_refused_with_the_supported_ones(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"")
    with pytest.raises(MicrotuneError, match=r"\.mt .*\.pkl"):
        load_any(path)
