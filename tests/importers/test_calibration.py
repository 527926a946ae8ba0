"""Calibration samples of every kind: a right result, or one clear error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import microtune as mt
from microtune.quantization.network import run_int8

pytestmark = pytest.mark.oracle


def small(channels: int = 3, **options: Any) -> Any:
    """A network on 12 x 10 pixels."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, 2, options.get("padding", 1)), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(8, 4),
    ).eval()  # fmt: skip


def pixels(count: int = 32, channels: int = 3) -> np.ndarray:
    """Images of bytes, (N, C, H, W)."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, channels, 12, 10)).astype(np.uint8)


def quantized(module: Any, images: Any, **options: Any) -> tuple[mt.QuantizedModel, str]:
    """(the model, what was said of it)."""
    said: list[str] = []
    model = mt.quantize(module, images, note=said.append, **options)
    assert model.quantization is not None
    return model, "\n".join(said)


def test_bytes_and_numbers_from_0_to_1_give_one_model() -> None:
    import torch

    unit = pixels().astype(np.float32) / 255
    wanted, said = quantized(small(), unit)
    assert "pixels from 0 to 1" in said
    assert wanted.graph.input_tensor.quant is not None
    assert wanted.graph.scale("input") == pytest.approx(1 / 255)
    assert wanted.preprocessing["height"] == 12
    bytes_, said = quantized(small(), pixels())
    assert "bytes" in said
    tensors, _ = quantized(small(), [torch.from_numpy(one) for one in unit])
    batches, _ = quantized(
        small(), torch.utils.data.DataLoader([(one, 0) for one in unit], batch_size=5)
    )
    double, _ = quantized(small(), unit.astype(np.float64))
    for other in (bytes_, tensors, batches, double):
        assert other.sha256() == wanted.sha256()


def test_a_loader_of_signals_gives_batches_and_single_signals_are_stacked() -> None:
    import torch

    from tests.importers.torch_networks import built, images

    samples = images("tc_resnet", 24)
    wanted, _ = quantized(built("tc_resnet"), samples)
    assert wanted.preprocessing == {"kind": "array"}
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(samples), batch_size=8)
    for other in (loader, list(samples), samples.transpose(1, 2)):
        made, _ = quantized(built("tc_resnet"), other)
        assert made.sha256() == wanted.sha256()


def test_a_folder_of_pictures_calibrates_a_module(tmp_path: Path) -> None:
    for number, picture in enumerate(pixels(20).transpose(0, 2, 3, 1)):
        place = tmp_path / f"photos/train/{'ab'[number % 2]}/{number:02}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(place)
    model, said = quantized(small(), tmp_path / "photos", input_shape=(3, 12, 10))
    assert "bytes" in said and model.preprocessing["width"] == 10
    assert model.accuracy(tmp_path / "photos") is None  # four outputs, two classes
    with pytest.raises(mt.MicrotuneError, match=r"the network takes \[5, 12, 10\]"):
        mt.quantize(small(5), tmp_path / "photos", input_shape=(5, 12, 10))


def test_another_layout_is_turned_and_said() -> None:
    unit = pixels().astype(np.float32) / 255
    wanted, _ = quantized(small(), unit)
    turned, said = quantized(small(), unit.transpose(0, 2, 3, 1))
    assert "taken as (N, H, W, C)" in said
    assert turned.sha256() == wanted.sha256()
    grey, _ = quantized(small(1), pixels(channels=1)[:, 0])
    assert grey.graph.input_tensor.shape == (1, 12, 10, 1)


def test_the_first_convolution_need_not_be_the_first_that_is_defined() -> None:
    from torch import nn

    class Same(nn.Conv2d):
        """A convolution of the user's own."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.stem = nn.Conv2d(8, 2, 1), Same(3, 8, 3)

        def forward(self, x: Any) -> Any:
            return self.head(self.stem(x)).mean((2, 3))

    wanted, _ = quantized(Net().eval(), pixels())
    assert wanted.graph.input_tensor.shape == (1, 12, 10, 3)


def test_a_network_of_bytes_takes_them_as_they_are() -> None:
    model, said = quantized(small(), pixels().astype(np.float32))
    assert "pixels from 0 to 255" in said
    assert model.graph.scale("input") == 1.0
    told, _ = quantized(small(), pixels(), values="0-255")
    assert told.sha256() == model.sha256()


@pytest.mark.parametrize("padding", [0, 1])
def test_mean_and_std_become_a_part_of_the_network(padding: int) -> None:
    import torch

    mean, std = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]
    unit = pixels().astype(np.float32) / np.float32(255)
    model, said = quantized(small(padding=padding), unit, mean=mean, std=std)
    assert "plain pixels" in said and model.preprocessing["channels"] == 3
    shift, spread = (np.asarray(v, np.float32)[:, None, None] for v in (mean, std))
    by_hand = (unit - shift) / spread
    with torch.no_grad():
        wanted = small(padding=padding)(torch.from_numpy(by_hand)).numpy()
    made = run_int8(model.graph, unit.transpose(0, 2, 3, 1))
    assert np.abs(made - wanted).max() < 0.05 * np.abs(wanted).max()
    normalised, said = quantized(small(), by_hand)
    assert "mean= and std=" in said and normalised.preprocessing == {"kind": "array"}


