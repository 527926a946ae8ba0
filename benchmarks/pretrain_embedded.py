"""Make `src/microtune/embedded`: the shipped data set and the pre-trained int8 model.

    python benchmarks/pretrain_embedded.py data train export check

Needs the `torch` extra and Debian's package `dataset-fashion-mnist`. `train` writes the folded
float weights to `out/pretrain/folded.npz` (about six minutes on one core); `export` quantises
them; `check` prints the figures of the README. `choose` compares the pre-training tasks by a
linear probe on tops that are not shipped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from pretraining import check, data, export
from pretraining.network import to_input
from pretraining.train import ROTATIONS, augment, pooled_features, rotate, train_network

from microtune.embedded import DATA, MODEL
from microtune.ir.modelfile import ModelFile, load_model, save_model

ROOT = Path(__file__).parent.parent
FOLDED = ROOT / "out" / "pretrain" / "folded.npz"
SEED, EPOCHS = 0, 8
CALIBRATION_IMAGES = 2000
CHECKED_IMAGES = 1000
FINE_TUNING_EPOCHS, FINE_TUNING_RATE = 5, 0.01
PREPROCESSING = {"height": 28, "width": 28, "channels": 1, "resize_ratio": 1.0}
SOURCE = "benchmarks/pretrain_embedded.py, trained on Fashion-MNIST (shoes, trousers, bags)"


def train() -> None:
    """Float training with the rotation task; keeps the upright outputs of the classifier."""
    samples = data.load_split("train", data.PRETRAIN_CLASSES)
    network = train_network(
        samples, len(data.PRETRAIN_CLASSES), rotations=True, epochs=EPOCHS, seed=SEED
    )
    export.save_folded(export.fold(network, slice(0, None, ROTATIONS)), FOLDED)


def write_model() -> None:
    """Calibrate on augmented, turned training images and write the model file."""
    samples = data.load_split("train", data.PRETRAIN_CLASSES)
    random = torch.Generator().manual_seed(SEED)
    x = augment(to_input(samples.images[:CALIBRATION_IMAGES]), random)
    x = rotate(x, torch.randint(ROTATIONS, (len(x),), generator=random))
    folded = export.load_folded(FOLDED)
    graph = export.int8_graph(folded, export.calibrate(folded, x), MODEL.stem)
    licence = (ROOT / "LICENSE").read_text()
    classes = list(data.PRETRAIN_CLASSES)
    save_model(ModelFile(graph, dict(PREPROCESSING), licence, SOURCE, classes), MODEL)
    print(f"{MODEL.name}: {MODEL.stat().st_size} bytes")


def shipped_set() -> tuple[data.Samples, data.Samples]:
    """(train, test) of the device classes as they ship."""
    with np.load(DATA) as arrays:
        images, labels, test = arrays["images"], arrays["label"], arrays["test"]
    return data.Samples(images[~test], labels[~test]), data.Samples(images[test], labels[test])


def check_model() -> None:
    """int8 against float, probes, and whether float fine-tuning of the backbone pays."""
    folded, graph = export.load_folded(FOLDED), load_model(MODEL).graph
    test = data.load_split("t10k", data.PRETRAIN_CLASSES)
    images, labels = test.images[:CHECKED_IMAGES], test.labels[:CHECKED_IMAGES]
    for name, outputs in (
        ("float", check.float_outputs(folded, images)),
        ("int8", check.int8_outputs(graph, images)),
    ):
        print(f"pre-training classes, {name}: {(outputs[1].argmax(1) == labels).mean():.2%}")
    known, unseen = shipped_set()
    for name, features in (
        ("float", [check.float_outputs(folded, s.images)[0] for s in (known, unseen)]),
        ("int8", [check.int8_outputs(graph, s.images)[0] for s in (known, unseen)]),
    ):
        accuracy = check.probe_accuracy((features[0], known), (features[1], unseen))
        print(f"shipped tops, linear probe on {name} features: {accuracy:.2%}")
    for name, prefixes in (
        ("head only", (export.CLASSIFIER,)), ("last blocks", check.FINE_TUNED), ("all", ("",)),
    ):  # fmt: skip
        accuracy = check.fine_tune(
            folded, known, unseen, prefixes, epochs=FINE_TUNING_EPOCHS, rate=FINE_TUNING_RATE
        )
        print(f"shipped tops, float SGD at batch 1, {name}: {accuracy:.2%}", flush=True)


def choose() -> None:
    """Which pre-training task transfers best to tops."""
    samples = data.load_split("train", data.PRETRAIN_CLASSES)
    fit, judge = data.probe_sets()
    for rotations in (False, True):
        network = train_network(
            samples, len(data.PRETRAIN_CLASSES), rotations=rotations, epochs=EPOCHS, seed=SEED
        )
        features = [pooled_features(network, s.images) for s in (fit, judge)]
        accuracy = check.probe_accuracy((features[0], fit), (features[1], judge))
        print(f"rotations={rotations}: linear probe on unshipped tops {accuracy:.2%}")


STEPS = {
    "data": lambda: data.write_device_set(DATA), "choose": choose, "train": train,
    "export": write_model, "check": check_model,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("steps", nargs="+", choices=STEPS)
    torch.set_num_threads(1)  # the order of sums, and so the weights, depends on it
    for step in parser.parse_args().steps:
        STEPS[step]()


if __name__ == "__main__":
    main()
