"""The usual ends of a model: reals turned to codes and back, and a softmax behind the logits."""

from __future__ import annotations

from microtune.importers.tflite.operators.elementwise import requantized
from microtune.importers.tflite.operators.registry import takes
from microtune.importers.tflite.reader import Operator
from microtune.importers.tflite.translation import CannotError, Translation


def _leads_out(t: Translation, tensor: int) -> bool:
    """Whether a tensor is only brought to the model's end, by operators that keep its order."""
    readers = t.readers(tensor)
    if not readers:
        return tensor in t.file.outputs
    kinds = ("DEQUANTIZE", "QUANTIZE", "RESHAPE", "SQUEEZE", "SOFTMAX")
    return all(r.kind in kinds and _leads_out(t, r.outputs[0]) for r in readers)


@takes("SOFTMAX")
def softmax(t: Translation, operator: Operator) -> None:
    """A softmax at the end keeps the order of the logits: it is left out."""
    if not _leads_out(t, t.result(operator).index):
        raise CannotError("a softmax inside of the model", "a softmax at its end")
    t.alias(operator, t.value(operator))


@takes("DEQUANTIZE")
def dequantize(t: Translation, operator: Operator) -> None:
    """Codes to reals at the end: left out."""
    if not _leads_out(t, t.result(operator).index):
        raise CannotError("reals inside of the model", "full int8 quantisation")
    t.alias(operator, t.value(operator))


@takes("QUANTIZE")
def quantize(t: Translation, operator: Operator) -> None:
    """Reals to codes at the beginning (then the codes are the input), or another scale."""
    source = t.tensor(operator, 0)
    if _leads_out(t, t.result(operator).index):
        t.alias(operator, t.value(operator))
        return
    value, quant = t.value(operator), t.quant(t.result(operator))
    if source.index in t.file.inputs and t.quant_of(value) == quant:
        t.alias(operator, value)
        return
    moved = requantized(t, value, quant)
    t.give(operator, moved.name, moved.axes)
