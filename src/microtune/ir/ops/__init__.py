"""The op table. Importing this package registers every op."""

from microtune.ir.ops import float_gradients, forward, heads, int8_gradients, updates
from microtune.ir.ops.registry import OPS, Context, OpDef

__all__ = [
    "OPS", "Context", "OpDef", "float_gradients", "forward", "heads", "int8_gradients", "updates",
]  # fmt: skip
