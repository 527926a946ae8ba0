"""What it costs when a camera does not deliver what training saw: one mistake at a time.

    python benchmarks/camera_mistakes.py [--docs]

mcunet-5fps, 49KB scheme, learns each data set from frames as microtune prepares them; then the
generated C classifies the test images as a camera driver with that mistake would deliver them.
Needs the optional data folder. `--docs` writes the table into docs/camera.md and the
costs that projects state (src/microtune/project/camera_costs.json). About two minutes.
"""

from __future__ import annotations

import argparse
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import common
import numpy as np
from PIL import Image
from rich.console import Console

from microtune import pipeline
from microtune.data import Preprocessing, open_dataset
from microtune.importers import load_any
from microtune.project.camera import MistakeCosts
from microtune.run.job import Call, Record
from microtune.run.runners import HostRunner
from microtune.targets import load_target
from microtune.train.session import Session
from microtune.train.trainer import TrainingPlan

MODEL, SCHEME, DATA = "mcunet-5fps", "49KB", ("clothing10", "signdigits10")
EPOCHS, LEARNING_RATE, SEED, UNLIMITED = 5, 0.002, 0, 1 << 24
NEAREST = Image.Resampling.NEAREST
Picture = Image.Image
Pixels = np.ndarray


class Squashed(Preprocessing):
    """The whole frame squeezed into the input, nothing cropped."""

    def _resize_and_crop(self, image: Picture) -> Picture:
        return image.resize((self.width, self.height), Image.Resampling.BILINEAR)


class Corner(Preprocessing):
    """The crop at the top left instead of in the middle."""

    def _resize_and_crop(self, image: Picture) -> Picture:
        scale = max(self.width / image.width, self.height / image.height) / self.resize_ratio
        size = (round(image.width * scale), round(image.height * scale))
        return image.resize(size, Image.Resampling.BILINEAR).crop((0, 0, self.width, self.height))


class Nearest(Preprocessing):
    """One pixel taken for each, none averaged."""

    def _resize_and_crop(self, image: Picture) -> Picture:
        scale = max(self.width / image.width, self.height / image.height) / self.resize_ratio
        size = (round(image.width * scale), round(image.height * scale))
        left, top = (size[0] - self.width) // 2, (size[1] - self.height) // 2
        box = (left, top, left + self.width, top + self.height)
        return image.resize(size, NEAREST).crop(box)


def video_range(pixels: Pixels) -> Pixels:
    """0 .. 255 squeezed into 16 .. 235."""
    return np.rint(16 + pixels * (219 / 255))


def rgb565(pixels: Pixels) -> Pixels:
    """5, 6 and 5 bits, the bits below them 0."""
    return np.stack([pixels[..., 0] & 0xF8, pixels[..., 1] & 0xFC, pixels[..., 2] & 0xF8], -1)


def planes(pixels: Pixels) -> Pixels:
    """[channel][row][column] in place of [row][column][channel]."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)).reshape(pixels.shape)


def gamma(pixels: Pixels) -> Pixels:
    """A sensor's linear light in place of sRGB."""
    return np.rint(255 * (pixels / 255) ** 2.2)


