"""What a camera or sensor driver must deliver, in words: for the project's README and the model's
header.

Everything follows from the model's modality, which is what training samples went through. What
each mistake of a camera costs was measured by benchmarks/camera_mistakes.py (`camera_costs.json`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from microtune.data.arrays import Arrays
from microtune.data.image.preprocessing import Preprocessing
from microtune.data.modality import Modality, read_modality
from microtune.errors import MicrotuneError
from microtune.ir.graph import Tensor

COSTS = Path(__file__).with_name("camera_costs.json")
# Frames that cameras deliver.
_FRAMES = ((320, 240), (640, 480), (800, 600), (1280, 720))
_TYPICAL = (640, 480)
# Mistakes that a grey picture cannot have.
_OF_COLOURS = ("blue", "grey", "planes", "RGB565")
# Below this many points in every data set a mistake stands in no table.
_WORTH_A_ROW = 2.0


@dataclass(frozen=True)
class MistakeCosts:
    """The loss of test accuracy by each mistake, in percentage points, one figure a data set."""

    model: str
    data: tuple[str, ...]
    right: tuple[float, ...]
    mistakes: Mapping[str, tuple[float, ...]]

    @staticmethod
    def read() -> MistakeCosts:
        """The measured costs that ship with the package."""
        content = json.loads(COSTS.read_text(encoding="utf-8"))
        mistakes = {name: tuple(values) for name, values in content["mistakes"].items()}
        return MistakeCosts(
            content["model"], tuple(content["data"]), tuple(content["right"]), mistakes
        )

    def write(self) -> None:
        """Write the costs to the file that `read` reads."""
        content = json.dumps(asdict(self), indent=1, ensure_ascii=False)
        COSTS.write_text(content + "\n", encoding="utf-8")

    def of(self, start: str) -> str:
        """The cost of the mistake whose name starts like this: "12 to 52 points"."""
        (found,) = (values for name, values in self.mistakes.items() if name.startswith(start))
        low, high = sorted(max(0, round(value)) for value in found)
        return f"{high} points" if low == high else f"{low} to {high} points"

    def rows(self, channels: int) -> tuple[list[str], list[str]]:
        """(Markdown rows of what costs something, names of what costs nothing sure)."""
        rows, cheap = [], []
        for name, values in self.mistakes.items():
            if channels == 1 and any(word in name for word in _OF_COLOURS):
                continue
            if max(values) < _WORTH_A_ROW:
                cheap.append(name)
            else:
                rows.append(f"| {name} | {' | '.join(f'{value:.1f}' for value in values)} |")
        return rows, cheap


def known_modality(preprocessing: Mapping[str, Any], model_input: Tensor) -> Modality | None:
    """The modality of a model, or None where its file does not say it."""
    try:
        return read_modality(preprocessing, model_input)
    except MicrotuneError:
        return None


def header_comment(wanted: Modality | None) -> str:
    """A C comment: each part of the contract; for a camera with what it costs to break it."""
    if isinstance(wanted, Arrays):
        return _comment(_array_lines(wanted))
    if not isinstance(wanted, Preprocessing):
        return "/* The model does not say how its images were prepared. */"
    costs, (size, corner) = MistakeCosts.read(), wanted.placement(*_TYPICAL)
    lines = [
        "The frame: int8 [MT_INPUT_HEIGHT][MT_INPUT_WIDTH][MT_INPUT_CHANNELS]. The camera must",
        "deliver what training saw. What anything else costs in points of test accuracy (README.md",
        "has more of them):",
        "",
        f"pixel - 128, of 0 .. 255           the pixel itself: {costs.of('pixel instead')}",
    ]
    if wanted.channels == 3:
        lines += [
            f"red, green, blue, pixel by pixel   blue first: {costs.of('blue first')}; planes: "
            f"{costs.of('channel planes')}",
        ]
    lines += [
        f"the top row first                  upside down: {costs.of('upside down')}",
        f"the middle of the frame            squeezed instead of cropped: {costs.of('the whole')}",
        f"averages of pixels                 the nearest pixel: {costs.of('nearest')}",
        "",
        f"A {_TYPICAL[0]} x {_TYPICAL[1]} frame is scaled to {size[0]} x {size[1]}; the crop "
        f"starts at column {corner[0]}, row {corner[1]}.",
    ]
    return _comment(lines)


def _comment(lines: Sequence[str]) -> str:
    return "/* " + "\n * ".join(lines).replace(" * \n", " *\n") + " */"


def _array_lines(wanted: Arrays) -> list[str]:
    low, high = wanted.real_range
    return [
        "The input: int8 [MT_INPUT_HEIGHT][MT_INPUT_WIDTH][MT_INPUT_CHANNELS]; for a series of",
        "readings the height is 1, the width the reading, the channel the sensor.",
        "",
        f"code = floor(real / {wanted.scale!r} + 0.5) + ({wanted.zero_point}), saturated to",
        "-128 .. 127;",
        f"real values from {low:.6g} to {high:.6g} have a code of their own.",
    ]


def _crop_row(wanted: Preprocessing, width: int, height: int) -> str:
    size, corner = wanted.placement(width, height)
    across, down = width / size[0], height / size[1]
    left, top = round(corner[0] * across), round(corner[1] * down)
    taken = f"{round(wanted.width * across)} × {round(wanted.height * down)} at ({left}, {top})"
    return f"| {width} × {height} | {taken} | {size[0]} × {size[1]} | ({corner[0]}, {corner[1]}) |"


def _lines(wanted: Preprocessing) -> list[str]:
    height, width, channels = wanted.height, wanted.width, wanted.channels
    colours, grey = "red, green, blue", ""
    if channels == 1:
        colours = "one grey value"
        grey = " Of a colour camera grey is 0.299 R + 0.587 G + 0.114 B."
    return [
        f"* **Bytes**: {height * width * channels:,}, int8 `[{height}][{width}][{channels}]`: "
        f"{height} rows from the top, {width} pixels from the left, {colours} for each pixel.",
        "* **Values**: the 8-bit sRGB value minus 128. Black is −128, white is 127. Full range, "
        f"not video's 16 … 235.{grey}",
        "* **Crop**: from the middle of the frame, as in the table below; nothing is squeezed.",
        "* **Scaling**: bilinear over the area that a pixel covers (Pillow's `BILINEAR`). The mean "
        "of that area comes close; the nearest pixel does not.",
    ]


def _array_section(wanted: Arrays) -> str:
    (height, width, channels), (low, high) = wanted.shape, wanted.real_range
    return "\n".join([
        "The network takes plain numbers. A driver must deliver what training saw:", "",
        f"* **Bytes**: {height * width * channels:,}, int8 `[{height}][{width}][{channels}]`. Of a "
        "series of readings: one reading after the other, its channels side by side.",
        f"* **Values**: `floor(real / {wanted.scale!r} + 0.5) + ({wanted.zero_point})`, saturated "
        f"to −128 … 127. `real` is in the unit of the training data; {low:.6g} to {high:.6g} have "
        "a code of their own.", "",
        "To test a driver, save one sample as `.npy`, let microtune write the bytes that must "
        "arrive, and compare:", "",
        "```sh", "microtune predict . sample.npy --dump frame.bin", "```",
    ])  # fmt: skip


def section_title(wanted: Modality | None) -> str:
    """The heading of `readme_section`."""
    return "The sensor" if isinstance(wanted, Arrays) else "The camera"


def readme_section(wanted: Modality | None) -> str:
    """What a driver must deliver, for a project's README, in Markdown."""
    if isinstance(wanted, Arrays):
        return _array_section(wanted)
    if not isinstance(wanted, Preprocessing):
        return (
            "The model file does not say how its training images were prepared. Find out: a frame "
            "prepared in another way costs accuracy without a word."
        )
    costs = MistakeCosts.read()
    rows, cheap = costs.rows(wanted.channels)
    right = ", ".join(
        f"{name} {value:.1f} %" for name, value in zip(costs.data, costs.right, strict=True)
    )
    return "\n".join([
        "The network knows what its training images looked like. A driver must deliver the same:",
        "", *_lines(wanted), "",
        "| camera's frame | part that is used | or: scale all to | and cut at (column, row) |",
        "|---|---|---|---|", *(_crop_row(wanted, *frame) for frame in _FRAMES), "",
        f"What a mistake costs, in points of test accuracy, measured on {costs.model} after "
        f"training on right frames ({right}):", "",
        f"| the camera delivers | {' | '.join(costs.data)} |",
        f"|---|{'---:|' * len(costs.data)}", *rows, "",
        f"Less than {_WORTH_A_ROW:g} points, within noise: {'; '.join(cheap)}.", "",
        "To test a driver, show it a picture, let microtune write the bytes that must arrive, and "
        "compare:", "",
        "```sh", "microtune predict . photo.png --dump frame.bin", "```",
    ])  # fmt: skip
