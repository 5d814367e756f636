"""Sweeps on a real Ray cluster on the loopback address, whose workers are killed and whose nodes go away."""

import importlib.util
import json
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.cli.program import know_toy, xkd
from tests.runs import numbers, runner, spec
from xkd_bench.errors import TrainingError, UsageError
from xkd_bench.stages import student
from xkd_bench.store import Store
from xkd_bench.suite import ray_cluster
from xkd_bench.suite.asked import Asked
from xkd_bench.suite.engine import ElsewhereError, LeftOutError, RunTimeoutError, SerialEngine, carry_out
from xkd_bench.suite.graph import Job
from xkd_bench.suite.plan import make_plan

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed: [cluster]")


@pytest.fixture
def two_nodes():
    """A cluster of two nodes with a CPU each, that this machine alone can reach; and the node that is not the head."""
    before = dict(os.environ)
    ray_cluster.keep_to_this_machine()
    from ray.cluster_utils import Cluster as Nodes

    here = {"node_ip_address": "127.0.0.1", "num_cpus": 1, "include_log_monitor": False}
    quick = {"health_check_period_ms": 1000}  # a node that went away is missed
    nodes = Nodes(initialize_head=True, head_node_args={**here, "include_dashboard": False, "_system_config": quick})
    try:
        yield nodes, nodes.add_node(**here)
    finally:
        nodes.shutdown()
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


SPECS = [
    {"method": "cmc", "teacher": "simclr"},
    {"method": "cmc", "teacher": "simclr", "protocol": "fine-tune"},
    *({"method": "ssl", "seed": seed} for seed in range(4)),
]
BROKEN = {2: TrainingError("loss nan at step 3"), 3: ZeroDivisionError("oh")}
"""Seeds whose students do not come out, and why."""


def break_some(log: Path, trap=lambda run: None) -> None:
    """Make distillation fail for some, tell the log of each that does not, and fall into a trap before."""
    real = student._train

    def train(run, *args):
        trap(run)
        if run.spec.seed in BROKEN:
            raise BROKEN[run.spec.seed]
        history = real(run, *args)
        with log.open("a") as file:
            file.write(f"{run.spec.method} {run.spec.seed}\n")
        return history

    student._train = train


