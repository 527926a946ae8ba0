"""Every command in a shell block is run in a reader's folder, or at least parsed; the tables say
which run in a cheaper form and which do not run, and why."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from microtune.data import open_dataset
from microtune.data.arrays import Arrays
from microtune.data.targets import load_values, open_values
from tests.docs.command_line import parse, script_options, shell_commands
from tests.docs.pages import PAGES, ROOT, all_pieces, pieces

# Parts of commands that take long, and what stands in their place here.
CHEAPER = {
    "--epochs 3 ": "--steps 100 ",
    "--steps 200 ": "--steps 2 ",
    "make -C out/tops": "make -C out/tops OPT=-O1",
    "source .venv/bin/activate": "command -v microtune",
}
# What is only parsed: the reader's own model and data, hours of work, or a cluster.
NOT_RUN = {
    "accuracy.md": "studies take hours and need the optional data",
    "cluster.md": "needs a cluster, and the reader's own model and data",
    "search.md": "the reader's own model and data",
    "instructions.md": "needs the optional data and several minutes",
    "tests.md": "tests do not run tests",
    "training.md": "the reader's own project and photos",
}
# Programs that are not ours, on pages that are not run.
FOREIGN = {"ray": "cluster.md", "dask": "cluster.md"}
# Photos of a class and split that the reader of your-own-model.md has.
PHOTOS = 4
# Pages whose commands have a test of their own.
BELOW = {"tasks.md", "your-own-model.md", "pytorch.md"}
NEEDS_CHIP = ("--on qemu", "microtune measure")
BLOCKS = [(piece.page.name, piece) for piece in all_pieces("sh")]


def run(command: str, workspace: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-c", command], cwd=workspace, env=environment, capture_output=True, text=True,
        check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def cheaper(command: str) -> str:
    """The command with its expensive parts replaced."""
    for part, instead in CHEAPER.items():
        command = command.replace(part, instead)
    return command


def check_without_running(command: str) -> None:
    """The command line parses it; scripts, their options and make's targets exist."""
    words = [word for word in shlex.split(command) if not re.match(r"[A-Z_]+=", word)]
    if words[0] == "microtune":
        parse(words[1:])
    elif words[0] == "make":
        subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, check=True, capture_output=True)
    elif words[0].endswith("python") and words[1].endswith(".py"):
        options = {word.split("=")[0] for word in words[2:] if word.startswith("-")}
        assert options <= script_options(words[1])
    elif "pytest" in words[:3]:
        for word in words[words.index("pytest") + 1 :]:
            assert not word.startswith("tests/") or (ROOT / word.split("::")[0]).exists(), word
    else:
        assert words[0] in FOREIGN, f"{command}: run it, or say why not"


