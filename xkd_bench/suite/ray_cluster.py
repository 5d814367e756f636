"""A Ray cluster to carry runs out on: one of this machine's own, or one that runs already; what its nodes must share.

One of this machine's own listens on the loopback address alone, behind a token that nobody else has. One that runs
already is joined with the token that its nodes were started with: RAY_AUTH_MODE=token, and ~/.ray/auth_token or
RAY_AUTH_TOKEN; see Ray's documentation of token authentication. Nothing here imports Ray before it is needed.
"""

import os
import re
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from xkd_bench import __version__
from xkd_bench.errors import UsageError

QUIET = {"RAY_DEDUP_LOGS_SKIP_REGEX": ".", "RAY_SCHEDULER_EVENTS": "0", "RAY_USAGE_STATS_ENABLED": "0"}
"""Ray would write of lost workers and nodes on the standard output, which holds the result alone."""
ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")
OBJECT_STORE = 100_000_000
"""Bytes: what runs make goes through the results folder, and next to nothing through Ray."""


@contextmanager
def cluster(where: str, threads: int) -> Iterator[None]:
    """While this lasts, this process drives a Ray cluster; one that was started for it ends with it.

    where: local, auto (the one that this machine is a node of) or an address, HOST:PORT. threads: of each worker
    process, for libraries that read it when they are loaded. UsageError, one line, if there is no such cluster.
    """
    check_form(where)
    if where == "local":
        keep_to_this_machine()
    elif where != "auto":
        _check_answers(where)
    ray = _ray()
    passed = {name: os.environ[name] for name in ("XKD_BENCH_CACHE", "OMP_WAIT_POLICY") if name in os.environ}
    options: dict[str, Any] = {
        "address": where, "log_to_driver": False, "logging_level": "ERROR",
        "runtime_env": {"env_vars": {**passed, "OMP_NUM_THREADS": str(threads)}},
    }  # fmt: skip
    if where == "local":
        options |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE}
    try:
        ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise UsageError(_no_cluster(where, error)) from error
    try:
        yield
    finally:
        ray.shutdown()


def keep_to_this_machine() -> None:
    """What is started from here is on the loopback address, with a token of its own. Before Ray is imported."""
    # Where clusters over several machines are off, as by default on Windows and macOS, Ray takes 127.0.0.1 for its
    # address, and only then do its servers listen nowhere else.
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    if "RAY_AUTH_MODE" not in os.environ:  # else Ray writes a token into the home folder, and says so
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _token()}


@cache
def _token() -> str:
    """Of this process: Ray reads it once, and would refuse the next cluster with another."""
    return secrets.token_hex(32)


def check_form(where: str) -> None:
    """UsageError, one line, if this is none of local, auto and HOST:PORT. Asks nobody."""
    if where.startswith("ray://"):
        raise UsageError(f"--ray {where}: Ray's client is not used; on a node of the cluster, give auto or HOST:PORT")
    if where not in ("local", "auto") and not ADDRESS.fullmatch(where):
        raise UsageError(f"--ray {where} is no address: give local, auto or the head's HOST:PORT")


def _check_answers(where: str) -> None:
    """UsageError where nothing answers at this address; Ray itself would try for minutes."""
    host, _, port = where.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, ValueError, OverflowError) as error:
        raise UsageError(
            f"--ray {where}: nothing answers there ({error}); give local, auto or the head's HOST:PORT"
        ) from error


def _ray() -> Any:
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise UsageError("--ray needs Ray: pip install 'xkd-bench[cluster]'") from error
    return ray


def _no_cluster(where: str, error: Exception) -> str:
    why = " ".join(str(error).split())
    if where == "local":
        return f"Ray could not be started here: {why}"
    if where == "auto":
        return f"no Ray cluster runs on this machine ({why}): start one with 'ray start --head', or use --ray local"
    return f"cannot join the Ray cluster at {where} ({why}): on a node of it, with its token, try 'ray status'"


@contextmanager
def shared_folder(root: Path) -> Iterator[Path]:
    """A file in the results folder while this lasts; by it a node is known to see the same folder."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        mark = NamedTemporaryFile(prefix=".seen-by-all-", dir=root)  # noqa: SIM115  (what the body raises is its own)
    except OSError as error:
        raise UsageError(f"cannot write to {root}: {error.strerror}; choose another --out") from error
    with mark:
        yield Path(mark.name)


def check_place(mark: Path, version: str) -> str | None:
    """What keeps this node from taking part, in one line; None if nothing does."""
    host = socket.gethostname()
    if version != __version__:
        return f"node {host} has xkd-bench {__version__}, and this one {version}: install the same on all nodes"
    if not mark.exists():
        return f"node {host} does not see {mark.parent}: give all nodes one results folder, on a shared disk (--out)"
    if not os.access(mark.parent, os.W_OK):
        return f"node {host} may not write to {mark.parent}: runs there write their results into it"
    return None


def check_nodes(mark: Path, cpus: int, gpus: float) -> None:
    """UsageError, one line, if no node has room for a run, or one that has cannot take part."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

    alive = [node for node in ray.nodes() if node["Alive"]]
    roomy = [node["NodeID"] for node in alive if _has(node, "CPU") >= cpus and _has(node, "GPU") >= gpus]
    if not roomy:
        most = ", ".join(f"{max(_has(node, what) for node in alive):g} {what}s" for what in ("CPU", "GPU"))
        raise UsageError(
            f"no node of the cluster has {cpus} CPUs and {gpus:g} GPUs for a run (the most that one has: {most}): "
            f"use fewer with --cpus-per-run and --gpus-per-run"
        )
    check = ray.remote(num_cpus=0, max_retries=0)(check_place)
    answers = [check.options(scheduling_strategy=On(node, soft=False)).remote(mark, __version__) for node in roomy]
    for node, answer in zip(roomy, answers, strict=True):
        try:
            problem = ray.get(answer)
        except ray.exceptions.RayError as error:  # no xkd-bench there, for one
            problem = f"node {node[:8]} cannot take part: {(str(error).strip().splitlines() or ['?'])[-1]}"
        if problem is not None:
            raise UsageError(problem)


def most_gpus() -> float:
    """GPUs of the node of the cluster that has most."""
    import ray

    return max(_has(node, "GPU") for node in ray.nodes() if node["Alive"])


def _has(node: dict[str, Any], what: str) -> float:
    return float(node["Resources"].get(what, 0))
