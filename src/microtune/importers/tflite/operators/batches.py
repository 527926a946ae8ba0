"""The old form of a dilated convolution: its phases as a batch, a convolution, and back."""

from __future__ import annotations

from microtune.importers.tflite.operators.registry import takes
from microtune.importers.tflite.reader import Operator
from microtune.importers.tflite.translation import NHWC, CannotError, Translation, Value

_INSTEAD = "SPACE_TO_BATCH_ND, one convolution, BATCH_TO_SPACE_ND: a dilated convolution"
_LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_SHAPES = ("RESHAPE", "EXPAND_DIMS", "SQUEEZE")


def _only_reader(t: Translation, operator: Operator) -> Operator | None:
    """The operator that alone reads a result, which is no output of the model."""
    index = t.result(operator).index
    readers = t.readers(index)
    return readers[0] if len(readers) == 1 and index not in t.file.outputs else None


def _beyond_shapes(t: Translation, operator: Operator) -> tuple[Operator, Operator | None]:
    """(the last operator behind this one that only gives a signal another shape, its reader)"""
    reader = _only_reader(t, operator)
    if reader is not None and reader.kind in _SHAPES:
        return reader, _only_reader(t, reader)
    return operator, reader


def _block(t: Translation, operator: Operator) -> tuple[list[int], list[list[int]]]:
    """The block's lengths, and before and behind of each of its axes."""
    blocks = [int(n) for n in t.constant(operator, 1).reshape(-1)]
    around, rank = t.constant(operator, 2), len(t.tensor(operator, 0).shape)
    fits = len(blocks) in (1, 2) and rank == len(blocks) + 2 and around.shape == (len(blocks), 2)
    if not fits or min(blocks) < 1 or around.min() < 0:
        raise CannotError(f"blocks {blocks}", "blocks of the axes between batch and channels")
    return blocks, [[int(n) for n in row] for row in around]


@takes("SPACE_TO_BATCH_ND")
def space_to_batch(t: Translation, operator: Operator) -> None:
    """The phases of an image as a batch: the convolution behind it becomes a dilated one."""
    before, layer = _beyond_shapes(t, operator)
    back = _beyond_shapes(t, layer)[1] if layer is not None and layer.kind in _LAYERS else None
    if back is None or back.kind != "BATCH_TO_SPACE_ND":
        raise CannotError("a batch that no convolution alone reads", _INSTEAD)
    blocks, around = _block(t, operator)
    after, cuts = _block(t, back)
    if after != blocks:
        raise CannotError(f"blocks of {blocks}, then of {after}", _INSTEAD)
    # What is cut behind the convolution is not padded before it.
    pads = [
        (a - b, c - d) for (a, c), (b, d) in zip(around, cuts, strict=True)
    ]  # fmt: skip
    if min(min(pair) for pair in pads) < 0:
        raise CannotError("more is cut than was padded", _INSTEAD)
    x = t.in_order(t.value(operator))
    if len(blocks) == 1:
        x, blocks, pads = _signal(t, before, x, blocks[0], pads[0])
    (top, bottom), (left, right) = pads
    value = t.with_pads(x, (top, left, bottom, right))
    t.alias(operator, Value(x.name, NHWC, value.pads, (blocks[0], blocks[1])))


def _signal(
    t: Translation, shaped: Operator, x: Value, block: int, pads: tuple[int, int]
) -> tuple[Value, list[int], list[tuple[int, int]]]:
    """A signal (1, T, C) as the image that the convolution sees: one row, or one column."""
    seen, (_, length, _, channels) = t.result(shaped).shape, t.shape(x)
    if len(seen) != 4 or seen[0] != block or 1 not in seen[1:3]:
        raise CannotError(f"a batch of shape {list(seen)}", "one row or one column of each")
    if seen[1] == 1:
        name = t.builder.reshape(t.name("reshape"), x.name, (1, 1, length, channels))
        return Value(name, NHWC), [1, block], [(0, 0), pads]
    return Value(x.name, NHWC), [block, 1], [pads, (0, 0)]


@takes("BATCH_TO_SPACE_ND")
def batch_to_space(t: Translation, operator: Operator) -> None:
    """The batch as an image again: what a dilated convolution has made."""
    found, result = t.padded(operator), t.result(operator)
    if found.blocks is None:
        raise CannotError("a batch that no convolution made", _INSTEAD)
    if t.quant(result) != t.quant_of(found):
        raise CannotError("its result has another scale than its operand", "the same scale")
    name = found.name
    if len(result.shape) == 3:
        _, height, width, channels = t.shape(found)
        name = t.builder.reshape(t.name("reshape"), name, (1, height * width, 1, channels))
    t.give(operator, name)
