"""The commands as a user types them: JSON fields, exit code 2, nothing half-written."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from microtune import embedded
from microtune.errors import MicrotuneError
from microtune.importers import load_any
from microtune.report.sizes import parse_bytes
from tests.processes import microtune


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """microtune with arguments."""
    return microtune(*arguments)


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
    for command in (
        "inspect",
        "convert",
        "quantize",
        "compile",
        "plan",
        "train",
        "evaluate",
        "predict",
        "measure",
        "study",
        "search",
        "demo",
    ):
        done = run(command, "--help")
        assert done.returncode == 0 and "Usage" in done.stdout


def test_inspect(tmp_path: Path) -> None:
    done = run("inspect", embedded.MODEL, "--classes", 0, "--json", tmp_path / "i.json")
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "i.json").read_text())
    assert figures["macs"] > 1_000_000 and figures["layers"][0]["op"] == "conv2d"
    assert figures["plans"] == [] and "Go on with" not in done.stdout


@pytest.mark.data
def test_convert_keeps_the_model(data_folder: Path, tmp_path: Path) -> None:
    source = data_folder / "models/mit_tiny-training/mcunet-5fps.pkl"
    target = tmp_path / "mcunet-5fps.mt"
    assert run("convert", source, "-o", target).returncode == 0
    assert load_any(target).sha256() == load_any(source).sha256()
    assert "is called NAME.mt" in refused("convert", source, "-o", tmp_path / "x.zip")


def test_the_data_set_says_which_classes_there_are(tmp_path: Path) -> None:
    """compile --data: their number and their names, in label order; no word twice."""
    with np.load(embedded.DATA) as arrays:
        names = [str(name) for name in arrays["classes"]]
    common = ("compile", embedded.MODEL, "--scheme", "head-only", "-o", tmp_path / "p")
    for count in ([], ["--classes", "5"], ["--classes", ",".join(names)]):
        done = run(*common, "--data", embedded.DATA, *count)
        assert done.returncode == 0, done.stderr
        plan = json.loads((tmp_path / "p/plan.json").read_text())
        assert (plan["classes"], plan["class_names"]) == (5, names)
    done = run(*common, "--classes", "left, right,none")
    plan = json.loads((tmp_path / "p/plan.json").read_text())
    assert (plan["classes"], plan["class_names"]) == (3, ["left", "right", "none"])
    for other in (4, "a,b,c,d,e", ",".join(names[::-1])):
        message = refused(*common, "--data", embedded.DATA, "--classes", other)
        assert names[0] in message and "Leave --classes out" in message
    assert "--classes N" in refused(*common)
    for text in ("five", "a,,b", "1.5", ""):
        assert "neither a number nor a list" in refused(*common, "--classes", text)
    assert "twice" in refused(*common, "--classes", "a,b,a")


@pytest.mark.parametrize(("emit", "words"), [
    ("graph", "microtune graph 1"), ("training", "conv2d_weight_update"), ("plan", "lower bound"),
    ("after:differentiate", "output(gradient) %"), ("after:order", "\nsegment 0: %"),
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


def test_plan_shows_the_map_and_writes_pictures(tmp_path: Path) -> None:
    folder = compile_to(tmp_path / "p", "last-3", "--input", "rows")
    done = run("plan", folder, "-o", tmp_path / "new/map.svg", "-o", tmp_path / "map.png")
    assert done.returncode == 0, done.stderr
    assert "input rows" in done.stdout and "row ring" in done.stdout
    names = [b["name"] for b in json.loads((folder / "plan.json").read_text())["buffers"]]
    table = done.stdout.split("alive\n")[1].split("SRAM")[0]
    rows = [re.split(r"\s{2,}", line.strip())[0] for line in table.splitlines() if " to " in line]
    assert len(rows) == 10 and set(rows) <= set(names)
    assert (tmp_path / "new/map.svg").read_text().startswith("<?xml")
    assert (tmp_path / "map.png").read_bytes()[:4] == b"\x89PNG"
    assert "cannot write" in refused("plan", folder, "-o", folder / "plan.json/map.svg")
    (tmp_path / "folder.svg").mkdir()
    assert "cannot write" in refused("plan", folder, "-o", tmp_path / "folder.svg")
    assert "NAME.svg or NAME.png" in refused("plan", folder, "-o", tmp_path / "map.pdf")
    assert not [p.name for p in tmp_path.iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize("command", ["plan", "train", "measure"])
def test_a_broken_project_is_said_in_one_line(tmp_path: Path, command: str) -> None:
    folder = compile_to(tmp_path / "p")
    more = ("--data", embedded.DATA) if command == "train" else ()
    plan, training = folder / "plan.json", folder / "model/training.mt"
    whole = plan.read_text()
    for text, words in (
        (whole[:3000], "not a readable plan"), ("[]", "not a readable plan"),
        ('{"schema_version": 4}', "not a whole plan"),
        (whole.replace('"schema_version": 4', '"schema_version": 3'), "Compile the model again"),
        (whole.replace('"class_names": []', '"class_names": ["cat"]'), "5 names or none"),
        (whole.replace('"prefix": ""', '"prefix": "no prefix"'), "no start of a C name"),
    ):  # fmt: skip
        plan.write_text(text)
        assert words in refused(command, folder, *more)
    plan.write_text(whole)
    training.write_bytes(training.read_bytes()[:500])
    assert "not a readable microtune model" in refused(command, folder, *more)
    training.unlink()
    assert "no such model file" in refused(command, folder, *more)
    plan.unlink()
    assert "not a microtune project" in refused(command, folder, *more)


def test_plan_refuses_a_plan_of_another_project(tmp_path: Path) -> None:
    folder, other = compile_to(tmp_path / "p"), compile_to(tmp_path / "q", "full")
    (folder / "plan.json").write_text((other / "plan.json").read_text())
    assert "does not fit model/training.mt" in refused("plan", folder)


def test_input_and_schedule_change_bytes_and_no_bit(tmp_path: Path) -> None:
    arenas, hashes = {}, set()
    for schedule, source in (("layers", "resident"), ("in-place", "rows"), ("stream", "rows")):
        folder = compile_to(
            tmp_path / schedule, "last-3", "--schedule", schedule, "--input", source
        )
        plan = json.loads((folder / "plan.json").read_text())
        assert plan["input"] == source
        arenas[schedule] = plan["arena_bytes"]
        target = tmp_path / f"{schedule}.json"
        done = run("train", folder, "--data", embedded.DATA, "--steps", 5, "--json", target)
        assert done.returncode == 0, done.stderr
        figures = json.loads(target.read_text())
        hashes.add((figures["parameters_sha256"], figures["logits_sha256"]))
    assert len(hashes) == 1
    assert arenas["stream"] < arenas["in-place"] < arenas["layers"]
    for option in ("--input", "--schedule"):
        done = run("compile", embedded.MODEL, "--classes", 5, "--scheme", "none", option, "odd")
        assert done.returncode == 2 and "odd" in done.stderr


def test_a_missed_budget_lists_tensors_and_ways_out(tmp_path: Path) -> None:
    message = refused(
        "compile",
        embedded.MODEL,
        "--classes",
        5,
        "--scheme",
        "last-3",
        "--bias",
        "int32",
        "--schedule",
        "layers",
        "--sram",
        "28KB",
        "-o",
        tmp_path / "p",
    )
    listed, ways = message.split("alive there (bytes, tensor):")[1].split("Ways out:")
    assert "are trained parameters, context and stack" in listed
    for way in ("--schedule stream", "--bias int16", "all of these", "--scheme head-only"):
        assert way in ways
    assert "less: fits" in ways and "less: not enough alone" in ways
    assert not (tmp_path / "p").exists()


@pytest.mark.chip
def test_measure_counts_exactly(tmp_path: Path) -> None:
    folder = compile_to(tmp_path / "p")
    results = []
    for name, options in (("a", []), ("b", ["--layers"])):
        done = run("measure", folder, "--json", tmp_path / name, *options)
        assert done.returncode == 0, done.stderr
        results.append(json.loads((tmp_path / name).read_text()))
    assert "dW depthwise 3x3" in done.stdout and "mt_make_eight" in done.stdout
    first, calls = results[0], results[1].pop("calls")
    assert first == results[1]
    for call, found in calls.items():
        layers = sum(row["instructions"] for row in found["layers"])
        assert layers == sum(found["functions"].values()) == first[f"{call}_instructions"]
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
    for place, words in (
        (embedded.MODEL, "is not a microtune project"), (embedded.MODEL / "x", "cannot write"),
    ):  # fmt: skip
        done = refused("compile", embedded.MODEL, "--classes", 5, "--scheme", "none", "-o", place)
        assert words in done


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


def test_replay_and_augmentation_from_the_command_line(tmp_path: Path) -> None:
    folder = compile_to(tmp_path / "p", "last-3", "--replay", "8KB")
    plan = json.loads((folder / "plan.json").read_text())
    assert 0 < plan["replay_bytes"] <= 8192
    hashes = []
    for options in ([], ["--rehearse", "1"], ["--augment", "flip,shift=2,brightness=9"]):
        done = run("train", folder, "--data", embedded.DATA, "--steps", 20, *options)
        assert done.returncode == 0, done.stderr
        hashes.append(done.stdout)
    assert len(set(hashes)) == 3
    assert "write for instance" in refused(
        "train", folder, "--data", embedded.DATA, "--augment", "spin"
    )
    message = refused("train", folder, "--data", embedded.DATA, "--augment", "flip", "--latents")
    assert "not with --augment" in message
    plain = compile_to(tmp_path / "q")
    assert "--replay" in refused("train", plain, "--data", embedded.DATA, "--rehearse", "1")


def test_a_replay_memory_that_does_not_fit_says_so(tmp_path: Path) -> None:
    message = refused(
        "compile", embedded.MODEL, "--classes", "5", "--scheme", "last-3", "--sram", "40KB",
        "--replay", "64KB", "-o", tmp_path / "p",
    )  # fmt: skip
    assert "of replay memory" in message
    assert "no --replay" in message
    assert not (tmp_path / "p").exists()


def test_divergence_is_said(tmp_path: Path) -> None:
    """A rate that destroys what was learnt must not pass for training."""
    folder = compile_to(tmp_path / "p", "full")
    options = ("--data", embedded.DATA, "--steps", 200, "--epochs", 1)
    done = run("train", folder, *options, "--lr", 1, "--json", tmp_path / "j")
    assert done.returncode == 0
    assert "diverged" in done.stderr
    assert json.loads((tmp_path / "j").read_text())["diverged"] is True
    calm = run("train", folder, *options, "--lr", "0.002")
    assert "diverged" not in calm.stderr


def test_sigterm_cleans_up_as_ctrl_c_does() -> None:
    """A batch system's way to stop a job: what holds worker processes and folders lets go."""
    code = """
import time
from microtune import cli
def app():
    try:
        print("begun", flush=True)
        time.sleep(60)
    finally:
        print("cleaned", flush=True)
cli.app = app
cli.main()
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    process.terminate()
    assert process.communicate(timeout=30)[0] == "cleaned\n"
    assert process.returncode == 128 + signal.SIGTERM
