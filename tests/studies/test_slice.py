"""A small real slice of the studies, and what it would notice: the generated C, broken on purpose.

Each mutation is one line of the C of a real project. What learns must end with a clearly lower loss
than the same with scaling, rounding or a gradient path broken. The bits are the same everywhere, so
the margins cannot flake.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from microtune import embedded
from microtune.importers import load_any
from microtune.project.project import Project
from microtune.run.runners import HostRunner
from microtune.train.trainer import TrainingPlan, run_training
from tests.projects import compile_project, load_train

EPOCHS, RATE = 2, 0.01
FLAGS = ("-O3", "-march=native", "-DMT_PORTABLE")


@dataclass(frozen=True)
class Mutation:
    """In `file` the first match of `pattern` becomes `text`; the loss grows by `at_least`."""

    file: str
    pattern: str
    text: str
    at_least: float


MUTATIONS = {
    "one rate for all": Mutation(
        "src/portable/mt_rate.h", r"return mt_rate_of\(state, mantissa, exponent, \w+\);",
        "(void)mantissa; (void)exponent;"
        " return mt_rate_of(state, 16384, 4, gradient_exponent);", 0.5,
    ),
    "a hundredth of the scaling": Mutation(
        "src/portable/mt_rate.h", r"f->exponent \+ 2", "f->exponent - 5", 0.1,
    ),
    "weights cut off": Mutation(
        "src/portable/mt_dense_weight_update.c", r"\(w \* 65536 - d \+ r16\) >> 16",
        "((void)r16, (w * 65536 - d) / 65536)", 0.3,
    ),
    "gradients cut off": Mutation(
        "src/portable/mt_numerics.h", r"return \(v \+ \(\(r8 << left\) >> right\) \+ half\) >> k",
        "(void)r8; (void)left; (void)right; (void)half; return v / (INT32_C(1) << k)", 0.01,
    ),
    "no gradient sum": Mutation(
        "model/microtune_model.c", r"mt_gradient_sum\(&\w+, &io\);", "(void)io;", 0.03,
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Project, float]:
    folder = tmp_path_factory.mktemp("slice") / "p"
    project = compile_project(folder, "last-13")
    return folder, project, loss(folder, project)


def loss(folder: Path, project: Project) -> float:
    """Mean training loss in nats of the last epoch."""
    train = load_train(embedded.DATA, load_any(embedded.MODEL))
    plan = TrainingPlan(EPOCHS, RATE, "cosine", 0)
    runner = HostRunner(folder, 0, flags=FLAGS)
    return run_training(runner, project.graph, plan, train, None).epochs[-1].train_loss


def test_it_learns(reference: tuple[Path, Project, float]) -> None:
    """Guessing costs ln 5 = 1.61."""
    assert reference[2] < 0.85


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_slice_notices(
    reference: tuple[Path, Project, float], tmp_path: Path, name: str
) -> None:
    _, project, healthy = reference
    mutation = MUTATIONS[name]
    broken = tmp_path / "p"
    compile_project(broken, "last-13")
    path = broken / mutation.file
    text, count = re.subn(mutation.pattern, mutation.text, path.read_text(), count=1)
    assert count == 1
    path.write_text(text)
    worse = loss(broken, project)
    assert worse > healthy + mutation.at_least
