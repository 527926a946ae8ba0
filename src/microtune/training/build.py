"""int8 graph + scheme + formats -> the device's training graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from microtune.errors import MicrotuneError
from microtune.ir.graph import Graph
from microtune.ir.verifier import verify
from microtune.passes.lower_gradients import BiasFormat, lower_gradients
from microtune.training.apply_scheme import apply_scheme
from microtune.training.autodiff import differentiate
from microtune.training.calibrate import calibrated_offsets
from microtune.training.head import HeadFormat, knows, replace_head
from microtune.training.scheme import Scheme

Requantize = Literal["device", "mcunet"]


@dataclass(frozen=True)
class Formats:
    """Number formats of what is trained (docs/numerics.md says why these are the defaults)."""

    bias: BiasFormat = "int16"
    head: HeadFormat = "int16"


def build_training_graph(
    graph: Graph, classes: int, scheme: Scheme, formats: Formats, *, calibrate: bool = True
) -> Graph:
    """The graph that is planned and generated: forward, backward, update, in device arithmetic.

    A scheme that trains nothing gives the forward graph. A frozen head is the model's own
    classifier where that knows as many classes; else it is empty, and a scheme that trains
    something in front of it is a MicrotuneError: it would learn nothing. Without `calibrate` the
    gradients' offsets start at 0, which changes no shape and is made much faster.
    """
    device = graph.copy()
    device.attrs["requantize"] = "device"
    own = not scheme.head and knows(device, classes)
    if not scheme.head and not own and (scheme.biases or scheme.weights):
        raise MicrotuneError(
            f"scheme {scheme.name}: with head = false nothing can be learnt: the head for "
            f"{classes} classes is empty, and passes no gradient to the layers in front of it. "
            "Leave head = false out"
        )
    prepared = apply_scheme(replace_head(device, classes, formats.head, own=own), scheme)
    if not any(prepared.with_role("param")):
        return verify(prepared)
    backward, gradients = differentiate(prepared)
    training = lower_gradients(backward, gradients, formats.bias, "offset")
    if calibrate:
        exact = lower_gradients(backward, gradients, formats.bias, "exact")
        training.data.update(calibrated_offsets(exact))
    return verify(training)
