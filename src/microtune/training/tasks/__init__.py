"""What a network is trained for. A task knows its target, its loss and its metric."""

from microtune.errors import MicrotuneError
from microtune.ir.graph import Graph
from microtune.training.tasks.classify import CLASSIFY
from microtune.training.tasks.regress import REGRESS
from microtune.training.tasks.task import ATTRIBUTE, Task

TASKS: dict[str, Task] = {task.name: task for task in (CLASSIFY, REGRESS)}


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


__all__ = ["CLASSIFY", "REGRESS", "TASKS", "Task", "target_codes", "task_named", "task_of"]
