"""Teachers that see both modalities: two encoders, fused on the way (intermediate) or before the classifier (late).

LIX-style [RECON med]: LIX distils such teachers; which networks they were is not known.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from xkd_bench.distributed import divided
from xkd_bench.errors import UsageError
from xkd_bench.losses.features import enlarged
from xkd_bench.models.segmenters import Segmentation, build_segmenter

Fusion = Literal["intermediate", "late"]


class DuplexSegmenter(nn.Module):
    """Two segmentation networks of one design, the source's and the target's, and one classifier.

    `intermediate`: maps of the two encoders are added stage by stage, and one decoder follows. `late`: each has a
    decoder; what the two classifiers would see is joined and classified. Outputs are as of a `Segmenter`. A modality
    that is missing (None) is a black image [RECON med]: what training shows beyond an image's edges, and no more than
    that; both encoders run all the same. An auxiliary head (`-aux`) sees the fused map, either way.
    """

    def __init__(
        self, name: str, channels: tuple[int, int], classes: int, size: tuple[int, int], fusion: Fusion
    ) -> None:
        super().__init__()
        self.fusion, self.name = fusion, name
        self.source, self.target = (build_segmenter(name, c, classes, size) for c in channels)
        width = self.source.decoded_width
        self.widths = self.source.widths
        self.decoded_width = width if fusion == "intermediate" else 2 * width
        self.classifier = nn.Conv2d(self.decoded_width, classes, 1)
        del self.source.classifier, self.target.classifier
        self.auxiliary = self.source.auxiliary
        self.source.auxiliary = self.target.auxiliary = None
        if fusion == "intermediate":
            del self.target.decoder

    @divided
    def outputs(self, source: Tensor | None, image: Tensor | None) -> Segmentation:
        """Logits and fused maps of pairs, or of what is there of them: source [n, c, h, w], image [n, c', h, w]."""
        source, image = self._both(source, image)
        a, b = self.source.encoder(source * 2 - 1), self.target.encoder(image * 2 - 1)
        # The library's first map is the input itself, which is not fused: no decoder looks at it.
        fused = [a[0], *(x + y for x, y in zip(a[1:], b[1:], strict=True))]
        if self.fusion == "intermediate":
            decoded = self.source.decoder(fused)
        else:
            decoded = torch.cat((self.source.decoder(a), self.target.decoder(b)), 1)
        maps = tuple(fused[i] for i in self.source.stages)
        coarse = self.auxiliary(maps[-2]) if self.auxiliary is not None and self.training else None
        return Segmentation(self.classifier(decoded), decoded, maps, coarse)

    def forward(self, source: Tensor | None, image: Tensor | None) -> Tensor:
        source, image = self._both(source, image)
        return enlarged(self.outputs(source, image).logits, image.shape[-2:])

    def _both(self, source: Tensor | None, image: Tensor | None) -> tuple[Tensor, Tensor]:
        given = image if source is None else source
        if given is None:
            raise UsageError("no modality is given: at least one is needed")
        shape = len(given), *given.shape[-2:]
        a, b = (
            given.new_zeros(shape[0], network.channels, *shape[1:]) if x is None else x
            for x, network in ((source, self.source), (image, self.target))
        )
        return a, b
