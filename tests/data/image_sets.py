"""Small image sets to read."""

import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]
RAMP: Pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)


def encode(pixels: Pixels, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


def noise(seed: int, height: int = 20, width: int = 24) -> Pixels:
    shape = (height, width, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def small_set() -> dict[str, bytes]:
    """Two classes; three training images and one test image each."""
    files = {}
    for number, label in enumerate(("cat", "dog")):
        for i in range(3):
            files[f"train/{label}/{i}.png"] = encode(noise(10 * number + i))
        files[f"test/{label}/9.png"] = encode(noise(10 * number + 9))
    return files


def write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def write_tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def write_npz(path: Path, arrays: Mapping[str, Any]) -> Path:
    np.savez_compressed(path, **arrays)
    return path


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


WRITERS: dict[str, Callable[[Path, dict[str, bytes]], Path]] = {
    "set": write_folder, "set.tar": write_tar, "set.zip": write_zip,
}  # fmt: skip
