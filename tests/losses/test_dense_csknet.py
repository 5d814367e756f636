"""The joint objective of CSK-Net-style training."""

import pytest
import torch
from torch import nn

from xkd_bench.losses.dense_csknet import csknet_loss
from xkd_bench.losses.dense_logits import segmentation_loss


def test_the_joint_objective_is_its_weighted_terms():
    generator = torch.Generator().manual_seed(0)
    logits = {name: torch.randn(2, 3, 4, 4, generator=generator).double() for name in ("source", "target", "fused")}
    teacher = torch.randn(2, 3, 4, 4, generator=generator).double()
    y = torch.randint(0, 3, (2, 4, 4), generator=generator)
    y[0, 0] = 255
    out = csknet_loss(logits, y, teacher, torch.tensor(2.0), lam_kd=0.5, lam_cl=3.0, tau=2.0)
    ce = [nn.functional.cross_entropy(z, y, ignore_index=255) for z in logits.values()]
    p, q = (teacher / 2).softmax(1), (logits["source"] / 2).log_softmax(1)
    kl = 4 * (p * (p.log() - q)).sum(1).mean()
    assert out.supervised.item() == pytest.approx(sum(ce).item(), rel=1e-12)
    assert out.loss.item() == pytest.approx((sum(ce) + 0.5 * kl).item() + 6, rel=1e-12)
    missing = csknet_loss({"target": logits["target"]}, y, teacher)
    assert missing.loss.item() == pytest.approx(ce[1].item(), rel=1e-12)
    assert segmentation_loss(logits["fused"], torch.full_like(y, 255)).item() == 0
    fine = y.repeat_interleave(2, 1).repeat_interleave(2, 2)
    up = nn.functional.interpolate(logits["fused"], (8, 8), mode="bilinear", align_corners=False)
    expected = nn.functional.cross_entropy(up, fine, ignore_index=255)
    assert segmentation_loss(logits["fused"], fine).item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_saturated_logits_stay_finite_in_half_precision(half):
    generator = torch.Generator().manual_seed(0)
    z, teacher = ((6e4 * torch.randn(2, 3, 4, 4, generator=generator).sign()).to(half) for _ in range(2))
    z.requires_grad_()
    with torch.autocast("cpu", dtype=half):
        out = csknet_loss({"source": z, "fused": z}, torch.randint(0, 3, (2, 8, 8), generator=generator), teacher)
    out.loss.backward()
    assert out.loss.dtype == torch.float32
    assert torch.isfinite(out.loss)
    assert torch.isfinite(z.grad).all()


def test_gradients_are_those_of_finite_differences():
    generator = torch.Generator().manual_seed(1)
    z, teacher = (torch.randn(1, 3, 2, 3, generator=generator).double() for _ in range(2))
    y = torch.tensor([[[0, 1, 2, 255, 1, 1]]]).expand(1, 4, 6)
    assert torch.autograd.gradcheck(lambda x: csknet_loss({"source": x}, y, teacher).loss, (z.requires_grad_(),))
    with pytest.raises(ValueError, match="no logits"):
        csknet_loss({}, y, teacher)
