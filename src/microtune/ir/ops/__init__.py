"""The op table. Importing this package registers every op: one module a family."""

from importlib import import_module

from microtune.ir.ops.registry import (
    OPS,
    Context,
    Op,
    Trait,
    first_with,
    has,
    operand_names,
    with_trait,
)

# A family's kernels are in the module of the same name in codegen/kernels.
FAMILIES = (
    "convolution",
    "convolution_gradient",
    "parameter_update",
    "momentum",
    "residual",
    "product",
    "average_pool",
    "max_pool",
    "activation",
    "clamp",
    "reshape",
    "moves",
    "resize",
    "head",
    "cross_entropy",
    "sigmoid_cross_entropy",
    "mean_squared_error",
)

for _family in FAMILIES:
    import_module(f"{__name__}.{_family}")

__all__ = [
    "FAMILIES", "OPS", "Context", "Op", "Trait", "first_with", "has", "operand_names", "with_trait",
]  # fmt: skip
