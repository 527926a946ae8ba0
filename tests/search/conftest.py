"""The folder that runs read, and where trials keep what they compile."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.studies.conftest import sources

__all__ = ["sources"]


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where trials keep what they compile: the runtime is compiled once for all tests."""
    return tmp_path_factory.mktemp("kept")
