"""What the networks of a dense run are, and what one image costs them when they are used."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from xkd_bench.methods.dense import DenseMethod, Inputs
from xkd_bench.models.cost import Cost, cost_of
from xkd_bench.models.segmenters import Segmenter
from xkd_bench.stages.context import Context
from xkd_bench.stages.dense_student import new_student
from xkd_bench.stages.dense_teacher import channels, image_size, new_teacher, teacher_inputs, teacher_network


@dataclass(frozen=True)
class Used:
    """A network in use: `role` student or teacher, its name, what it is given, and of one image at the run's size the
    parameters that take part and the multiply-adds of convolutions and matrix products."""

    role: str
    network: str
    inputs: Inputs
    parameters: int
    multiply_adds: int


def dense_networks(run: Context) -> list[dict[str, Any]]:
    """Of the network that is scored, with each of its inputs, and of the student's teacher where it has one.

    Nothing is computed: the passes are on the device `meta`. What training alone needs (auxiliary heads, a method's own
    parameters) is left out. torch's random generator stays as it is.
    """
    scored: tuple[Inputs, ...] = run.method.inputs if issubclass(run.method, DenseMethod) else ("target",)
    source, image = (torch.zeros(1, c, *image_size(run), device="meta") for c in channels(run))
    found: list[Used] = []

    def add(role: str, name: str, network: nn.Module, given: Sequence[Inputs]) -> None:
        network = network.to("meta")
        for inputs in given:
            cost = cost_with(network, source, image, inputs)
            found.append(Used(role, name, inputs, cost.parameters, cost.operations // 2))

    with torch.random.fork_rng([]):  # not all networks can be built on meta
        if has_student := getattr(run.method, "trains_student", True):
            add("student", run.spec.student, new_student(run), scored)
        if run.method.uses_pairs:
            seen = (teacher_inputs(run),) if has_student else scored
            add("teacher", teacher_network(run), new_teacher(run), seen)
    return [asdict(used) for used in found]


def cost_with(network: nn.Module, source: Tensor, image: Tensor, inputs: Inputs) -> Cost:
    """Of one pass with these inputs, as `outputs_of` gives them to the network."""
    if isinstance(network, Segmenter):
        return cost_of(network, source if inputs == "source" else image)
    return cost_of(network, None if inputs == "target" else source, None if inputs == "source" else image)
