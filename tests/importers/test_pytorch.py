"""Networks of PyTorch: the float graph is the module, and its int8 model is close to it.

The networks are in `torch_networks.py`, which is read where PyTorch is there.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import microtune as mt
from microtune.floats import run_floats
from microtune.importers.pytorch import export_module, load_exported, lower_program
from microtune.importers.pytorch.views import contiguous, memory_order
from microtune.quantization.folding import fold

pytestmark = pytest.mark.oracle
NAMES = (
    "mobilenet_v1", "mobilenet_v2", "mobilenet_v3", "resnet8", "regnet", "squeezenet", "vgg",
    "lenet", "mlp", "norm_after_relu", "tc_resnet", "shufflenet", "ds_cnn", "functional", "unet",
    "dilated",
)  # fmt: skip


def quiet(line: str) -> None:
    """Notes are tested on their own."""


def in_our_order(x: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Samples of PyTorch, channels last."""
    array = x.numpy().transpose(memory_order(x.ndim))
    return np.ascontiguousarray(array).reshape(len(x), *shape[1:])


@pytest.mark.parametrize("name", NAMES)
def test_the_float_graph_is_the_module_and_int8_is_close(name: str) -> None:
    import torch

    from tests.importers.torch_networks import CASES, built, images

    module, samples = built(name), images(name)
    with torch.no_grad():
        wanted = module(samples)
    graph, _ = lower_program(export_module(module, samples[:1].numpy()), name)
    for one in (graph, fold(graph)):
        made = torch.from_numpy(run_floats(one, in_our_order(samples, graph.shapes[graph.input])))
        made = made.permute(0, 3, 1, 2) if made.ndim == 4 else made
        if name == "functional":  # its softmax is left out
            made = torch.log_softmax(made, 1)
        assert float((made - wanted).abs().max()) < 1e-4 * float(wanted.abs().max())
    model = mt.quantize(module, samples, note=quiet)
    found = model.quantization
    assert found is not None
    assert found.sqnr > CASES[name].least
    assert found.agreement > 0.9 or len(wanted.shape) == 4
    turned = [node.op for node in fold(graph).nodes if node.op == "transpose"]
    assert len(turned) == (2 if name == "shufflenet" else 0)


def test_all_networks_are_tested() -> None:
    from tests.importers.torch_networks import CASES

    assert set(NAMES) == set(CASES)


def test_a_view_shows_the_elements_that_numpy_shows() -> None:
    x = np.arange(2 * 6 * 4 * 5).reshape(2, 6, 4, 5)
    memory = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).reshape(-1)
    view = contiguous("x", x.shape, memory_order(4))
    shaped = view.reshaped((2, 3, 2, 20))
    assert shaped is not None
    turned = shaped.permuted((0, 2, 1, 3))
    flat = turned.reshaped((2, 120))
    assert flat is not None
    places = flat.index(0)[:, None] + flat.index(1)
    wanted = x.reshape(2, 3, 2, 20).transpose(0, 2, 1, 3).reshape(2, 120)
    assert (memory[places] == wanted).all()
    assert view.reshaped((4, 60)) is not None
    assert view.permuted((0, 2, 3, 1)).reshaped((7, 9)) is None


def test_an_exported_file_gives_the_model_of_the_module(tmp_path: Path) -> None:
    import torch

    from tests.importers.torch_networks import built, images

    module, samples = built("mobilenet_v2"), images("mobilenet_v2")
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(module, (samples[:1],)), path)
    of_file = mt.quantize(path, samples, name="net", note=quiet)
    of_module = mt.quantize(module, samples, name="net", note=quiet)
    assert of_file.sha256() == of_module.sha256()
    with pytest.raises(mt.MicrotuneError, match="float network of PyTorch"):
        mt.load(path)
    core = torch.export.export(module, (samples[:1],)).run_decompositions()
    graph, _ = lower_program(core, "core")
    with torch.no_grad():
        wanted = module(samples).numpy()
    made = run_floats(graph, in_our_order(samples, graph.shapes[graph.input]))
    assert np.abs(made - wanted).max() < 1e-4 * np.abs(wanted).max()


def test_a_damaged_export_is_one_error(tmp_path: Path) -> None:
    import torch

    from tests.importers.torch_networks import built, images

    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(built("mlp"), (images("mlp")[:1],)), path)
    whole = path.read_bytes()
    for length in (0, 100, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:length])
        with pytest.raises(mt.MicrotuneError, match=r"net\.pt2"):
            mt.quantize(path, images("mlp"))
    with pytest.raises(mt.MicrotuneError, match=r"net\.pt2"):
        load_exported(path)


