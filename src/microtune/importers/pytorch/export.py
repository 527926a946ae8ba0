"""PyTorch's own export: a module or a `.pt2` file becomes a graph of ATen operators."""

from __future__ import annotations

import copy
import logging
import os
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from microtune.errors import MicrotuneError
from microtune.importers.base import SNIFFED, zip_members

if TYPE_CHECKING:
    import torch

# `torch.export.ExportedProgram`; PyTorch is not there for who checks types.
ExportedProgram = Any

_NO_TORCH = "PyTorch is not installed: pip install 'microtune[torch]'"
# Members of an archive that `torch.export.save` writes.
_MEMBERS = ("archive_format", "serialized_exported_program.json")
_OBJECTS = ("custom_obj_", "opaque_obj_", "script_obj_")
# Switches of `torch.load`.
_FORCED, _FORBIDDEN = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
_WORDS = 300  # characters of PyTorch's own message


def is_module(value: object) -> bool:
    """Whether a value is an `nn.Module`; nothing is imported to ask."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def convolutions(module: object) -> tuple[int, list[int]]:
    """(rank of what a module's convolutions take, their input channels); (0, []) without any."""
    from torch import nn

    assert isinstance(module, nn.Module)
    found = [one for one in module.modules() if isinstance(one, nn.Conv1d | nn.Conv2d)]
    if not found:
        return 0, []
    kind = nn.Conv1d if isinstance(found[0], nn.Conv1d) else nn.Conv2d
    rank = 3 if isinstance(found[0], nn.Conv1d) else 4
    return rank, [int(one.in_channels) for one in found if isinstance(one, kind)]


def sniff_exported(path: Path) -> bool:
    """Whether a file is an archive of `torch.export.save`, whatever its name, or damaged."""
    try:
        with path.open("rb") as file:
            names = zip_members(file.read(SNIFFED), path)
    except OSError:
        return False
    return any(name.split("/")[-1] in _MEMBERS or "/data/weights/" in name for name in names)


def export_module(module: torch.nn.Module, sample: np.ndarray) -> ExportedProgram:
    """The graph of a module that is given one sample, float32 (1, …).

    The module itself stays as it is; a copy is put into evaluation mode and into float32. Raises
    MicrotuneError if PyTorch cannot export it.
    """
    import torch

    try:
        own = copy.deepcopy(module).cpu().float().eval()
        with torch.no_grad(), _silent():
            return torch.export.export(own, (torch.from_numpy(sample),), strict=False)
    except Exception as error:  # whatever a user's forward raises
        raise MicrotuneError(
            f"{type(module).__name__} cannot be exported for an input of shape "
            f"{list(sample.shape)}: {_first_words(error)}"
        ) from error


@contextmanager
def _silent() -> Iterator[None]:
    """PyTorch logs a stack of its own before it raises; the message says the same."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def load_exported(path: Path) -> ExportedProgram:
    """Read a `.pt2` file; nothing in it is executed.

    Raises MicrotuneError if it is damaged, holds objects of Python, or PyTorch is absent.
    """
    try:
        import torch
    except ImportError:
        raise MicrotuneError(_NO_TORCH) from None
    try:
        _check_no_objects(path)
        with _silent(), _tensors_only():
            return torch.export.load(path)
    except MicrotuneError:
        raise
    except Exception as error:  # its readers raise anything on damaged bytes
        raise MicrotuneError(
            f"{path}: not a readable export of PyTorch {torch.__version__}: {_first_words(error)}"
        ) from error


def _check_no_objects(path: Path) -> None:
    """Refuse objects that are unpickled without asking; those are stored under such names."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if any(prefix in name for prefix in _OBJECTS):
                raise MicrotuneError(
                    f"{path}: holds an object of Python ({name}), which could run code; export a "
                    "network of tensors alone"
                )


@contextmanager
def _tensors_only() -> Iterator[None]:
    """While this lasts `torch.load` reads tensors and plain containers, whoever calls it.

    The reader of archives asks for any object where the file says so.
    """
    before = {name: os.environ.pop(name, None) for name in (_FORCED, _FORBIDDEN)}
    os.environ[_FORCED] = "1"
    try:
        yield
    finally:
        del os.environ[_FORCED]
        os.environ.update({name: value for name, value in before.items() if value is not None})


def _first_words(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= _WORDS else f"{text[:_WORDS]}…"
