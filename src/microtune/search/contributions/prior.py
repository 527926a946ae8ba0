"""Expected contributions without data: gradients on synthetic frames, scaled by measured searches.

Which layers are worth training is a property of the network far more than of the data. Fisher
scores (`fisher.py`) are taken on pseudo-random frames, with a pseudo-random head and pseudo-random
targets: the ones that also calibrate gradient offsets.

Scores by themselves rank well near the output only. Deeper down a first-order estimate promises
what training does not keep. `Prior` therefore maps scores to gains by a few constants. They are
fitted to the gains that five searches measured (three networks, three data sets;
`benchmarks/automatic_scheme.py` fits them anew and says how well they predict what they have not
seen).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from microtune.ir.evaluate import evaluate
from microtune.ir.graph import Graph
from microtune.ir.signature import feed
from microtune.search.contributions.fisher import (
    FisherScores,
    GradientMoments,
    biases_of,
    gradient_graph,
    scores_from,
)
from microtune.search.problem import Choice, Contributions
from microtune.training.calibrate import random_head, synthetic_frame
from microtune.training.scheme import backbone_layers, channel_count, trained_channels
from microtune.training.tasks import CLASSIFY, Task

FRAMES = 24
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Prior:
    """Gains of biases and weights as functions of their Fisher scores and of where a layer lies.

    The position p of a layer is its index over the number of layers, from 0 at the input to almost
    1. A ramp is 0 up to its first position, 1 from its second on, and linear between.

        biases of the last k layers = sum of score * ramp over these / the same sum over all layers
        weights of a choice         = level * ramp * (score / the same sum over all layers)^exponent

    Gains are in units of what training all biases gains over the head alone.
    """

    bias_ramp: tuple[float, float] = (0.15, 0.5)
    weight_ramp: tuple[float, float] = (0.26, 0.64)
    level: float = 0.58
    exponent: float = 0.43


PRIOR = Prior()


def synthetic_scores(graph: Graph, outputs: int, task: Task = CLASSIFY) -> FisherScores:
    """Fisher scores of all layers of an int8 graph, without data.

    `outputs` is the number of the head's outputs. Equal input gives equal scores.
    """
    depth = len(backbone_layers(graph))
    forward, backward, gradients = gradient_graph(graph, outputs, depth, task)
    moments = GradientMoments(biases_of(forward, depth))
    for number in range(FRAMES):
        head = random_head(backward, number)
        frame = synthetic_frame(backward.input_tensor.shape, number)
        target = task.synthetic_target(outputs, number)
        values = evaluate(backward, feed(backward, frame, target), head, real=np.float32)
        moments.add({p: values[g] for p, g in gradients.items() if p not in head})
    return scores_from(forward, moments.information(), depth)


def choice_scores(
    graph: Graph, scores: FisherScores, choices: Sequence[Choice]
) -> dict[Choice, float]:
    """The Fisher score of the channels that each choice trains, beside the biases."""
    layers, found = backbone_layers(graph), {}
    for choice in choices:
        name = layers[choice.layer]
        count = max(1, int(choice.ratio * channel_count(graph, name)))
        chosen = trained_channels(graph, name, count)[:count]
        found[choice] = float(scores.channels[name][chosen].sum())
    return found


def expected_contributions(
    layers: Sequence[str], biases: Mapping[str, float], depths: Sequence[int],
    choices: Mapping[Choice, float], prior: Prior = PRIOR,
) -> Contributions:  # fmt: skip
    """Expected gains, in units of what all biases gain.

    `layers` are the backbone's layers from the input on, `biases` the scores of their biases,
    `choices` those of choices (`choice_scores`).
    """
    position = np.arange(len(layers)) / max(len(layers), 1)
    scores = np.array([biases[name] for name in layers]) * _ramp(position, prior.bias_ramp)
    total = float(scores.sum())
    if not total > 0:
        return Contributions(dict.fromkeys(depths, 0.0), dict.fromkeys(choices, 0.0))
    deep = np.cumsum(scores[::-1]) / total
    late = _ramp(position, prior.weight_ramp)
    return Contributions(
        {depth: float(deep[depth - 1]) for depth in depths},
        {
            choice: prior.level * float(late[choice.layer]) * (score / total) ** prior.exponent
            for choice, score in choices.items()
        },
    )


def _ramp(position: Floats, ramp: tuple[float, float]) -> Floats:
    begin, end = ramp
    return np.clip((position - begin) / (end - begin), 0.0, 1.0)
