"""One file per format -> Graph."""

from __future__ import annotations

from pathlib import Path

from microtune.errors import MicrotuneError
from microtune.importers.mcunet import import_mcunet
from microtune.ir.modelfile import ModelFile, load_model

__all__ = ["import_mcunet", "load_any"]


def load_any(path: Path) -> ModelFile:
    """Read a model of any supported format, told apart by its extension."""
    suffix = path.suffix.lower()
    if suffix == ".mt":
        return load_model(path)
    if suffix == ".pkl":
        return import_mcunet(path)
    raise MicrotuneError(
        f"{path}: unknown model format '{suffix}'; supported are .mt (microtune) and .pkl "
        "(int8 networks of the MCUNet family)"
    )
