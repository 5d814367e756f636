"""Devices, threads and deterministic operations."""

import pytest
import torch

from xkd_bench import machine
from xkd_bench.errors import UsageError
from xkd_bench.machine import alone, explained, make_fabric, set_up


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    threads, flags = torch.get_num_threads(), (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = flags


def test_threads_are_torchs_own_unless_they_are_said():
    before = torch.get_num_threads()
    set_up()
    assert torch.get_num_threads() == before
    set_up(threads=3)
    assert torch.get_num_threads() == 3
    with pytest.raises(UsageError, match="at least one thread"):
        set_up(threads=0)


def test_deterministic_sets_all_that_torch_has():
    set_up()
    assert not torch.are_deterministic_algorithms_enabled()
    set_up(deterministic=True)
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.benchmark
    assert machine.os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def put() -> None:
    torch.zeros(4).put_(torch.tensor([0, 0]), torch.tensor([1.0, 2.0]))


def test_an_operation_without_a_deterministic_form_is_one_line():
    set_up(deterministic=True)
    with pytest.raises(UsageError, match=r"--deterministic: put_.* has no such form here") as caught, explained():
        put()
    assert "\n" not in str(caught.value)


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="not deterministic today"), explained():
        raise RuntimeError("not deterministic today")
    set_up(deterministic=True)
    with pytest.raises(RuntimeError, match="shapes"), explained():
        raise RuntimeError("shapes")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"compiled": True}, "--compile is for one device"),
        ({}, "start them with xkd-bench or torchrun"),
    ],
)
def test_what_several_processes_cannot_do_is_refused(fields, said):
    with pytest.raises(UsageError, match=said):
        make_fabric("cpu", devices=2, **fields)


def test_as_many_processes_as_devices(monkeypatch):
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "3"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match="3 processes were started for --devices 2 on 1 node"):
        make_fabric("cpu", devices=2)


def test_one_process_is_alone_already():
    fabric = make_fabric("cpu")
    assert alone(fabric) is fabric