@pytest.mark.parametrize(
    "page", sorted({name for name, _ in BLOCKS if name in NOT_RUN}), ids=lambda name: name
)
def test_commands_that_are_not_run_are_parsed(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MICROTUNE_DATA", "data")
    for name, piece in BLOCKS:
        if name == page:
            for command in shell_commands(piece.text):
                check_without_running(command)


def test_the_readers_commands_run(workspace: Path, shell_environment: dict[str, str]) -> None:
    """The README's first, then those of the other pages, in one folder as a reader would. Those of
    some pages belong to the tests below."""
    chip = shutil.which("qemu-system-arm") and shutil.which("arm-none-eabi-gcc")
    for page in (page for page in PAGES if page.name not in {*NOT_RUN, *BELOW}):
        for command in (c for p in pieces(page) if p.kind == "sh" for c in shell_commands(p.text)):
            if re.match(r"make [a-z]", command):
                check_without_running(command)
            elif chip or not any(part in command for part in NEEDS_CHIP):
                run(cheaper(command), workspace, shell_environment)
    assert (workspace / "learn").is_file() and (workspace / "out/tops/plan.json").is_file()
    project = workspace / "out/tops"
    shutil.copy(workspace / "photo.png", project)
    for piece in (piece for piece in pieces(project / "README.md") if piece.kind == "sh"):
        for command in shell_commands(piece.text):
            run(command, project, shell_environment)


def test_no_entry_of_the_tables_outlives_its_command() -> None:
    written = [command for _, piece in BLOCKS for command in shell_commands(piece.text)]
    for part in CHEAPER:
        assert any(part in command for command in written), part
    for command in written:
        if command.startswith("microtune") and cheaper(command) != command:
            parse(shlex.split(command)[1:])
    assert set(NOT_RUN) <= {name for name, _ in BLOCKS}


@pytest.mark.data
def test_a_tflite_model_of_ones_own_learns_as_the_page_says(
    tmp_path: Path, data_folder: Path, shell_environment: dict[str, str]
) -> None:
    """docs/start/your-own-model.md: four commands from a `.tflite` and a folder of photos."""
    shutil.copy(data_folder / "models/mlcommons_tiny/vww_96_int8.tflite", tmp_path / "model.tflite")
    few: Counter[Path] = Counter()
    with tarfile.open(data_folder / "data/person_cc.tar") as archive:
        for member in (member for member in archive if member.isfile()):
            folder = Path(member.name).parent
            few[folder] += 1
            if few[folder] <= PHOTOS and len(folder.parts) >= 2:
                archive.extract(member, tmp_path / "all", filter="data")
    found = next((tmp_path / "all").rglob("train"))
    found.parent.rename(tmp_path / "photos")
    commands = [c for p in all_pieces("sh") if p.page.name == "your-own-model.md"
                for c in shell_commands(p.text)]  # fmt: skip
    assert [command.split()[1] for command in commands] == [
        "inspect", "verify", "compile", "train",
    ]  # fmt: skip
    for command in commands:
        run(command, tmp_path, shell_environment)


def run_python(code: str, workspace: Path, environment: dict[str, str]) -> str:
    """What the code prints, run as a script in the reader's folder."""
    (workspace / "snippet.py").write_text(code, encoding="utf-8")
    done = subprocess.run(
        ["python", "-W", "error::DeprecationWarning", "snippet.py"], cwd=workspace,
        env=environment, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.oracle
def test_a_network_of_pytorch_learns_as_the_page_says(
    tmp_path: Path, shell_environment: dict[str, str]
) -> None:
    """docs/start/pytorch.md: a module in three lines of Python, then its exported file."""
    rng = np.random.default_rng(0)
    for name, level in (("dark", 40), ("light", 200)):
        for number in range(PHOTOS):
            place = tmp_path / f"photos/train/{name}/{number}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            noise = rng.integers(-30, 30, (48, 48, 3))
            Image.fromarray((level + noise).astype(np.uint8)).save(place)
    shutil.copytree(tmp_path / "photos/train", tmp_path / "photos/test")
    blocks = [p.text for p in all_pieces("python") if p.page.name == "pytorch.md"]
    printed = run_python("\n".join(blocks), tmp_path, shell_environment)
    assert "int8 against float" in printed
    for command in (c for p in all_pieces("sh") if p.page.name == "pytorch.md"
                    for c in shell_commands(p.text)):  # fmt: skip
        run(command, tmp_path, shell_environment)
    assert (tmp_path / "out/from-file/plan.json").is_file()


def test_python_stands_on_pages_that_run_it() -> None:
    pages = {piece.page.name for piece in all_pieces("python")}
    assert pages == {"camera.md", "data.md", "python.md", "pytorch.md", "tasks.md"}


def test_the_tasks_of_the_page_are_learnt(
    workspace: Path, shell_environment: dict[str, str]
) -> None:
    """docs/tasks.md adds classes, trains an auto-encoder, and then a switch and an alarm."""
    steps, *story = [p.text for p in all_pieces("python") if p.page.name == "tasks.md"]
    for piece in (p for p in all_pieces("sh") if p.page.name == "tasks.md"):
        for command in shell_commands(piece.text):
            run(command, workspace, shell_environment)
    assert float(run_python(steps, workspace, shell_environment).split()[-1]) < 0.3
    learnt = json.loads((workspace / "out/encoder.json").read_text(encoding="utf-8"))
    assert learnt["test_loss"] < learnt["loss_of_guessing"]
    right, *answers, alarm, rings = run_python(
        "\n".join(story), workspace, shell_environment
    ).splitlines()
    assert float(right.split("%")[0]) > 90
    assert sum(answer[0] == answer.split("is ")[1][0] for answer in answers) >= 3
    assert float(alarm.split()[1].rstrip(";")) > 0.85
    assert rings.count("True") + rings.count("False") == len(answers) == 4


def test_the_arrays_of_the_page_are_a_data_set(
    workspace: Path, shell_environment: dict[str, str]
) -> None:
    """docs/data.md writes arrays of readings, which open as what they say they are."""
    blocks = [p.text for p in all_pieces("python") if p.page.name == "data.md"]
    run_python("\n".join(blocks), workspace, shell_environment)
    found = open_dataset(workspace / "motion.npz")
    assert found.classes == ["still", "walking"] and found.size("test") == 10
    values = open_values(workspace / "motion_values.npz")
    split = load_values(values, "test", Arrays((1, 128, 3), 0.03, 0), 1)
    assert split.targets is not None and split.targets.shape == (10, 1)


def test_the_comparison_of_frames_runs(workspace: Path, shell_environment: dict[str, str]) -> None:
    """docs/camera.md compares what `predict --dump` wrote with what a driver delivered."""
    expected = np.arange(-128, 128, dtype=np.int8)
    expected.tofile(workspace / "expected.bin")
    (expected // 2).astype(np.int8).tofile(workspace / "delivered.bin")
    (block,) = (p for p in all_pieces("python") if p.page.name == "camera.md")
    said = run_python(block.text, workspace, shell_environment)
    assert said == "mean difference 32.0, largest 64\n"


def test_the_page_of_python_runs_as_one_notebook(
    workspace: Path, shell_environment: dict[str, str]
) -> None:
    """Every snippet of docs/python.md, one after the other; measuring where the tools are."""
    chip = shutil.which("qemu-system-arm") and shutil.which("arm-none-eabi-gcc")
    blocks = [p.text for p in all_pieces("python") if p.page.name == "python.md"]
    code = "\n".join(text for text in blocks if chip or ".measure(" not in text)
    said = run_python(code, workspace, shell_environment)
    assert len(blocks) == 9
    for words in (
        "TrainingOutcome: ", "Pullover", "lower bound", "SRAM budget missed", "Ways out",
        "training on host: 50 of 50", "Project('out/small'",
    ):  # fmt: skip
        assert words in said, words
    assert (workspace / "confusion.png").is_file() and (workspace / "frames.bin").is_file()
    assert not (workspace / "out/never").exists()
