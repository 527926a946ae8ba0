"""The native model file `NAME.mt`: one zip with the graph's text, its tensors and its papers.

    manifest.json       format version, preprocessing, licence's SPDX id, source, class names
    graph.txt           the textual form of the graph
    tensors.npz         consts, params and states, named as in the text (never pickled)
    LICENSE             the licence of the weights

Member dates are fixed, so writing the same model twice gives the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from microtune.errors import MicrotuneError
from microtune.ir.graph import Array, Graph
from microtune.ir.text import format_graph, parse_graph
from microtune.ir.verifier import InvalidGraphError, verify
from microtune.tools.files import write_whole

FORMAT_VERSION = 1
_DATE = (1980, 1, 1, 0, 0, 0)
_MAX_BYTES = 256 * 2**20
_MEMBERS = ("manifest.json", "graph.txt", "tensors.npz", "LICENSE")
# What zipfile, zlib, json and numpy raise on damaged bytes; RuntimeError covers encrypted members,
# unsupported compression and nesting without end.
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, OSError, EOFError, KeyError, TypeError, ValueError,
    RuntimeError, MemoryError, OverflowError,
)  # fmt: skip


@dataclass(repr=False)
class ModelFile:
    """An int8 network: its graph, its preprocessing (as JSON: height, width, channels,
    resize_ratio), licence text, where it comes from, and the names of its own classes in label
    order (empty: not known)."""

    graph: Graph
    preprocessing: dict[str, Any]
    licence: str
    source: str = ""
    classes: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.graph.input_tensor.shape[1:]))
        names = f", classes {', '.join(map(str, self.classes))}" if self.classes else ""
        return (
            f"Model({self.graph.name!r}: int8 input {shape}, {len(self.graph.nodes)} layers"
            f"{names}, sha256 {self.sha256()[:12]})"
        )

    def save(self, path: Path) -> None:
        """Write it as a native model file NAME.mt, whole or not at all. Raises MicrotuneError."""
        if path.suffix != ".mt":
            raise MicrotuneError(f"{path}: a native model file is called NAME.mt")
        save_model(self, path)

    def sha256(self) -> str:
        """Hash of the text and of every tensor by name: independent of compression."""
        digest = hashlib.sha256(format_graph(self.graph).encode())
        for name in sorted(self.graph.data):
            array = self.graph.data[name]
            digest.update(name.encode() + b"\0" + array.dtype.str.encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def _npz(data: dict[str, Array]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(data):
            member = io.BytesIO()
            array = np.ascontiguousarray(data[name]).reshape(data[name].shape)
            np.lib.format.write_array(member, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(name + ".npy", _DATE), member.getvalue())
    return buffer.getvalue()


def _arrays(npz: bytes) -> dict[str, Array]:
    """The arrays by tensor name; np.load would take the tensor "a.npy" for "a"."""
    data: dict[str, Array] = {}
    with zipfile.ZipFile(io.BytesIO(npz)) as archive:
        for name in archive.namelist():
            with archive.open(name) as member:
                array = np.lib.format.read_array(member, allow_pickle=False)
            data[name.removesuffix(".npy")] = array
    return data


def save_model(model: ModelFile, path: Path) -> None:
    """Write `path` whole or not at all. Raises MicrotuneError."""
    verify(model.graph)
    manifest = {
        "format_version": FORMAT_VERSION, "preprocessing": model.preprocessing,
        "source": model.source, "classes": model.classes,
    }  # fmt: skip
    contents = (
        (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode(),
        format_graph(model.graph).encode(), _npz(model.graph.data), model.licence.encode(),
    )  # fmt: skip
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in zip(_MEMBERS, contents, strict=True):
            info = zipfile.ZipInfo(name, _DATE)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    write_whole(path, packed.getvalue())


def _members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if sorted(names) != sorted(_MEMBERS):
            raise MicrotuneError(f"{path}: not a microtune model: it holds {names[:5]}")
        if sum(info.file_size for info in archive.infolist()) > _MAX_BYTES:
            raise MicrotuneError(f"{path}: unpacks to more than {_MAX_BYTES >> 20} MB")
        return {name: archive.read(name) for name in names}


def load_model(path: Path, check: Callable[[Graph], object] | None = None) -> ModelFile:
    """Read and verify a `.mt` file. Raises MicrotuneError on anything that is not one; `check` gets
    the graph before it is verified, and may raise too."""
    if not path.is_file():
        raise MicrotuneError(f"{path}: no such model file")
    try:
        members = _members(path)
        manifest = json.loads(members["manifest.json"])
        if manifest["format_version"] != FORMAT_VERSION:
            raise MicrotuneError(
                f"{path}: model format version {manifest['format_version']} is unknown; "
                f"this microtune reads version {FORMAT_VERSION}"
            )
        graph = parse_graph(members["graph.txt"].decode())
        graph.data = _arrays(members["tensors.npz"])
        if check is not None:
            check(graph)
        verify(graph)
        return ModelFile(
            graph, manifest["preprocessing"], members["LICENSE"].decode(),
            str(manifest.get("source", "")), list(manifest.get("classes", [])),
        )  # fmt: skip
    except _DAMAGE as error:
        if isinstance(error, InvalidGraphError):
            raise MicrotuneError(f"{path}: the graph is invalid: {error}") from error
        raise MicrotuneError(f"{path}: not a readable microtune model: {error}") from error