def test_one_mean_and_std_are_the_scale_of_the_input() -> None:
    unit = pixels().astype(np.float32) / np.float32(255)
    model, _ = quantized(small(), unit, mean=127 / 255, std=128 / 255)
    assert model.graph.scale("input") == pytest.approx(1 / 128)
    assert model.graph.quant("input").zero_point == -1
    wanted, _ = quantized(small(), pixels().astype(np.float32), mean=127 / 255, std=128 / 255)
    assert len(model.graph.nodes) == len(quantized(small(), unit)[0].graph.nodes)
    assert wanted.graph.quant("input") == model.graph.quant("input")


@pytest.mark.parametrize("kind", ["half", "double"])
def test_weights_of_another_precision_are_taken(kind: str) -> None:
    module = getattr(small(), kind)()
    before = next(module.parameters()).dtype
    model, _ = quantized(module, pixels())
    assert model.quantization is not None and model.quantization.sqnr > 25
    assert next(module.parameters()).dtype == before


def test_a_module_in_training_mode_stays_in_it_and_keeps_its_statistics() -> None:
    from torch import nn

    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(320, 2))
    module.train()
    quantized(module, pixels())
    assert module.training
    assert int(module[1].num_batches_tracked) == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named(value: float) -> None:
    module = small()
    module[4].weight.data[1, 2] = value
    with pytest.raises(mt.MicrotuneError, match=r"the weight 4\.weight holds NaN or infinite"):
        mt.quantize(module, pixels(), note=lambda line: None)


def test_weights_that_overflow_are_named_by_their_layer() -> None:
    module = small()
    module[4].weight.data[:] = 3e38
    with pytest.raises(mt.MicrotuneError, match=r"^4: its results on the calibration samples"):
        mt.quantize(module, pixels() // 2 + 100, values="0-255", note=lambda line: None)


@pytest.mark.parametrize("level", [0, 128])
def test_constant_images_are_taken_and_said(level: int) -> None:
    model, said = quantized(small(), np.full((20, 3, 12, 10), level, np.uint8))
    assert "all calibration samples are alike" in said
    assert model.quantization is not None


def test_one_image_is_enough_and_said() -> None:
    model, said = quantized(small(), pixels(1))
    assert "1 calibration samples are few" in said
    alone, said = quantized(small(), pixels(1)[0])
    assert "taken as one sample" in said
    assert alone.sha256() == model.sha256()


def test_weights_of_zero_are_a_network() -> None:
    module = small()
    for parameter in module.parameters():
        parameter.data.zero_()
    model, _ = quantized(module, pixels())
    assert model.quantization is not None


@pytest.mark.parametrize(
    ("samples", "match"),
    [
        (np.zeros((0, 3, 12, 10), np.float32), "no samples"),
        (np.zeros((4, 5, 12, 10), np.float32), r"C = 3"),
        (np.full((4, 3, 12, 10), np.nan, np.float32), "NaN or infinite"),
        (np.zeros((4, 3, 1, 12, 10), np.float32), r"C = 3"),
        (np.array(["a"]), "no numbers"),
        (7, "int; give an array"),
        ([], "no samples"),
        ([np.zeros((3, 12, 10)), np.zeros((3, 12, 9))], "different shapes|of shape"),
        (["a"], "a sample is str"),
        (Path("/nowhere"), "give input_shape"),
    ],
)
def test_samples_that_cannot_be_used_are_one_error(samples: Any, match: str) -> None:
    with pytest.raises(mt.MicrotuneError, match=match):
        mt.quantize(small(), samples, note=lambda line: None)


def test_wrong_options_are_one_error() -> None:
    images = pixels()
    wrong: list[dict[str, Any]] = [
        {"values": "0-2"}, {"mean": [1, 2]}, {"std": [0, 1, 1]}, {"samples": 0}, {"mean": "x"},
        {"classes": ["a"]}, {"input_shape": (3, 9, 9)},
    ]  # fmt: skip
    for options in wrong:
        with pytest.raises(mt.MicrotuneError):
            mt.quantize(small(), images, note=lambda line: None, **options)
    with pytest.raises(mt.MicrotuneError, match="that is not values='0-1'"):
        mt.quantize(small(), images.astype(np.float32), values="0-1")
    with pytest.raises(mt.MicrotuneError, match=r"model: function; give an nn\.Module"):
        mt.quantize(small, images)
