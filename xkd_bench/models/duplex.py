"""Teachers that see both modalities: two encoders, fused on the way (intermediate) or before the classifier (late).

LIX-style [RECON med]: LIX distils such teachers; which networks they were is not known.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from xkd_bench.distributed import divided
from xkd_bench.models.segmenters import Segmentation, build_segmenter, enlarged

Fusion = Literal["intermediate", "late"]


class DuplexSegmenter(nn.Module):
    """Two segmentation networks of one design, the source's and the target's, and one classifier.

    `intermediate`: maps of the two encoders are added stage by stage, and one decoder follows. `late`: each has a
    decoder; what the two classifiers would see is joined and classified. Outputs are as of a `Segmenter`.
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
        self.source.auxiliary = self.target.auxiliary = None
        if fusion == "intermediate":
            del self.target.decoder

    @divided
    def outputs(self, source: Tensor, image: Tensor) -> Segmentation:
        """Logits and fused maps of pairs: source [n, c, h, w], image [n, c', h, w]."""
        a, b = self.source.encoder(source * 2 - 1), self.target.encoder(image * 2 - 1)
        # The library's first map is the input itself, which is not fused: no decoder looks at it.
        fused = [a[0], *(x + y for x, y in zip(a[1:], b[1:], strict=True))]
        if self.fusion == "intermediate":
            decoded = self.source.decoder(fused)
        else:
            decoded = torch.cat((self.source.decoder(a), self.target.decoder(b)), 1)
        maps = tuple(fused[i] for i in self.source.stages)
        return Segmentation(self.classifier(decoded), decoded, maps)

    def forward(self, source: Tensor, image: Tensor) -> Tensor:
        return enlarged(self.outputs(source, image).logits, image.shape[-2:])
