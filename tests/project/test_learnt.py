"""`compile --learnt`: the firmware starts where mt_load of the same file would bring it."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from microtune import embedded, pipeline
from microtune.errors import MicrotuneError
from microtune.importers import load_any
from microtune.ir.graph import Array
from microtune.ir.modelfile import load_model
from microtune.project.learnt import read_learnt
from microtune.project.manifest import LearntEntry, read_plan
from microtune.project.project import TRAINING_FILE
from microtune.run.host import HostLibrary
from microtune.targets import load_target
from microtune.training.build import Formats
from microtune.training.calibrate import synthetic_frame

FAST, SEED = ("-O1",), 7
SHAPE = load_any(embedded.MODEL).graph.tensors["input"].shape
FRAMES: list[Array] = [synthetic_frame(SHAPE, seed)[0] for seed in range(4)]


def request(scheme: str, formats: Formats, learnt: Path | None = None) -> pipeline.Request:
    return pipeline.Request(
        5, scheme, load_target("cortex-m7"), 1 << 20, 1 << 20, formats,
        learnt=None if learnt is None else read_learnt(learnt),
    )  # fmt: skip


def train(library: HostLibrary, steps: int) -> list[tuple[int, int]]:
    library.set_learning_rate(0.05)
    return [library.train_step(FRAMES[i % 4], i % 4) for i in range(steps)]


def at_step_0(blob: bytes) -> bytes:
    """The saved state with seed SEED, step 0 and no last loss: what mt_init sets."""
    payload = blob[88:-16] + struct.pack("<III", SEED, 0, 0) + blob[-4:]
    header = blob[:80] + struct.pack("<I", zlib.crc32(payload))
    return header + struct.pack("<I", zlib.crc32(header)) + payload


@pytest.mark.parametrize(
    "formats", [Formats(), Formats("int32", "float32")], ids=["integer", "int32-float32"]
)
def test_init_equals_load_of_the_same_file(tmp_path: Path, formats: Formats) -> None:
    """Inference and further steps, bit for bit; the state of the new project is one of the old."""
    model, saved = load_any(embedded.MODEL), tmp_path / "learnt.bin"
    pipeline.compile_model(model, request("last-4", formats), tmp_path / "old")
    old = HostLibrary(tmp_path / "old", SEED, flags=FAST)
    train(old, 12)
    blob = old.save()
    saved.write_bytes(blob)
    begun = request("last-4", formats, saved)
    pipeline.compile_model(model, begun, tmp_path / "new")
    new = HostLibrary(tmp_path / "new", SEED, flags=FAST)
    old.load(at_step_0(blob))
    assert new.infer(FRAMES[1]) == old.infer(FRAMES[1])
    assert new.logits().tolist() == old.logits().tolist()
    assert train(new, 6) == train(old, 6)
    assert new.save() == old.save()
    new.load(blob)
    assert new.save() == blob
    plan = read_plan(tmp_path / "new")
    assert plan.learnt == LearntEntry(read_learnt(saved).sha256, 12)
    graph = load_model(tmp_path / "new" / TRAINING_FILE).graph
    assert graph.data["head.weight"].any()
    offsets = [int(graph.data[name][0]) for name in plan.gradient_offsets]
    assert offsets == np.frombuffer(blob[-16 - len(offsets) : -16], np.int8).tolist()


def test_what_was_learnt_counts_in_flash(tmp_path: Path) -> None:
    """A zero head costs nothing; a learnt one is stored."""
    model, saved = load_any(embedded.MODEL), tmp_path / "learnt.bin"
    for head in ("int16", "float32"):
        formats = Formats(head="float32" if head == "float32" else "int16")
        folder = tmp_path / head
        plain = pipeline.compile_model(model, request("head-only", formats), folder)
        library = HostLibrary(folder, flags=FAST)
        train(library, 4)
        saved.write_bytes(library.save())
        graph, _ = pipeline.training_graph(model, request("head-only", formats, saved))
        more = pipeline.constant_bytes(graph) - pipeline.constant_bytes(plain.graph)
        assert more == 5 * 128 * (2 if head == "int16" else 4) + 5 * 4


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    model, saved = load_any(embedded.MODEL), tmp_path / "learnt.bin"
    pipeline.compile_model(model, request("head-only", Formats()), tmp_path / "p")
    blob = HostLibrary(tmp_path / "p", flags=FAST).save()
    saved.write_bytes(blob)
    for scheme, formats, words in (
        ("last-3", Formats(), "another scheme than last-3"),
        ("head-only", Formats(head="float32"), "in other formats"),
        ("none", Formats(), "another scheme than none"),
    ):
        with pytest.raises(MicrotuneError, match=words):
            pipeline.training_graph(model, request(scheme, formats, saved))
    other = load_any(embedded.MODEL)
    other.graph.data["last.bias"] = other.graph.data["last.bias"] + 1
    with pytest.raises(MicrotuneError, match="by another model"):
        pipeline.training_graph(other, request("head-only", Formats(), saved))
    for content, words in (
        (b"", "no saved state"), (b"PK" + bytes(200), "no saved state"),
        (blob[:-1], "damaged or cut short"), (blob[:100] + b"\x55" + blob[101:], "damaged"),
        (blob[:20] + b"\x55" + blob[21:], "damaged"), (blob[:4] + b"\2" + blob[5:], "version 2"),
    ):  # fmt: skip
        saved.write_bytes(content)
        with pytest.raises(MicrotuneError, match=words):
            read_learnt(saved)
    with pytest.raises(MicrotuneError, match="cannot read"):
        read_learnt(tmp_path / "nowhere")
