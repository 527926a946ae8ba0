"""The first weights and biases of a head that starts as the model's own classifier."""

from __future__ import annotations

import math

import numpy as np

from microtune.errors import MicrotuneError
from microtune.ir import numerics
from microtune.ir.graph import Array, Graph, Node
from microtune.ir.ops import Trait, has
from microtune.ir.ops.layer import layer_of
from microtune.training.head_origin import HeadOrigin
from microtune.training.tasks import BINARY, REGRESS, Task, task_of

_CODES = 128.0
# A logit of n float32 products is wrong by at most (n + 4) roundings of 2^-24 of the sum of their
# sizes. Two logits are compared; twice that again is for what is rounded to float32 before.
_ROUNDING = 2.0**-22


def own_values(graph: Graph, classifier: Node, outputs: int) -> tuple[Array, Array]:
    """(weight (N, C), bias (N,)) of the classifier as real numbers, float64, for the graph's task.

    A binary head of a classifier for two classes is the difference of its rows. Those of a
    regression are in units of its target (`in_codes`). Raises MicrotuneError if the model has
    another number of outputs.
    """
    o = layer_of(classifier)
    scales = graph.channel_scales(o.weight)
    weight = graph.data[o.weight].astype(np.float64).reshape(len(scales), -1) * scales[:, None]
    bias = graph.data[o.bias] * scales * graph.scale(o.x)
    task = task_of(graph)
    if task is BINARY and len(weight) == 2:
        weight, bias = weight[1:] - weight[:1], bias[1:] - bias[:1]
    if len(weight) != outputs:
        raise MicrotuneError(
            f"{graph.name}: its own classifier has {len(weight)} outputs, not {outputs}"
        )
    return weight, bias


def check_own(graph: Graph, classifier: Node, task: Task) -> None:
    """Raise MicrotuneError if something behind the classifier would be lost with it.

    What only changes the shape is allowed.
    """
    producers = graph.producers()
    name = graph.outputs[0]
    while name != classifier.outputs[0]:
        node = producers[name]
        if not has(node, Trait.VIEW):
            raise MicrotuneError(
                f"{graph.name}: %{name} ({node.op}) comes behind the output layer "
                f"%{classifier.outputs[0]}, and a {task.name} head has no such thing: it would not "
                "answer what the model answers. Take --head new"
            )
        name = node.inputs[0]


def in_codes(graph: Graph, classifier: Node, values: tuple[Array, Array]) -> tuple[Array, Array]:
    """The values of a regression's output layer in units of its target, code / 128.

    The codes are those of the layer's own int8 output, or, where there are as many outputs as the
    input has elements (an auto-encoder), those of the input, which is the target.
    """
    weight, bias = values
    name, output = graph.input_tensor.name, classifier.outputs[0]
    unit = name if graph.input_tensor.elements == graph.tensors[output].elements else output
    scale, zero = graph.scale(unit), graph.quant(unit).zero_point
    return weight / (scale * _CODES), (bias / scale + zero) / _CODES


def initial_values(
    graph: Graph, classifier: Node, outputs: int, origin: HeadOrigin
) -> tuple[Array, Array]:
    """(weight (N, C), bias (N,)) as real numbers, float64, before classes are added to them.

    A new head is all zeros; C is the channels of what the classifier reads. Raises what
    `own_values` raises.
    """
    features = graph.tensors[layer_of(classifier).x].shape[-1]
    if not origin.own:
        return np.zeros((outputs, features)), np.zeros(outputs)
    values = own_values(graph, classifier, outputs - origin.more)
    return in_codes(graph, classifier, values) if task_of(graph) is REGRESS else values


def fixed_point(
    x_scale: float, weight: Array, bias: Array, room: int = 1
) -> tuple[int, tuple[Array, Array]]:
    """(F, int64 codes) of the int16 head: F is smaller than usual where large weights need it.

    The largest value has room to become `room` times as large.
    """
    bits = numerics.head_fraction_bits(x_scale)
    most = max(float(np.abs(weight).max()) * x_scale / 32767, float(np.abs(bias).max()) / 2.0**30)
    if most > 0:
        bits = min(bits, math.floor(-math.log2(most * room)))
    codes = (np.rint(weight * x_scale * 2.0**bits), np.rint(bias * 2.0**bits))
    return bits, (codes[0].astype(np.int64), codes[1].astype(np.int64))


def with_more_codes(weight: Array, bias: Array, more: int, zero: int) -> tuple[Array, Array]:
    """The rows of an int16 head (N, C), (N,), and `more` equal ones behind: the mean of all rows.

    Each sum of a new row is at most the mean of the own rows' sums, whatever int8 features with
    zero point `zero` come in: weights are rounded down, and the bias by what that adds where a
    feature is below its zero point. So a new class is never the largest logit, and where all are
    equal the first one wins.
    """
    count, lowest = len(weight), -128 - zero
    total = weight.sum(axis=0)
    row = total // count
    added = int(bias.sum()) + int((total - row * count).sum()) * lowest
    return _with_rows(weight, bias, row, added // count, more)


def with_more_reals(weight: Array, bias: Array, more: int, largest: float) -> tuple[Array, Array]:
    """The same for a float32 head, whose features are within ±`largest`.

    The bias is lower than the mean by what float32 sums may be wrong.
    """
    sums = np.abs(weight).sum(axis=1) * largest + np.abs(bias)
    margin = (weight.shape[1] + 4) * _ROUNDING * float(sums.max())
    return _with_rows(weight, bias, weight.mean(axis=0), float(bias.mean()) - margin, more)


def _with_rows(
    weight: Array, bias: Array, row: Array, value: float, more: int
) -> tuple[Array, Array]:
    rows = np.repeat(row[None], more, axis=0)
    return np.concatenate([weight, rows]), np.concatenate([bias, np.full(more, value)])
