"""Contrastive representation distillation: student and teacher tell each pair's other half among remembered items."""

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from xkd_bench.losses.contrastive import unit_rows
from xkd_bench.losses.crd import nce, negatives, partition
from xkd_bench.methods.base import Batch, Centred, CentredOptions, Options, Teacher
from xkd_bench.models.encoders import Encoder


class CRDOptions(CentredOptions):
    """tau: temperature. dim: of the embeddings. negatives: drawn for each item, from other concepts, and no more than
    the memory holds. momentum: of the memory. All as in the source. centre_teacher: as in CMC; the source does not, and
    where features are all positive its embeddings start as one point and stay there for long."""

    tau: Annotated[float, Field(gt=0)] = 0.07
    dim: Annotated[int, Field(gt=0)] = 128
    negatives: Annotated[int, Field(gt=0)] = 16384
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.5


class CRD(Centred):
    """Tian et al. 2020, beyond CMCD's table: two halves, each against a memory of the other side's embeddings.

    The student's and the teacher's features pass through a linear layer each. A memory holds one embedding of each side
    for each target item; the normalisers are set once, from the first batch.
    """

    provenance = "[CODE RepDistiller] CRD, negatives of other concepts"
    options_type: ClassVar[type[Options]] = CRDOptions
    options: CRDOptions

    def __init__(self, student: Encoder, teacher: Teacher | None, options: CRDOptions) -> None:
        super().__init__(student, teacher, options)
        assert teacher is not None
        self.embed_a, self.embed_b = nn.Linear(teacher.dim, options.dim), nn.Linear(student.dim, options.dim)
        # The memory is in the order of concepts, so that the negatives of an item are all but one block of it.
        order = teacher.concept.argsort(stable=True)
        self.register_buffer("concept", teacher.concept[order])
        self.register_buffer("place", order.argsort())
        for side in ("a", "b"):
            self.register_buffer(f"memory_{side}", unit_rows(torch.rand(len(order), options.dim) - 0.5))
            self.register_buffer(f"normaliser_{side}", torch.zeros((), dtype=torch.float64))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        assert batch.teacher is not None
        z_a = unit_rows(self.embed_a(self.centred(batch.teacher)))
        z_b = unit_rows(self.embed_b(self.student(batch.views[0])))
        place = self.get_buffer("place")[batch.item]
        concept = self.get_buffer("concept")
        drawn = negatives(concept, place, min(self.options.negatives, len(concept)))
        candidates = torch.cat((place[:, None], drawn), 1)
        halves = self._half(z_b, "a", candidates), self._half(z_a, "b", candidates)
        if self.training:
            self._remember("a", place, z_a)
            self._remember("b", place, z_b)
        return {"loss": halves[0] + halves[1], "student": halves[0].detach(), "teacher": halves[1].detach()}

    def _half(self, anchor: Tensor, memory: str, candidates: Tensor) -> Tensor:
        """Which of the candidates in one side's memory belongs to each anchor of the other side?"""
        # A copy: the memory moves on before the gradient asks for what it was.
        bank, normaliser = self.get_buffer(f"memory_{memory}").clone(), self.get_buffer(f"normaliser_{memory}")
        with torch.autocast(anchor.device.type, enabled=False):
            scores = (anchor @ bank.T / self.options.tau).gather(1, candidates)
        if not normaliser:
            normaliser.copy_(partition(scores, len(bank)))
        return nce(scores, normaliser, len(bank))

    @torch.no_grad()
    def _remember(self, side: str, place: Tensor, z: Tensor) -> None:
        bank, momentum = self.get_buffer(f"memory_{side}"), self.options.momentum
        bank[place] = unit_rows(momentum * bank[place] + (1 - momentum) * z.detach().to(bank.dtype))


METHOD = CRD
