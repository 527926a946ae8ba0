"""Calibration samples as users have them: arrays, tensors, loaders or folders of pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from microtune.api.reports import OnNote, Reporter
from microtune.data import Preprocessing, open_images
from microtune.data.image.input_values import RESIZE_RATIO
from microtune.errors import MicrotuneError

Samples = npt.NDArray[Any]
_WHAT = "calibration"


def gather(calibration: object, most: int, rank: int) -> Samples:
    """The first `most` samples, (N, …), of an array, a tensor or an iterable of batches or samples.

    Of a batch that is a tuple, a list or a mapping the first value counts, as loaders give (images,
    labels). `rank` is that of a batch, 0: not known; then 1 or 3 axes are a sample. Raises
    MicrotuneError for anything else, and for numbers that are not finite.
    """
    is_file = isinstance(calibration, str | Path)
    array = _of_file(Path(str(calibration))) if is_file else _array(calibration)
    if array is None:
        array = _gathered(calibration, most, rank)
    if array.ndim < 1 or array.size == 0:
        raise MicrotuneError(f"{_WHAT}: there are no samples")
    array = array[:most]
    if array.dtype.kind not in "fiub":
        raise MicrotuneError(f"{_WHAT}: {array.dtype} are no numbers")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise MicrotuneError(f"{_WHAT}: a sample holds a value that is NaN or infinite")
    return array if array.dtype == np.uint8 else array.astype(np.float32)


def is_folder(calibration: object) -> bool:
    """Whether a calibration is a data set of pictures; a path NAME.npy is an array."""
    return isinstance(calibration, str | Path) and Path(calibration).suffix != ".npy"


def _of_file(path: Path) -> Samples:
    try:
        with path.open("rb") as file:
            return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
    except (ValueError, EOFError, MemoryError, OverflowError) as error:
        raise MicrotuneError(f"{path}: not a .npy file of numbers: {error}") from error


def _array(value: object) -> Samples | None:
    """An array or a tensor of any library as an array; None for anything else."""
    if isinstance(value, np.ndarray):
        return value
    if all(hasattr(value, name) for name in ("detach", "numpy", "dtype")):
        tensor: Any = value
        tensor = tensor.detach().cpu()
        return np.asarray(
            (tensor if str(tensor.dtype) == "torch.uint8" else tensor.float()).numpy()
        )
    return None


def _gathered(calibration: object, most: int, rank: int) -> Samples:
    if not isinstance(calibration, Iterable) or isinstance(calibration, str | bytes):
        raise MicrotuneError(
            f"{_WHAT}: {type(calibration).__name__}; give an array (N, …), an iterable of tensors, "
            "a DataLoader, or a folder"
        )
    parts: list[Samples] = []
    count = 0
    for item in calibration:
        part = _first(item)
        if parts and part.ndim == parts[0].ndim and part.shape[1:] != parts[0].shape[1:]:
            raise MicrotuneError(
                f"{_WHAT}: samples of shape {list(parts[0].shape[1:])} and {list(part.shape[1:])}"
            )
        parts.append(part)
        count += len(part)
        if (count if _is_batch(part, rank) else len(parts)) >= most:
            break
    if not parts:
        raise MicrotuneError(f"{_WHAT}: there are no samples")
    return _stacked(parts, rank)


def _first(item: object) -> Samples:
    if isinstance(item, Mapping):
        item = next(iter(item.values()), None)
    if isinstance(item, tuple | list) and item and _array(item[0]) is not None:
        item = item[0]
    array = _array(item)
    if array is None:
        raise MicrotuneError(f"{_WHAT}: a sample is {type(item).__name__}, not a tensor")
    return array


def _is_batch(part: Samples, rank: int) -> bool:
    return part.ndim == rank if rank else part.ndim not in (1, 3)


def _stacked(parts: Sequence[Samples], rank: int) -> Samples:
    """Batches (N, C, H, W) behind each other; samples (C, H, W) or (C,) as a batch."""
    try:
        return np.concatenate(parts) if _is_batch(parts[0], rank) else np.stack(parts)
    except ValueError as error:
        raise MicrotuneError(f"{_WHAT}: samples of different shapes: {error}") from error


def pictures(folder: Path, shape: Sequence[int], most: int, reporter: Reporter) -> Samples:
    """Pictures of a data set as the chip gets them, uint8 (N, C, H, W); `shape` is (C, H, W).

    They are spread evenly over the training split. Raises MicrotuneError.
    """
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise MicrotuneError(
            f"{folder}: a folder holds pictures, the network takes {list(shape)}; give an array"
        )
    wanted = Preprocessing(shape[1], shape[2], shape[0], RESIZE_RATIO)
    dataset = open_images(folder)
    split = "train" if dataset.size("train") else "test"
    with reporter.stage("reading") as update:
        frames = dataset.load(split, wanted, lambda done, total: update(done, total, "")).frames
    if not len(frames):
        raise MicrotuneError(f"{folder}: no picture to calibrate with")
    chosen = np.linspace(0, len(frames) - 1, min(most, len(frames))).astype(int)
    bytes_ = (frames[chosen].astype(np.int16) + 128).astype(np.uint8)
    return np.ascontiguousarray(bytes_.transpose(0, 3, 1, 2))


def arranged(samples: Samples, rank: int, channels: Sequence[int], note: OnNote) -> Samples:
    """The samples in PyTorch's order, (N, C, H, W), (N, C, L) or (N, C).

    `rank` is what the network's convolutions take, `channels` what each of them has, the first one
    in front (0 and none: not known). Another layout is turned and said. Raises MicrotuneError if
    none fits.
    """
    shape = samples.shape
    if rank == 0 or not channels:
        return samples
    if len(shape) == rank - 1:
        if channels[0] == 1:
            return samples[:, None]
        if shape[0] == channels[0]:
            note(f"{_WHAT} of shape {list(shape)}: taken as one sample")
            return samples[None]
    if len(shape) == rank:
        # The first convolution that is defined need not be the first that is computed.
        for known in ((channels[0],), channels):
            if shape[1] in known:
                return samples
            if shape[-1] in known:
                order = "(N, H, W, C)" if rank == 4 else "(N, L, C)"
                note(f"{_WHAT} of shape {list(shape)}: taken as {order}")
                return np.ascontiguousarray(np.moveaxis(samples, -1, 1))
    wanted = "(N, C, H, W)" if rank == 4 else "(N, C, L)"
    raise MicrotuneError(
        f"{_WHAT} of shape {list(shape)}: the network takes {wanted} with C = {channels[0]}"
    )
