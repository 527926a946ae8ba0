"""Targets of one's own: a TOML file, checked as a whole, recorded whole in the project."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import microtune as mt
from microtune import embedded
from microtune.project.manifest import read_plan
from microtune.targets import Target, load_target, parse_target, target_names
from tests.docs.pages import ROOT, pieces
from tests.processes import microtune

KB = 1024


def board_text() -> str:
    """The example of docs/targets.md."""
    (text,) = (p.text for p in pieces(ROOT / "docs/targets.md") if p.kind == "toml")
    return text


def fields() -> dict[str, Any]:
    return tomllib.loads(board_text())


@pytest.fixture
def board(tmp_path: Path) -> Path:
    path = tmp_path / "board.toml"
    path.write_text(board_text(), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", target_names())
def test_a_target_survives_its_record(name: str) -> None:
    target = load_target(name)
    assert parse_target(json.loads(json.dumps(target.to_json())), "plan") == target
    assert load_target(target) == target


def test_what_is_a_file_and_what_a_name(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(board.parent)
    (board.parent / "boards").mkdir()
    (board.parent / "boards/mine").write_text(board_text(), encoding="utf-8")
    found = [load_target(given) for given in (board, str(board), "board.toml", "boards/mine")]
    assert found == [found[0]] * 4 and found[0].name == "m4-board"
    assert [bank.name for bank in found[0].memories] == ["ccm", "sram"]
    for absent in ("absent.toml", "boards/absent", Path("absent")):
        with pytest.raises(mt.MicrotuneError, match="no such target file"):
            load_target(absent)
    with pytest.raises(mt.MicrotuneError, match=r"unknown target 'absent'.*board\.toml"):
        load_target("absent")


def test_the_fastest_bank_comes_first_in_whatever_order_they_stand() -> None:
    data = fields()
    data["memories"].reverse()
    assert parse_target(data, "here").ram.name == "ccm"


Change = Callable[[dict[str, Any]], object]
WRONG: list[tuple[Change, str]] = [
    (lambda d: d.pop("name"), "field 'name' is missing"),
    (lambda d: d.pop("memories"), "field 'memories' is missing"),
    (lambda d: d["gcc"].pop("cpu_flags"), "field 'gcc.cpu_flags' is missing"),
    (lambda d: d["memories"][1].pop("bytes"), "field 'memories.1.bytes' is missing"),
    (lambda d: d.update(colour=1), "unknown field 'colour'; known are name, architecture"),
    (lambda d: d["flash"].update(size=1), "unknown field 'flash.size'; known are origin, bytes"),
    (lambda d: d.update(architecture="xtensa"), r"'architecture': 'xtensa' is not one of \['arm'"),
    (lambda d: d.update(memories=[]), "field 'memories'"),
    (lambda d: d["flash"].update(bytes=0), "field 'flash.bytes': 0 is less than"),
    (lambda d: d["flash"].update(bytes=-4), "field 'flash.bytes': -4 is less than"),
    (lambda d: d["flash"].update(bytes="512KB"), "'512KB' is not of type 'integer'"),
    (lambda d: d["flash"].update(bytes=2**40), "field 'flash.bytes'"),
    (lambda d: d["flash"].update(origin=2**32 - 1), "flash ends at .* beyond 32 bits"),
    (lambda d: d["memories"][0].update(speed=0), "field 'memories.0.speed'"),
    (lambda d: d["memories"][0].update(name="sram"), "two memories are called 'sram'"),
    (lambda d: d["memories"][0].update(name="flash"), "cannot be called 'flash'"),
    (lambda d: d["memories"][0].update(name="a b"), "field 'memories.0.name'"),
    (lambda d: d["memories"][0].update(origin=0x2001FFFF), r"sram \(.* overlaps ccm"),
    (lambda d: d["gcc"].update(cpu_flags=["-mcpu=x; rm"]), "field 'gcc.cpu_flags.0'"),
    (lambda d: d.update(name="../up"), "field 'name'"),
    (lambda d: d.pop("harness"), "emulator and harness belong together"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "words"), WRONG, ids=[words[:40] for _, words in WRONG])
def test_a_wrong_field_is_named(change: Change, words: str) -> None:
    data = fields()
    change(data)
    with pytest.raises(mt.MicrotuneError, match=f"here: .*{words}"):
        parse_target(data, "here")


def test_all_wrong_fields_are_named_at_once(board: Path) -> None:
    board.write_text(board_text().replace("bytes =", "size =").replace("core =", "chip ="))
    done = microtune("compile", embedded.MODEL, "--classes", 5, "--scheme", "head-only", "--target",
                     board, "-o", board.parent / "p")  # fmt: skip
    message = " ".join(done.stderr.split())
    assert done.returncode == 2 and "Traceback" not in message
    for words in ("unknown field 'chip'", "field 'core' is missing", "unknown field 'flash.size'",
                  "field 'memories.0.bytes' is missing"):  # fmt: skip
        assert words in message
    for content, words in ((b"name =", "not TOML"), (b"\xff", "no UTF-8 text")):
        board.write_bytes(content)
        with pytest.raises(mt.MicrotuneError, match=words):
            load_target(board)


def test_a_target_object_is_checked_too() -> None:
    target = load_target("cortex-m7")
    bank = replace(target.ram, bytes=0)
    with pytest.raises(mt.MicrotuneError, match=r"target cortex-m7: field 'memories\.0\.bytes'"):
        load_target(replace(target, memories=(bank,)))


def test_a_damaged_record_is_said(tmp_path: Path) -> None:
    project = mt.compile(embedded.MODEL, classes=5, scheme="head-only", output=tmp_path / "p")
    path = project.path / "plan.json"
    plan = json.loads(path.read_text())
    del plan["target"]["memories"]
    path.write_text(json.dumps(plan))
    with pytest.raises(mt.MicrotuneError, match=r"plan\.json: target: field 'memories' is missing"):
        mt.open(project.path)


@pytest.mark.chip
def test_a_made_up_board_learns_and_is_measured_without_its_file(board: Path) -> None:
    """The board of the page: compiled, trained in the emulator and measured after the file went."""
    command = ["compile", embedded.MODEL, "--classes", 5, "--scheme", "last-3", "--target", board,
               "--sram", "192KB", "--flash", "512KB", "-o", board.parent / "p"]  # fmt: skip
    assert microtune(*command).returncode == 0
    same = mt.compile(
        embedded.MODEL, classes=5, scheme="last-3", target=load_target(board), sram="192KB",
        flash="512KB", output=board.parent / "q",
    )  # fmt: skip
    board.unlink()
    project = mt.open(board.parent / "p")
    assert (same.path / "plan.json").read_bytes() == (project.path / "plan.json").read_bytes()
    recorded = read_plan(project.path).target
    assert isinstance(recorded, Target) and recorded == parse_target(fields(), "page")
    assert "ccm" in project.figures.arenas
    script = (project.path / "port/linker.ld").read_text()
    assert f"CCM (rw) : ORIGIN = 0x20040000, LENGTH = {64 * KB}" in script
    chip = project.train(embedded.DATA, steps=3, on="qemu", note=lambda line: None)
    host = project.train(embedded.DATA, steps=3, on="host", note=lambda line: None)
    assert chip.parameters_sha256 == host.parameters_sha256
    figures = project.measure().to_json()
    assert figures["target"] == "m4-board"
    assert 0 < figures["sram_bytes"] <= 192 * KB and 0 < figures["flash_bytes"] <= 512 * KB
    other = project.measure(target="cortex-m4").to_json()
    assert other["infer_instructions"] == figures["infer_instructions"]
