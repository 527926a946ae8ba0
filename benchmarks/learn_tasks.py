"""The data of benchmarks/learn_tflite.py: photos, words and a fan, with what chooses held apart.

Each set is train, val and test, as one network gets it. Rates are chosen on val; test is looked at
once. Features are made here, on the host: the words' by keyword_features.py, the fan's below.
"""

from __future__ import annotations

import csv
import io
import tarfile
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from common import data_folder
from keyword_features import mfcc

import microtune as mt
from microtune.data import open_images
from microtune.data.modality import read_modality

Real = npt.NDArray[np.float64]
SPLITS = ("train", "val", "test")
FEW = 8


@dataclass(frozen=True)
class Samples:
    """Samples of an `.npz` (docs/data.md): `key` is "images" (uint8) or "x"; a `split` each."""

    key: str
    values: npt.NDArray[np.generic]
    labels: npt.NDArray[np.int64]
    split: npt.NDArray[np.str_]
    classes: tuple[str, ...]

    def write(self, path: Path, train: Sequence[str], test: str, most: int | None = None) -> Path:
        """Put the splits of `train` and of `test` (at most so many of that) into one file."""
        seen = np.flatnonzero(np.isin(self.split, train))
        asked = np.flatnonzero(self.split == test)
        if most is not None:
            asked = asked[np.linspace(0, len(asked) - 1, min(most, len(asked))).astype(int)]
        index = np.concatenate([seen, asked])
        np.savez(
            path, **{self.key: self.values[index]}, label=self.labels[index],
            test=np.arange(len(index)) >= len(seen), classes=np.array(self.classes),
        )  # fmt: skip
        return path

    def count(self, split: str) -> int:
        """The number of samples of a split."""
        return int((self.split == split).sum())


def photos(model: mt.Model, file: str) -> Samples:
    """Photos as the network gets them; without val a tenth of train is held out by name."""
    graph = model.graph
    dataset = open_images(data_folder() / "data" / file)
    modality = read_modality(model.preprocessing, graph.input_tensor)
    train, val = dataset.load_choice(modality)
    parts = (train, val, dataset.load("test", modality))
    frames = np.concatenate([part.frames for part in parts])
    return Samples(
        "images", (frames.astype(np.int16) + 128).astype(np.uint8),
        np.concatenate([part.labels for part in parts]).astype(np.int64),
        np.repeat(SPLITS, [len(part.labels) for part in parts]), tuple(dataset.classes),
    )  # fmt: skip


def words(part: str) -> Samples:
    """`commands_ar_PART`: ten Arabic words. Without val a tenth of train is held out."""
    values, labels, splits, names = [], [], [], {}
    with tarfile.open(data_folder() / f"data/commands_ar_{part}.tar.xz") as archive:
        files = {name: file.read() for name, file in _files(archive)}
    for row in csv.DictReader(io.StringIO(files["index.csv"].decode())):
        with wave.open(io.BytesIO(files[row["file"]])) as sound:
            readings = np.frombuffer(sound.readframes(sound.getnframes()), np.int16)
        values.append(mfcc(readings).astype(np.float32))
        labels.append(int(row["label"]))
        splits.append(row["split"])
        names[int(row["label"])] = row["class"]
    classes = tuple(names[label] for label in sorted(names))
    return Samples("x", np.array(values), np.array(labels), _held_out(np.array(splits)), classes)


def _files(archive: tarfile.TarFile) -> list[tuple[str, io.BufferedReader]]:
    opened = ((m.name.removeprefix("./"), archive.extractfile(m)) for m in archive)
    return [(name, file) for name, file in opened if file is not None]  # type: ignore[misc]


def _held_out(split: npt.NDArray[np.str_]) -> npt.NDArray[np.str_]:
    """Every tenth training sample becomes val where there is none."""
    if not (split == "val").any():
        split = split.copy()
        split[np.flatnonzero(split == "train")[::10]] = "val"
    return split


# -- the fan --------------------------------------------------------------------------------------

