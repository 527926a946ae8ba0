"""Importers: one module for each model format; a file's format is told by its content."""

from __future__ import annotations

from pathlib import Path

from microtune.errors import MicrotuneError
from microtune.importers.base import SNIFFED, Importer, Unsupported, UnsupportedError
from microtune.importers.mcunet import McunetImporter, import_mcunet
from microtune.importers.native import NativeImporter
from microtune.importers.pytorch.export import sniff_exported
from microtune.importers.tflite import TfliteImporter
from microtune.ir.modelfile import ModelFile

__all__ = [
    "IMPORTERS",
    "Importer",
    "Unsupported",
    "UnsupportedError",
    "import_mcunet",
    "importer_of",
    "load_any",
]

IMPORTERS: tuple[Importer, ...] = (NativeImporter(), McunetImporter(), TfliteImporter())
# What other files say of themselves: (place, bytes, name).
_FOREIGN = (
    (0, b"\x89HDF\r\n", "it is an HDF5 file, as Keras writes it"),
    (0, b"PK\x03\x04", "it is a zip, but of other content"),
    (0, b"\x80\x02", "it is a bare pickle"),
)


def load_any(path: Path) -> ModelFile:
    """Read a model of any known format, whatever its file is called.

    Raises what `importer_of` raises, MicrotuneError for a damaged file, and UnsupportedError if it
    has nodes that cannot be imported.
    """
    return importer_of(path).load(path)


def importer_of(path: Path) -> Importer:
    """The importer of a file, which is told by its content.

    Raises MicrotuneError if the file is absent or of no known format; the message lists the known
    ones.
    """
    start = _start(path)
    for importer in IMPORTERS:
        if importer.sniff(start, path):
            return importer
    formats = " and ".join(importer.format for importer in IMPORTERS)
    raise MicrotuneError(
        f"{path}: unknown model format: {_what(start, path)}. Known formats are {formats}"
    )


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(SNIFFED)
    except FileNotFoundError:
        raise MicrotuneError(f"{path}: no such model file") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise MicrotuneError(f"cannot read the model {path}: {reason}") from error


def _what(start: bytes, path: Path) -> str:
    """A description of a file of no known format."""
    if not start:
        return "it is empty"
    if sniff_exported(path):
        return "it is a float network of PyTorch; `microtune quantize` makes an int8 model of it"
    for place, magic, name in _FOREIGN:
        if start.startswith(magic, place):
            return name
    if path.suffix.lower() == ".onnx":
        return "it is an ONNX model by its name"
    return f"it begins with {start[:8]!r}"
