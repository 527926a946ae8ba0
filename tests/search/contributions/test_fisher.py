"""The training-free estimate: squared float gradients of the channels that a ratio trains."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from microtune.ir.evaluate import evaluate
from microtune.search.contributions import fisher
from microtune.search.problem import Choice, Selection
from microtune.search.trials.trial import Trial, TrialSetup, open_trial_setup, trained_parameters
from microtune.training.build import Formats
from microtune.training.scheme import trained_channels
from tests.search.tiny import tiny_model, write_images

LR = 0.02


@pytest.fixture(scope="module")
def setup(kept: Path, tmp_path_factory: pytest.TempPathFactory) -> TrialSetup:
    data = write_images(tmp_path_factory.mktemp("estimate") / "images.npz", 60)
    return open_trial_setup(tiny_model(), data, kept, "val")


@pytest.fixture(scope="module")
def scores(setup: TrialSetup) -> fisher.FisherScores:
    return fisher.fisher_scores(setup, LR, lambda *_: None, 4, 3)


def left_by(biases: np.ndarray, weights: np.ndarray) -> float:
    """Sum over weights (N, O, ...) of the mean square that the least squares over the gradient of
    their output's bias (N, O) leave."""
    total = 0.0
    for output in range(biases.shape[1]):
        own = weights[:, output].reshape(len(weights), -1)
        over = biases[:, output, None]
        fitted = np.linalg.lstsq(over, own, rcond=None)[0]
        total += float(((own - over @ fitted) ** 2).sum()) / (len(weights) - 1)
    return total


def test_scores_are_what_biases_leave_in_units_of_float_weights(
    setup: TrialSetup, scores: fisher.FisherScores
) -> None:
    floating = replace(setup, formats=Formats(head="float32"))
    head = trained_parameters(Trial(Selection(0, ()), LR, 0, 2), floating)
    graph, backward, gradients = fisher.gradient_graph(setup.model.graph, setup.classes, 4)
    last = len(setup.training_split.labels) - 1
    found: dict[str, list[np.ndarray]] = {}
    for index in (0, round(last / 2), last):
        inputs = {
            "input": setup.training_split.frames[index][None],
            "label": setup.training_split.labels[index : index + 1],
        }
        values = evaluate(backward, inputs, head, real=np.float64)
        for layer in ("dense", "depthwise"):
            scale = graph.channel_scales(f"{layer}.weight")
            weight = values[gradients[f"{layer}.weight"]]
            found.setdefault(layer, []).append(weight / scale[:, None, None, None])
            found.setdefault(f"{layer} bias", []).append(values[gradients[f"{layer}.bias"]])
    arrays = {name: np.array(rows) for name, rows in found.items()}
    of_dense, of_depthwise = arrays["dense bias"], arrays["depthwise bias"]
    dense = [left_by(of_dense, arrays["dense"][..., k, None]) for k in range(8)]
    depthwise = [
        left_by(of_depthwise[:, k, None], arrays["depthwise"][:, k, None]) for k in range(8)
    ]
    assert min(dense) > 0
    assert scores.channels["dense"] == pytest.approx(dense, rel=1e-3)
    assert scores.channels["depthwise"] == pytest.approx(depthwise, rel=1e-3)
    scale = graph.channel_scales("dense.weight") * graph.scale("depthwise")
    bias = float(((of_dense / scale) ** 2).sum()) / 3
    assert scores.biases["dense"] == pytest.approx(bias, rel=1e-3)


def test_weights_of_a_constant_input_are_worth_nothing() -> None:
    """What they learn, the bias learns too; what varies counts as it is."""
    draw = np.random.default_rng(3)
    moments = fisher.GradientMoments({"w": "b"})
    biases, varying = draw.normal(size=(40, 2)), draw.normal(size=(40, 2))
    for bias, other in zip(biases, varying, strict=True):
        moments.add({"b": bias, "w": np.stack([3 * bias, bias * other], axis=1)})
    left = moments.information()
    assert left["w"][:, 0] == pytest.approx([0, 0], abs=1e-12)
    assert left["w"][:, 1] == pytest.approx((biases * varying).var(axis=0, ddof=1), rel=0.2)
    assert left["b"] == pytest.approx((biases**2).mean(axis=0))


def test_contributions_sum_what_is_trained(setup: TrialSetup, scores: fisher.FisherScores) -> None:
    half, whole = Choice(2, Fraction(1, 2)), Choice(2, Fraction(1))
    found = fisher.estimated_contributions(setup, [1, 4], [half, whole], LR, lambda *_: None, 3)
    chosen = trained_channels(setup.model.graph, "dense", 4)[:4]
    assert found.weights[whole] == pytest.approx(LR * scores.channels["dense"].sum())
    assert found.weights[half] == pytest.approx(LR * scores.channels["dense"][chosen].sum())
    assert found.biases[4] == pytest.approx(LR * sum(scores.biases.values()))
    assert found.biases[1] == pytest.approx(LR * scores.biases["pointwise"])


def test_dead_channels_are_worth_nothing(setup: TrialSetup) -> None:
    graph = setup.model.graph.copy()
    weight = graph.data["dense.weight"].copy()
    weight[5] = 0
    graph.data = graph.data | {"dense.weight": weight}
    nodes = {node.outputs[0]: node for node in graph.nodes}
    assert fisher._live(graph, nodes["dense"]).tolist() == [n != 5 for n in range(8)]
