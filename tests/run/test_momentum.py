"""A project with momentum: what is saved goes on with the bits of a run without a break."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import microtune as mt
from microtune import embedded
from microtune.codegen.layout import momentum_names, offset_names, parameter_slots
from microtune.errors import MicrotuneError
from microtune.importers import load_any
from microtune.project.learnt import read_learnt
from microtune.project.manifest import OptimizerEntry, read_plan
from microtune.project.project import Project
from microtune.run.host import HostLibrary
from microtune.run.interpreter import Interpreter
from microtune.training.calibrate import synthetic_frame
from microtune.training.optimisers import Momentum
from tests.projects import compile_project

SEED, RATE = 7, 0.005
MODEL = load_any(embedded.MODEL)
FRAMES = [synthetic_frame(MODEL.graph.tensors["input"].shape, seed)[0] for seed in range(4)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Project]:
    folder = tmp_path_factory.mktemp("momentum") / "p"
    return folder, compile_project(folder, "last-3", optimizer=Momentum.of(0.75))


def train(library: HostLibrary, first: int, last: int) -> None:
    library.set_learning_rate(RATE)
    for i in range(first, last):
        library.train_step(FRAMES[i % 4], i % 4)


def test_what_was_saved_goes_on_with_the_bits_of_an_unbroken_run(
    project: tuple[Path, Project], tmp_path: Path
) -> None:
    """On the host in another instance, and in numpy; the velocities are in the file."""
    folder, made = project
    whole = HostLibrary(folder, SEED, flags=("-O1",))
    train(whole, 0, 5)
    saved = tmp_path / "learnt.bin"
    saved.write_bytes(whole.save())
    train(whole, 5, 9)
    broken = whole.new_instance()
    broken.load(saved.read_bytes())
    train(broken, 5, 9)
    assert broken.save() == whole.save()

    learnt, graph = read_learnt(saved), made.graph
    held = learnt.values(parameter_slots(graph), offset_names(graph))
    assert all(held[name].any() for name in momentum_names(graph))
    numpy = Interpreter(graph, SEED)
    numpy.data |= held
    numpy.step = 5
    for i in range(5, 9):
        numpy.train_step(FRAMES[i % 4][None], i % 4, RATE)
    for name, value in whole.parameters().items():
        assert np.array_equal(numpy.data[name], value), name


def test_plan_and_file_know_the_optimiser(project: tuple[Path, Project], tmp_path: Path) -> None:
    """plan.json has it; a state that SGD learnt is refused, and says why."""
    folder, _ = project
    plan = read_plan(folder)
    assert plan.optimizer == OptimizerEntry("momentum", 0.75, plan.parameter_bytes // 2)
    plain = compile_project(tmp_path / "sgd", "last-3")
    assert read_plan(tmp_path / "sgd").optimizer == OptimizerEntry()
    saved = tmp_path / "learnt.bin"
    saved.write_bytes(HostLibrary(folder, SEED, flags=("-O1",)).save())
    slots, offsets = parameter_slots(plain.graph), offset_names(plain.graph)
    with pytest.raises(MicrotuneError, match="with another optimiser"):
        read_learnt(saved).check(
            plain.model_sha256, (plain.scheme_name, plain.scheme_sha256), slots, offsets
        )


def test_the_public_python_compiles_charges_and_refuses(tmp_path: Path) -> None:
    """Figures and budget error name the velocities; wrong options are errors before any work."""
    made = mt.compile(
        embedded.MODEL, output=tmp_path / "p", scheme="last-3", classes=5, optimizer="momentum"
    )
    figures = made.figures
    assert figures.velocity_bytes == figures.trained_parameter_bytes > 0
    assert read_plan(tmp_path / "p").optimizer.momentum == pytest.approx(0.9, abs=2**-17)
    with pytest.raises(mt.MicrotuneError, match=r"of velocities.*[\s\S]*--optimizer sgd"):
        mt.compile(
            embedded.MODEL, output=tmp_path / "q", scheme="last-3", classes=5, sram="20KB",
            optimizer="momentum",
        )  # fmt: skip
    for options, words in (
        ({"optimizer": "adam"}, "adam"), ({"momentum": 0.9}, "--optimizer momentum"),
        ({"optimizer": "momentum", "momentum": 1}, "between 0 and 1"),
    ):  # fmt: skip
        with pytest.raises(mt.MicrotuneError, match=words):
            mt.compile(
                embedded.MODEL, output=tmp_path / "q", scheme="last-3", classes=5,
                **options,
            )  # fmt: skip
    assert not (tmp_path / "q").exists()
