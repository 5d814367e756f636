"""What is learned from what: one file a data set, one contract (`base.Task`)."""

from xkd_bench import registry
from xkd_bench.tasks.base import Task


def get(name: str) -> Task:
    """The task of this name; what follows a colon (`folder:PATH`) is the task's own argument."""
    stem, _, argument = name.partition(":")
    task: Task = registry.load("tasks", stem)(argument)
    return task
