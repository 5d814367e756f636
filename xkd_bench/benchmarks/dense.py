"""What does each dense method add to a step of the plain student, in time and in memory? Is Af-DCD cheap?

Every method takes the same steps on the same batch: forward, loss, backward, optimiser. What the frozen teacher says of
it is there already, for that costs all but `sup-ft` the same; its forward pass has a row of its own.

    python -m xkd_bench.benchmarks.dense [--quick] [--device cuda]
"""

from __future__ import annotations

import copy
import gc
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import nn

from protocols import Recipe, load_budget
from xkd_bench import methods
from xkd_bench.benchmarks import Options, Result
from xkd_bench.benchmarks.contrastive_memory import own_pages_from
from xkd_bench.benchmarks.distillation import clock_of
from xkd_bench.benchmarks.estimator_speed import reset_peak, status
from xkd_bench.benchmarks.timing import SPREAD, in_turns, ratio, short
from xkd_bench.methods.dense import DenseBatch, DenseMethod, DenseTeacher, Supervised, outputs_of
from xkd_bench.models.cost import Cost
from xkd_bench.models.duplex import DuplexSegmenter
from xkd_bench.models.segmenters import build_segmenter
from xkd_bench.registry import entries
from xkd_bench.report.networks import large
from xkd_bench.stages.networks import cost_with
from xkd_bench.training import make_optimiser

BASE, TEACHER = "sup-ft", "the teacher's forward pass"
CHANNELS, CLASSES = (3, 1), 13


@dataclass(frozen=True)
class Size:
    """Images, batch, and the networks of a budget."""

    height: int
    width: int
    batch: int
    student: str
    teacher: str

    def __str__(self) -> str:
        return f"{self.batch} × {self.height} × {self.width}"


def sizes(quick: bool, device: str) -> list[Size]:
    """The laptop budget's; on a GPU also the published networks on 512 × 512."""
    names = load_budget("smoke" if quick else "laptop", "segmentation")
    student, teacher = names.student, str(names.teacher)
    if quick:
        return [Size(48, 64, 2, student, teacher)]
    found = [Size(96, 128, 8, student, teacher)]
    paper = load_budget("paper", "segmentation")
    return found if device == "cpu" else [*found, Size(512, 512, 8, paper.student, str(paper.teacher))]


def dense_names() -> list[str]:
    """Every method of ours that distils a segmentation network, the plain student first."""
    ours = [name for name, entry in entries("methods").items() if entry.origin == "xkd-bench"]
    return [BASE, *(n for n in ours if issubclass(methods.get(n), DenseMethod) and methods.get(n).distils)]


def teacher_of(size: Size, inputs: str, device: torch.device) -> nn.Module:
    """Untrained, frozen, in evaluation mode."""
    torch.manual_seed(0)
    shape = (size.height, size.width)
    if inputs == "both":
        made: nn.Module = DuplexSegmenter(size.teacher, CHANNELS, CLASSES, shape, "intermediate")
    else:
        made = build_segmenter(size.teacher, CHANNELS[0], CLASSES, shape)
    return made.requires_grad_(False).eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]


