"""Decoded frames, kept on disk under a hash of everything that decides them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from microtune.data.image.formats import decoder_versions
from microtune.data.listing import some
from microtune.data.modality import Modality
from microtune.data.samples import Sample
from microtune.tools.cache import cache_folder, keep_array, read_array

Frames = npt.NDArray[np.int8]
Progress = Callable[[int, int], None]
# Part of the cache's key: raise it when the same picture and settings give other frames.
_VERSION = 3


def frames_of(
    samples: Sequence[Sample], modality: Modality, on_progress: Progress | None = None
) -> tuple[Frames, list[str]]:
    """(frames of the samples, int8 (N, H, W, C), lines about odd ones).

    Frames are decoded or taken from the cache. Their key is the content of every sample in order,
    the settings, and the decoders' versions. Raises MicrotuneError if a sample cannot be read.
    """
    path = _path(samples, modality)
    kept = None if path is None else read_array(path)
    if kept is not None:
        frames, notes = kept[0], {k: list(v) for k, v in kept[1].items()}
    else:
        frames, notes = _decoded(samples, modality, on_progress)
        if path is not None:
            keep_array(path, frames, notes)
    return frames, [
        f"{len(places)} {modality.noun}(s) {note}: {some([samples[i].name for i in places])}"
        for note, places in sorted(notes.items())
    ]


def _decoded(
    samples: Sequence[Sample], modality: Modality, on_progress: Progress | None
) -> tuple[Frames, dict[str, list[int]]]:
    frames = np.empty((len(samples), *modality.frame_shape), np.int8)
    notes: dict[str, list[int]] = {}
    for i, sample in enumerate(samples):
        frames[i], found = sample.content.frame(modality)
        for note in Counter(found):
            notes.setdefault(note, []).append(i)
        if on_progress is not None:
            on_progress(i + 1, len(samples))
    return frames, notes


def _path(samples: Sequence[Sample], modality: Modality) -> Path | None:
    folder = cache_folder()
    if folder is None or not samples:
        return None
    settings = json.dumps([_VERSION, decoder_versions(), modality.to_json()])
    digest = hashlib.sha256(settings.encode())
    for sample in samples:
        digest.update(bytes.fromhex(sample.content.sha256))
    return folder / f"frames-{digest.hexdigest()[:32]}.bin"
