"""The kernel table. Importing this package registers the kernels of every family of ops."""

from importlib import import_module

from microtune.codegen.kernels.registry import KERNELS, Kernel, Stage, Work
from microtune.ir.ops import FAMILIES

for _family in FAMILIES:
    import_module(f"{__name__}.{_family}")

__all__ = ["KERNELS", "Kernel", "Stage", "Work"]
