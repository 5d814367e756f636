"""What is asked of a Ray cluster: addresses, shares of machines, and what does not go, said before anything begins."""

import pytest

from tests.cli.program import xkd
from xkd_bench import progress
from xkd_bench.cli import clusters
from xkd_bench.cli.clusters import Cluster
from xkd_bench.cli.runs import Machine
from xkd_bench.errors import UsageError
from xkd_bench.suite import ray_cluster


@pytest.mark.parametrize(
    ("asked", "device", "there", "gpus"),
    [(None, "auto", 2, 1), (0.25, "auto", 1, 0.25), (0.25, "cuda", 1, 0.25), (None, "auto", 0, 0), (None, "cpu", 2, 0)],
)
def test_gpus_of_a_run_are_those_asked_for_or_one_where_there_are_any(asked, device, there, gpus):
    assert clusters._gpus(asked, device, there) == gpus


@pytest.mark.parametrize("where", ["local", "auto", "head:6379", "10.0.0.1:6379", "[::1]:6379"])
def test_addresses(where):
    ray_cluster.check_form(where)


@pytest.mark.parametrize("where", ["", "bogus", "head:", ":6379", "head:port", "::1", "a b:6379", "http://head:6379"])
def test_what_is_no_address_is_said_before_anybody_is_asked(where):
    with pytest.raises(UsageError, match="is no address: give local, auto or the head's HOST:PORT"):
        Cluster(where).check(Machine())


def test_a_dry_run_refuses_what_is_no_address(loaded, tmp_path):
    (tmp_path / "grid.toml").write_text(
        'summary = "s"\n[shared]\ntask = "toy"\nprotocol = "linear-eval"\n[[grid]]\nmethod = "ssl"\n'
    )
    ended = xkd(loaded, "sweep", "grid.toml", "--ray", "bogus", "--dry-run", cwd=tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert ended.lines == ["xkd-bench: --ray bogus is no address: give local, auto or the head's HOST:PORT"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cpus-per-run", "2"], "give --ray local, auto or HOST:PORT"),
        (["--ray", "local", "--threads", "3"], "--threads 3: with --ray a run has a thread for each"),
        (["--ray", "local", "--devices", "2"], "--ray for several runs: give one"),
        (["--ray", "local", "--gpus-per-run", "2"], "invalid value for '--gpus-per-run'"),
        (["--ray", "local", "--profile"], "leave them out, or --ray"),
        (["--ray", "ray://somewhere:10001"], "Ray's client is not used"),
        (["--ray", "127.0.0.1:1"], "--ray 127.0.0.1:1: nothing answers there"),
        (["--ray", "lokal"], "--ray lokal is no address: give local, auto or the head's HOST:PORT"),
        (["--ray", "local"], "pip install 'xkd-bench[cluster]'"),
    ],
)  # fmt: skip
def test_what_does_not_go_is_one_line_before_anything_is_written(loaded, tmp_path, words, said):
    without_ray = "import sys\nsys.modules['ray'] = None\n" if "pip" in said else ""
    run = ("run", "--task", "toy", "--budget", "smoke", "--alone", "--out", str(tmp_path / "out"))
    ended = xkd(loaded, *run, *words, prelude=without_ray)
    assert ended.code == 2
    assert said in ended.lines[-1]
    assert len(ended.lines) == 1
    assert not list(tmp_path.iterdir())


def test_a_node_that_cannot_take_part_says_why(tmp_path):
    with ray_cluster.shared_folder(tmp_path / "results") as mark:
        assert ray_cluster.check_place(mark, ray_cluster.__version__) is None
        assert "install the same on all nodes" in ray_cluster.check_place(mark, "0.0.1")
    assert "does not see" in ray_cluster.check_place(mark, ray_cluster.__version__)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="choose another --out"), ray_cluster.shared_folder(tmp_path / "file"):
        pass


def test_a_machine_is_fitted_to_the_cluster():
    with pytest.raises(UsageError, match="--logger and --profile"):
        Cluster("local").check(Machine(profile=True))
    Cluster("local", 4).check(Machine(threads=4))
    Cluster().check(Machine(threads=4, profile=True))


def test_progress_has_a_bar_for_each_run_under_way():
    with progress.progress(quiet=True) as shown:
        shown.expect(3)
        for label in ("a", "b"):
            shown.begin(label)
            shown.report("distilling", 1, 4, "loss 1.0", label)
        stages = {task.fields["note"]: (task.description, task.completed) for task in shown.bars.tasks}
        assert stages == {
            "2 under way": ("runs", 0),
            "loss 1.0  a": ("  distilling", 1),
            "loss 1.0  b": ("  distilling", 1),
        }
        shown.end("a")
        assert [task.fields["note"] for task in shown.bars.tasks] == ["b", "loss 1.0  b"]
        shown.end("b", "loss nan")
        assert [(task.description, task.completed) for task in shown.bars.tasks] == [("runs, 1 failed", 2)]
