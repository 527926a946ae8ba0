"""Run any graph by the one numpy meaning of each op."""

from __future__ import annotations

from typing import Any

import numpy as np

from microtune.ir.graph import Array, Graph
from microtune.ir.ops import OPS, Context


def evaluate(
    graph: Graph,
    inputs: dict[str, Array],
    data: dict[str, Array] | None = None,
    real: type[np.floating[Any]] = np.float32,
    keep: set[str] | None = None,
) -> dict[str, Array]:
    """Run every node once. Returns the outputs, the updates' values and the names in `keep`.

    `data` overrides consts, params and states; `real` is the type that float tensors are computed
    in (float64 for oracles). Values are dropped after their last reader.
    """
    values: dict[str, Array] = {**graph.data, **(data or {}), **inputs}
    wanted = set(graph.outputs) | set(graph.updates.values()) | (keep or set())
    last = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
    for i, node in enumerate(graph.nodes):
        context = Context(graph, node, real)
        op = OPS[node.op]
        operands = op.operands.of([values[name] for name in node.inputs])
        results = op.meaning(context, operands)
        values.update(zip(node.outputs, results, strict=False))
        for name in {*node.inputs, *node.outputs}:
            temporary = graph.tensors[name].role == "value"
            if temporary and name not in wanted and last.get(name, -1) <= i:
                values.pop(name, None)
    return {name: values[name] for name in wanted}
