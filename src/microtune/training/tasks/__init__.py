"""What a network is trained for. A task knows its target, its loss and its metric."""

from microtune.errors import MicrotuneError
from microtune.ir.graph import Graph
from microtune.training.tasks.binary import BINARY
from microtune.training.tasks.classify import CLASSIFY
from microtune.training.tasks.regress import REGRESS
from microtune.training.tasks.task import ATTRIBUTE, Task

TASKS: dict[str, Task] = {task.name: task for task in (CLASSIFY, BINARY, REGRESS)}


def task_of(graph: Graph) -> Task:
    """What a graph was made for. Raises MicrotuneError for a task that is not known."""
    return task_named(str(graph.attrs.get(ATTRIBUTE, CLASSIFY.name)))


def target_codes(graph: Graph) -> int:
    """How many codes a target of this graph is; 0 for a classifier."""
    return task_of(graph).target_codes(graph.output_tensor.elements)


def task_named(name: str) -> Task:
    """The task of this name. Raises MicrotuneError, naming all, if there is none."""
    if name not in TASKS:
        raise MicrotuneError(f"task {name!r} is not known; there are {', '.join(TASKS)}")
    return TASKS[name]


def task_of_loss(loss: str) -> Task:
    """The task that `--loss` names. Raises MicrotuneError, naming all, if there is none."""
    known = {task.loss: task for task in TASKS.values()}
    if loss not in known:
        raise MicrotuneError(f"--loss {loss!r}: there are {', '.join(known)}")
    return known[loss]


__all__ = [
    "BINARY", "CLASSIFY", "REGRESS", "TASKS", "Task", "target_codes", "task_named", "task_of",
    "task_of_loss",
]  # fmt: skip
