"""Cross-modality distillation (CMCD): the student imitates the teacher's law of similarities to other items."""

from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from xkd_bench.losses.queue import FeatureQueue
from xkd_bench.losses.similarity import Form, SimilarityDistillation, cmd
from xkd_bench.methods.base import Batch, CentredOptions, Options, Projected, Teacher
from xkd_bench.models.encoders import Encoder


class CMDOptions(CentredOptions):
    """form: which reading of the lost eq. (2). tau_t, tau_s: temperatures of the teacher's and the student's law (the
    paper states none). bank: where candidates come from: the batch, a first-in-first-out queue of teacher features of
    earlier batches, as SEED has, or a fixed sample of the teacher's features, as the theory needs; bank_size: of the
    latter two. include_self: an item is a candidate of its own; if not said, with `seed`, where its own teacher feature
    is what it should find, and not with `intra`, where every item is as like itself as can be and learns nothing from
    it. centre_teacher: as in CMC."""

    form: Form = "seed"
    tau_t: Annotated[float, Field(gt=0)] = 0.1
    tau_s: Annotated[float, Field(gt=0)] = 0.1
    bank: Literal["batch", "queue", "fixed"] = "batch"
    bank_size: Annotated[int, Field(gt=1)] = 4096
    include_self: bool = True
    positives: Literal["distinct"] = "distinct"

    @model_validator(mode="before")
    @classmethod
    def _default_of_form(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("form") == "intra":
            return {"include_self": False, **given}
        return given

    @model_validator(mode="after")
    def _check(self) -> "CMDOptions":
        if self.form == "intra" and self.bank != "batch":
            raise ValueError("form=intra compares students with students: its candidates are the batch")
        return self


class CMD(Projected):
    """CMCD's CMD: eq. (2)."""

    provenance = "[RECON med] CMCD eq. (2)"
    options_type: ClassVar[type[Options]] = CMDOptions
    options: CMDOptions

    def __init__(self, student: Encoder, teacher: Teacher | None, options: CMDOptions) -> None:
        super().__init__(student, teacher, options)
        assert teacher is not None
        self.keys = FeatureQueue(options.bank_size, teacher.dim) if options.bank == "queue" else None
        if options.bank == "fixed":
            chosen = torch.randperm(len(teacher.features))[: options.bank_size]
            self.register_buffer("fixed", self.centred(teacher.features[chosen]))

    @classmethod
    def smallest_batch(cls, options: CMDOptions) -> int:
        return 2 if options.include_self or options.bank != "batch" else 3

    def imitate(self, z_a: Tensor, z_b: Tensor, batch: Batch) -> SimilarityDistillation:
        """The loss on projected features; the queue takes the teacher's afterwards."""
        o = self.options
        laws: Any = {"form": o.form, "tau_t": o.tau_t, "tau_s": o.tau_s, "include_self": o.include_self}
        if o.bank == "fixed":
            return cmd(z_a, z_b, **laws, bank=self.get_buffer("fixed"))
        if self.keys is None or not self.keys.count:  # an empty queue has no candidates: the first step has its batch
            out = cmd(z_a, z_b, **laws)
        else:
            out = cmd(z_a, z_b, **laws, bank=self.keys.features, bank_valid=self.keys.valid)
        if self.keys is not None and self.training:
            self.keys.push(z_a, batch.concept)
        return out

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        out = self.imitate(*self.project(batch), batch)
        return {"loss": out.loss, "kl": out.kl.detach(), "tv": out.tv}


METHOD = CMD
