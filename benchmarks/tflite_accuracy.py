"""Top-1 accuracy of imported `.tflite` models: LiteRT's reference kernels beside the device.

python benchmarks/tflite_accuracy.py [--images N]      # a table of docs/start/your-own-model.md

The device's arithmetic is that of the generated C (numpy, the same bits). Photos are scaled and cut
as microtune does it (docs/data.md), for both.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from microtune.data import open_images
from microtune.data.modality import read_modality
from microtune.importers.tflite import import_tflite
from microtune.importers.tflite.reference import Reference
from microtune.ir.evaluate import evaluate


@dataclass(frozen=True)
class Row:
    """A model, a data set, and what is added to a label to get the model's class."""

    model: str
    data: str
    shift: int = 0


ROWS = (
    Row("mit_tinyengine/vww", "person_cc.tar"), Row("mlcommons_tiny/vww_96_int8", "person_cc.tar"),
    Row("mlcommons_tiny/pretrainedResnet_quant", "cifar10_6k.npz"),
    Row("google-coral/mobilenet_v1_0.25_128_quant", "imagenet_sample1000.npz", 1),
    Row("google-coral/mobilenet_v2_1.0_224_quant", "imagenet_sample1000.npz", 1),
)  # fmt: skip


def measure(folder: Path, row: Row, most: int) -> tuple[int, float, float, float]:
    """(images, LiteRT's top-1 in %, the device's, % of images with the same answer)."""
    model = import_tflite(folder / "models" / f"{row.model}.tflite")
    graph, reference = model.model.graph.copy(), Reference(model)
    graph.attrs["requantize"] = "device"
    modality = read_modality(model.model.preprocessing, graph.input_tensor)
    dataset = open_images(folder / "data" / row.data)
    split = dataset.load("test" if dataset.size("test") else "train", modality)
    chosen = np.linspace(0, len(split.frames) - 1, min(most, len(split.frames))).astype(int)
    last, found = model.origins[-1], []
    for i in chosen:
        codes = split.frames[i][None]
        reference.run(codes)
        theirs = reference.codes(last.tensor).reshape(-1)
        ours = evaluate(graph, {"input": codes})[graph.outputs[0]].reshape(-1)
        wanted = int(split.labels[i]) + row.shift
        found.append((theirs.argmax() == wanted, ours.argmax() == wanted,
                      theirs.argmax() == ours.argmax()))  # fmt: skip
    first, second, same = (100 * float(v) for v in np.mean(found, axis=0))
    return len(chosen), first, second, same


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000, help="at most so many a row")
    most = parser.parse_args().images
    folder = Path(os.environ.get("MICROTUNE_DATA", Path(__file__).parents[2] / "shared"))
    print("| model | data | images | LiteRT, % | device, % | same answer, % |")
    print("|---|---|---:|---:|---:|---:|")
    for row in ROWS:
        count, first, second, same = measure(folder, row, most)
        name = row.model.rsplit("/", 1)[-1]
        data = row.data.split(".", 1)[0]
        print(f"| `{name}` | `{data}` | {count} | {first:.1f} | {second:.1f} | {same:.1f} |",
              flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
