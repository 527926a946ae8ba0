"""Samples that a prediction is asked for: files, or frames in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from microtune.api.arguments import Place, as_paths
from microtune.api.places import check_places
from microtune.api.reports import Reporter
from microtune.ir.graph import Array
from microtune.tools.files import write_whole
from microtune.train.evaluation import Images, frames_as_images, read_images
from microtune.train.session import OpenProject


def read_samples(
    opened: OpenProject, name: str, samples: Place | Sequence[Place] | Array, dump: Path | None,
    load: Path | None, reporter: Reporter,
) -> Images:  # fmt: skip
    """The samples of the argument called `name` as the device gets them; notes go to `reporter`.

    With `dump` their bytes are written there, but not over a sample, over what was learnt (`load`)
    or into the project. Raises MicrotuneError for what cannot be read.
    """
    files = [] if isinstance(samples, np.ndarray) else as_paths(name, samples)
    check_places({"--dump": dump}, {"IMAGE": files, "--load": load}, opened.path)
    if isinstance(samples, np.ndarray):
        found = frames_as_images(opened, samples)
    else:
        found = read_images(opened, files)
    for line in found.notes:
        reporter.note(line)
    if dump is not None:
        write_whole(dump, found.frames.tobytes())
    return found
