"""How good an int8 network is beside the float network that it was made of: data alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from microtune.floats import FloatGraph
from microtune.ir.graph import Graph


@dataclass(frozen=True)
class LayerQuality:
    """How a tensor came out. All layers before it are quantised too.

    `method` chose its range, `sqnr` is its signal to quantisation noise on held-out samples, and
    `lost` what it has less than the worst of its operands (50 dB, what eight bits give, at most),
    both in decibels. `where` is the path of
    its module.
    """

    name: str
    op: str
    where: str
    method: str
    sqnr: float
    lost: float


@dataclass(frozen=True)
class Accuracy:
    """The share of labelled images of a split that both networks get right."""

    split: str
    images: int
    floats: float
    int8: float


@dataclass(frozen=True)
class Quantized:
    """An int8 network and how it was chosen. `folded` is the float network that it stands for.

    `samples` were used to calibrate. On `held_out` other ones the exact int8 network ran: `sqnr` is
    that of its output in decibels, `agreement` the share whose largest output is the same.
    `equalised` counts pairs of layers whose channels were scaled.
    """

    graph: Graph
    folded: FloatGraph
    layers: tuple[LayerQuality, ...]
    equalised: int
    samples: int
    held_out: int
    sqnr: float
    agreement: float

    def methods(self) -> dict[str, int]:
        """How many tensors got their range by each method."""
        return dict(Counter(layer.method for layer in self.layers))

    def to_json(self) -> dict[str, Any]:
        """The figures as `--json` writes them."""
        return {
            "samples": self.samples, "held_out": self.held_out, "sqnr": self.sqnr,
            "agreement": self.agreement, "equalised": self.equalised, "methods": self.methods(),
            "layers": [
                {"name": layer.name, "op": layer.op, "where": layer.where, "method": layer.method,
                 "sqnr": layer.sqnr, "lost": layer.lost}
                for layer in self.layers
            ],
        }  # fmt: skip
