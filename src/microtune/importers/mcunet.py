"""Import the int8 networks of the MCUNet family (`.pkl`: a zip with one pickle of arrays).

Layers are named conv0, conv1, ... in execution order (the index of the published update schemes),
the 1000-class layer `classifier`. The graph keeps the file's arithmetic, mode "mcunet".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from microtune.errors import MicrotuneError
from microtune.importers.base import (
    Unsupported,
    UnsupportedError,
    licence_beside,
    zip_members,
)
from microtune.importers.dead_channels import neutralize_dead_channels
from microtune.importers.safe_pickle import PICKLE, read_numpy_pickle
from microtune.ir.builder import Builder
from microtune.ir.graph import Array, Graph, Quant
from microtune.ir.modelfile import ModelFile
from microtune.ir.verifier import InvalidGraphError, verify

RESIZE_RATIO = 0.875
# Far beyond any real network; within them float32 products neither overflow nor vanish.
_SCALES = (1e-12, 1e12)


class _Reader:
    """Builds the graph layer by layer; every assumption about the file is checked."""

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self.path = path
        self.content = content
        self.builder = Builder(path.stem, "mcunet")
        self.convs = 0
        self.unsupported: list[Unsupported] = []

    def refuse(self, node: str, why: str, instead: str) -> None:
        """Record a node that cannot be imported; reading continues, so that all are found."""
        self.unsupported.append(Unsupported(node, why, instead))

    def fail(self, what: str) -> MicrotuneError:
        return MicrotuneError(f"{self.path}: not an MCUNet file that microtune knows: {what}")

    def get(self, layer: object, key: str, kind: type | tuple[type, ...]) -> Any:  # noqa: ANN401
        if not isinstance(layer, dict) or key not in layer:
            raise self.fail(f"'{key}' is missing")
        if not isinstance(layer[key], kind) or isinstance(layer[key], bool):
            raise self.fail(f"'{key}' is a {type(layer[key]).__name__}")
        return layer[key]

    def quant(self, params: dict[str, Any], which: str) -> Quant:
        scale = float(self.get(params, f"{which}_scale", float))
        zero = int(self.get(params, f"{which}_zero", int))
        if not (_SCALES[0] <= scale <= _SCALES[1] and -128 <= zero <= 127):
            raise self.fail(f"{which}_scale {scale} with {which}_zero {zero}")
        return Quant(scale, zero)

    def array(self, params: dict[str, Any], key: str, dtype: type, ndim: int) -> Array:
        value = self.get(params, key, np.ndarray)
        if value.dtype != dtype or value.ndim != ndim:
            raise self.fail(f"'{key}' is {value.dtype}{list(value.shape)}")
        array: Array = value
        return array

    def conv(self, layer: object, x: str, name: str | None = None) -> str:
        params = self.get(layer, "params", dict)
        weight = self.array(params, "weight", np.int8, 4)
        bias = self.array(params, "bias", np.int32, 1)
        scales = self.array(params, "w_scales", np.float32, 1)
        stride = int(self.get(layer, "stride", int))
        groups = int(self.get(layer, "groups", int))
        outputs, per_group, kh, kw = weight.shape
        channels = self.builder.graph.tensors[x].shape[3]
        if not (len(bias) == len(scales) == outputs) or per_group * groups != channels:
            raise self.fail(f"a weight of {list(weight.shape)} on {channels} channels")
        if stride not in (1, 2, 3, 4) or not ((scales > 0) & (scales <= _SCALES[1])).all():
            raise self.fail("a stride or a weight scale out of range")
        if (weight < -127).any():
            # The bounds of every accumulator rest on |w| <= 127.
            self.refuse(
                name or f"conv{self.convs}", "a weight of -128",
                "symmetric quantisation: weights from -127 to 127",
            )  # fmt: skip
        # Behind a node that is not taken, the quantisation cannot fit.
        if not self.unsupported and self.quant(params, "x") != self.builder.graph.quant(x):
            raise self.fail(f"the input quantisation of conv {self.convs} is not its producer's")
        if name is None:
            name, self.convs = f"conv{self.convs}", self.convs + 1
        return self.builder.conv2d(
            name, x, weight.transpose(0, 2, 3, 1), scales, bias, self.quant(params, "y"),
            stride=(stride, stride), padding=(kh // 2, kw // 2, kh // 2, kw // 2), groups=groups,
        )  # fmt: skip

    def block(self, block: object, number: int, x: str) -> str:
        if not isinstance(block, dict):
            raise self.fail(f"block {number} is no dictionary")
        if block.get("se") is not None:
            self.refuse(
                f"block {number}", "a squeeze-and-excitation branch",
                "a network of the family without it",
            )  # fmt: skip
        y = x
        for part in ("pointwise1", "depthwise", "pointwise2"):
            if block.get(part) is not None:
                y = self.conv(block[part], y)
        if block.get("residual") is None:
            return y
        params = self.get(block["residual"], "params", dict)
        if self.quant(params, "x") != self.builder.graph.quant(x):
            self._refuse_skip(number, "another quantisation than its input")
        if self.builder.graph.tensors[x].shape != self.builder.graph.tensors[y].shape:
            self._refuse_skip(number, "another shape than its sum")
            return y
        return self.builder.add(f"add{number}", x, y, self.quant(params, "y"))

    def _refuse_skip(self, number: int, why: str) -> None:
        why = f"the skip of block {number} has {why}"
        self.refuse(f"add{number}", why, "a skip that is added as it is")

    def read(self) -> str:
        first = self.get(self.content, "first_conv", dict)
        size = int(self.get(first, "in_shape", int))
        if not 8 <= size <= 1024:
            raise self.fail(f"an input of {size} pixels")
        quant = self.quant(self.get(first, "params", dict), "x")
        x = self.builder.input((1, size, size, 3), quant.scale or 0.0, quant.zero_point)
        x = self.conv(first, x)
        for number, block in enumerate(self.get(self.content, "blocks", list)):
            x = self.block(block, number, x)
        if self.content.get("feature_mix") is not None:
            x = self.conv(self.content["feature_mix"], x)
        x = self.builder.average_pool("pool", x)
        return self.conv(self.get(self.content, "classifier", dict), x, "classifier")


def import_mcunet(path: Path) -> ModelFile:
    """Read a network of the MCUNet family.

    Raises MicrotuneError if the file is not as expected.
    """
    reader = _Reader(path, read_numpy_pickle(path))
    graph = _read(reader)
    size = graph.input_tensor.shape[1]
    neutralize_dead_channels(graph)
    try:
        verify(graph)
    except InvalidGraphError as error:
        raise reader.fail(str(error)) from error
    preprocessing = {
        "height": size, "width": size, "channels": 3, "resize_ratio": RESIZE_RATIO,
    }  # fmt: skip
    return ModelFile(
        graph, preprocessing, licence_beside(path), f"{path.name} (MCUNet family, int8)"
    )


def _read(reader: _Reader) -> Graph:
    try:
        graph = reader.builder.finish(reader.read())
    except ValueError as error:
        if reader.unsupported:  # what does not fit may follow from what was not taken
            raise UnsupportedError(reader.path, reader.unsupported) from error
        raise reader.fail(str(error)) from error
    except MicrotuneError as error:
        if reader.unsupported:
            raise UnsupportedError(reader.path, reader.unsupported) from error
        raise
    if reader.unsupported:
        raise UnsupportedError(reader.path, reader.unsupported)
    return graph


class McunetImporter:
    """The importer of a zip with one pickle of arrays, which is read without executing it."""

    format = ".pkl (int8 networks of the MCUNet family)"

    def sniff(self, start: bytes, path: Path) -> bool:
        """Whether the zip has a pickle, or begins with one."""
        return PICKLE in zip_members(start, path)

    def load(self, path: Path) -> ModelFile:
        """Read a network of the MCUNet family.

        Raises MicrotuneError if the file is not as expected.
        """
        return import_mcunet(path)
