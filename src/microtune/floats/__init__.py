"""Networks in real numbers, before they are quantised: readers make them, `quantize` takes them."""

from microtune.floats.graph import FloatGraph, FloatNode, Floats
from microtune.floats.run import run_floats, run_node
from microtune.floats.shapes import result_shape

__all__ = ["FloatGraph", "FloatNode", "Floats", "result_shape", "run_floats", "run_node"]
