"""The embedded tasks, drawn once a session at a size that is quick."""

import pytest

from xkd_bench import tasks
from xkd_bench.tasks.base import TaskData

SMALL = 16


@pytest.fixture(scope="session")
def emoji_sketch() -> TaskData:
    return tasks.get("emoji-sketch").load(SMALL, 32)


@pytest.fixture(scope="session")
def subgroups(emoji_sketch: TaskData) -> TaskData:
    return tasks.get("emoji-sketch:subgroups").load(SMALL, 32)


@pytest.fixture(scope="session")
def doodle() -> TaskData:
    return tasks.get("doodle").load(SMALL, 32)
