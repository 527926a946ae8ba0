"""`compile` as a user types it: into which folder, for which classes, from which state."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

from microtune import embedded
from tests.processes import INTERRUPTIBLE, microtune

GARMENTS = ["Trouser", "Sandal", "Sneaker", "Bag", "Ankle boot"]


def compiled(folder: Path, *options: object) -> tuple[dict[str, object], str]:
    """(plan.json, what was said besides the table)."""
    done = microtune("compile", embedded.MODEL, "-o", folder, *options)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "plan.json").read_text()), " ".join(done.stderr.split())


def refused(*arguments: object) -> str:
    done = microtune("compile", embedded.MODEL, *arguments)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done
    return " ".join(done.stderr.split())


def test_what_is_kept_aside_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    assert compiled(folder, "--classes", 3, "--scheme", "head-only")[1] == ""
    with (folder / "Makefile").open("a") as file:
        file.write("# mine")
    _, said = compiled(folder, "--classes", 3, "--scheme", "head-only")
    assert said == "note: Makefile is not what compile last wrote there: kept as Makefile.yours"


def test_scheme_none_needs_no_number_of_classes(tmp_path: Path) -> None:
    plan, said = compiled(tmp_path / "p", "--scheme", "none", "--class-names")
    assert (plan["classes"], plan["class_names"]) == (5, GARMENTS)
    assert "the model's own classifier: Trouser, Sandal" in said
    header = (tmp_path / "p/model/microtune_model.h").read_text()
    assert "extern const char *const mt_class_names[MT_CLASSES];" in header
    _, said = compiled(tmp_path / "p", "--scheme", "none", "--classes", 4)
    assert "the head is empty and cannot learn: every frame will be class 0" in said
    words = ("--scheme", "none", "--data", embedded.DATA, "-o", tmp_path / "q")
    assert "which knows Trouser, Sandal, Sneaker, Bag, Ankle boot; not" in refused(*words)
    assert not (tmp_path / "q").exists()


def test_values_are_learnt_instead_of_classes(tmp_path: Path) -> None:
    """The project says it; what only classifiers can is refused, before anything is written."""
    folder = tmp_path / "p"
    plan, said = compiled(folder, "--outputs", 3, "--scheme", "last-3")
    assert (plan["classes"], plan["class_names"], said) == (3, [], "")
    header = (folder / "model/microtune_model.h").read_text()
    assert "#define MT_TARGET_CODES 3" in header and "MT_CLASSES" not in header
    assert "3 values, learnt by mean squared error" in (folder / "README.md").read_text()
    for command in (("train",), ("evaluate",)):
        done = microtune(*command, folder, "--data", embedded.DATA)
        assert done.returncode == 2
        assert "has no target: an .npz needs the array target" in " ".join(done.stderr.split())
    output = ("--scheme", "last-3", "-o", tmp_path / "q")
    for options, words in (
        (("--outputs", 3, "--classes", 3), "leave --classes, --data, --class-names out"),
        (("--outputs", 3, "--replay", "16KB"), "a regression has no replay memory"),
        (("--outputs", 0), "a regression has 1 to 65,536 outputs"),
    ):
        assert words in refused(*options, *output)
    assert not (tmp_path / "q").exists()


def test_schemes_that_learn_nothing_are_refused(tmp_path: Path) -> None:
    scheme = tmp_path / "s.toml"
    for text, words in (
        ("bias_layers = 3\nhead = false", "with head = false nothing can be learnt"),
        ("head = false", "trains nothing"),
        ("head = false\nbias_layers = 0\n[weights]\n", "trains nothing"),
    ):
        scheme.write_text(text)
        message = refused("--classes", 3, "--scheme", scheme, "-o", tmp_path / "p")
        assert words in message
    assert not (tmp_path / "p").exists()


def test_what_was_trained_is_compiled_in_and_goes_on(tmp_path: Path) -> None:
    folder, saved = tmp_path / "p", tmp_path / "learnt.bin"
    words = ("--data", embedded.DATA, "--scheme", "head-only")
    compiled(folder, *words)
    train = ("train", folder, "--data", embedded.DATA, "--steps", 40)
    assert microtune(*train, "--save", saved).returncode == 0
    plan, _ = compiled(folder, *words, "--learnt", saved)
    assert plan["learnt"] is not None
    assert microtune(*train, "--json", tmp_path / "t.json").returncode == 0
    again = json.loads((tmp_path / "t.json").read_text())
    compiled(folder, *words)
    assert microtune(*train, "--json", tmp_path / "t.json").returncode == 0
    fresh = json.loads((tmp_path / "t.json").read_text())
    assert again["epochs"][-1]["train_loss"] < fresh["epochs"][-1]["train_loss"]
    message = refused("--classes", 4, "--scheme", "head-only", "--learnt", saved, "-o", folder)
    assert "other classes" in message or "--classes" in message


def test_ctrl_c_and_sigterm_leave_the_old_or_the_new_project(tmp_path: Path) -> None:
    """While it starts, while it compiles, when it is nearly done: never a traceback."""
    folder = tmp_path / "p"
    compiled(folder, "--classes", 3, "--scheme", "head-only")
    old = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    words = [*map(str, ("compile", embedded.MODEL, "--classes", 3, "--scheme", "full"))]
    for number, wait in ((signal.SIGINT, 0.4), (signal.SIGINT, 1.2), (signal.SIGTERM, 1.2)):
        process = subprocess.Popen(
            [*INTERRUPTIBLE, *words, "-o", str(folder)], stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        time.sleep(wait)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        assert "Traceback" not in said
        if process.returncode:
            assert process.returncode in (130, 143, -number)
            assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == old
        compiled(folder, "--classes", 3, "--scheme", "head-only")
