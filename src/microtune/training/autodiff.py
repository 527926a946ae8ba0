"""Reverse-mode differentiation at compile time: the driver of the ops' gradient rules.

`differentiate` appends the loss and the float gradient ops to a forward graph. Only what a
trainable parameter needs is created: a rule is asked for the gradient of an input only if that
input depends on one. The rules stand in the entries of the ops (`ir/ops`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from microtune.errors import MicrotuneError
from microtune.ir.graph import Attr, Graph, Node, Tensor
from microtune.ir.ops import OPS
from microtune.ir.ops.clamp import MaskGradient
from microtune.ir.ops.operands import Operands
from microtune.ir.ops.residual import GradientSum
from microtune.ir.verifier import verify
from microtune.training.tasks import task_of


@dataclass
class Tape:
    """The graph under construction and the gradients found so far (`ir.ops.rules.Tape`)."""

    graph: Graph
    active: set[str]
    contributions: dict[str, list[str]] = field(default_factory=dict)
    saved: dict[int, list[Node]] = field(default_factory=dict)

    def emit(self, op: str, name: str, operands: Operands[str], **attrs: Attr) -> str:
        """Append a node with one output, called `name` or like it; returns its name."""
        name = self.graph.fresh(name)
        node = Node(op, operands.flat(), (name,), attrs)
        shape, dtype = OPS[op].shapes(self.graph, node)[0]
        self.graph.add_node(node, [Tensor(name, shape, dtype)])
        return name

    def wants(self, name: str) -> bool:
        """Whether the gradient of this tensor is needed."""
        return name in self.active

    def contribute(self, name: str, gradient: str) -> None:
        """Add one path's gradient of `name`."""
        self.contributions.setdefault(name, []).append(gradient)

    def save(self, reader: Node, node: Node) -> None:
        """Put a node right in front of the forward node `reader`."""
        self.saved.setdefault(self.graph.nodes.index(reader), []).append(node)

    def extend(self, node: Node, tensor: Tensor) -> str:
        """Let forward node `node` make one more tensor; returns its name."""
        position = self.graph.nodes.index(node)
        extended = replace(node, outputs=(*node.outputs, self.graph.add_tensor(tensor)))
        self.graph.nodes[position] = extended
        return tensor.name

    def shape(self, name: str) -> list[int]:
        """The shape of a tensor, as an attribute of a node."""
        return list(self.graph.tensors[name].shape)


def differentiate(graph: Graph) -> tuple[Graph, dict[str, str]]:
    """Append loss and backward; returns (graph, param name -> name of its float gradient).

    The loss and the gradients become outputs, the target of the graph's task an input. Raises
    MicrotuneError naming an op on the way that has no rule.
    """
    result = verify(graph).copy()
    params = [t.name for t in graph.with_role("param")]
    shared = [name for name in params if len(graph.consumers()[name]) > 1]
    if shared:
        raise MicrotuneError(
            f"{graph.name}: {', '.join(shared)} belongs to several layers; only a layer with a "
            "parameter of its own can be trained"
        )
    active = _active(result, params)
    logits = graph.outputs[0]
    if logits not in active:
        raise MicrotuneError(f"{graph.name}: the scheme trains nothing that the output depends on")
    tape = Tape(result, active)
    forward = list(result.nodes)
    loss, gradient = task_of(graph).append_loss(result, logits)
    tape.contribute(logits, gradient)
    for position in range(len(forward) - 1, -1, -1):
        _visit(tape, forward[position], position)
    _insert_saved(result, tape.saved)
    result.outputs = [logits, loss]
    unused = [name for name in params if name not in tape.contributions]
    if unused:
        raise MicrotuneError(f"{graph.name}: the output does not depend on {', '.join(unused)}")
    gradients = {name: tape.contributions[name][0] for name in params}
    for gradient in gradients.values():
        result.tensors[gradient] = replace(result.tensors[gradient], kind="gradient")
    result.outputs += gradients.values()
    return verify(result), gradients


def _active(graph: Graph, params: list[str]) -> set[str]:
    active = set(params)
    for node in graph.nodes:
        if active & set(node.inputs):
            active.add(node.outputs[0])
    return active


def _visit(tape: Tape, node: Node, position: int) -> None:
    y = node.outputs[0]
    if y not in tape.active or y not in tape.contributions:
        return
    entry = OPS[node.op]
    if entry.gradient is None:
        known = sorted(name for name, each in OPS.items() if each.gradient)
        raise MicrotuneError(
            f"no gradient rule for op {node.op} (node %{y}); there are rules for {known}"
        )
    gradient, *others = tape.contributions[y]
    for number, other in enumerate(others):
        gradient = tape.emit("gradient_sum", f"{y}.sum{number}", GradientSum(gradient, other))
    if entry.clamps(tape.graph, node):
        shape = tape.graph.tensors[y].shape
        mask = tape.extend(node, Tensor(tape.graph.fresh(f"{y}.mask"), shape, "b1"))
        gradient = tape.emit("mask_gradient", f"{y}.grad", MaskGradient(gradient, mask))
    entry.gradient(tape, tape.graph.nodes[position], gradient)


def _insert_saved(graph: Graph, saved: dict[int, list[Node]]) -> None:
    """Put the copies of trained channels right before the layer that reads them."""
    for position in sorted(saved, reverse=True):
        graph.nodes[position:position] = saved[position]


__all__ = ["Tape", "differentiate"]
