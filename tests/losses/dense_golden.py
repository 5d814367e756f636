"""The inputs and the float64 values that every implementation of the dense losses is held to."""

import numpy as np
import torch
from torch import Tensor

GOLDEN = {
    "KD_T1": 1.2982074386354128,
    "KD_T4": 2.6905811118089282,
    "KD_T4_first3px_of_img0_ignored": 2.747141579823851,
    "DKD_a1_b1_T1": 1.5851700012921754,
    "DKD_a1_b8_T4": 21.743121951754425,
    "TCKD_T4": 0.5538026229115857,
    "NCKD_T4": 2.648664916105355,
    "mean_TC_T4": 0.034612663931974125,
    "mean_NC_T4": 0.1655415572565847,
    "CWD_tau1_logits": 1.6614105400972252,
    "CWD_tau4_logits": 2.881250004846078,
    "DIST_tau1_w1_w1": 1.8525415415911306,
    "DIST_tau1_w1_w2": 2.78404176093238,
    "SKD_pixelwise_official": 4.612935418061545,
    "SKD_pair_CIRKD": 0.11698089971218026,
    "SKD_pair_official_scale0.5": 0.05290187895298004,
    "IFVD_K3": 0.503463553473817,
    "CIRKD_minibatch_tau0.1": 7.673349526992117,
    "AT_p2_mean": 0.0008688231836240323,
    "FitNet_identity_mse": 0.9869006328055396,
    "MGD_identity_generator_nomask": 252.64656199821815,
    "CKA_linear_1337": 0.5576132566117589,
    "CKA_debiased_1337": 0.5134564895055259,
    "CKA_rbf0.5_1337": 0.6548311822614982,
    "CKA_laplaceL1_median_1337": 0.6922987922931364,
    "CKA_linear_feat_spatial": 0.043440233231294145,
    "CKA_loss_per_image_linear": 0.8818143703537373,
    "PixelContrast_A6V3D4": 15.75140988805142,
}


def index(*shape: int) -> Tensor:
    """0, 1, 2, ... in this shape, float64."""
    return torch.arange(int(np.prod(shape)), dtype=torch.float64).reshape(shape)


def logits() -> tuple[Tensor, Tensor, Tensor]:
    """Student's and teacher's logits, labels."""
    k = index(2, 5, 4, 6)
    y = index(2, 4, 6).long()
    return 2 * (0.7 * k + 0.3).sin(), 3 * (0.4 * k + 0.1).cos(), (y * y + 3 * y) % 5


def features() -> tuple[Tensor, Tensor]:
    """Student's and teacher's features."""
    k = index(2, 8, 4, 8)
    return (0.37 * k + 0.2).sin() + 0.1 * (0.011 * k).cos(), (0.23 * k + 0.5).cos() + 0.2 * (0.017 * k).sin()


def fine_labels() -> Tensor:
    """Labels of the features, at twice their resolution; -1 is ignored, and 3 is no class."""
    y = (index(2, 8, 16).long() // 3) % 4
    y[0, :2] = -1
    return y


def cka_rows() -> tuple[Tensor, Tensor]:
    """The pair [100, 10] of the demonstration notebook of Kornblith et al."""
    rng = np.random.RandomState(1337)
    x = rng.randn(100, 10)
    return torch.from_numpy(x), torch.from_numpy(rng.randn(100, 10) + x)


def random_logits(*shape: int, seed: int = 0, scale: float = 2.0) -> tuple[Tensor, Tensor, Tensor]:
    """Of student and teacher (float64), and labels, from a seed."""
    generator = torch.Generator().manual_seed(seed)
    z_s, z_t = (scale * torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    return z_s, z_t, torch.randint(shape[1], (shape[0], *shape[2:]), generator=generator)
