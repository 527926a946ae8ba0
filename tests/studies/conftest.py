"""The embedded model and images as the folder that studies read."""

from __future__ import annotations

import shutil

import pytest
from microtune_studies.sources import Sources

from microtune import embedded


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """models/fashion5.mt and data/fashion_tops.npz."""
    folder = tmp_path_factory.mktemp("sources")
    for part, file in (("models", embedded.MODEL), ("data", embedded.DATA)):
        (folder / part).mkdir()
        shutil.copy(file, folder / part / file.name)
    return Sources(folder, folder / "latents")
