"""Image folders, tars and npz -> exactly the int8 bytes that the device gets."""

from microtune.datasets.dataset import Dataset, Split, epoch_order, hold_out, open_dataset
from microtune.datasets.preprocessing import Preprocessing

__all__ = ["Dataset", "Preprocessing", "Split", "epoch_order", "hold_out", "open_dataset"]
