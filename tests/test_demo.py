"""The demo's way without the Arm tools: it trains on the host and says what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from microtune import demo
from microtune.run.emulator import find_qemu
from microtune.tools.toolchain import find_arm_gcc


def test_without_the_arm_tools(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "missing_tools", lambda: ["arm-none-eabi-gcc not found."])
    demo.run_demo(tmp_path, 1)
    shown = capsys.readouterr().out
    assert "skipped: arm-none-eabi-gcc not found" in shown
    assert "needs the Arm tools" in shown and "head-only, same steps" in shown
    with Image.open(tmp_path / "predictions.png") as picture:
        assert picture.width > 800


def test_missing_tools_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    find_arm_gcc.cache_clear()
    find_qemu.cache_clear()
    problems = " ".join(demo.missing_tools())
    assert "gcc-arm-none-eabi" in problems and "qemu-system-arm" in problems
