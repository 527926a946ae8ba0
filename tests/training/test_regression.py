"""Mean squared error: the task beside classification, in numpy, on the host and on the chip."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from microtune import embedded
from microtune.data import Split
from microtune.errors import MicrotuneError
from microtune.importers import load_any
from microtune.ir.ops.mean_squared_error import (
    gradient_unit,
    mean_squared_error_q16,
    mean_squared_error_real,
)
from microtune.measure.measure import measure
from microtune.run.canonical import LogitsHash, parameters_sha256
from microtune.run.host import HostLibrary
from microtune.run.job import Call, Record
from microtune.run.runners import HostRunner, NumpyRunner, QemuRunner, Runner
from microtune.train.session import OpenProject
from microtune.training.tasks import REGRESS
from tests.projects import compile_project, load_train

OUTPUTS = 28 * 28  # the picture itself
STEPS = 6
RATE = 1.0


@pytest.fixture(scope="module")
def pictures() -> Split:
    return load_train(embedded.DATA, load_any(embedded.MODEL))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An auto-encoder: the target is the input."""
    folder = tmp_path_factory.mktemp("encoder") / "p"
    compile_project(folder, "last-3", classes=OUTPUTS, task=REGRESS)
    return folder


def records(pictures: Split, steps: int = STEPS) -> Iterator[Record]:
    for frame in pictures.frames[:steps]:
        codes = frame.reshape(-1)
        yield Record(Call.TRAIN, frame, learning_rate=RATE, codes=codes)
    yield Record(Call.INFER, pictures.frames[0])


def outcome(runner: Runner, project: Path, pictures: Split) -> tuple[str, str, list[int]]:
    """Parameters, outputs and losses of a few steps."""
    outputs, losses = LogitsHash(), []
    for result in runner.run(records(pictures)):
        assert result.predicted == -1
        outputs.update(result.logits)
        losses.append(result.loss_q16)
    graph = OpenProject.read(project).graph
    return parameters_sha256(graph, runner.parameters()), outputs.hexdigest(), losses


@pytest.fixture(scope="module")
def expected(encoder: Path, pictures: Split) -> tuple[str, str, list[int]]:
    return outcome(NumpyRunner(encoder, 0), encoder, pictures)


def test_the_host_has_the_bits_of_numpy(
    encoder: Path, pictures: Split, expected: tuple[str, str, list[int]]
) -> None:
    assert outcome(HostRunner(encoder, 0, flags=("-O1",)), encoder, pictures) == expected


@pytest.mark.chip
def test_the_chip_has_the_bits_of_numpy(
    encoder: Path, pictures: Split, expected: tuple[str, str, list[int]]
) -> None:
    assert outcome(QemuRunner(encoder, 0), encoder, pictures) == expected


@pytest.mark.chip
def test_a_step_of_a_regression_is_measured(encoder: Path) -> None:
    found = measure(encoder)
    assert found.train_instructions is not None
    assert found.train_instructions > found.infer_instructions


def test_an_auto_encoder_learns_its_pictures(encoder: Path, pictures: Split) -> None:
    """Better than the mean picture, the best answer that does not look at the input."""
    library = HostLibrary(encoder, 0, flags=("-O1",))
    library.set_learning_rate(RATE)
    seen = pictures.frames[:300]
    losses = []
    for _ in range(2):
        for frame in seen:
            predicted, loss = library.train_step(frame, frame.reshape(-1))
            assert predicted == -1
            losses.append(loss / 65536)
    assert np.mean(losses[-300:]) < 0.7 * REGRESS.loss_of_guessing(seen, OUTPUTS)
    assert np.mean(losses[-300:]) < np.mean(losses[:300])


@pytest.mark.parametrize("outputs", [1, 7])
def test_loss_and_gradient_are_those_of_torch(outputs: int) -> None:
    """float64 to rounding errors of double; Q16 to half a unit of each format."""
    torch = pytest.importorskip("torch", reason="make test-all installs PyTorch")
    rng = np.random.default_rng(outputs)
    codes = rng.integers(-128, 128, outputs).astype(np.int8)
    q16 = np.rint(rng.uniform(-0.9, 0.9, outputs) * 65536).astype(np.int64)
    y = torch.tensor(q16 / 65536, requires_grad=True)
    loss = torch.nn.functional.mse_loss(y, torch.tensor(codes / 128.0))
    loss.backward()
    assert y.grad is not None
    gradient, wanted = y.grad.numpy(), float(loss.detach())
    d, found = mean_squared_error_real(q16 / 65536, codes, np.float64)
    assert np.allclose(d, gradient, rtol=1e-14, atol=0) and found == pytest.approx(wanted, 1e-14)
    d_codes, found_q16 = mean_squared_error_q16(q16, codes)
    assert found_q16 / 65536 == pytest.approx(wanted, abs=2**-16)
    unit = gradient_unit(outputs)
    assert np.abs(d_codes * unit - gradient).max() <= 0.51 * unit


def test_an_error_counts_at_most_two() -> None:
    far = np.array([2**31 - 1, -(2**31), 0], np.int64)
    d, loss = mean_squared_error_q16(far, np.array([-128, 127, 0], np.int8))
    assert (d.tolist(), loss) == ([32767, -32767, 0], round(8 / 3 * 65536))


def test_targets_are_codes() -> None:
    assert REGRESS.encode([-1.0, 0.5, 1.0], 3).tolist() == [-128, 64, 127]
    assert REGRESS.encode(np.array([-128, 3], np.int8), 2).tolist() == [-128, 3]
    assert REGRESS.encode([1.5, -1.5], 2).tolist() == [127, -128]
    for wrong in ([0.5], [float("nan"), 0.0]):
        with pytest.raises(MicrotuneError, match="target"):
            REGRESS.encode(wrong, 2)


def test_the_c_refuses_a_target_that_is_none(encoder: Path, pictures: Split) -> None:
    """A class for a regression: its codes are NULL."""
    library = HostLibrary(encoder, 0, flags=("-O1",))
    library.set_learning_rate(RATE)
    before = library.save()
    with pytest.raises(MicrotuneError, match="bad argument"):
        library.train_step(pictures.frames[0], 3)
    assert library.save() == before


def test_what_only_classifiers_can_is_refused(encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(MicrotuneError, match="learns values, not classes"):
        OpenProject.read(encoder).require_classes()
    with pytest.raises(MicrotuneError, match="no replay memory"):
        compile_project(tmp_path / "r", "last-3", classes=4, task=REGRESS, replay=16 * 1024)
    with pytest.raises(MicrotuneError, match="does not train the head"):
        compile_project(tmp_path / "n", "none", classes=4, task=REGRESS)
    with pytest.raises(MicrotuneError, match="1 to 65,536 outputs"):
        compile_project(tmp_path / "z", "last-3", classes=0, task=REGRESS)
