"""Sigmoid cross-entropy of one logit: its values, its gradient, and the task that has it."""

from __future__ import annotations

import numpy as np
import pytest

from microtune.errors import MicrotuneError
from microtune.ir.evaluate import evaluate
from microtune.ir.graph import Graph, Tensor
from microtune.training.tasks import BINARY, TASKS, task_of_loss

LOGITS = (-70.0, -9.3, -1.25, -(2.0**-16), 0.0, 2.0**-16, 0.5, 3.75, 11.0, 70.0)


def loss_graph(kind: str) -> Graph:
    graph = Graph("loss")
    graph.input("logit", (1, 1), "i32" if kind == "int16" else "f32")
    graph.outputs = list(BINARY.append_loss(graph, "logit"))
    return graph


def loss_of(kind: str, logit: float, label: int, real: type = np.float32) -> tuple[float, float]:
    """(loss in nats, gradient) by the meaning of the op."""
    graph = loss_graph(kind)
    code = np.array([[round(logit * 65536) if kind == "int16" else logit]])
    inputs = {"logit": code.astype(np.int32 if kind == "int16" else real),
              graph.signature.target: np.array([label], np.int32)}  # fmt: skip
    values = evaluate(graph, inputs, real=real)
    loss, gradient = (float(values[name].reshape(-1)[0]) for name in graph.outputs)
    return (loss / 65536, gradient / 32768) if kind == "int16" else (loss, gradient)


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("logit", LOGITS)
def test_loss_and_gradient_are_those_of_torch(logit: float, label: int) -> None:
    """float64 to rounding errors of double, float32 to some of its own; the integers within the
    3e-4 of their power of two, and never further from 0 or 1 than Q15 can say."""
    torch = pytest.importorskip("torch", reason="make test-all installs PyTorch")
    x = torch.tensor(logit, dtype=torch.float64, requires_grad=True)
    target = torch.tensor(float(label), dtype=torch.float64)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(x, target)
    loss.backward()
    assert x.grad is not None
    wanted = float(loss.detach()), float(x.grad)
    assert loss_of("float32", logit, label, np.float64) == pytest.approx(wanted, rel=1e-14)
    assert loss_of("float32", logit, label) == pytest.approx(wanted, rel=1e-6, abs=1e-7)
    limit = min(abs(logit), 64.0)  # a logit counts at most 64 below the other
    if abs(logit) == limit:
        assert loss_of("int16", logit, label) == pytest.approx(wanted, abs=3e-4)
    else:
        assert loss_of("int16", logit, label)[1] == pytest.approx(wanted[1], abs=2.0**-15)


def test_the_task_tells_two_classes_by_the_sign() -> None:
    assert [BINARY.decode(np.array([v])).tolist() for v in (-0.5, 0.0, 0.5)] == [[0], [0], [1]]
    assert BINARY.class_logits(np.array([[0.5], [-2.0]])).tolist() == [[0, 0.5], [0, -2]]
    outputs, labels = np.array([[0.5], [-2.0], [0.0], [1.0]]), np.array([1, 0, 1, 0])
    assert BINARY.score(outputs, labels) == 0.5
    assert BINARY.loss_of_guessing(labels, 1) == pytest.approx(np.log(2))
    assert BINARY.encode(1, 1).tolist() == [1]
    with pytest.raises(MicrotuneError, match="2 is no class: there are 0 to 1"):
        BINARY.encode(2, 1)
    with pytest.raises(MicrotuneError, match="one output, not 2"):
        BINARY.check_outputs(2)


def test_a_loss_names_one_task() -> None:
    assert [task_of_loss(task.loss) for task in TASKS.values()] == list(TASKS.values())
    with pytest.raises(MicrotuneError, match="there are cross-entropy, binary, mse"):
        task_of_loss("hinge")


def test_one_logit_of_a_head_is_asked_for() -> None:
    graph = Graph("loss")
    graph.add_tensor(Tensor("logits", (1, 2), "i32", "input"))
    with pytest.raises(ValueError, match=r"one logit of a head, not i32\[1, 2\]"):
        BINARY.append_loss(graph, "logits")