def wait_for(file: Path, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not file.exists():
        assert time.monotonic() < deadline, f"nobody came: {file.name}"
        time.sleep(0.02)


@dataclass(frozen=True)
class Start:
    """Makes a worker's runner over the toy task. In the folder `traps` it tells who it is, and waits to be killed."""

    root: Path
    traps: Path

    def __call__(self):
        import ray

        know_toy()
        node = ray.get_runtime_context().get_node_id()

        def trap(run):
            name = "node" if (self.traps / "doomed").read_text() == node else "worker"
            try:
                with (self.traps / name).open("x") as file:  # the first one of each sort
                    file.write(str(os.getpid()))
            except FileExistsError:
                wait_for(self.traps / "node")  # else one worker might have done it all before the other is ready
                return
            wait_for(self.traps / "never")  # it is killed here

        break_some(self.traps / "log", trap)
        return runner(self.root)


def spring(traps: Path, act) -> threading.Thread:
    """When somebody is in each of the traps, act on it."""

    def watch():
        for name in ("worker", "node"):
            while not (traps / name).exists() or not (traps / name).read_text():
                time.sleep(0.02)
            act(name, int((traps / name).read_text()))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def contents(root: Path) -> list[str]:
    """Folders and files of a store; locks are empty and may be left."""
    return sorted(str(f.relative_to(root)) for f in root.rglob("*") if "locks" not in f.parts)


@needs_ray
def test_with_a_worker_killed_and_a_node_gone_every_run_ends_as_it_does_serially(two_nodes, toy, tmp_path, monkeypatch):
    nodes, second = two_nodes
    traps, root = tmp_path / "traps", tmp_path / "ray"
    traps.mkdir()
    (traps / "doomed").write_text(second.node_id)
    (traps / "serial-log").touch()

    def act(name, pid):
        os.kill(pid, signal.SIGKILL) if name == "worker" else nodes.remove_node(second, allow_graceful=False)

    specs = [spec(**one) for one in SPECS]
    begun, ended, told = [], [], []
    with ray_cluster.cluster(nodes.address, 1), ray_cluster.shared_folder(root) as mark:
        from xkd_bench.suite.ray_engine import RayEngine

        ray_cluster.check_nodes(mark, 1, 0)
        for asked, words in (((mark, 2, 0), "no node of the cluster has 2 CPUs"), ((mark, 1, 0.5), "0.5 GPUs")):
            with pytest.raises(UsageError, match=words):
                ray_cluster.check_nodes(*asked)
        watcher = spring(traps, act)
        ours = runner(root)
        engine = RayEngine(ours, Start(root, traps), mark, follow=lambda *news: told.append(news))
        plan = make_plan(ours, specs)
        failed = carry_out(plan, engine, begun.append, ended.append)
        watcher.join(timeout=1)
        assert not watcher.is_alive(), "a worker was killed, and a node removed"
        assert carry_out(make_plan(ours, specs[:2]), engine, begun.append, ended.append) == [], "nothing is left to do"
        hurried = RayEngine(ours, Start(root, traps), mark, timeout=0)
        late = carry_out(make_plan(ours, [spec(method="ssl", seed=7)]), hurried, lambda s: None, lambda o: None)

    monkeypatch.setattr(student, "_train", student._train)  # put back in the end
    break_some(traps / "serial-log")
    serial = runner(tmp_path / "serial")
    expected = carry_out(make_plan(serial, specs), SerialEngine(serial), lambda s: None, lambda o: None)

    assert sorted(map(repr, begun)) == sorted(map(repr, specs)), "each begins once"
    assert sorted(repr(one.work) for one in ended) == sorted(map(repr, specs)), "each ends once"
    assert {one.work: one.reason() for one in failed} == {one.work: one.reason() for one in expected}
    assert {type(one.error) for one in failed} == {TrainingError, ElsewhereError}
    assert [(one.work.seed, type(one.error)) for one in late] == [(7, RunTimeoutError)]
    assert {news[0] for news in told} <= set(specs)
    assert sorted((traps / "log").read_text().split("\n")) == sorted((traps / "serial-log").read_text().split("\n"))
    assert contents(root) == contents(serial.store.root), "nothing twice, nothing half"
    for key in plan.present(ours.store):
        assert numbers(ours.store.record(key)) == numbers(serial.store.record(key))
        assert np.array_equal(ours.store.correct(key), serial.store.correct(key))


GRID = """
summary = "on this machine"
[shared]
task = "twin-gaussian:items=400"
protocol = "linear-eval"
[[grid]]
method = ["ssl", "sup-ft"]
"""


def listening(mark: bytes) -> set[str]:
    """Addresses on which processes with this in their environment listen, in the kernel's hexadecimal."""
    inodes = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A":
                inodes[f"socket:[{words[9]}]"] = words[1].rpartition(":")[0]
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes():
                found |= {inodes[link] for fd in (process / "fd").iterdir() if (link := os.readlink(fd)) in inodes}
        except OSError:  # it is over
            continue
    return found


@needs_ray
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads Linux's list of sockets")
def test_a_sweep_on_this_machine_listens_nowhere_else_and_gives_the_serial_numbers(loaded, tmp_path):
    (tmp_path / "grid.toml").write_text('measure = ["gap", "bound"]\n' + GRID)
    seen, over = set(), threading.Event()
    sign = f"XKD_TEST_SIGN={tmp_path.name}-{os.getpid()}"

    def look():
        while not over.wait(0.2):
            seen.update(listening(sign.encode()))

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    words = ("sweep", "grid.toml", "--budget", "smoke", "--json")
    prelude = f"import os\nos.environ['XKD_TEST_SIGN'] = {sign.partition('=')[2]!r}\n"
    on_ray = xkd(loaded, *words, "--ray", "local", "--out", "ray", prelude=prelude, cwd=tmp_path)
    over.set()
    watcher.join()
    assert on_ray.code == 0, on_ray.err
    assert sum(line.startswith("done ") for line in on_ray.lines) == len(on_ray.lines) == 6  # runs, gaps, bounds
    serial = xkd(loaded, *words, "--device", "cpu", "--out", "serial", cwd=tmp_path)
    assert json.loads(on_ray.out) == json.loads(serial.out)
    for stage in ("runs", "gaps", "bounds"):
        assert contents(tmp_path / "ray" / stage) == contents(tmp_path / "serial" / stage)
    for stage in ("gaps", "bounds"):
        ours, theirs = (
            [{k: v for k, v in one.items() if k != "seconds"} for one in Store(tmp_path / name).measured(stage)]
            for name in ("ray", "serial")
        )
        assert ours == theirs
    assert seen, "Ray listens somewhere"
    assert seen <= {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


@pytest.fixture
def one_gpu():
    """The address of a cluster of one node that says it has a GPU, and more CPUs than are needed."""
    before = dict(os.environ)
    ray_cluster.keep_to_this_machine()
    from ray.cluster_utils import Cluster as Nodes

    here = {"node_ip_address": "127.0.0.1", "num_cpus": 6, "num_gpus": 1, "include_log_monitor": False}
    nodes = Nodes(initialize_head=True, head_node_args={**here, "include_dashboard": False})
    try:
        yield nodes.address
    finally:
        nodes.shutdown()
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


@dataclass(frozen=True)
class Meeting:
    """Makes a worker's runner: whoever distils writes down what Ray gave it, and waits until `number` are there."""

    root: Path
    place: Path
    number: int

    def __call__(self):
        import ray

        know_toy()
        real = student._train

        def train(run, *args):
            given = ray.get_runtime_context().get_assigned_resources()
            (self.place / f"{run.spec.seed}.json").write_text(json.dumps(given))
            deadline = time.monotonic() + 120
            while len(list(self.place.iterdir())) < self.number:
                assert time.monotonic() < deadline, "the others are not under way"
                time.sleep(0.05)
            return real(run, *args)

        student._train = train
        return runner(self.root)


@needs_ray
def test_four_runs_with_a_quarter_of_a_gpu_each_go_on_at_once_on_one(one_gpu, toy, tmp_path):
    (tmp_path / "place").mkdir()
    specs = [spec(method="ssl", seed=seed) for seed in range(4)]
    with ray_cluster.cluster(one_gpu, 1), ray_cluster.shared_folder(tmp_path / "out") as mark:
        from xkd_bench.suite.ray_engine import RayEngine

        assert ray_cluster.most_gpus() == 1
        ray_cluster.check_nodes(mark, 1, 0.25)
        with pytest.raises(UsageError, match="2 GPUs"):
            ray_cluster.check_nodes(mark, 1, 2)
        ours = runner(tmp_path / "out")
        engine = RayEngine(ours, Meeting(tmp_path / "out", tmp_path / "place", 4), mark, gpus=0.25)
        assert carry_out(make_plan(ours, specs), engine, lambda work: None, lambda outcome: None) == []
    given = [json.loads(f.read_text()) for f in (tmp_path / "place").iterdir()]
    assert [(one["CPU"], one["GPU"]) for one in given] == [(1, 0.25)] * 4


@needs_ray
def test_a_bound_fails_with_its_oracles_and_is_left_out_with_its_run(toy, tmp_path):
    from xkd_bench.suite.ray_engine import Ended, Place, carry_out_job

    job = Job("bounds", "k", spec(), Asked(spec()), "", needs=("oracles/a", "runs/b"))
    place = Place(lambda: runner(tmp_path), tmp_path, None)
    well, ill = Ended({"x": 1.0}), Ended({"x": 1.0}, TrainingError("loss nan"))
    assert isinstance(carry_out_job(job, place, well, ill).error, LeftOutError)
    assert isinstance(carry_out_job(job, place, ill, ill).error, LeftOutError)
    assert carry_out_job(job, place, ill, well) == ill
    assert not list(tmp_path.iterdir())


@needs_ray
@pytest.mark.slow
def test_an_interrupt_ends_it_cleanly_and_the_same_command_does_the_rest(tmp_path):
    import subprocess

    (tmp_path / "grid.toml").write_text(GRID.replace("400", "4000") + 'protocol = ["linear-eval", "fine-tune"]\n')
    command = [sys.executable, "-m", "xkd_bench.cli", "sweep", "grid.toml", "--seeds", "4", "--ray", "local"]
    command += ["--out", str(tmp_path / "out")]
    listens = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's jobs in the background do not
    program = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=listens
    )
    for line in program.stderr:
        if line.startswith("done"):
            break
    os.killpg(program.pid, signal.SIGINT)  # as a terminal does
    rest = program.stderr.read().splitlines()
    assert program.wait(timeout=60) == 130
    assert rest[-1] == "xkd-bench: stopped; the same command does the rest"
    assert [line for line in rest[:-1] if not line.startswith("done")] == []
    out = Store(tmp_path / "out")
    assert 0 < len(out.records()) < 16
    assert not list(out.root.rglob(".[a-z0-9]*")), "nothing half-written"
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    assert len(out.records()) == 16
