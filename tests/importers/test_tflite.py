"""Import of `.tflite`: every model of the data folder, layer by layer beside LiteRT."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

import microtune as mt
from microtune.importers import load_any
from microtune.importers.tflite import import_tflite

pytest.importorskip("ai_edge_litert", reason="the verify extra is not installed")
LAYERS = {
    "mit_tinyengine/vww": 56, "mit_tinyengine/detection": 70, "mlcommons_tiny/ad01_int8": 10,
    "mlcommons_tiny/kws_ref_model": 11, "mlcommons_tiny/pretrainedResnet_quant": 14,
    "mlcommons_tiny/str_ww_ref_model": 9, "mlcommons_tiny/vww_96_int8": 29,
    "tflite-micro/mobilenet_v2_quantized_1x3x224x224": 64,
}  # fmt: skip
LEGACY = ["mobilenet_v1_0.25_128_quant", "mobilenet_v2_1.0_224_quant"]
FLOAT = ["ad01_fp32", "kws_ref_model_float32", "pretrainedResnet", "vww_96_float"]


@pytest.fixture
def models(data_folder: Path) -> Path:
    return data_folder / "models"


@pytest.mark.data
@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_of_an_int8_model_equals_the_reference_kernels(name: str, models: Path) -> None:
    found = mt.verify(models / f"{name}.tflite", samples=8)
    assert (found.layers, found.equal, found.max_code_difference) == (LAYERS[name], LAYERS[name], 0)
    assert found.first_difference is None and not found.converted
    assert min(row.codes for row in found.rows) >= 8


@pytest.mark.data
def test_another_rounding_is_found_and_named(models: Path) -> None:
    """The device rounds once: the same comparison must see it."""
    found = mt.verify(models / "mlcommons_tiny/vww_96_int8.tflite", samples=2)
    assert found.device_max_code_difference > 0


@pytest.mark.data
@pytest.mark.parametrize("name", LEGACY)
def test_legacy_uint8_weights_are_converted_and_said(name: str, models: Path) -> None:
    found = mt.verify(models / f"google-coral/{name}.tflite", samples=1)
    assert found.converted and found.converted_layers[0] == "conv0"
    assert found.first_difference is not None and found.first_difference.startswith("conv0 ")
    model = load_any(models / f"google-coral/{name}.tflite")
    assert (len(model.classes), model.classes[:2]) == (1001, ["background", "tench, Tinca tinca"])


@pytest.mark.data
def test_a_model_that_litert_refuses_is_imported(models: Path) -> None:
    path = models / "tflite-micro/person_detect.tflite"
    assert load_any(path).preprocessing["channels"] == 1
    with pytest.raises(mt.MicrotuneError, match="LiteRT refuses the file"):
        mt.verify(path)


@pytest.mark.data
@pytest.mark.parametrize("name", FLOAT)
def test_a_float_model_is_refused(name: str, models: Path) -> None:
    with pytest.raises(mt.UnsupportedError, match="full int8 quantisation"):
        load_any(models / f"mlcommons_tiny/{name}.tflite")


@pytest.mark.data
def test_an_input_with_channels_first_is_turned(models: Path) -> None:
    model = import_tflite(models / "tflite-micro/mobilenet_v2_quantized_1x3x224x224.tflite")
    graph = model.model.graph
    assert graph.input_tensor.shape == (1, 224, 224, 3)
    assert not any(node.op == "transpose" for node in graph.nodes)
    assert not any(node.op == "pad" for node in graph.nodes)


@pytest.mark.data
def test_a_damaged_file_is_one_clear_error(tmp_path: Path, models: Path) -> None:
    """Cut off at 40 places, and with 200 changed bytes in the part without weights."""
    content = (models / "mlcommons_tiny/kws_ref_model.tflite").read_bytes()
    rng, damaged = np.random.default_rng(0), []
    damaged += [content[: int(n)] for n in np.linspace(8, len(content) - 1, 40)]
    for place in rng.integers(8, len(content), 200):
        bad = bytearray(content)
        bad[place] = int(rng.integers(256))
        damaged.append(bytes(bad))
    path, refused = tmp_path / "damaged.tflite", 0
    for one in damaged:
        path.write_bytes(one)
        try:
            load_any(path)
        except mt.MicrotuneError as error:
            refused += 1
            assert "damaged.tflite" in str(error)
    assert refused >= 40


@pytest.mark.data
def test_a_tensor_without_elements_is_refused(tmp_path: Path, models: Path) -> None:
    """Fuzzing found it: the channels of a depthwise layer divided by none."""
    content = (models / "mlcommons_tiny/pretrainedResnet_quant.tflite").read_bytes()
    shape = struct.pack("<5i", 4, 1, 32, 32, 16)
    assert shape in content
    path = tmp_path / "empty.tflite"
    path.write_bytes(content.replace(shape, struct.pack("<5i", 4, 1, 32, 32, 0)))
    with pytest.raises(mt.UnsupportedError, match="is empty"):
        load_any(path)


@pytest.mark.data
def test_several_outputs_are_refused_by_compile(tmp_path: Path, models: Path) -> None:
    with pytest.raises(mt.MicrotuneError, match="3 outputs"):
        mt.compile(models / "mit_tinyengine/detection.tflite", classes=2, output=tmp_path / "p")


@pytest.mark.data
def test_an_imported_model_learns_with_the_same_bits_in_c_and_numpy(
    tmp_path: Path, models: Path
) -> None:
    frames = np.random.default_rng(1).integers(-128, 128, (6, 32, 32, 3)).astype(np.int8)
    np.savez(
        tmp_path / "few.npz", images=(frames.astype(np.int16) + 128).astype(np.uint8),
        label=np.array([0, 1, 2] * 2), test=np.arange(6) >= 3, classes=np.array(["a", "b", "c"]),
    )  # fmt: skip
    project = mt.compile(
        models / "mlcommons_tiny/pretrainedResnet_quant.tflite", data=tmp_path / "few.npz",
        scheme="last-3", output=tmp_path / "project",
    )  # fmt: skip
    hashes = {
        on: project.train(tmp_path / "few.npz", epochs=2, on=on).runs[0].parameters_sha256
        for on in ("host", "numpy")
    }  # fmt: skip
    assert hashes["host"] == hashes["numpy"]
