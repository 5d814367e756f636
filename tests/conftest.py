"""What all tests share: one thread, a cache of their own, and the toy task in the registry."""

import os
from importlib.metadata import EntryPoint

# Tests work on tiny tensors: threads cost more than they give, and spinning ones hurt the neighbours.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import pytest
from hypothesis import settings

from tests.forks import Forks
from xkd_bench import registry

settings.register_profile("ours", database=None, deadline=None, derandomize=True)
settings.load_profile("ours")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory):
    """Rasterised drawings go to a folder of this session, never to the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XKD_BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of tests/toy.py's task, which the registry knows for the length of the test."""
    point = EntryPoint("toy", "tests.toy:ToyTask", "xkd_bench.tasks")
    monkeypatch.setitem(registry.entries("tasks"), "toy", registry.Entry("toy", "shapes", "tests", "tasks", point))
    return "toy"


@pytest.fixture
def toy_dense(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of tests/toy_dense.py's task, which the registry knows for the length of the test."""
    point = EntryPoint("toy-dense", "tests.toy_dense:ToyDenseTask", "xkd_bench.tasks")
    entry = registry.Entry("toy-dense", "shapes", "tests", "tasks", point)
    monkeypatch.setitem(registry.entries("tasks"), "toy-dense", entry)
    return "toy-dense"


@pytest.fixture(scope="session")
def bare():
    """Processes that have imported torch and nothing of ours."""
    forks = Forks(["torch"])
    yield forks
    forks.close()


@pytest.fixture(scope="session")
def loaded():
    """Processes that have imported all that a run needs."""
    heavy = (
        "xkd_bench.cli",
        "xkd_bench.suite.engine",
        "xkd_bench.progress",
        "xkd_bench.report",
        "xkd_bench.analysis.compare",
    )
    forks = Forks([*heavy, "torchmetrics.functional.classification", "matplotlib.pyplot"])
    yield forks
    forks.close()
