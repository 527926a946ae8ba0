"""`make lint` refuses words in rooms that they do not belong to."""

from __future__ import annotations

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "scripts/check_words.py"
spec = importlib.util.spec_from_file_location("check_words", SCRIPT)
assert spec and spec.loader
check_words = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check_words)


def test_words_are_refused_outside_their_rooms(tmp_path: Path) -> None:
    for room in ("ir", "data/image"):
        (tmp_path / room).mkdir(parents=True)
        (tmp_path / room / "a.py").write_text('x = 1\nfirst_pixel = 2  # a Pixel\ny = "pixels"\n')
    (tmp_path / "ir/b.py").write_text("import torch\n")
    assert check_words.problems(tmp_path) == [
        "ir/a.py:2: 'Pixel' belongs to data/image, data/npz.py, importers, project/camera.py, "
        "report/pictures.py",
        "ir/b.py:1: 'torch' belongs to importers, api/quantizing.py, api/calibration.py",
    ]


def test_the_package_keeps_to_it() -> None:
    assert check_words.problems(check_words.PACKAGE) == []