class Case:
    """One method with its networks, optimiser and batch, ready to step."""

    def __init__(self, name: str, size: Size, teacher: Any, inputs: str, device: torch.device) -> None:
        generator = torch.Generator().manual_seed(0)
        n, h, w = size.batch, size.height, size.width
        source, image = (torch.rand(n, c, h, w, generator=generator).to(device) for c in CHANNELS)
        blocks = torch.randint(CLASSES, (n, h // 8, w // 8), generator=generator)  # patches, as scenes have
        label = blocks.repeat_interleave(8, 1).repeat_interleave(8, 2).to(device)
        with torch.no_grad():
            said = outputs_of(teacher, source, image, inputs)  # type: ignore[arg-type]
        self.batch = DenseBatch(image, source, label, True, said)
        torch.manual_seed(1)
        method = methods.get(name)
        if issubclass(method, DenseMethod):
            options = method.parse_options(name, {})
            student = method.build_student(size.student, CHANNELS, CLASSES, (h, w), options)
            known = DenseTeacher(teacher.widths, teacher.decoded_width, CLASSES)
            self.model: nn.Module = method(student, known, options)  # type: ignore[arg-type]
        else:
            self.model = Supervised(build_segmenter(size.student, CHANNELS[1], CLASSES, (h, w)))
        self.model.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        recipe = Recipe(optimiser="adamw", lr=1e-4, epochs=1, batch=n, schedule="constant", augmentation="none")
        self.optimiser = make_optimiser(self.model, recipe)

    def used(self) -> Cost:
        """What the student costs in use, of one image of the target alone."""
        student = self.model.network if isinstance(self.model, Supervised) else self.model.student
        return cost_with(student, self.batch.source[:1], self.batch.image[:1], "target")  # type: ignore[arg-type]

    def step(self) -> float:
        """One step; its loss."""
        loss = self.model(copy.copy(self.batch))["loss"]
        loss.backward()
        self.optimiser.step()
        self.optimiser.zero_grad()
        return float(loss.detach())


def peak_of(work: Callable[[], object], device: str) -> float:
    """MB by which a call's peak exceeds what there was before it; the call is not the first."""
    if device == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        work()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    gc.collect()
    own_pages_from(2**16)
    reset_peak()
    resident = status("VmRSS")
    work()
    grown = status("VmHWM") - resident
    own_pages_from(2**25)
    return grown


def measure(size: Size, rounds: int, options: Options, names: list[str] | None = None) -> list[dict[str, Any]]:
    """A row for each method, one for the teacher's forward pass."""
    device = torch.device(options.device)
    teachers = {inputs: teacher_of(size, inputs, device) for inputs in ("source", "both")}
    works: dict[str, Callable[[], object]] = {}
    peaks: dict[str, float] = {}
    costs: dict[str, Cost] = {}
    names = names or dense_names()
    for done, name in enumerate(names):
        options.tick(done, len(names), f"{size}: {name}, memory")
        inputs = getattr(methods.get(name), "teacher_inputs", "source")
        case = Case(name, size, teachers[inputs], inputs, device)
        case.step()
        peaks[name] = peak_of(case.step, options.device)
        costs[name] = case.used()
        works[name] = case.step
        source = case.batch.source

    @torch.no_grad()
    def taught() -> None:
        outputs_of(teachers["source"], source, source, "source")

    taught()
    costs[TEACHER] = cost_with(teachers["source"], source[:1], source[:1], "source")
    peaks[TEACHER], works[TEACHER] = peak_of(taught, options.device), taught
    seconds = in_turns(
        works, rounds, warm_up=0, clock=clock_of(options.device),
        tick=lambda done, total, note: options.tick(done, total, f"{size}: {note}"),
    )  # fmt: skip
    rows = []
    for name, spent in seconds.items():
        found = ratio(spent, seconds[BASE])
        rows.append(
            {"size": str(size), "student": size.student, "method": name, "ms": 1000 * statistics.median(spent)}
            | {"ratio": found.value, "ratio_low": found.low, "ratio_high": found.high, "rounds": found.n}
            | {"peak_mb": peaks[name], "peak_ratio": peaks[name] / peaks[BASE]}
            | {"parameters": costs[name].parameters, "multiply_adds": costs[name].operations // 2}
        )
    return rows


def claim(frame: pd.DataFrame) -> tuple[str, ...]:
    """Is Af-DCD cheap? What it adds to a step, beside what others add, at each size."""
    notes = []
    for (size, student), part in frame.groupby(["size", "student"], sort=False):
        added = part[~part["method"].isin([BASE, TEACHER])].set_index("method")["ratio"] - 1
        if "af-dcd" in added:
            cheaper = int((added.drop("af-dcd") > added["af-dcd"]).sum())
            beside = ", ".join(f"{n} {100 * added[n]:.0f} %" for n in ("kd", "cwd", "mgd", "cirkd") if n in added)
            notes.append(
                f"Af-DCD at {size} ({student}) adds {100 * added['af-dcd']:.0f} % to the student's step; {beside}. "
                f"{cheaper} of the {len(added) - 1} other methods add more."
            )
    return tuple(notes)


def run(options: Options) -> Result:
    """Measure."""
    return study(sizes(options.quick, options.device), 1 if options.quick else 5, options)


def study(found: list[Size], rounds: int, options: Options) -> Result:
    """Of these sizes."""
    frame = pd.DataFrame([row for size in found for row in measure(size, rounds, options)])
    shown = pd.DataFrame(
        {
            "batch × size": r["size"],
            "method": r["method"],
            "ms a step": short(r["ms"]),
            "over sup-ft": f"{r['ratio']:.2f} ({r['ratio_low']:.2f} to {r['ratio_high']:.2f}, {r['rounds']})",
            "peak, MB": f"{r['peak_mb']:,.0f}",
            "peak over sup-ft": f"{r['peak_ratio']:.2f}",
            "parameters in use": f"{r['parameters']:,}",
            "multiply-adds an image": large(r["multiply_adds"]),
        }
        for r in frame.to_dict("records")
    )
    networks = "; ".join(f"{s}: student {s.student}, teacher {s.teacher}" for s in found)
    words = (
        "A training step with labels (forward, all losses, backward, AdamW) of each method with its default options "
        f"and {CLASSES} classes, against that of the student alone (sup-ft); what the frozen teacher says is there "
        f"already. {networks}. {'Wall' if options.device == 'cuda' else 'CPU'} time, in turns; ratios are of the "
        f"same round, their median. {SPREAD} Peak: growth of the process's peak memory in a step that is not the "
        "first. In use: the student with the target alone, without what training adds; of the teacher, itself."
    )
    return Result("Dense methods: a step's time and memory", words, frame, shown, (), None, claim(frame))


if __name__ == "__main__":
    from xkd_bench.benchmarks.result import program

    program("dense")
