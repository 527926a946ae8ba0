"""Import native model files (`.mt`, `ir/modelfile.py`)."""

from __future__ import annotations

from pathlib import Path

from microtune.importers.base import Unsupported, UnsupportedError, zip_members
from microtune.ir.graph import Graph
from microtune.ir.modelfile import ModelFile, load_model
from microtune.ir.ops import OPS


class NativeImporter:
    """The importer of native models: a zip with the graph's text, tensors and metadata."""

    format = ".mt (native models of microtune)"

    def sniff(self, start: bytes, path: Path) -> bool:
        """Whether the zip has a manifest of this program, or begins with one."""
        return "manifest.json" in zip_members(start, path)

    def load(self, path: Path) -> ModelFile:
        """Read and verify the model of a file.

        Raises MicrotuneError for a damaged file, and UnsupportedError with all nodes of unknown
        ops, which another version of microtune may have written.
        """

        def check(graph: Graph) -> None:
            unknown = [
                Unsupported(
                    node.outputs[0], f"this microtune has no op '{node.op}'",
                    "the version of microtune that wrote the file",
                )
                for node in graph.nodes if node.op not in OPS
            ]  # fmt: skip
            if unknown:
                raise UnsupportedError(path, unknown)

        return load_model(path, check)
