"""int8 graph + scheme + formats -> the device's training graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from microtune.errors import MicrotuneError
from microtune.ir.graph import Graph
from microtune.ir.stages import Stage, gradients_of
from microtune.passes.base import Pass, run_passes
from microtune.passes.lower_gradients import BiasFormat, lower_gradients
from microtune.training.apply_scheme import apply_scheme
from microtune.training.autodiff import differentiate
from microtune.training.calibrate import calibrated_offsets
from microtune.training.head import check_kept, knows, replace_head
from microtune.training.head_origin import KEEP, NEW, HeadFormat, HeadOrigin
from microtune.training.optimisers import DEFAULT_OPTIMIZER, SGD, Optimizer
from microtune.training.scheme import Scheme
from microtune.training.tasks import CLASSIFY, Task
from microtune.training.tasks.task import ATTRIBUTE

Requantize = Literal["device", "mcunet"]


@dataclass(frozen=True)
class Formats:
    """Number formats of what is trained (docs/numerics.md says why these are the defaults)."""

    bias: BiasFormat = "int16"
    head: HeadFormat = "int16"


def build_training_graph(
    graph: Graph, outputs: int, scheme: Scheme, formats: Formats,
    optimizer: Optimizer = DEFAULT_OPTIMIZER, *, task: Task = CLASSIFY, head: HeadOrigin = NEW,
    calibrate: bool = True,
) -> Graph:  # fmt: skip
    """The graph that is planned and generated: forward, backward, update, in device arithmetic.

    Raises what `training_passes` and the passes raise.
    """
    passes = training_passes(
        graph, outputs, scheme, formats, optimizer, task=task, head=head, calibrate=calibrate
    )
    return run_passes(graph, passes)


def training_passes(
    graph: Graph, outputs: int, scheme: Scheme, formats: Formats,
    optimizer: Optimizer = DEFAULT_OPTIMIZER, *, task: Task = CLASSIFY, head: HeadOrigin = NEW,
    calibrate: bool = True,
) -> tuple[Pass, ...]:  # fmt: skip
    """The passes from an int8 model to its training graph.

    `head` says what the head starts from. A scheme that trains nothing gives the forward graph.
    A frozen head is the model's own
    classifier where that knows as many classes; else it is empty, and a scheme that trains
    something in front of it is a MicrotuneError: it would learn nothing. Without `calibrate` the
    gradients' offsets start at 0, which changes no shape and is made much faster. `optimizer` says
    what becomes of the gradients.
    """
    if head.own:
        check_kept(graph, task)
    if head.more and not scheme.head:
        raise MicrotuneError(
            f"scheme {scheme.name} does not train the head, so that the {head.more} classes of "
            f"--head {head} could never be learnt"
        )
    own = head.own or (not scheme.head and knows(graph, outputs, task))
    origin = KEEP if own and not head.own else head
    if task is not CLASSIFY and not (scheme.head or own):
        raise MicrotuneError(
            f"scheme {scheme.name} does not train the head, and the model has no output layer of "
            f"{outputs} values"
        )
    if not scheme.head and not own and (scheme.biases or scheme.weights):
        raise MicrotuneError(
            f"scheme {scheme.name}: with head = false nothing can be learnt: the head for "
            f"{outputs} classes is empty, and passes no gradient to the layers in front of it. "
            "Leave head = false out"
        )
    return (
        DeviceArithmetic(), *(() if task is CLASSIFY else (SetTask(task),)),
        ReplaceHead(outputs, formats.head, origin, scheme.head), ApplyScheme(scheme),
        Differentiate(), LowerGradients(formats.bias, calibrate, optimizer),
    )  # fmt: skip


@dataclass(frozen=True)
class DeviceArithmetic:
    """Requantise in integers, as the device does, whatever the model was made for."""

    name: ClassVar[str] = "device-arithmetic"
    needs: ClassVar[Stage] = Stage.MODEL
    gives: ClassVar[Stage] = Stage.MODEL

    def run(self, graph: Graph) -> Graph:
        """The graph in device arithmetic."""
        result = graph.copy()
        result.attrs["requantize"] = "device"
        return result


@dataclass(frozen=True)
class SetTask:
    """Say what the graph is trained for, where it is no classifier."""

    task: Task
    name: ClassVar[str] = "set-task"
    needs: ClassVar[Stage] = Stage.MODEL
    gives: ClassVar[Stage] = Stage.MODEL

    def run(self, graph: Graph) -> Graph:
        """The graph, trained for this task."""
        result = graph.copy()
        result.attrs[ATTRIBUTE] = self.task.name
        return result


@dataclass(frozen=True)
class ReplaceHead:
    """Put a head of `outputs` outputs in the classifier's place."""

    outputs: int
    format: HeadFormat
    origin: HeadOrigin
    trained: bool
    name: ClassVar[str] = "replace-head"
    needs: ClassVar[Stage] = Stage.MODEL
    gives: ClassVar[Stage] = Stage.TRAINABLE

    def run(self, graph: Graph) -> Graph:
        """The graph with a head instead of its classifier."""
        return replace_head(graph, self.outputs, self.format, self.origin, trained=self.trained)


@dataclass(frozen=True)
class ApplyScheme:
    """Make params of what a scheme trains."""

    scheme: Scheme
    name: ClassVar[str] = "apply-scheme"
    needs: ClassVar[Stage] = Stage.TRAINABLE
    gives: ClassVar[Stage] = Stage.TRAINABLE

    def run(self, graph: Graph) -> Graph:
        """The graph with params where the scheme trains."""
        return apply_scheme(graph, self.scheme)


@dataclass(frozen=True)
class Differentiate:
    """Append the loss and the float gradients of all params, if there are any."""

    name: ClassVar[str] = "differentiate"
    needs: ClassVar[Stage] = Stage.TRAINABLE
    gives: ClassVar[Stage] = Stage.BACKWARD

    def run(self, graph: Graph) -> Graph:
        """The graph with its gradients as outputs."""
        return differentiate(graph)[0] if any(graph.with_role("param")) else graph


@dataclass(frozen=True)
class LowerGradients:
    """Replace float gradients by int8 ones and by updates in place.

    With `calibrate` the exponent offsets start where synthetic frames put them, else at 0.
    """

    bias: BiasFormat
    calibrate: bool = True
    optimizer: Optimizer = DEFAULT_OPTIMIZER
    name: ClassVar[str] = "lower-gradients"
    needs: ClassVar[Stage] = Stage.BACKWARD
    gives: ClassVar[Stage] = Stage.TRAINING

    def run(self, graph: Graph) -> Graph:
        """The device's training graph."""
        if not any(graph.with_role("param")):
            return graph
        gradients = gradients_of(graph)
        result = lower_gradients(graph, gradients, self.bias, "offset", optimizer=self.optimizer)
        if self.calibrate:
            exact = lower_gradients(graph, gradients, self.bias, "exact", optimizer=SGD())
            result.data.update(calibrated_offsets(exact))
        return result
