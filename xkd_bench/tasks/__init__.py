"""What is learned from what: one file a data set, one contract (`base.Task`)."""

from xkd_bench import registry
from xkd_bench.tasks._graded import Graded, parse
from xkd_bench.tasks._sheet import contact_sheet
from xkd_bench.tasks._survey import survey
from xkd_bench.tasks.base import Task

__all__ = ["SKIP_BAD", "contact_sheet", "get", "survey"]

SKIP_BAD = "+skip-bad"
"""At the end of a task's name: go on without the files that cannot be read."""


def get(name: str) -> Task:
    """The task of this name.

    What follows a colon is the task's own argument (`folder:PATH`); what follows a last `@` degrades its target
    (`emoji-sketch@blur=0.4,noise=0.1`; the axes are those of `_degrade`). At the very end `+skip-bad` leaves out the
    files that cannot be read, where they would be an error.
    """
    plain, strengths = parse(name.removesuffix(SKIP_BAD))
    stem, _, argument = plain.partition(":")
    task: Task = registry.load("tasks", stem)(argument)
    task.skip_bad = name.endswith(SKIP_BAD)
    return Graded(task, strengths) if strengths else task
