"""What a search decides: how deep biases are trained, and which channels of which layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

RATIOS = (Fraction(1, 8), Fraction(1, 4), Fraction(1, 2), Fraction(1))


@dataclass(frozen=True, order=True)
class Choice:
    """Train the weights of `ratio` of a layer's channels; `layer` is its index, 0 = first."""

    layer: int
    ratio: Fraction


@dataclass(frozen=True)
class Selection:
    """A scheme of a search: biases of the last `bias_layers` layers, at most one choice a layer,
    in the order of layers; the head is trained always."""

    bias_layers: int
    choices: tuple[Choice, ...]

    def table(self, name: str, model: str) -> dict[str, object]:
        """As a scheme file has it (docs/schemes.md)."""
        weights = {str(c.layer): str(c.ratio) for c in self.choices}
        return {"name": name, "model": model, "bias_layers": self.bias_layers, "weights": weights}


HEAD_ONLY = Selection(0, ())


@dataclass(frozen=True)
class Contributions:
    """What training more is worth, as a decrease of the mean validation log-loss in nats (more is
    better, negative: it harms): of the biases of the last k layers over the head alone, and of each
    choice over biases alone. Their sum is the additive objective."""

    biases: Mapping[int, float]
    weights: Mapping[Choice, float]

    def cover(self, selection: Selection) -> bool:
        """Whether all parts of the selection are known."""
        return selection.bias_layers in {0, *self.biases} and all(
            choice in self.weights for choice in selection.choices
        )

    def objective(self, selection: Selection) -> float:
        """Predicted decrease of the log-loss of a selection over the head alone, in nats."""
        total = self.biases[selection.bias_layers] if selection.bias_layers else 0.0
        return total + sum(self.weights[choice] for choice in selection.choices)
