"""Initial gradient offsets at compile time: the exact maximum on a few synthetic frames.

An offset says how far a gradient tensor's exponent lies above the exponent of the entering
gradient. That is a property of the weights far more than of the data, so pseudo-random frames and a
pseudo-random head serve; on the device each offset then follows its data by one a step.
"""

from __future__ import annotations

import math

import numpy as np

from microtune.ir import numerics
from microtune.ir.evaluate import evaluate
from microtune.ir.gradients import GradientValue, rounded_gradients
from microtune.ir.graph import Array, Graph
from microtune.ir.ops import Trait, first_with
from microtune.ir.ops.head import head_of
from microtune.ir.signature import feed
from microtune.training.tasks import task_of

FRAMES = 4
_KEY = 0x6D74756E
_CELLS = 8


def synthetic_frame(shape: tuple[int, ...], number: int) -> Array:
    """A blocky pseudo-random int8 frame (1, H, W, C) or (1, C): large cells plus noise."""
    count = int(np.prod(shape))
    index = np.arange(count, dtype=np.int64)
    noise = numerics.random8(_KEY + number, index).reshape(shape) >> 2
    if len(shape) != 4:
        return (noise * 4 - 128).astype(np.int8)
    _, height, width, channels = shape
    cells = numerics.random8(_KEY ^ number, np.arange(_CELLS * _CELLS * channels, dtype=np.int64))
    rows = np.arange(height) * _CELLS // height
    columns = np.arange(width) * _CELLS // width
    coarse = cells.reshape(_CELLS, _CELLS, channels)[rows][:, columns]
    frame: Array = ((coarse * 3 >> 2) + noise[0] - 128).astype(np.int8)[None]
    return frame


def random_head(graph: Graph, number: int) -> dict[str, Array]:
    """Head weights that let a gradient through (the initial head is zero), by tensor name."""
    name = head_of(graph).weight
    weight = graph.data[name]
    index = np.arange(weight.size, dtype=np.int64).reshape(weight.shape)
    centred = numerics.random16(_KEY - number, index) - 32768
    scale = 1 / 8 if weight.dtype == np.int16 else 2.0**-16
    return {name: (centred * scale).astype(weight.dtype)}


def calibrated_offsets(exact: Graph) -> dict[str, Array]:
    """Offsets for the states of a training graph lowered with rule "exact".

    Returns state name -> int8 (1,): the median over the synthetic frames, rounded up.
    """
    task = task_of(exact)
    gradients, entering = rounded_gradients(exact), first_with(exact, Trait.ENTERING)
    if entering is None or not gradients:
        return {}
    base = entering.outputs[1]
    keep = {base}.union(*(gradient.pair for gradient in gradients))
    seen: dict[GradientValue, list[int]] = {gradient: [] for gradient in gradients}
    shape, outputs = exact.input_tensor.shape, exact.output_tensor.elements
    for number in range(FRAMES):
        frame = synthetic_frame(shape, number)
        target = task.synthetic_target(outputs, number)
        inputs = feed(exact, frame, target, seed=number)
        values = evaluate(exact, inputs, random_head(exact, number), keep=keep)
        for gradient, exponents in seen.items():
            # An all-zero gradient says nothing of its size.
            if values[gradient.codes].any():
                exponents.append(int(values[gradient.exponent][0]) - int(values[base][0]))
    return {
        gradient.offset: np.array([min(max(math.ceil(float(np.median(e))), -64), 63)], np.int8)
        for gradient, e in seen.items()
        if e and gradient.offset is not None
    }
