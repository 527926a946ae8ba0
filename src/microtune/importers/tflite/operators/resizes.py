"""Images of another size: the nearest code, or a bilinear mean."""

from __future__ import annotations

import tflite

from microtune.importers.tflite.operators.registry import takes
from microtune.importers.tflite.reader import Operator
from microtune.importers.tflite.translation import CannotError, Translation
from microtune.ir.graph import Attr


@takes("RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR")
def resize(t: Translation, operator: Operator) -> None:
    """An image of any other size, which is constant."""
    x, nearest = t.image(operator), operator.kind == "RESIZE_NEAREST_NEIGHBOR"
    size = [int(n) for n in t.constant(operator, 1).reshape(-1)]
    if len(size) != 2 or min(size) < 1:
        raise CannotError(f"a size of {size}", "height and width")
    if t.legacy and not nearest:
        raise CannotError("a mean of uint8 codes, which is made of reals", "full int8 quantisation")
    if t.quant(t.result(operator)) != t.quant_of(x):
        raise CannotError("its result has another scale than its operand", "the same scale")
    options = operator.read(
        tflite.ResizeNearestNeighborOptions if nearest else tflite.ResizeBilinearOptions
    )
    attrs: dict[str, Attr] = {
        "size": size, "method": "nearest" if nearest else "bilinear",
        "corners": int(options.AlignCorners()), "centers": int(options.HalfPixelCenters()),
    }  # fmt: skip
    name = t.builder.apply("resize", t.name("resize"), (x.name,), t.quant_of(x), attrs)
    t.give(operator, name)
