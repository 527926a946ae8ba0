"""The demo's way without the Arm tools: it trains on the host and says what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import microtune as mt
from microtune.cli.demo import run_demo


def test_without_the_arm_tools(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        mt, "missing_tools", lambda: ["arm-none-eabi-gcc not found."], raising=False
    )
    run_demo(tmp_path, 1)
    shown = capsys.readouterr().out
    assert "skipped: arm-none-eabi-gcc not found" in shown
    assert "needs the Arm tools" in shown and "head-only, same steps" in shown
    with Image.open(tmp_path / "predictions.png") as picture:
        assert picture.width > 800
