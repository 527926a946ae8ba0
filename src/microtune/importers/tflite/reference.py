"""Run a `.tflite` file by LiteRT's reference kernels: what the import is compared with."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from microtune.errors import MicrotuneError
from microtune.importers.tflite.importer import TfliteModel
from microtune.ir.graph import Array

INSTALL = "pip install 'microtune[verify]'"


class Reference:
    """The file's own runtime, with every tensor kept. Raises MicrotuneError if it is not installed,
    or refuses the file."""

    def __init__(self, model: TfliteModel) -> None:
        self._model = model
        try:
            with _quiet():
                from ai_edge_litert.interpreter import Interpreter, OpResolverType
        except ImportError as error:
            raise MicrotuneError(f"LiteRT is not installed: {INSTALL} ({error})") from error
        try:
            with _quiet():
                self._interpreter: Any = Interpreter(
                    str(model.file.path), num_threads=1,
                    experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
                    experimental_preserve_all_tensors=True,
                )  # fmt: skip
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0][:200] if str(error) else "no reason given"
            raise MicrotuneError(f"{model.file.path}: LiteRT refuses the file: {reason}") from error

    def run(self, codes: Array) -> None:
        """Run one sample, int8 codes in the shape of the graph's input."""
        tensor = self._model.file.tensors[self._model.input.tensor]
        given = self._model.input.in_file_order(codes, tensor.shape)
        if tensor.dtype == "float32":
            quant = self._model.model.graph.input_tensor.quant
            assert quant is not None and quant.scale is not None
            given = (given - quant.zero_point) * np.float32(quant.scale)
        self._interpreter.set_tensor(tensor.index, given.astype(tensor.dtype))
        self._interpreter.invoke()

    def codes(self, tensor: int) -> Array:
        """The codes of a tensor of the file, int64 of its shape."""
        result: Array = self._interpreter.get_tensor(tensor).astype(np.int64)
        return result


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """LiteRT writes notes to the process's standard error, past Python."""
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
