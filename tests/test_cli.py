"""The commands as a user types them: JSON fields, exit code 2, nothing half-written."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from microtune import embedded
from microtune.cli import parse_bytes
from microtune.errors import MicrotuneError
from microtune.importers import load_any


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """microtune with arguments."""
    command = [sys.executable, "-c", "from microtune.cli import main; main()"]
    return subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def refused(*arguments: object) -> str:
    """The one message of a refusal: exit code 2, no traceback."""
    done = run(*arguments)
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    return " ".join((done.stderr + done.stdout).split())


def compile_to(folder: Path, scheme: str = "last-3", *more: object) -> Path:
    done = run("compile", embedded.MODEL, "--classes", 5, "--scheme", scheme, "-o", folder, *more)
    assert done.returncode == 0, done.stderr
    return folder


def test_sizes() -> None:
    assert [parse_bytes(t) for t in ("256KB", "1MB", "100", "1.5 kb")] == [
        262144, 1048576, 100, 1536,
    ]  # fmt: skip
    with pytest.raises(MicrotuneError):
        parse_bytes("many")


def test_every_command_has_help() -> None:
    for command in ("inspect", "compile", "train", "measure", "demo"):
        done = run(command, "--help")
        assert done.returncode == 0 and "Usage" in done.stdout


def test_inspect(tmp_path: Path) -> None:
    done = run("inspect", embedded.MODEL, "--json", tmp_path / "i.json")
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "i.json").read_text())
    assert figures["macs"] > 1_000_000 and figures["layers"][0]["op"] == "conv2d"


@pytest.mark.data
def test_convert_keeps_the_model(data_folder: Path, tmp_path: Path) -> None:
    source = data_folder / "models/mit_tiny-training/mcunet-5fps.pkl"
    target = tmp_path / "mcunet-5fps.mt"
    assert run("convert", source, "-o", target).returncode == 0
    assert load_any(target).sha256() == load_any(source).sha256()
    assert "is called NAME.mt" in refused("convert", source, "-o", tmp_path / "x.zip")


@pytest.mark.parametrize(("emit", "words"), [
    ("graph", "microtune graph 1"), ("training", "conv2d_weight_update"), ("plan", "lower bound"),
])  # fmt: skip
def test_emit_prints_every_stage(emit: str, words: str) -> None:
    done = run("compile", embedded.MODEL, "--classes", 5, "--scheme", "last-2", "--emit", emit)
    assert done.returncode == 0 and words in done.stdout


def test_train_writes_the_promised_json(tmp_path: Path) -> None:
    folder = compile_to(tmp_path / "p")
    figures = []
    for name, place in (("host", "host"), ("numpy", "numpy")):
        target = tmp_path / f"{name}.json"
        done = run("train", folder, "--data", embedded.DATA, "--steps", 20, "--on", place,
                   "--seed", 3, "--json", target)  # fmt: skip
        assert done.returncode == 0, done.stderr
        figures.append(json.loads(target.read_text()))
    for key in ("epochs", "test_accuracy", "steps", "seconds", "seed", "lr", "numerics_version"):
        assert key in figures[0]
    assert figures[0]["steps"] == 20
    for key in ("parameters_sha256", "logits_sha256", "test_accuracy"):
        assert figures[0][key] == figures[1][key]


@pytest.mark.chip
def test_measure_counts_exactly(tmp_path: Path) -> None:
    folder = compile_to(tmp_path / "p")
    results = []
    for name in ("a", "b"):
        done = run("measure", folder, "--json", tmp_path / name)
        assert done.returncode == 0, done.stderr
        results.append(json.loads((tmp_path / name).read_text()))
    first = results[0]
    assert first == results[1]
    parts = first["arena_bytes"] + first["static_bytes"] + first["stack_bytes"]
    assert first["sram_bytes"] == parts
    assert sum(first["arenas"].values()) == first["arena_bytes"]
    assert first["train_instructions"] > first["infer_instructions"] > first["infer_macs"]


@pytest.mark.chip
def test_scheme_none_infers_only(tmp_path: Path) -> None:
    folder = compile_to(tmp_path / "p", "none")
    done = run("measure", folder, "--json", tmp_path / "m.json")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "m.json").read_text())["train_instructions"] is None
    assert "nothing to train" in refused("train", folder, "--data", embedded.DATA)


def test_refusals_name_what_is_wrong(tmp_path: Path) -> None:
    out = tmp_path / "p"
    common = ("--classes", 5, "--scheme", "last-2", "-o", out)
    assert "no such model" in refused("compile", tmp_path / "none.mt", *common)
    (tmp_path / "cut.mt").write_bytes(embedded.MODEL.read_bytes()[:5000])
    assert "not a readable microtune model" in refused("compile", tmp_path / "cut.mt", *common)
    (tmp_path / "m.onnx").write_bytes(b"")
    assert "unknown model format" in refused("compile", tmp_path / "m.onnx", *common)
    for classes in (0, 1):
        message = refused("compile", embedded.MODEL, "--classes", classes, "--scheme", "full",
                          "-o", out)  # fmt: skip
        assert "2 to 2048 classes" in message
    assert "unknown scheme" in refused(
        "compile", embedded.MODEL, "--classes", 5, "--scheme", "best", "-o", out
    )
    assert "is for mcunet-5fps" in refused(
        "compile", embedded.MODEL, "--classes", 5, "--scheme", "148kb", "-o", out
    )
    assert "Known targets" in refused("compile", embedded.MODEL, *common, "--target", "z80")
    assert "SRAM budget missed" in refused("compile", embedded.MODEL, *common, "--sram", "8KB")
    assert "flash budget missed" in refused("compile", embedded.MODEL, *common, "--flash", "50KB")
    assert not out.exists()


def test_a_wrong_scheme_file_says_where(tmp_path: Path) -> None:
    scheme = tmp_path / "s.toml"
    for text, words in (
        ("bias_layers = 99", "bias_layers"), ("weights = { 99 = 1 }", "no layer '99'"),
        ('weights = { 3 = "3/2" }', "not in (0, 1]"), ("typo = 1", "unknown keys"),
        ('model = "other"', "for model other"), ("= broken", "not a readable TOML"),
    ):  # fmt: skip
        scheme.write_text(text)
        message = refused("compile", embedded.MODEL, "--classes", 5, "--scheme", scheme,
                          "-o", tmp_path / "p")  # fmt: skip
        assert words in message, message


def test_a_model_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "new.mt"
    with zipfile.ZipFile(embedded.MODEL) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "manifest.json":
                content = json.dumps(json.loads(content) | {"format_version": 9}).encode()
            new.writestr(name, content)
    assert "format version 9" in refused("inspect", path)


def test_bad_images_are_named(tmp_path: Path) -> None:
    folder = compile_to(tmp_path / "p")
    data = tmp_path / "data"
    for label in range(5):
        place = data / f"train/c{label}"
        place.mkdir(parents=True)
        Image.fromarray(np.full((40, 40), 50 * label, np.uint8)).save(place / "a.png")
    (data / "train/c3/empty.png").write_bytes(b"")
    assert "empty.png" in refused("train", folder, "--data", data)
    (data / "train/c3/empty.png").write_bytes(b"\x89PNG not really")
    assert "not a readable image" in refused("train", folder, "--data", data)
    assert "no such data" in refused("train", folder, "--data", tmp_path / "nowhere")
    assert "not a microtune project" in refused("train", data, "--data", data)
    for rate in ("-1", "nan", "inf"):
        message = refused("train", folder, "--data", embedded.DATA, "--lr", rate)
        assert "must lie between 0 and 1024" in message


def test_a_missing_compiler_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = compile_to(tmp_path / "p")
    monkeypatch.setenv("PATH", str(tmp_path))
    message = refused("measure", folder)
    assert "arm-none-eabi-gcc not found" in message and "apt-get install" in message
