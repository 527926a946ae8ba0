"""Image folders, tars, zips and npz -> exactly the int8 bytes that the device gets."""

from microtune.data.dataset import (
    Dataset,
    Description,
    Split,
    epoch_order,
    hold_out,
    open_dataset,
    open_images,
)
from microtune.data.image.preprocessing import Preprocessing

__all__ = [
    "Dataset",
    "Description",
    "Preprocessing",
    "Split",
    "epoch_order",
    "hold_out",
    "open_dataset",
    "open_images",
]
