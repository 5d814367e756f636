"""A classifier's divergence from its teacher in two parts: how sure it is of the label, and how it ranks the rest.

At a pixel with label y and temperature τ, b the probability of y and p̂_c = p_c/(1-b) the law of the other classes:

    TCLD = KL between (b_T, 1-b_T) and (b_S, 1-b_S),    NCLD = KL(p̂_T ‖ p̂_S),    KL(p_T ‖ p_S) = TCLD + (1-b_T) NCLD

`dense_logits.dkd` is their sum with two constants; here they are kept apart, with all that a weight may depend on.
Everything comes from log-odds, at least in float32 (`dense_pixels`), and stays finite. DKD's released code [CODE
mdistiller] takes logarithms of a softmax, the label masked by -1000: inf or NaN in float32 where logits are saturated.

Source: Zhao et al. 2022, Decoupled knowledge distillation, eqs. (4)-(7).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from xkd_bench.losses.dense_pixels import IGNORE, check_maps, check_tau, counted, exact, labels_at, pixel_mean


@dataclass(frozen=True)
class Side:
    """One network's part. margin: [n, h, w] log b/(1-b). log_rest: [n, k, h, w] log p̂, 0 at the label (whose p̂ is 0,
    see `Decoupled.others`)."""

    margin: Tensor
    log_rest: Tensor


@dataclass(frozen=True)
class Decoupled:
    """student, teacher: their parts, the teacher's without gradient. others: [n, k, h, w] bool, the classes that are
    not the label. counts: [n, h, w] bool; where it is False the label stands for class 0."""

    student: Side
    teacher: Side
    others: Tensor
    counts: Tensor

    def sure(self, side: Side) -> Tensor:
        """[n, 2, h, w]: the probabilities b and 1-b."""
        return torch.stack((side.margin, -side.margin), 1).sigmoid()

    def rest(self, side: Side) -> Tensor:
        """[n, k, h, w]: p̂, 0 at the label."""
        return side.log_rest.exp() * self.others

    def probabilities(self, side: Side) -> Tensor:
        """[n, k, h, w]: p."""
        sure, unsure = self.sure(side).split(1, 1)
        return torch.where(self.others, unsure * self.rest(side), sure)

    def tcld(self) -> Tensor:
        """[n, h, w]."""
        return (self.sure(self.teacher) * self._sure_ratio()).sum(1)

    def ncld(self) -> Tensor:
        """[n, h, w]; 0 where there are two classes."""
        return (self.rest(self.teacher) * (self.teacher.log_rest - self.student.log_rest)).sum(1)

    def tcld_elements(self) -> Tensor:
        """[n, 2, h, w] ≥ 0: q_T log(q_T/q_S) - q_T + q_S for q = b and for q = 1-b. Their sum is TCLD."""
        q_t, q_s = self.sure(self.teacher), self.sure(self.student)
        return q_t * self._sure_ratio() - q_t + q_s

    def ncld_elements(self) -> Tensor:
        """[n, k, h, w] ≥ 0: p̂_T log(p̂_T/p̂_S) - p̂_T + p̂_S, 0 at the label. Their sum is NCLD."""
        p_t, p_s = self.rest(self.teacher), self.rest(self.student)
        return p_t * (self.teacher.log_rest - self.student.log_rest) - p_t + p_s

    def mean(self, values: Tensor) -> Tensor:
        """The mean of [n, h, w] over the pixels that count; 0, with a graph, where none does."""
        return pixel_mean(values, self.counts)

    def _sure_ratio(self) -> Tensor:
        """[n, 2, h, w]: log b_T/b_S and log (1-b_T)/(1-b_S)."""
        t, s = (torch.stack((side.margin, -side.margin), 1) for side in (self.teacher, self.student))
        return F.logsigmoid(t) - F.logsigmoid(s)


def decouple(student: Tensor, teacher: Tensor, labels: Tensor, tau: float = 1.0, *, ignore: int = IGNORE) -> Decoupled:
    """The two parts of the logits of student and teacher, both [n, k, h, w].

    labels: [n, H, W] integers < k, sampled on the logits' grid, or `ignore`: those pixels do not count. Raises
    ValueError for shapes that do not fit and for fewer than 2 classes.
    """
    check_tau(tau)
    with exact(student):
        z_s, z_t = check_maps(student, teacher)
        if z_s.shape[1] < 2:
            raise ValueError("decoupled distillation needs at least 2 classes")
        counts = counted(labels, ignore, z_s)
        own = labels_at(labels, z_s.shape[2:]).long().masked_fill(~counts, 0)[:, None]  # [n, 1, h, w]
        at_label = torch.zeros(z_s.shape, dtype=torch.bool, device=z_s.device).scatter_(1, own, True)
        return Decoupled(_side(z_s / tau, own, at_label), _side(z_t / tau, own, at_label), ~at_label, counts)


def _side(z: Tensor, own: Tensor, at_label: Tensor) -> Side:
    others = z.masked_fill(at_label, float("-inf"))
    return Side(z.gather(1, own)[:, 0] - others.logsumexp(1), others.log_softmax(1).masked_fill(at_label, 0))
