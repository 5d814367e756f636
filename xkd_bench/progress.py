"""What the user sees while runs go on: one bar for all runs, one for the stage, with the loss and the time left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

MOST_BARS = 8
"""Of runs that are under way at once: the others are counted."""


class RunProgress:
    """A bar for all runs and one for each that is under way, on a terminal; a line a run where it is none."""

    def __init__(self, console: Console, bars: Progress) -> None:
        self.console, self.bars = console, bars
        self.runs = bars.add_task("runs", total=None, note="")
        self.failed = 0
        self._running: list[str] = []
        self._stages: dict[str, tuple[TaskID, str]] = {}  # of a run, by its label: the bar and what stage it shows

    def expect(self, total: int) -> None:
        """So many runs are to be done."""
        self.bars.reset(self.runs, total=total)

    def report(self, stage: str, done: int, total: int, note: str, label: str = "") -> None:
        """What `Runner` calls as a stage goes on. label: of the run, where several are under way."""
        if label not in self._stages:
            shown = len(self._stages) < MOST_BARS
            self._stages[label] = self.bars.add_task("", total=None, note="", visible=shown), ""
        bar, before = self._stages[label]
        if stage != before:
            self._stages[label] = bar, stage
            self.bars.reset(bar, total=total, description=f"  {stage}")
        self.bars.update(bar, completed=done, total=total, note=f"{note}  {escape(label)}".strip())

    def begin(self, label: str) -> None:
        """A run begins."""
        self._stage_over("")
        self._running.append(label)
        self._show_running()

    def end(self, label: str, error: str | None = None) -> None:
        """A run ended, well or with an error."""
        self.failed += error is not None
        self._stage_over(label)
        self._running.remove(label)
        self._show_running()
        self.bars.update(self.runs, description=f"runs, {self.failed} failed" if self.failed else "runs", advance=1)
        if error is None:
            self.console.print(f"[green]done[/green] {escape(label)}", highlight=False)
        else:
            self.console.print(f"[red]failed[/red] {escape(f'{label}: {error}')}", highlight=False)

    def _stage_over(self, label: str) -> None:
        if label in self._stages:
            self.bars.remove_task(self._stages.pop(label)[0])

    def _show_running(self) -> None:
        said = self._running[0] if len(self._running) == 1 else f"{len(self._running)} under way"
        self.bars.update(self.runs, note=said if self._running else "")


@contextmanager
def progress(quiet: bool) -> Iterator[RunProgress]:
    """Progress on the standard error stream, so that the standard output holds the result alone."""
    console = Console(stderr=True, quiet=quiet)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("[dim]{task.fields[note]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bars:
        yield RunProgress(console, bars)


@contextmanager
def steps(what: str) -> Iterator[Callable[[str], None]]:
    """A spinner that names the step under way; call what it yields with each step's name."""
    console = Console(stderr=True)
    with console.status(what) as status:
        yield lambda name: status.update(f"{what} {name}")
