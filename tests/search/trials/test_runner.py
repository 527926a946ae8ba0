"""The rounds of a search over one session."""

from __future__ import annotations

from pathlib import Path

import pytest

from microtune import pipeline
from microtune.parallel.tasks import Backend
from microtune.parallel.worker import pickled
from microtune.search.costs.planned import Limits
from microtune.search.search import SearchOptions, search
from microtune.targets import load_target
from tests.search.tiny import tiny_model, write_images

pytest.importorskip("ortools", reason="the selection needs ortools")


def test_all_rounds_send_the_same_setup_to_workers(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So they travel once: those that ask val, and those that ask test."""
    keys: list[str] = []

    def noted(shared: object) -> tuple[str, bytes]:
        key, content = pickled(shared)
        keys.append(key)
        return key, content

    monkeypatch.setattr("microtune.parallel.local.pickled", noted)
    data = write_images(tmp_path / "images.npz", 150)
    limits = Limits(1 << 20, 1 << 20)
    request = pipeline.Request(2, "none", load_target("cortex-m7"), 1 << 20, 1 << 20)
    options = SearchOptions(request, limits, kept, epochs=2, lr=0.02, backend=Backend(workers=2))
    search(tiny_model(), data, options, lambda *_: None)
    assert len(keys) > 3 and len(set(keys)) == 2