def test_a_file_with_wrong_bytes_is_a_model_or_one_error(tmp_path: Path) -> None:
    import torch

    from tests.importers.torch_networks import built, images

    path, samples = tmp_path / "net.pt2", images("mlp")
    torch.export.save(torch.export.export(built("mlp"), (samples[:1],)), path)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for count in (1, 1, 2, 8, 64) * 30:
        wrong = bytearray(whole)
        for place in rng.integers(0, len(whole), count):
            wrong[place] = rng.integers(256)
        path.write_bytes(wrong)
        try:
            mt.quantize(path, samples, note=quiet)
        except mt.MicrotuneError:
            refused += 1
    assert refused > 50


class Evil:
    """An object whose reading makes a folder."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.place),)


@pytest.mark.parametrize("where", ["weight", "sample_inputs", "constants", "opaque"])
def test_a_file_that_holds_code_runs_none_of_it(where: str, tmp_path: Path) -> None:
    import torch

    from tests.importers.torch_networks import built, images

    good, bad, ran = tmp_path / "good.pt2", tmp_path / "bad.pt2", tmp_path / "ran"
    torch.export.save(torch.export.export(built("mlp"), (images("mlp")[:1],)), good)
    buffer = io.BytesIO()
    torch.save(Evil(ran), buffer)
    evil = pickle.dumps(Evil(ran)) if where == "opaque" else buffer.getvalue()
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(bad, "w") as made:
        for name in source.namelist():
            content = source.read(name)
            if where == "weight" and name.endswith("/weight_0"):
                content = evil
            if where == "weight" and name.endswith("weights_config.json"):
                content = content.replace(b'"use_pickle": false', b'"use_pickle": true', 1)
            if where == "sample_inputs" and name.endswith("sample_inputs/model.pt"):
                content = evil
            if where in ("constants", "opaque") and name.endswith("constants_config.json"):
                path = "tensor_0" if where == "constants" else "opaque_obj_0"
                entry = {
                    "path_name": path, "is_param": False, "use_pickle": True, "tensor_meta": None
                }  # fmt: skip
                content = json.dumps({"config": {"c": entry}}).encode()
                made.writestr(name.rsplit("/", 1)[0] + "/" + path, evil)
            made.writestr(name, content)
    with pytest.raises(mt.MicrotuneError, match=r"bad\.pt2"):
        mt.quantize(bad, images("mlp"), note=quiet)
    assert not ran.exists()
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


def test_what_cannot_be_taken_is_one_table_with_the_modules_path() -> None:
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attn = nn.MultiheadAttention(8, 2, batch_first=True)
            self.norm = nn.LayerNorm(8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            tokens = x.flatten(2).transpose(1, 2)
            return self.norm(self.attn(tokens, tokens, tokens)[0]).mean(1)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 8, 3)
            self.group = nn.GroupNorm(2, 8)
            self.layers = nn.ModuleList([Block()])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.stem(x)
            return self.layers[0](y) + self.group(y).mean((2, 3))

    with pytest.raises(mt.UnsupportedError) as caught:
        mt.quantize(Net(), torch.rand(4, 3, 8, 8), note=quiet)
    nodes = [problem.node for problem in caught.value.problems]
    assert any(node.startswith("layers.0.attn (") for node in nodes)
    assert "group (group_norm)" in nodes
    assert "cannot be taken" in str(caught.value)


def test_what_pytorch_cannot_export_is_one_error() -> None:
    import torch
    from torch import nn

    class Branch(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2 if x.sum() > 0 else x

    with pytest.raises(mt.MicrotuneError, match="Branch cannot be exported"):
        mt.quantize(Branch(), torch.rand(4, 3, 8, 8), note=quiet)


@pytest.mark.parametrize("name", ["mobilenet_v3", "squeezenet", "tc_resnet"])
def test_the_generated_c_infers_and_trains_with_the_bits_of_numpy(
    name: str, tmp_path: Path
) -> None:
    from tests.importers.torch_networks import built, images

    module, samples = built(name), images(name, 8)
    model = mt.quantize(module, samples, note=quiet)
    frames = in_our_order(samples, model.graph.input_tensor.shape)
    data = tmp_path / "data.npz"
    labels = np.arange(8, dtype=np.int64) % 2
    np.savez(data, x=frames, label=labels, test=np.arange(8) >= 6, classes=["a", "b"])
    model.preprocessing = {"kind": "array"}
    project = mt.compile(
        model, data=data, scheme="full", sram="2MB", output=tmp_path / "project", note=quiet
    )
    runs = [project.train(data, steps=6, lr=0.05, on=on, note=quiet) for on in ("host", "numpy")]
    assert runs[0].parameters_sha256 == runs[1].parameters_sha256
    assert runs[0].logits_sha256 == runs[1].logits_sha256
