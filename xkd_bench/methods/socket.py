"""SOCKET: the student's feature maps are to have the teacher's channel statistics; no pair is looked at."""

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor, nn

from xkd_bench.losses.statistics import channel_statistics, socket_stats, task_irrelevant
from xkd_bench.methods._maps import MapMethod, MapOptions
from xkd_bench.methods.base import Batch, Options, Teacher
from xkd_bench.models.encoders import Encoder


class SOCKETOptions(MapOptions):
    """pair_term: weight of SOCKET's own term on pairs, ‖f_A - f_B‖; CMCD uses the statistics alone (0), SOCKET has 0.5.
    first_weight: of the earliest level. weight: of the statistics. levels: how many maps, from the last."""

    weight: Annotated[float, Field(gt=0)] = 0.5
    first_weight: Annotated[float, Field(gt=0)] = 10.0
    pair_term: Annotated[float, Field(ge=0)] = 0.0


class SOCKET(MapMethod):
    """Ahmed et al. 2022 as CMCD describes it: mean and variance of each channel, batch against all source items.

    SOCKET compares the inputs of batch norms of two copies of one network. Here networks may differ, so the outputs of
    stages are compared, through a 1×1 convolution where widths differ; such a convolution alone can match statistics,
    and little is then asked of the student. With `--teacher simclr` the two networks are the same.
    """

    sees = "statistics"
    provenance = "[RECON med] SOCKET as CMCD describes it; weights [CODE SOCKET]; levels ours"
    options_type: ClassVar[type[Options]] = SOCKETOptions
    options: SOCKETOptions

    def __init__(self, student: Encoder, teacher: Teacher | None, options: SOCKETOptions) -> None:
        super().__init__(student, teacher, options)
        assert teacher is not None
        self.adapt = self.adapters()
        for i, level in enumerate(teacher.levels):
            self.register_buffer(f"mean{i}", level.mean)
            self.register_buffer(f"var{i}", level.var)
        self.project = nn.Linear(student.dim, teacher.dim) if options.pair_term else None

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        seen = self.student.features(batch.views[0])
        maps = seen.maps[-len(self.widths) :]
        student = [channel_statistics(adapt(m)) for adapt, m in zip(self.adapt, maps, strict=True)]
        teacher = [(self.get_buffer(f"mean{i}"), self.get_buffer(f"var{i}")) for i in range(len(self.widths))]
        statistics = socket_stats(student, teacher, self.options.first_weight)
        loss = self.options.weight * statistics
        if self.project is None:
            return {"loss": loss}
        assert batch.teacher is not None
        pairs = task_irrelevant(batch.teacher, self.project(seen.pooled))
        out = {"loss": loss + self.options.pair_term * pairs}
        return out | {"statistics": statistics.detach(), "pairs": pairs.detach()}


METHOD = SOCKET
