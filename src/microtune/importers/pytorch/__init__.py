"""PyTorch networks as float graphs: an `nn.Module`, or the file `.pt2` of `torch.export`.

`export.py` asks PyTorch for the graph of ATen operators, `program.py` goes through it with one
function an operator (`operators/`). PyTorch is imported when it is used, and not before.
"""

from microtune.importers.pytorch.export import (
    ExportedProgram,
    convolutions,
    export_module,
    is_module,
    load_exported,
    sniff_exported,
)
from microtune.importers.pytorch.program import input_shape_of, lower_program

__all__ = [
    "ExportedProgram", "convolutions", "export_module", "input_shape_of", "is_module",
    "load_exported", "lower_program", "sniff_exported",
]  # fmt: skip
