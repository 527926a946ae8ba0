"""Heads that start as the model's own classifier, and classes that are added to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from microtune import embedded
from microtune.errors import MicrotuneError
from microtune.importers import load_any
from microtune.ir import numerics
from microtune.ir.builder import Builder
from microtune.ir.evaluate import evaluate
from microtune.ir.graph import Array, Graph, Quant
from microtune.run.host import HostLibrary
from microtune.training.build import Formats, training_passes
from microtune.training.head import find_classifier, replace_head
from microtune.training.head_origin import KEEP, NEW, HeadFormat, HeadOrigin, parse_head
from microtune.training.head_values import fixed_point, with_more_codes, with_more_reals
from microtune.training.scheme import Scheme, resolve_scheme
from microtune.training.tasks import BINARY, REGRESS
from microtune.training.tasks.task import ATTRIBUTE
from tests.projects import compile_project, load_train

Ints = npt.NDArray[np.int64]
EXTEND = HeadOrigin("extend", 2)
HEAD_ONLY = Scheme("head-only", (), {}, True)


def pictures(count: int) -> Array:
    """Real pictures, of garments that the embedded model has not seen."""
    frames: Array = load_train(embedded.DATA, load_any(embedded.MODEL)).frames
    return frames[:: len(frames) // count][:count]


def device() -> Graph:
    graph = load_any(embedded.MODEL).graph.copy()
    graph.attrs["requantize"] = "device"
    return graph


def logits(graph: Graph, frame: Array) -> Array:
    return evaluate(graph, {graph.input_tensor.name: frame[None]})[graph.outputs[0]].reshape(-1)


def network(outputs: int) -> Graph:
    """A vector of 6 values, and a classifier with an output of another scale."""
    rng, builder = np.random.default_rng(outputs), Builder("series")
    x = builder.input((1, 1, 1, 6), 0.02, -128)
    flat = builder.reshape("flat", x, (1, 6))
    weight = rng.integers(-127, 128, (outputs, 6)).astype(np.int8)
    bias = rng.integers(-3000, 3000, outputs).astype(np.int32)
    y = builder.fully_connected(
        "y", flat, weight, rng.uniform(0.002, 0.01, outputs), bias, Quant(0.05, 3)
    )
    return builder.finish(y)


def test_what_head_says() -> None:
    for text, expected in {"new": NEW, "keep": KEEP, "extend:2": EXTEND}.items():
        assert parse_head(text) == expected and str(expected) == text
    for text, message in (
        ("float32", "a number format is chosen by --head-format float32"),
        ("extend:0", "at least one class"),
        ("extend:-1", r"there are new, keep and extend:K"),
        ("extend", r"there are new, keep and extend:K"),
        ("mine", r"there are new, keep and extend:K"),
    ):
        with pytest.raises(MicrotuneError, match=message):
            parse_head(text)


def test_a_kept_classifier_predicts_what_the_file_predicts() -> None:
    """Within half a step of its int8 outputs where those do not clip, and room to double."""
    graph = device()
    kept = replace_head(graph, 5, origin=KEEP)
    output = find_classifier(graph).outputs[0]
    quant, scale, answers = graph.quant(output), graph.scale(output), set()
    for frame in pictures(60):
        codes = logits(graph, frame).astype(int)
        found = logits(kept, frame)
        steps = found / 65536 / scale + quant.zero_point
        inner = (codes > -128) & (codes < 127)
        assert np.abs(steps - codes)[inner].max() <= 0.51
        assert codes.argmax() == found.argmax()
        answers.add(int(codes.argmax()))
    assert len(answers) > 2
    assert 2 * np.abs(kept.data["head.weight"].astype(int)).max() <= 32767


@pytest.mark.parametrize("head_format", ["int16", "float32"])
def test_an_added_class_changes_no_answer(head_format: HeadFormat) -> None:
    """The logits of the model's own classes are those of the kept head; the new ones lie below the
    largest. With rows of zeros, 2 to 3 of 100 of these pictures would be of a new class."""
    graph = device()
    kept = replace_head(graph, 5, head_format, KEEP)
    more = replace_head(graph, 7, head_format, EXTEND)
    below_zero = 0
    for frame in pictures(120):
        own, found = logits(kept, frame), logits(more, frame)
        assert found.dtype == own.dtype and (found[:5] == own).all()
        assert found.argmax() < 5 and found[5] == found[6]
        below_zero += bool(own.max() < 0)
    assert below_zero > 0


@pytest.mark.parametrize("size", [0.1, 1.0, 50.0])
def test_kept_weights_have_room_to_double(size: float) -> None:
    """Small ones have the unit of a new head, large ones a coarser one, but no coarser than so."""
    rng, scale = np.random.default_rng(3), 0.02
    weight, bias = rng.normal(0, size, (5, 40)), rng.normal(0, size, 5)
    bits, codes = fixed_point(scale, weight, bias, room=2)
    most, usual = int(np.abs(codes[0]).max()), numerics.head_fraction_bits(scale)
    assert 2 * most <= 32767 and (bits == usual or (bits < usual and most > 32767 / 4))
    assert (size < 1) == (bits == usual)
    assert np.abs(codes[0] / 2.0**bits / scale - weight).max() <= 0.51 / 2.0**bits / scale
    assert fixed_point(scale, weight, bias)[0] in (bits, min(bits + 1, usual))


def sums(values: tuple[Array, Array], x: Array, zero: int) -> Array:
    """Sums of an int16 head (N, M) for features (M, C)."""
    found: Array = values[0] @ (x.astype(np.int64) - zero).T + values[1][:, None]
    return found


@pytest.mark.parametrize("zero", [-128, -5, 127])
def test_no_input_makes_an_added_class_the_largest(zero: int) -> None:
    """For all corners and many other features; own rows that hardly differ, or are all equal."""
    rng = np.random.default_rng(zero + 200)
    corners = np.array(np.meshgrid(*[(-128, 127)] * 6)).reshape(6, -1).T
    x = np.concatenate([corners, rng.integers(-128, 128, (400, 6))])
    for spread in (0, 1, 2, 30000):
        for own in (2, 3, 10):
            weight = 700 + rng.integers(0, spread + 1, (own, 6))
            bias = rng.integers(-spread * 100, spread * 100 + 1, own)
            found = sums(with_more_codes(weight, bias, 2, zero), x, zero)
            assert (found.argmax(axis=0) < own).all()
            gap = found[:own].mean(axis=0) - found[own]
            assert (gap >= 0).all() and gap.max() <= 6 * 255 + 1
            assert (found[own] == found[own + 1]).all()


def test_no_rounding_of_float32_makes_an_added_class_the_largest() -> None:
    """Own rows that hardly differ: their mean, summed in float32, may come out above each of them
    (without the margin it does so in 1 of 13 cases)."""
    rng, scale = np.random.default_rng(0), np.float32(0.02)
    for _ in range(200):
        weight = rng.normal(0, 1, (1, 64)) * (1 + rng.normal(0, 1e-7, (3, 64)))
        made = with_more_reals(weight, np.zeros(3), 1, 255 * 0.02)
        w, b = (value.astype(np.float32) for value in made)
        x = rng.integers(0, 256, 64).astype(np.float32) * scale
        found = b.copy()
        for j in range(64):
            found = found + x[j] * w[:, j]
        assert found.argmax() < 3 and found[0] - found[3] < 0.02


def test_a_class_that_is_not_taught_stays_unpredicted_while_another_learns(tmp_path: Path) -> None:
    """Only pictures of one new class are shown, with a large rate: it is learnt, and the other new
    one stays below it. The names come along, the new ones are numbered."""
    with pytest.warns(UserWarning, match=r"Ankle boot\), with room for new 1, new 2"):
        project = compile_project(tmp_path, "head-only", classes=7, head=EXTEND)
    assert project.class_names[-3:] == ("Ankle boot", "new 1", "new 2")
    library = HostLibrary(tmp_path, flags=("-O1",))
    library.set_learning_rate(0.02)
    shown = pictures(300)
    assert {library.infer(frame) for frame in shown} <= set(range(5))
    for frame in shown[:100]:
        library.train_step(frame, 5)
    answers = [library.infer(frame) for frame in shown]
    assert np.mean(np.array(answers[100:]) == 5) > 0.9 and 6 not in answers
    library.train_step(shown[0], 6)
    for _ in range(20):
        library.train_step(shown[0], 6)
    assert library.infer(shown[0]) == 6


@pytest.mark.parametrize(("outputs", "unit"), [(4, (0.05, 3)), (6, (0.02, -128))])
def test_a_kept_output_layer_answers_in_codes(outputs: int, unit: tuple[float, int]) -> None:
    """Its outputs are int8 codes / 128: its own, or, as an auto-encoder, those of its input."""
    graph = network(outputs)
    graph.attrs |= {"requantize": "device", ATTRIBUTE: REGRESS.name}
    kept = replace_head(graph, outputs, origin=KEEP)
    scale, zero = unit
    for x in np.random.default_rng(1).integers(-128, 128, (20, 1, 1, 6)).astype(np.int8):
        codes = logits(graph, x).astype(int)
        real = (codes - 3) * 0.05
        inner = (codes > -128) & (codes < 127)
        wanted = (real / scale + zero) / 128
        step = 0.05 / scale / 128
        assert np.abs(logits(kept, x) / 65536 - wanted)[inner].max() <= 0.55 * step


def test_two_classes_are_kept_as_one_logit() -> None:
    """Its sign says which of the model's own two outputs is larger."""
    graph = network(2)
    graph.attrs |= {"requantize": "device", ATTRIBUTE: BINARY.name}
    kept = replace_head(graph, 1, origin=KEEP)
    answers = set()
    for x in np.random.default_rng(2).integers(-128, 128, (40, 1, 1, 6)).astype(np.int8):
        codes, logit = logits(graph, x).astype(int), logits(kept, x)[0] / 65536
        assert abs(logit - 0.05 * (codes[1] - codes[0])) <= 0.0502 or 127 in codes or -128 in codes
        if codes[0] != codes[1]:
            assert (logit > 0) == (codes[1] > codes[0])
            answers.add(bool(logit > 0))
    assert answers == {False, True}


