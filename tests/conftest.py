"""What tests may need, and the reasons they skip for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from microtune.tools.objects import OBJECTS

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def _kept_work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is compiled once serves all tests, their workers and the processes that they start: C,
    and Python too where the environment says that it is not to be kept."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    with pytest.MonkeyPatch.context() as patch:
        if OBJECTS not in os.environ:
            patch.setenv(OBJECTS, str(shared / "objects"))
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        yield


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The optional folder with data/ and models/ (MICROTUNE_DATA)."""
    folder = Path(os.environ.get("MICROTUNE_DATA", ROOT.parent / "shared"))
    if not (folder / "models").is_dir():
        pytest.skip("the optional data folder is absent (set MICROTUNE_DATA)")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip by marker, with the reason."""
    reasons = []
    if find_spec("torch") is None:
        reasons.append(("oracle", "PyTorch is not installed (make test-all installs it)"))
    if find_spec("ray") is None or find_spec("distributed") is None:
        reasons.append(("cluster", "Ray or Dask is not installed (make test-all installs them)"))
    if not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")):
        reasons.append(("chip", "arm-none-eabi-gcc or qemu-system-arm is not installed"))
    if not (shutil.which("riscv64-unknown-elf-gcc") and shutil.which("qemu-system-riscv32")):
        missing = "riscv64-unknown-elf-gcc or qemu-system-riscv32 is not installed"
        reasons.append(("riscv", missing))
    for item in items:
        for marker, reason in reasons:
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))
