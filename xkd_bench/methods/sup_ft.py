"""Supervised training on the target labels alone; its frozen encoder, untrained, is the random-feature floor."""

from torch import Tensor

from xkd_bench.methods.base import Batch, Method


class SupFT(Method):
    """CMCD's Sup FT. Nothing is learned before the labels: with a head alone it scores random features.

    The paper does not say where its student starts: at random by default, or, with `--init source`, from weights that
    know the source modality.
    """

    distils = False
    uses_pairs = False
    kinds = ("classification", "segmentation")
    provenance = "[PAPER] CMCD Table 1, Sup FT"

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        raise RuntimeError("sup-ft has no stage without labels")


METHOD = SupFT