GEOMETRY: dict[str, type[Preprocessing]] = {
    "the whole frame squeezed to the input's size": Squashed,
    "cropped at the top left, not in the middle": Corner,
    "nearest pixel instead of averages": Nearest,
}
PIXELS: dict[str, Callable[[Pixels], Pixels]] = {
    "blue first (BGR)": lambda p: p[..., ::-1],
    "grey in all three channels": lambda p: np.repeat(p.mean(-1, keepdims=True), 3, -1),
    "channel planes (CHW) instead of HWC": planes,
    "upside down": lambda p: p[::-1],
    "on its side (90°)": lambda p: np.rot90(p),
    "mirrored": lambda p: p[:, ::-1],
    "16 … 235 instead of 0 … 255": video_range,
    "RGB565 without filling the low bits": rgb565,
    "linear light, no gamma": gamma,
    "half the exposure": lambda p: p // 2,
}
CODES: dict[str, Callable[[Pixels], Pixels]] = {
    "pixel instead of pixel − 128": lambda p: p.astype(np.uint8).view(np.int8),
    "pixel / 2 (0 … 127)": lambda p: (p // 2).astype(np.int8),
    "128 − pixel": lambda p: np.clip(128 - p, -128, 127).astype(np.int8),
}


def pictures(data: Path) -> list[tuple[Picture, str]]:
    """The test pictures of a tar with their classes."""
    with tarfile.open(data) as tar:
        found = []
        for member in sorted(tar.getmembers(), key=lambda m: m.name):
            parts = Path(member.name).parts
            if len(parts) > 2 and parts[-3] == "test" and (file := tar.extractfile(member)):
                found.append((Image.open(file).convert("RGB"), parts[-2]))
        return found


def deliveries(
    images: Sequence[Picture], preprocessing: Preprocessing
) -> dict[str, Sequence[Pixels]]:
    """Frames int8 (H, W, C) of all images, as they should be and with each mistake."""
    right = [preprocessing.apply(image) for image in images]
    settings = preprocessing.to_json()
    frames: dict[str, Sequence[Pixels]] = {"as training saw it": right}
    no_margin = replace(preprocessing, resize_ratio=1.0)
    frames["the largest square, without the margin"] = [no_margin.apply(i) for i in images]
    for name, kind in GEOMETRY.items():
        frames[name] = [kind(**settings).apply(image) for image in images]
    pixels = [frame.astype(np.int16) + 128 for frame in right]
    for name, change in PIXELS.items():
        frames[name] = [(change(p) - 128).astype(np.int8) for p in pixels]
    for name, code in CODES.items():
        frames[name] = [code(p) for p in pixels]
    return frames


def accuracies(data: Path, folder: Path) -> dict[str, float]:
    """Test accuracy in percent with each mistake, after training on right frames."""
    model = load_any(next((common.data_folder() / "models").rglob(f"{MODEL}.pkl")))
    classes = open_dataset(data).classes
    request = pipeline.Request(len(classes), SCHEME, load_target("cortex-m7"), UNLIMITED, UNLIMITED)
    pipeline.compile_model(model, request, folder / "p")
    session = Session.open(folder / "p", data, "host", lambda *_: None)
    plan = TrainingPlan(EPOCHS, LEARNING_RATE, "cosine", SEED, None)
    session.train(plan, lambda *_: None, folder / "learnt", latents=True)
    runner = HostRunner(folder / "p", SEED)
    runner.library.load((folder / "learnt").read_bytes())
    images, names = zip(*pictures(data), strict=True)
    labels = [classes.index(name) for name in names]
    found = {}
    for name, frames in deliveries(images, Preprocessing.from_json(model.preprocessing)).items():
        results = runner.run(Record(Call.INFER, np.ascontiguousarray(f)) for f in frames)
        right = [r.predicted == label for r, label in zip(results, labels, strict=True)]
        found[name] = 100 * float(np.mean(right))
    return found


def sorted_costs(found: dict[str, dict[str, float]]) -> MistakeCosts:
    """The first figure of each data set, and what each mistake costs, most expensive first."""
    columns = list(found.values())
    first, *mistakes = columns[0]
    costs = {name: tuple(round(c[first] - c[name], 1) for c in columns) for name in mistakes}
    order = sorted(mistakes, key=lambda name: -sum(costs[name]))
    right = tuple(round(column[first], 1) for column in columns)
    return MistakeCosts(MODEL, tuple(found), right, {name: costs[name] for name in order})


def table(costs: MistakeCosts) -> str:
    """Markdown."""
    rows = [f"| what the camera delivers | {' | '.join(costs.data)} |"]
    rows.append(f"|---|{'---:|' * len(costs.data)}")
    rows.append(f"| as training saw it | {' | '.join(f'{value:.1f} %' for value in costs.right)} |")
    for name, values in costs.mistakes.items():
        shown = (f"{-value:+.1f}".replace("-", "−") for value in values)
        rows.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(rows)


def main() -> None:
    """Print the table; `--docs` puts it into its page and into the compiler."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--docs", action="store_true", help="write docs/camera.md and the costs")
    docs = parser.parse_args().docs
    found = {}
    for name in DATA:
        with tempfile.TemporaryDirectory(prefix="microtune-camera-") as folder:
            found[name] = accuracies(common.data_folder() / f"data/{name}.tar", Path(folder))
    costs = sorted_costs(found)
    Console(width=100, highlight=False, markup=False).print(table(costs))
    if docs:
        costs.write()
        common.put_blocks(common.DOCS / "camera.md", {"mistakes": f"{table(costs)}\n"})


if __name__ == "__main__":
    common.run(main)
