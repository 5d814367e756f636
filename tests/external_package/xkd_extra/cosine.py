"""A method of another package: the cosine between the projected student and the teacher."""

from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.nn.functional import cosine_similarity

from xkd_bench.methods.base import Batch, CentredOptions, Projected


class CosineOptions(CentredOptions):
    """scale: of the loss."""

    scale: Annotated[float, Field(gt=0)] = 1.0


class Cosine(Projected):
    """1 - cos, averaged over the pairs of a batch."""

    provenance = "[STD] cosine distance"
    options_type = CosineOptions

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        z_a, z_b = self.project(batch)
        return {"loss": self.options.scale * (1 - cosine_similarity(z_a, z_b)).mean()}
