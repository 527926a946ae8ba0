"""Top-1 of the reference models in their own arithmetic and in the device's.

    python benchmarks/reference_models.py [--images 1000]

Mode mcunet is the float32 half-even rule of the published files, mode device the default of the
generated C; both by the numpy meaning. Needs the optional data folder. Finished models are kept in
`out/reference.json`.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
from common import OUT, data_folder

from microtune.data import Preprocessing
from microtune.data.sources import open_source
from microtune.importers import load_any
from microtune.importers.dead_channels import channel_reports
from microtune.ir.evaluate import evaluate
from microtune.report.console import progress
from microtune.tools.files import write_whole

MODELS = ("mcunet-5fps", "mbv2-w0.35", "proxyless-w0.3")
PUBLISHED = (57.9, 47.6, 50.4)


def top1(name: str, images: int) -> dict[str, object]:
    """Correct predictions of both modes, and the channels that were found dead."""
    folder = data_folder()
    model = load_any(folder / "models/mit_tiny-training" / f"{name}.pkl")
    preprocessing = Preprocessing.from_json(model.preprocessing)
    source = open_source(folder / "data/imagenet_sample1000.npz")
    samples = source.samples[:: max(1, len(source.samples) // images)][:images]
    classes = source.classes or []
    right = {"mcunet": 0, "device": 0}
    with progress(name) as bar:
        for number, sample in enumerate(samples, 1):
            frame = sample.read(preprocessing)[None]
            for mode in right:
                graph = model.graph.copy()
                graph.attrs["requantize"] = mode
                logits = evaluate(graph, {"input": frame})[graph.outputs[0]]
                right[mode] += int(np.argmax(logits)) == classes.index(sample.label)
            bar(number, len(samples), "")
    dead = sum(report.dead for report in channel_reports(model.graph))
    return {"model": name, "images": len(samples), "dead_channels": dead, **right}


def main() -> None:
    """Run what is not stored yet and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=int, default=1000)
    options = parser.parse_args()
    store = OUT / "reference.json"
    known = json.loads(store.read_text()) if store.is_file() else []
    have = {(r["model"], r["images"]): r for r in known}
    print(f"{'model':>15} {'images':>6} {'published':>9} {'mcunet':>7} {'device':>7} {'dead':>5}")
    for name, published in zip(MODELS, PUBLISHED, strict=True):
        key = (name, options.images)
        if key not in have:
            have[key] = top1(name, options.images)
            write_whole(store, (json.dumps(list(have.values()), indent=1) + "\n").encode())
        row = have[key]
        percent = [100 * row[mode] / row["images"] for mode in ("mcunet", "device")]
        figures = f"{published:>9.1f} {percent[0]:>7.1f} {percent[1]:>7.1f}"
        print(f"{name:>15} {row['images']:>6} {figures} {row['dead_channels']:>5}")


if __name__ == "__main__":
    main()
