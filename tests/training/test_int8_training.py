"""int8 gradients against float gradients, tensor by tensor, and the mean over rounding seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from microtune.data import Preprocessing, open_dataset
from microtune.importers import load_any
from microtune.ir.evaluate import evaluate
from microtune.ir.graph import Graph
from microtune.passes.lower_gradients import ExponentRule, lower_gradients
from microtune.training.apply_scheme import apply_scheme
from microtune.training.autodiff import differentiate
from microtune.training.calibrate import calibrated_offsets
from microtune.training.head import replace_head
from microtune.training.optimisers import SGD
from microtune.training.scheme import resolve_scheme
from tests.training.graphs import random_graph, train_everything

Array = npt.NDArray[Any]
MEDIAN = {"exact": 0.99, "offset": 0.98}


def cosine(a: Array, b: Array) -> float:
    """Cosine of two tensors; both must be different from zero."""
    a, b = a.reshape(-1).astype(np.float64), b.reshape(-1).astype(np.float64)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


class Pair:
    """The float and the int8 training graph of one prepared forward graph."""

    def __init__(self, graph: Graph) -> None:
        self.float_graph, gradients = differentiate(graph)
        self.exact = lower_gradients(self.float_graph, gradients, "int32", "exact", optimizer=SGD())
        self.offset = lower_gradients(
            self.float_graph, gradients, "int32", "offset", optimizer=SGD()
        )
        self.offset.data.update(calibrated_offsets(self.exact))
        self.state: dict[str, Array] = {}
        self.names = self._names()

    def _names(self) -> dict[str, str]:
        """int8 gradient -> the float gradient that it must equal (masked where it is masked)."""
        masked = {
            n.inputs[0]: n.outputs[0] for n in self.float_graph.nodes if n.op == "mask_gradient"
        }
        names: dict[str, str] = {}
        for node in self.exact.nodes:
            name = node.outputs[0]
            if node.op.startswith("q_") and node.op != "q_mask_gradient":
                fused = any(self.exact.tensors[i].dtype == "b1" for i in node.inputs)
                names[name] = masked[name] if fused else name
        return names

    def floats(self, frame: Array, label: int) -> dict[str, Array]:
        """Float gradients by the names of the int8 ones."""
        inputs = {"input": frame, "label": np.array([label], np.int32)}
        values = evaluate(self.float_graph, inputs, keep=set(self.names.values()), real=np.float64)
        return {name: values[other] for name, other in self.names.items()}

    def integers(self, frame: Array, label: int, seed: int, rule: ExponentRule) -> dict[str, Array]:
        """The real values codes·factor·2^exponent; offsets move on from call to call."""
        graph = self.exact if rule == "exact" else self.offset
        keep = {*self.names, *(f"{n}.exponent" for n in self.names)}
        inputs = {
            "input": frame, "label": np.array([label], np.int32), "lr": np.zeros(1, np.float32),
            "seed": np.array([seed], np.uint32), "step": np.zeros(1, np.uint32),
        }  # fmt: skip
        values = evaluate(graph, inputs, self.state if rule == "offset" else None, keep=keep)
        if rule == "offset":
            offsets = {n: v for n, v in graph.updates.items() if n.endswith(".offset")}
            self.state.update({name: values[value] for name, value in offsets.items()})
        return {
            name: values[name] * graph.factor(name) * 2.0 ** float(values[f"{name}.exponent"][0])
            for name in self.names
        }

    def settle(self, frame: Array, label: int) -> None:
        """Let the offsets follow one sample; far offsets need as many steps as they are off."""
        for step in range(100):
            before = dict(self.state)
            self.integers(frame, label, step, "offset")
            if before == self.state:
                return

    def cosines(self, frame: Array, label: int, seed: int, rule: ExponentRule) -> list[float]:
        """One cosine for each tensor whose float gradient is not zero."""
        wanted = self.floats(frame, label)
        got = self.integers(frame, label, seed, rule)
        return [
            cosine(got[n], w) if got[n].any() else 0.0 for n, w in wanted.items() if w.any()
        ]  # fmt: skip


def random_pair(seed: int) -> tuple[Pair, Array, int]:
    case = random_graph(seed, "device")
    return Pair(train_everything(case.with_head("int16"))), case.frame, case.label


@pytest.mark.parametrize("rule", ["exact", "offset"])
def test_random_graphs(rule: ExponentRule) -> None:
    """Direction of every int8 gradient; the offsets have settled on the sample.

    A graph may be lost as a whole: the entering gradient takes its maximum before the mask, so if
    all its large elements are clamped the small ones round to zero more often than not.
    """
    found: list[float] = []
    worst: list[float] = []
    for seed in range(40):
        pair, frame, label = random_pair(seed)
        if rule == "offset":
            pair.settle(frame, label)
        cosines = pair.cosines(frame, label, 99, rule)
        found += cosines
        worst.append(min(cosines, default=1.0))
    assert np.median(found) >= MEDIAN[rule]
    assert sum(w < 0.9 for w in worst) <= 2, worst


def mean_errors(pair: Pair, frame: Array, label: int) -> list[float]:
    """|mean over 64 rounding seeds - float gradient| / |float gradient| of each tensor: a wrong
    direction counts, and so does a wrong length, which a cosine does not see."""
    wanted = pair.floats(frame, label)
    total = {name: np.zeros(w.shape) for name, w in wanted.items()}
    for seed in range(64):
        for name, value in pair.integers(frame, label, seed, "exact").items():
            total[name] += value
    return [
        float(np.linalg.norm(total[n] / 64 - w) / np.linalg.norm(w))
        for n, w in wanted.items() if w.any()
    ]  # fmt: skip


def test_the_mean_over_rounding_seeds_is_the_float_gradient() -> None:
    """Stochastic rounding is unbiased, through every op of the chain, and so is every scale."""
    found: list[float] = []
    for number in range(6):
        found += mean_errors(*random_pair(number))
    assert np.median(found) <= 0.005
    assert max(found) <= 0.02


@pytest.mark.data
def test_real_images(data_folder: Path) -> None:
    """MCUNet, 49KB scheme, 32 photos: the figures that docs/numerics.md promises."""
    model = load_any(data_folder / "models/mit_tiny-training/mcunet-5fps.pkl")
    graph = replace_head(model.graph.copy(), 10, "int16")
    graph.attrs["requantize"] = "device"
    rng = np.random.default_rng(0)
    shape = graph.data["head.weight"].shape
    graph.data["head.weight"] = rng.integers(-2000, 2000, shape).astype(np.int16)
    pair = Pair(apply_scheme(graph, resolve_scheme("49KB", graph, "mcunet-5fps")))
    frames, labels = photos(data_folder, model.preprocessing)
    for rule in ("exact", "offset"):
        found = [
            c for i, frame in enumerate(frames)
            for c in pair.cosines(frame, int(labels[i]), i, rule)
        ]  # fmt: skip
        print(rule, np.median(found), min(found))
        assert np.median(found) >= MEDIAN[rule]
        assert min(found) >= 0.9
    unbiased = mean_errors(pair, frames[5], int(labels[5]))
    print("64 seeds", max(unbiased))
    assert max(unbiased) <= 0.02


def photos(folder: Path, preprocessing: dict[str, Any]) -> tuple[Array, Array]:
    """32 training photos as (32, 1, H, W, 3) int8 and their labels, spread over the classes."""
    dataset = open_dataset(folder / "data/clothing10.tar")
    samples = [s for s in dataset.source.samples if s.split == "train"]
    chosen = samples[:: len(samples) // 32][:32]
    settings = Preprocessing.from_json(preprocessing)
    frames = np.stack([s.read(settings)[None] for s in chosen])
    return frames, np.array([dataset.classes.index(s.label) for s in chosen])
