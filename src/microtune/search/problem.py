"""What a search decides: how deep biases are trained, and which channels of which layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

RATIOS = (Fraction(1, 8), Fraction(1, 4), Fraction(1, 2), Fraction(1))


@dataclass(frozen=True, order=True)
class Choice:
    """Train the weights of the fraction `ratio` of a layer's channels.

    `layer` is the layer's index in the backbone; 0 is the layer at the input.
    """

    layer: int
    ratio: Fraction


@dataclass(frozen=True)
class Selection:
    """A candidate scheme: which biases and weights are trained beside the head.

    The biases of the last `bias_layers` layers are trained. `choices` are in the order of layers,
    at most one for each layer. The head is always trained.
    """

    bias_layers: int
    choices: tuple[Choice, ...]

    def table(self, name: str, model: str) -> dict[str, object]:
        """The content of a scheme file (docs/schemes.md) that trains this selection of `model`."""
        weights = {str(c.layer): str(c.ratio) for c in self.choices}
        return {"name": name, "model": model, "bias_layers": self.bias_layers, "weights": weights}


HEAD_ONLY = Selection(0, ())


@dataclass(frozen=True)
class Contributions:
    """The predicted gain of each part of a selection, in nats.

    A gain is a decrease of the mean validation log-loss, so that more is better and a negative one
    harms. `biases` has the gain of training the biases of the last k layers over training the head
    alone. `weights` has the gain of each choice over training biases alone. The predicted gain of a
    selection is the sum of its parts. The unit may differ: `ContributionAnalysis.points` has
    percentage points of accuracy.
    """

    biases: Mapping[int, float]
    weights: Mapping[Choice, float]

    def covers(self, selection: Selection) -> bool:
        """Whether the gains of the selection's bias depth and of all its choices are known."""
        return selection.bias_layers in {0, *self.biases} and all(
            choice in self.weights for choice in selection.choices
        )

    def objective(self, selection: Selection) -> float:
        """The predicted gain of a selection over the head alone: the sum of its parts, in nats.

        Raises KeyError where a part is not known (`covers`).
        """
        total = self.biases[selection.bias_layers] if selection.bias_layers else 0.0
        return total + sum(self.weights[choice] for choice in selection.choices)
