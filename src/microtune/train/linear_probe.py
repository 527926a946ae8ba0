"""A linear classifier on the features of the untrained network: what a head alone can learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from microtune.data import Split
from microtune.ir.evaluate import evaluate
from microtune.ir.graph import Array
from microtune.ir.ops.head import Head, head_node
from microtune.train.evaluation import project_samples
from microtune.train.session import OpenProject

_MOST_ITERATIONS = 2000


def linear_probe(opened: OpenProject, data: Path) -> float:
    """The share of the test images, 0 to 1, that a logistic regression gets right.

    It is trained on the train images, in float64, on the features that the head reads in the
    project as compiled. Raises MicrotuneError for data that cannot be used, or without train or
    test images.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    (_, train), (_, test) = (project_samples(opened, data, name) for name in ("train", "test"))
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=_MOST_ITERATIONS))
    probe.fit(_features(opened, train), train.labels)
    return float(probe.score(_features(opened, test), test.labels))


def _features(opened: OpenProject, split: Split) -> Array:
    """What the head reads of each sample, float64 (N, features)."""
    head, frame_input = head_node(opened.graph), opened.graph.signature.input
    backbone = opened.graph.copy()
    backbone.nodes = backbone.nodes[: backbone.nodes.index(head)]
    name = Head[str].of(head.inputs).x
    backbone.outputs, backbone.updates = [name], {}
    rows = [evaluate(backbone, {frame_input: frame[None]})[name].ravel() for frame in split.frames]
    return np.array(rows, dtype=np.float64)