def test_what_comes_behind_the_classifier_is_not_lost() -> None:
    builder = Builder("tail")
    x = builder.reshape("flat", builder.input((1, 1, 1, 6), 0.02, 0), (1, 6))
    args = np.ones((3, 6), np.int8), np.full(3, 0.01), np.zeros(3, np.int32)
    first = builder.fully_connected("first", x, *args, Quant(0.05, 0))
    second = builder.fully_connected("second", x, *args, Quant(0.05, 0))
    graph = builder.finish(builder.add("sum", first, second, Quant(0.1, 0)))
    with pytest.raises(MicrotuneError, match=r"%sum \(add\) comes behind .* Take --head new"):
        training_passes(graph, 3, HEAD_ONLY, Formats(), head=KEEP)
    assert training_passes(graph, 3, HEAD_ONLY, Formats())


def test_a_model_without_a_classifier_has_none_to_keep() -> None:
    builder = Builder("image")
    x = builder.input((1, 4, 4, 2), 0.02, 0)
    weight, ones = np.ones((3, 1, 1, 2), np.int8), np.full(3, 0.01)
    y = builder.conv2d("y", x, weight, ones, np.zeros(3, np.int32), Quant(0.05, 0))
    graph = builder.finish(y)
    with pytest.raises(MicrotuneError, match=r"reads \[1, 4, 4, 2\]; a head needs a feature"):
        training_passes(graph, 48, HEAD_ONLY, Formats(), head=KEEP)


def test_added_classes_need_a_scheme_that_trains_the_head() -> None:
    graph = device()
    none = resolve_scheme("none", graph, graph.name)
    with pytest.raises(MicrotuneError, match="the 2 classes of --head extend:2 could never"):
        training_passes(graph, 7, none, Formats(), head=EXTEND)


def test_a_state_of_another_head_is_another_state() -> None:
    """Its codes may be in another unit. The hash of a new head is that of the scheme alone."""
    hashes = {HEAD_ONLY.sha256(head) for head in (NEW, KEEP, EXTEND, HeadOrigin("extend", 3))}
    assert len(hashes) == 4 and HEAD_ONLY.sha256() == HEAD_ONLY.sha256(NEW)
