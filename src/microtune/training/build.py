"""int8 graph + scheme + formats -> the device's training graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from microtune.ir.graph import Graph
from microtune.ir.verifier import verify
from microtune.passes.lower_gradients import BiasFormat, lower_gradients
from microtune.training.apply_scheme import apply_scheme
from microtune.training.autodiff import differentiate
from microtune.training.calibrate import calibrated_offsets
from microtune.training.head import HeadFormat, replace_head
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

    A scheme that trains nothing gives the forward graph with a frozen head. Without `calibrate` the
    gradients' offsets start at 0, which changes no shape and is made much faster.
    """
    device = graph.copy()
    device.attrs["requantize"] = "device"
    prepared = apply_scheme(replace_head(device, classes, formats.head), scheme)
    if not any(prepared.with_role("param")):
        return verify(prepared)
    backward, gradients = differentiate(prepared)
    training = lower_gradients(backward, gradients, formats.bias, "offset")
    if calibrate:
        exact = lower_gradients(backward, gradients, formats.bias, "exact")
        training.data.update(calibrated_offsets(exact))
    return verify(training)
