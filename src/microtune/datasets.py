"""The name that `microtune.data` had before; scripts that import it go on working."""

from microtune.data import (
    Dataset,
    Description,
    Preprocessing,
    Split,
    epoch_order,
    hold_out,
    open_dataset,
    open_images,
)

__all__ = [
    "Dataset", "Description", "Preprocessing", "Split", "epoch_order", "hold_out", "open_dataset",
    "open_images",
]  # fmt: skip
