"""What microtune takes of ATen, one file a family of operators."""

from microtune.importers.pytorch.operators import elementwise, layers, moves, pools
from microtune.importers.pytorch.operators.registry import OPERATORS

__all__ = ["OPERATORS", "elementwise", "layers", "moves", "pools"]
