"""`microtune quantize` as a user types it: a table, files, exit code 2."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import microtune as mt
from tests.processes import microtune

pytestmark = pytest.mark.oracle


def exported(folder: Path) -> Path:
    """A small network as a file, and samples beside it."""
    import torch

    from tests.importers.torch_networks import built, images

    torch.export.save(
        torch.export.export(built("lenet"), (images("lenet")[:1],)), folder / "net.pt2"
    )
    np.save(folder / "samples.npy", images("lenet").numpy())
    return folder / "net.pt2"


def test_quantize_writes_a_model_and_says_what_each_layer_lost(tmp_path: Path) -> None:
    model, figures = exported(tmp_path), tmp_path / "figures.json"
    place = tmp_path / "net.mt"
    done = microtune(
        "quantize", model, "--data", tmp_path / "samples.npy", "-o", place, "--json", figures
    )
    assert done.returncode == 0, done.stderr
    assert "int8 against float on" in done.stdout and "range by" in done.stdout
    assert "taken as pixels from 0 to 1" in " ".join(done.stderr.split())
    wanted = mt.quantize(model, np.load(tmp_path / "samples.npy"), note=lambda line: None)
    assert mt.load(place).sha256() == wanted.sha256()
    assert wanted.quantization is not None
    assert json.loads(figures.read_text()) == wanted.quantization.to_json()
    for arguments, said in (
        ((tmp_path / "none.pt2", "-o", place), "no such model file"),
        ((tmp_path / "samples.npy", "-o", place), "not an export of PyTorch"),
        ((model, "-o", tmp_path / "net.bin"), "called NAME.mt"),
        ((model, "-o", place, "--mean", "a,b"), "--mean 'a,b'"),
    ):
        done = microtune("quantize", *arguments, "--data", tmp_path / "samples.npy")
        assert done.returncode == 2
        message = " ".join((done.stderr + done.stdout).split())
        assert said in message and "Traceback" not in message
