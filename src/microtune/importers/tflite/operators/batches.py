"""The old form of a dilated convolution: its phases as a batch, a convolution, and back."""

from __future__ import annotations

from microtune.importers.tflite.operators.registry import takes
from microtune.importers.tflite.reader import Operator
from microtune.importers.tflite.translation import NHWC, CannotError, Translation, Value

_INSTEAD = "SPACE_TO_BATCH_ND, one convolution, BATCH_TO_SPACE_ND: a dilated convolution"
_LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D")


def _only_reader(t: Translation, operator: Operator) -> Operator | None:
    """The operator that alone reads a result, which is no output of the model."""
    index = t.result(operator).index
    readers = t.readers(index)
    return readers[0] if len(readers) == 1 and index not in t.file.outputs else None


def _two_by_two(t: Translation, operator: Operator) -> tuple[tuple[int, int], list[list[int]]]:
    """The block's (height, width), and before and behind of both axes."""
    blocks = [int(n) for n in t.constant(operator, 1).reshape(-1)]
    around = t.constant(operator, 2)
    if len(blocks) != 2 or around.shape != (2, 2) or min(blocks) < 1 or around.min() < 0:
        raise CannotError(f"blocks {blocks}", "blocks of height and width")
    return (blocks[0], blocks[1]), [[int(n) for n in row] for row in around]


@takes("SPACE_TO_BATCH_ND")
def space_to_batch(t: Translation, operator: Operator) -> None:
    """The phases of an image as a batch: the convolution behind it becomes a dilated one."""
    layer = _only_reader(t, operator)
    back = _only_reader(t, layer) if layer is not None and layer.kind in _LAYERS else None
    if back is None or back.kind != "BATCH_TO_SPACE_ND":
        raise CannotError("a batch that no convolution alone reads", _INSTEAD)
    blocks, ((top, bottom), (left, right)) = _two_by_two(t, operator)
    after, ((cut_top, cut_bottom), (cut_left, cut_right)) = _two_by_two(t, back)
    if after != blocks:
        raise CannotError(f"blocks of {list(blocks)}, then of {list(after)}", _INSTEAD)
    x = t.image(operator, pads=True)
    # What is cut behind the convolution is not padded before it.
    pads = (top - cut_top, left - cut_left, bottom - cut_bottom, right - cut_right)
    if min(pads) < 0:
        raise CannotError("more is cut than was padded", _INSTEAD)
    around = t.with_pads(x, pads).pads
    t.alias(operator, Value(x.name, NHWC, around, blocks))


@takes("BATCH_TO_SPACE_ND")
def batch_to_space(t: Translation, operator: Operator) -> None:
    """The batch as an image again: what a dilated convolution has made."""
    found = t.padded(operator)
    if found.blocks is None:
        raise CannotError("a batch that no convolution made", _INSTEAD)
    if t.quant(t.result(operator)) != t.quant_of(found):
        raise CannotError("its result has another scale than its operand", "the same scale")
    t.give(operator, found.name)
