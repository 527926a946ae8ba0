"""A frozen head is the model's own classifier, or it is said that it is empty."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from microtune import embedded
from microtune.errors import MicrotuneError
from microtune.importers import load_any
from microtune.ir.evaluate import evaluate
from microtune.ir.graph import Array
from microtune.project.manifest import read_plan
from microtune.run.host import HostLibrary
from microtune.training.build import Formats
from microtune.training.calibrate import synthetic_frame
from microtune.training.head import find_classifier, replace_head
from microtune.training.head_origin import KEEP
from microtune.training.scheme import Scheme, backbone_layers
from tests.projects import compile_project

GARMENTS = ["Trouser", "Sandal", "Sneaker", "Bag", "Ankle boot"]


def frames(count: int) -> list[Array]:
    shape = load_any(embedded.MODEL).graph.tensors["input"].shape
    return [synthetic_frame(shape, seed) for seed in range(count)]


@pytest.mark.parametrize("head", ["int16", "float32"])
def test_scheme_none_answers_as_the_models_own_classifier(tmp_path: Path, head: str) -> None:
    """In C and within half a step of the classifier's own int8 outputs, where those do not clip."""
    model = load_any(embedded.MODEL)
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        compile_project(tmp_path, "none", Formats(head="float32" if head == "float32" else "int16"))
    assert [str(n.message) for n in notes] == [
        f"the head is the model's own classifier: {', '.join(GARMENTS)}"
    ]
    assert list(read_plan(tmp_path).class_names) == list(GARMENTS)
    library, output = HostLibrary(tmp_path, flags=("-O0",)), find_classifier(model.graph).outputs[0]
    quant, scale = model.graph.quant(output), model.graph.scale(output)
    device = model.graph.copy()
    device.attrs["requantize"] = "device"
    answers = set()
    for frame in frames(20):
        codes = evaluate(device, {"input": frame})[output].reshape(-1).astype(int)
        library.infer(frame[0])
        words = library.logits()
        logits = words.view(np.float32) if head == "float32" else words / 65536.0
        steps = logits / scale + quant.zero_point
        inner = (codes > -128) & (codes < 127)
        assert np.abs(steps - codes)[inner].max() <= 0.51
        answers.add(int(codes.argmax()))
    assert len(answers) > 1


def test_a_large_classifier_gets_fewer_fraction_bits() -> None:
    """Weights beyond the usual ±4 of an int16 head are not clipped."""
    graph = load_any(embedded.MODEL).graph.copy()
    classifier = find_classifier(graph)
    scales = graph.quant(classifier.inputs[1]).scales
    assert scales is not None
    usual = replace_head(graph, 5, origin=KEEP, trained=False)
    graph.data[scales] = graph.data[scales] * 1000
    large = replace_head(graph, 5, origin=KEEP, trained=False)
    bits = [g.nodes[-1].int("fraction_bits") for g in (usual, large)]
    assert bits[1] < bits[0]
    weights = [g.data["head.weight"] * 2.0**-b for g, b in zip((usual, large), bits, strict=True)]
    step = 1000 * 2.0 ** -bits[0] + 2.0 ** -bits[1]
    assert np.abs(weights[1] - 1000 * weights[0]).max() <= step / 2


def test_an_empty_frozen_head_is_said_or_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"the head is empty.*knows 5 classes, not 3"):
        compile_project(tmp_path / "p", "none", classes=3, anew=True)
    layers = backbone_layers(load_any(embedded.MODEL).graph)
    frozen = Scheme("mine", tuple(layers[-3:]), {}, head=False)
    with pytest.raises(MicrotuneError, match="head = false nothing can be learnt"):
        compile_project(tmp_path / "q", frozen, classes=3, anew=True)
    assert not (tmp_path / "q").exists()


def test_layers_learn_behind_the_models_own_frozen_classifier(tmp_path: Path) -> None:
    layers = backbone_layers(load_any(embedded.MODEL).graph)
    with pytest.warns(UserWarning, match="own classifier"):
        compile_project(tmp_path, Scheme("mine", tuple(layers[-3:]), {}, head=False))
    library = HostLibrary(tmp_path, flags=("-O0",))
    library.set_learning_rate(0.02)
    frame = frames(1)[0][0]
    other = (library.infer(frame) + 1) % 5
    losses = [library.train_step(frame, other)[1] for _ in range(40)]
    assert losses[-1] < losses[0] / 2