WINDOW, HOP, FRAMES, PER_FRAME = 84, 42, 5, 128
SPAN = WINDOW + (FRAMES - 1) * HOP
_BINS, _CODES_A_DEVIATION, _VAL_FROM = WINDOW // 2, 32, 1500
_NORMAL = 2  # "opposite": the weights on opposite blades balance


@dataclass(frozen=True)
class Fan:
    """Samples of the fan, and the Mahalanobis distance's AUC on the windows of the test samples."""

    samples: Samples
    distance_auc: float


def fan() -> Fan:
    """`fan3`: the balanced fan is normal, at 14 speeds; weights side by side are anomalies.

    A sample has the shape of `ad01_int8`'s: 5 frames of 128 values, here 42 log-amplitudes of each
    of 3 axes and two zeros, less the mean and over the deviation of the training samples (one code
    is 1/32 of a deviation). It spans 252 readings, 5 seconds. Training has the normal fan alone.
    """
    with np.load(data_folder() / "data/fan3.npz") as file:
        readings, label = file["x"] * file["scale"], file["label"].astype(np.int64)
        test_from = int(file["test_from"])
    spans = {"train": (0, _VAL_FROM), "val": (_VAL_FROM, test_from),
             "test": (test_from, readings.shape[1])}  # fmt: skip
    made, windows, labels, splits = [], [], [], []
    for split, (first, last) in spans.items():
        for number in np.flatnonzero((label == _NORMAL) | (split == "test")):
            cut = _windows(readings[number, first:last])
            made.append(_frames(cut))
            windows.append(cut)
            labels += [label[number]] * len(cut)
            splits += [split] * len(cut)
    values, split_of, label_of = np.concatenate(made), np.array(splits), np.array(labels)
    train = values[split_of == "train"]
    scaled = (values - train.mean((0, 1))) / train.std((0, 1))
    padded = np.pad(scaled, ((0, 0), (0, 0), (0, PER_FRAME - scaled.shape[2])))
    codes = np.clip(np.rint(padded * _CODES_A_DEVIATION), -128, 127).astype(np.int8)
    classes = ("neighbouring", "perpendicular", "normal")
    samples = Samples("x", codes.reshape(len(codes), -1), label_of, split_of, classes)
    return Fan(samples, _mahalanobis_auc(np.concatenate(windows), samples))


def _windows(readings: Real) -> Real:
    """(samples, SPAN, 3), a new one every HOP readings."""
    starts = np.arange(0, len(readings) - SPAN + 1, HOP)
    return np.asarray(readings[starts[:, None] + np.arange(SPAN)])


def _amplitudes(cut: Real) -> Real:
    """(…, bins, 3) of (…, readings, 3): a Hann window, without the mean."""
    readings = cut.shape[-2]
    moved = (cut - cut.mean(-2, keepdims=True)) * np.hanning(readings)[:, None]
    return np.abs(np.fft.rfft(moved, axis=-2))[..., 1:, :]


def _frames(cut: Real) -> Real:
    """(samples, FRAMES, 126): log-amplitudes, axis by axis."""
    starts = HOP * np.arange(FRAMES)[:, None] + np.arange(WINDOW)
    amplitudes = _amplitudes(cut[:, starts])[..., :_BINS, :]
    logs = np.log(amplitudes + 1e-3)
    return np.asarray(np.swapaxes(logs, -1, -2).reshape(len(cut), FRAMES, -1))


def _mahalanobis_auc(windows: Real, samples: Samples) -> float:
    """The baseline on the same windows: log-energies of 8 bands of 3 axes."""
    from sklearn.metrics import roc_auc_score

    bands = np.array_split(_amplitudes(windows) ** 2, 8, axis=1)
    energy = np.log(np.stack([band.sum(1) for band in bands], 1) + 1e-9).reshape(len(windows), -1)
    normal, asked = energy[samples.split == "train"], energy[samples.split == "test"]
    off = asked - normal.mean(0)
    distance = np.einsum("ij,jk,ik->i", off, np.linalg.inv(np.cov(normal.T)), off)
    return float(roc_auc_score(samples.labels[samples.split == "test"] != _NORMAL, distance))
