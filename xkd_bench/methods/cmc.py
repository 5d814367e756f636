"""Cross-modality contrast (CMCD): student and frozen teacher features of a pair attract, all others repel."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from xkd_bench.losses.contrastive import cmc
from xkd_bench.losses.queue import FeatureQueue
from xkd_bench.methods.base import Batch, CentredOptions, Options, Projected, Teacher
from xkd_bench.models.encoders import Encoder
from xkd_bench.models.temperature import Temperature


class CMCOptions(CentredOptions):
    """tau: temperature (the paper states none); learn_tau: it is where a learned one starts. positives: `distinct`
    fills a batch with different concepts; `all` lets concepts repeat and counts every pair of a concept as positive.
    queue: how many teacher features of earlier batches are further negatives of the student's features. (The teacher is
    frozen: they never grow stale.) centre_teacher: subtract the mean of the teacher's features."""

    tau: Annotated[float, Field(gt=0)] = 0.1
    learn_tau: bool = False
    positives: Literal["distinct", "all"] = "distinct"
    queue: Annotated[int, Field(ge=0)] = 0


class CMC(Projected):
    """CMCD's CMC: eq. (3) on the projected student and the frozen teacher, a two-layer projector into its space."""

    provenance = "[RECON hi] CMCD eq. (3)"
    options_type: ClassVar[type[Options]] = CMCOptions
    options: CMCOptions

    def __init__(self, student: Encoder, teacher: Teacher | None, options: CMCOptions) -> None:
        super().__init__(student, teacher, options)
        assert teacher is not None
        self.tau = Temperature(options.tau, learnable=options.learn_tau)
        self.negatives = FeatureQueue(options.queue, teacher.dim) if options.queue else None

    def contrast(self, z_a: Tensor, z_b: Tensor, batch: Batch) -> Tensor:
        """The loss on projected features; the queue takes the teacher's afterwards."""
        concept = batch.concept if self.options.positives == "all" else None
        if self.negatives is None:
            return cmc(z_a, z_b, self.tau(), concept)
        queue, valid = self.negatives.features, self.negatives.valid
        # Earlier batches may hold an anchor's own concept, and then it is no negative.
        own = self.negatives.concept
        loss = cmc(z_a, z_b, self.tau(), batch.concept, queue=queue, queue_concept=own, queue_valid=valid)
        if self.training:
            self.negatives.push(z_a, batch.concept)
        return loss

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        out = {"loss": self.contrast(*self.project(batch), batch)}
        return out | ({"tau": self.tau().detach()} if self.options.learn_tau else {})


METHOD = CMC
