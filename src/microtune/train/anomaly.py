"""The anomaly scores of an auto-encoder: how far each sample is from what it makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from microtune.data import Split
from microtune.training.tasks.regress import squared_errors


@dataclass(frozen=True)
class AnomalyScores:
    """The mean squared error of each sample between input and output, float64 (N,).

    `abnormal` says which samples are anomalies, bool (N,); None: the data do not tell. `samples`
    are their names.
    """

    scores: npt.NDArray[np.float64] = field(repr=False, compare=False)
    abnormal: npt.NDArray[np.bool_] | None = field(repr=False, compare=False)
    samples: Sequence[str] = field(repr=False)

    @property
    def auc(self) -> float | None:
        """The share of pairs of a normal sample and an anomaly in which the anomaly has the larger
        score (area under the ROC curve); None without both kinds of samples."""
        from sklearn.metrics import roc_auc_score

        if self.abnormal is None or self.abnormal.all() or not self.abnormal.any():
            return None
        return float(roc_auc_score(self.abnormal, self.scores))

    def mean(self, *, abnormal: bool) -> float | None:
        """The mean score of the anomalies or of the normal samples; None where there are none."""
        if self.abnormal is None or not (chosen := self.abnormal == abnormal).any():
            return None
        return float(self.scores[chosen].mean())

    def to_json(self) -> dict[str, Any]:
        """The field `anomaly` of `evaluate --json` and `train --json`."""
        kinds = [None] * len(self.scores) if self.abnormal is None else self.abnormal.tolist()
        rows = zip(self.samples, self.scores.tolist(), kinds, strict=True)
        return {
            "auc": self.auc, "normal_mean": self.mean(abnormal=False),
            "abnormal_mean": self.mean(abnormal=True),
            "samples": [{"sample": n, "score": s, "abnormal": kind} for n, s, kind in rows],
        }  # fmt: skip


def anomaly_scores(outputs: npt.NDArray[np.float64], split: Split) -> AnomalyScores | None:
    """The scores of a network's outputs (N, outputs) for a split; None if it is no auto-encoder's:
    the targets are not the inputs."""
    if split.own_input is None or split.targets is None:
        return None
    scores = squared_errors(outputs, split.targets).mean(axis=1)
    return AnomalyScores(scores, split.own_input.abnormal, tuple(split.names))
