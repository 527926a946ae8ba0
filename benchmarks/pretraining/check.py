"""What the exported model is worth: int8 against float, linear probe, float fine-tuning."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn import functional

from microtune.ir.evaluate import evaluate
from microtune.ir.graph import Graph
from pretraining.data import Samples
from pretraining.export import CLASSIFIER, POOLED, Floats, run_folded
from pretraining.network import FEATURES, to_input

FINE_TUNED = ("block5", "block6", "last", CLASSIFIER)


def int8_outputs(graph: Graph, images: npt.NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """(pooled features, logits) of the numpy interpreter, dequantised, (N, ·) each."""
    codes = (images.astype(np.int16) - 128).astype(np.int8)
    pooled, logits = [], []
    for image in codes:
        frame = image.reshape(1, 28, 28, 1)
        values = evaluate(graph, {"input": frame}, keep={POOLED})
        pooled.append(values[POOLED].reshape(-1))
        logits.append(values[graph.outputs[0]].reshape(-1))

    def real(name: str, rows: list[npt.NDArray[np.int8]]) -> Floats:
        quant = graph.quant(name)
        centred = np.stack(rows).astype(np.float32) - quant.zero_point
        return (centred * np.float32(graph.scale(name))).astype(np.float32)

    return real(POOLED, pooled), real(graph.outputs[0], logits)


def float_outputs(
    folded: dict[str, Floats], images: npt.NDArray[np.uint8]
) -> tuple[Floats, Floats]:
    """(pooled features, logits) of the folded float network."""
    pooled: list[torch.Tensor] = []

    def observe(name: str, value: torch.Tensor) -> None:
        if name == POOLED:
            pooled.append(value)

    parameters = {name: torch.from_numpy(array) for name, array in folded.items()}
    with torch.no_grad():
        parts = [
            run_folded(parameters, part, observe) for part in torch.split(to_input(images), 500)
        ]
    return torch.cat(pooled).numpy(), torch.cat(parts).numpy()


def probe_accuracy(train: tuple[Floats, Samples], test: tuple[Floats, Samples]) -> float:
    """Test accuracy of logistic regression on standardised features."""
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    probe.fit(train[0], train[1].labels)
    return float(probe.score(test[0], test[1].labels))


def fine_tune(
    folded: dict[str, Floats], train: Samples, test: Samples, prefixes: tuple[str, ...],
    *, epochs: int, rate: float, seed: int = 0,
) -> float:  # fmt: skip
    """Float test accuracy after SGD at batch 1 on the parameters that `prefixes` name.

    The classifier starts at zero, the rate falls along a cosine, the last epoch counts.
    """
    torch.manual_seed(seed)
    parameters = {name: torch.from_numpy(array.copy()) for name, array in folded.items()}
    classes = int(train.labels.max()) + 1
    parameters[f"{CLASSIFIER}.weight"] = torch.zeros(classes, FEATURES)
    parameters[f"{CLASSIFIER}.bias"] = torch.zeros(classes)
    trained = [p.requires_grad_() for name, p in parameters.items() if name.startswith(prefixes)]
    optimizer = torch.optim.SGD(trained, rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(train.labels))
    images, labels = to_input(train.images), torch.from_numpy(train.labels)
    for _ in range(epochs):
        for index in torch.randperm(len(labels)).tolist():
            logits = run_folded(parameters, images[index : index + 1])
            loss = functional.cross_entropy(logits, labels[index : index + 1])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
    final = {name: p.detach().numpy() for name, p in parameters.items()}
    return float((float_outputs(final, test.images)[1].argmax(1) == test.labels).mean())
