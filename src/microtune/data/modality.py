"""What a network senses: pictures, or plain arrays of numbers.

A modality makes the int8 input of the network from one sample of the data. It follows from the
model file: its `preprocessing`, and shape and quantisation of the graph's input.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from microtune.data.arrays import KIND, Arrays, Codes
from microtune.data.image.preprocessing import Preprocessing
from microtune.errors import MicrotuneError
from microtune.ir.graph import Tensor


class Modality(Protocol):
    """How one sample becomes the network's input."""

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the int8 input."""

    @property
    def noun(self) -> str:
        """What one sample is called in messages."""

    def to_json(self) -> dict[str, Any]:
        """All that decides the codes of a sample, as a cache's key needs it."""

    def decode_noted(self, content: bytes, name: str) -> tuple[Codes, tuple[str, ...]]:
        """The input, int8 (H, W, C), of a file's bytes, and notes for the user.

        Raises MicrotuneError that names the file if it cannot be read.
        """


def read_modality(preprocessing: Mapping[str, Any], model_input: Tensor) -> Modality:
    """The modality of a model: `preprocessing` of its file, `model_input` is int8 (1, H, W, C).

    Raises MicrotuneError if the two make no input.
    """
    if preprocessing.get("kind", "image") == KIND:
        return Arrays.of(model_input)
    wanted = Preprocessing.from_json(dict(preprocessing))
    if wanted.frame_shape != model_input.shape[1:]:
        raise MicrotuneError(
            f"the model's preprocessing makes images {wanted.frame_shape}, its input is "
            f"{model_input.shape[1:]} (height, width, channels)"
        )
    return wanted
