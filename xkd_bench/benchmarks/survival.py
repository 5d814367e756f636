"""Does a suite survive what befalls it? Killed, refused by the disk, corrupted, run twice at once: what is left after.

A small sweep of the simulated task runs once undisturbed. Then the same command is disturbed in many ways, and asked
for again until it ends. What must come of it is the very store of the undisturbed one: the same keys, the same scores,
every item scored alike, nothing left over; or, where the disk refuses, one line and a non-zero exit code, nothing
half-written, and that store once the disk allows it. Each try is a process of its own, forked from one that has done
the imports. For more moments to be killed in, teacher and students are trained for six epochs, with a checkpoint after
each.

    python -m xkd_bench.benchmarks.survival [--kills 50] [--seed 0] [--out results/benchmarks]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from xkd_bench.benchmarks import Options, Result
from xkd_bench.benchmarks.survival_suite import EPOCHS, GRID, KINDS, Ended, NotSurvivedError, Suite, folders
from xkd_bench.store import Store

DAMAGES = ("a flipped byte", "a truncated file", "an empty file", "a missing file", "broken checksums")


# --- what befalls it --------------------------------------------------------------------------------------------------


def killed(suite: Suite, rng: random.Random, kills: int, tick: Callable[[int], None]) -> str:
    """SIGKILL at random moments; a store that is done by then is checked, and the next is begun."""
    landed, stores = 0, 0
    while landed < kills:
        out, stores, done = suite.scratch / "killed", stores + 1, False
        while landed < kills and not done:
            found = suite.ended(suite.begin(out), after=rng.uniform(0, suite.seconds))
            if found.code not in (0, -signal.SIGKILL):
                raise NotSurvivedError(f"after {landed} kills it ended with {found.code}: {found.err.strip()[-300:]}")
            landed, done = landed + (found.code != 0), found.code == 0
            tick(landed)
        suite.finish(out)
        shutil.rmtree(out)
    return f"{landed} kills over {stores} stores: each ended as the undisturbed one"


def interrupted(suite: Suite, rng: random.Random, tries: int) -> str:
    """SIGINT (Ctrl-C) at random moments: one line, exit code 130."""
    out, landed = suite.scratch / "interrupted", 0
    while landed < tries:
        found = suite.ended(suite.begin(out), after=rng.uniform(0.1, 0.9) * suite.seconds, by=signal.SIGINT)
        if found.code == 0:  # it was done before
            suite.check(out)
            shutil.rmtree(out)
            continue
        landed += 1
        if found.code != 130 or len(found.err.strip().splitlines()) != 1:
            raise NotSurvivedError(f"ended with {found.code}: {found.err.strip()[-300:]}")
    suite.finish(out)
    return "one line, exit code 130; then as the undisturbed one"


def refused(out: Path, found: Ended, mine: bool = True) -> None:
    """Hold against what a refusing disk must lead to: lines that each say what could not be written, a non-zero exit
    code, and nothing half-made.

    mine: what is temporary counts too; nothing else can have left it.
    """
    lines = [line for line in found.err.splitlines() if line.strip()]
    clear = [
        line
        for line in lines
        if re.search(": cannot write to |runs failed$|not all could be written$|were not begun;", line)
    ]
    if found.code not in (1, 2) or "cannot write to" not in found.err or clear != lines:
        raise NotSurvivedError(f"ended with {found.code}: {found.err.strip()[-300:]}")
    store = Store(out)
    seen = [f for kind in KINDS for f in folders(out, kind) if f.suffix != ".work" and (mine or f.name[0] != ".")]
    if half := [f for f in seen if not store.has(f.parent.name, f.name)]:
        raise NotSurvivedError(f"half-written: {half[0].relative_to(out)}")


def full_disk(suite: Suite, fractions: Sequence[float]) -> str:
    """A disk with room for so much of the store: a tmpfs where one can be mounted, else a largest size of any file."""
    needed = sum(f.stat().st_size for f in (suite.scratch / "undisturbed").rglob("*") if f.is_file())
    how = ""
    for i, fraction in enumerate(fractions):
        place = suite.scratch / f"full-{i}"
        place.mkdir()
        with small_disk(place, int(fraction * needed)) as mounted:
            out = place / "out"
            largest = None if mounted else int(fraction * _largest(suite.scratch / "undisturbed"))
            refused(out, suite.ended(suite.begin(out, "--max-failures", "1", largest=largest)))
            if mounted:
                _mount("-o", "remount,size=90%", str(place))
            suite.finish(out)
        how = "a tmpfs" if mounted else "a limit on the size of files (RLIMIT_FSIZE): nothing may be mounted here"
    return f"refused, in a line each that says why; with space again as the undisturbed one. By {how}"


def _largest(root: Path) -> int:
    return max(f.stat().st_size for f in root.rglob("*") if f.is_file() and "tables" not in f.parts)


@contextmanager
def small_disk(place: Path, size: int) -> Iterator[bool]:
    """A file system of so many bytes at this folder; whether it could be mounted."""
    mounted = _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place))
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(place)], check=True)


def _mount(*words: str) -> bool:
    """Whether this could be mounted; only root may."""
    try:
        return subprocess.run(["mount", *words], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def read_only(suite: Suite) -> str:
    """A results folder that may be read alone, empty and half done."""
    how = ""
    for begun in (False, True):
        place = suite.scratch / f"read-only-{begun}"
        place.mkdir()
        with small_disk(place, 1 << 30) as mounted:
            out = place / "out"
            out.mkdir()
            if begun:
                suite.ended(suite.begin(out), after=suite.seconds / 2)
            before = sorted(str(f) for f in out.rglob("*"))
            if not mounted and os.geteuid() == 0:
                return "not tried: nothing may be mounted here, and root may write everywhere"
            _mount("-o", "remount,ro", str(place)) if mounted else out.chmod(0o555)
            refused(out, suite.ended(suite.begin(out, "--max-failures", "1")), mine=not begun)
            if sorted(str(f) for f in out.rglob("*")) != before:
                raise NotSurvivedError("something was written")
            _mount("-o", "remount,rw", str(place)) if mounted else out.chmod(0o755)
            suite.finish(out)
        how = "a file system mounted read-only" if mounted else "permissions"
    return f"refused, in a line each that says why, nothing written; then as the undisturbed one. By {how}"


def damaged(suite: Suite, kind: str, damage: str, rng: random.Random) -> str:
    """One artefact of a kind, damaged, with all that was made of it gone, so that it is needed again."""
    out = suite.scratch / "damaged"
    shutil.copytree(suite.scratch / "undisturbed", out)
    for later in KINDS[KINDS.index(kind) + 1 :]:
        shutil.rmtree(Store(out).folder(later, ""), ignore_errors=True)
    for folder in folders(out, kind):
        files = sorted(f for f in folder.rglob("*") if f.is_file())
        hurt(
            rng.choice([f for f in files if (f.name == "checksums.json") == (damage == "broken checksums")]),
            damage,
            rng,
        )
    found = suite.ended(suite.begin(out))
    if found.code or "is corrupt" not in found.err:
        raise NotSurvivedError(f"ended with {found.code}: {found.err.strip()[-300:] or 'nothing was said of it'}")
    suite.check(out)
    shutil.rmtree(out)
    return "noticed, said in one line each, made again as before"


def hurt(file: Path, damage: str, rng: random.Random) -> None:
    """Damage a file."""
    raw = bytearray(file.read_bytes())
    if damage == "a flipped byte":
        raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
    elif damage == "a truncated file":
        del raw[len(raw) // 2 :]
    elif damage == "an empty file":
        raw.clear()
    elif damage == "broken checksums":
        raw[:] = b"{"
    file.unlink() if damage == "a missing file" else file.write_bytes(bytes(raw))


def at_once(suite: Suite, rng: random.Random, copies: int, kill_one: bool) -> str:
    """Several of the command on one store; one of them may be killed on the way."""
    out = suite.scratch / "at-once"
    begun = [suite.begin(out) for _ in range(copies)]
    if kill_one:
        suite.ended(begun.pop(), after=rng.uniform(0.2, 0.8) * suite.seconds)
    for one in begun:
        found = suite.ended(one)
        if found.code:
            raise NotSurvivedError(f"ended with {found.code}: {found.err.strip()[-300:]}")
    suite.check(out)
    shutil.rmtree(out)
    return "the undisturbed store"


# --- the table --------------------------------------------------------------------------------------------------------


def cases(suite: Suite, kills: int, rng: random.Random, tick: Callable[[int], None]) -> Iterator[tuple[str, int, Any]]:
    """(what befalls it, how many times, what does it) of every case."""
    few = max(1, kills // 10)
    yield "killed (SIGKILL) at random moments, restarted", kills, lambda: killed(suite, rng, kills, tick)
    yield "interrupted (SIGINT) at random moments", few, lambda: interrupted(suite, rng, few)
    room = [0.02, 0.3, 0.6, 0.9] if kills > 10 else [0.3]
    yield "disk full, room for " + ", ".join(f"{f:.0%}" for f in room), len(room), lambda: full_disk(suite, room)
    yield "results folder read-only, empty and half done", 2, lambda: read_only(suite)
    for kind in KINDS:
        for damage in DAMAGES if kills > 10 else DAMAGES[:1]:
            yield f"{kind}: {damage}", 1, lambda kind=kind, damage=damage: damaged(suite, kind, damage, rng)
    for _ in range(3 if kills > 10 else 1):
        yield "two sweeps at once on one store", 2, lambda: at_once(suite, rng, 2, False)
    yield "three at once, one of them killed", 3, lambda: at_once(suite, rng, 3, True)


def measure(kills: int, seed: int = 0, tick: Callable[[int, int, str], None] = lambda *told: None) -> pd.DataFrame:
    """Every case with how often it was tried and what came of it: columns case, tries, survived, outcome, seconds."""
    rng, rows = random.Random(seed), []
    with TemporaryDirectory() as folder:
        suite = Suite(Path(folder))
        planned = list(cases(suite, kills, rng, lambda landed: tick(landed, kills, "kills")))
        for number, (case, tries, work) in enumerate(planned):
            tick(number, len(planned), case)
            started = time.monotonic()
            try:
                outcome, survived = work(), True
            except NotSurvivedError as error:
                outcome, survived = str(error), False
                for left in ("killed", "interrupted", "damaged", "at-once"):
                    shutil.rmtree(suite.scratch / left, ignore_errors=True)
            rows.append((case, tries, survived, outcome, time.monotonic() - started))
    return pd.DataFrame(rows, columns=["case", "tries", "survived", "outcome", "seconds"])


def result(frame: pd.DataFrame, kills: int, seed: int) -> Result:
    """The table, with how the sweep was disturbed in words."""
    grid = json.dumps(GRID.strip().splitlines()[0].partition("=")[2].strip(' "'))
    words = (
        f"A sweep of simulated data ({grid}) is disturbed, then asked for again with the same command. It survives "
        "where what it leaves is the store that the undisturbed sweep left: the same keys, scores, items and files. "
        f"Moments are drawn with seed {seed}, uniformly over the time that the undisturbed sweep took to its last "
        f"record and a fifth more; teacher and students are trained for {EPOCHS} epochs with a checkpoint after each. "
        f"{int(frame['tries'].sum())} tries."
    )
    shown = frame.assign(survived=frame["survived"].map({True: "yes", False: "**no**"})).drop(columns="seconds")
    return Result("Survival of a suite", words, frame.drop(columns="seconds"), shown.astype(str))


def run(options: Options) -> Result:
    """What `xkd-bench bench survival` runs."""
    kills = 3 if options.quick else 50
    return result(measure(kills, tick=options.tick), kills, 0)


def main() -> int:
    """Disturb, print and write; 1 where something was not survived."""
    from rich.console import Console

    from xkd_bench.benchmarks.result import OUT, terminal, write
    from xkd_bench.progress import progress

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    with progress(quiet=False) as bar:
        frame = measure(given.kills, given.seed, lambda done, total, note: bar.report("survival", done, total, note))
    found = result(frame, given.kills, given.seed)
    Console().print(terminal(found))
    for path in write(found, given.out, "survival", Options()):
        print(path)
    return int(not frame["survived"].all())


if __name__ == "__main__":
    sys.exit(main())
