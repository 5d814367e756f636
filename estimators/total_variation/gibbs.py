"""The paper-style distance: softmax similarity rows of two encoders over one bank, with its permutation null."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from ..concentration import chernoff_lower, chernoff_upper, group_means
from ..estimate import Estimate, clipped, plain, undefined
from ..inputs import Array, FloatArray, Groups, IntArray, Seed, as_generator, as_groups, as_pairs, check_confidence
from ..resampling import permutation_p_value, permute_groups

Form = Literal["intra", "seed"]
DEFAULT_TEMPERATURES = (0.1, 0.2, 0.5, 1.0)
_BLOCK = 512
_LAWS_KEPT = 2**24


@dataclass(frozen=True, slots=True)
class GibbsDistance:
    """Everything about one temperature.

    Attributes:
        temperature: of both softmaxes.
        distance: TV_G, exact for these rows and this bank; the interval is over evaluated groups, given the bank.
        null: mean of TV_G over permuted pairs, and the range that holds the `confidence` middle share of them.
        normalised: ``1 - TV_G / null mean``: about 0 for unaligned pairs, 1 for identical features.
        p_value: of "pairing does not matter": the chance of a TV_G this *small* under permuted pairs.
    """

    temperature: float
    distance: Estimate
    null: Estimate
    normalised: Estimate
    p_value: float


def tv_gibbs(
    source: Array,
    target: Array,
    *,
    temperature: float,
    form: Form = "intra",
    bank: Literal["held-out", "self"] = "held-out",
    mask_self: bool = True,
    normalise: bool = True,
    groups: Groups | None = None,
    confidence: float = 0.95,
    seed: Seed = 0,
) -> Estimate:
    """Mean TV between softmax similarity rows of source and target encoders over a fixed bank [RECON med].

    Row i has the laws ``p_j = softmax_j(a_i . k_j / tau)`` and, with bank pairs (k_j, l_j),

        form "intra": q_j = softmax_j(b_i . l_j / tau);    form "seed": q_j = softmax_j(b_i . k_j / tau),

    and the value is ``mean_i 1/2 sum_j |p_j - q_j|``. Both laws share their marginal over i, so this is a TV of joint
    laws and obeys the triangle inequality [DERIVED]. ``intra`` does not change when one side is rotated; ``seed`` needs
    a common space. The number depends on tau, d, the bank's size and self-masking and is small *with no alignment at
    all*: independent random unit features give 0.05 at d = 512, tau = 0.5, and below 0.05 at tau <= 0.1 when a row
    may pick itself. Never read it without `tv_gibbs_normalised` or `tv_gibbs_grid`.

    Args:
        source, target: pairs, [n, d_s] and [n, d_t] (one width for ``seed``); numpy or torch, CPU or GPU.
        temperature: tau > 0, in units of the similarity.
        form: which reading of the Gibbs law, see above.
        bank: ``"held-out"``: half of the groups become the bank and the others are evaluated, so that rows are
            independent given the bank. ``"self"``: every row is both, as in a mini-batch; no interval is then claimed.
        mask_self: leave the row itself out of its own law (``bank="self"`` only).
        normalise: scale rows to unit length first; a zero row stays zero and gives the uniform law.
        groups: one label per pair; the mean is over groups.
        seed: integer or numpy Generator; deals the bank.

    Returns:
        With a held-out bank an ``interval`` (Chernoff-Hoeffding, given the bank); with the rows' own bank a
        ``plug-in``. In [0, 1]. `n` counts evaluated groups.

    Degenerate input: constant features give 0 (both laws uniform). NaN, mismatched pairs, fewer than 4 groups (8 with
    a held-out bank), temperature not positive: ValueError.

    >>> import numpy as np
    >>> from estimators import tv_gibbs
    >>> x = np.random.default_rng(0).normal(size=(200, 16))
    >>> tv_gibbs(x, x, temperature=0.1).value
    0.0
    """
    problem = _Problem.read(source, target, form, bank, mask_self, normalise, groups, as_generator(seed))
    return problem.distance(_positive(temperature), confidence)


def tv_gibbs_normalised(
    source: Array,
    target: Array,
    *,
    temperature: float,
    form: Form = "intra",
    bank: Literal["held-out", "self"] = "held-out",
    mask_self: bool = True,
    normalise: bool = True,
    groups: Groups | None = None,
    permutations: int = 50,
    confidence: float = 0.95,
    seed: Seed = 0,
) -> Estimate:
    """``1 - TV_G / TV_null``, TV_null the mean of `tv_gibbs` with permuted pairs: 0 unaligned, 1 identical [DERIVED].

    Args and errors: as for `tv_gibbs`, and `permutations` >= 1 (50 or more in reports).

    Returns:
        A ``plug-in``; its range carries over that of TV_G with the null mean taken as given. Undefined (NaN, with a
        note) where the null is 0, as for constant features.

    >>> import numpy as np
    >>> from estimators import tv_gibbs_normalised
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 16))
    >>> tv_gibbs_normalised(x, x, temperature=0.2, permutations=10).value
    1.0
    """
    return tv_gibbs_grid(
        source,
        target,
        temperatures=(temperature,),
        form=form,
        bank=bank,
        mask_self=mask_self,
        normalise=normalise,
        groups=groups,
        permutations=permutations,
        confidence=confidence,
        seed=seed,
    )[0].normalised


def tv_gibbs_grid(
    source: Array,
    target: Array,
    *,
    temperatures: Sequence[float] = DEFAULT_TEMPERATURES,
    form: Form = "intra",
    bank: Literal["held-out", "self"] = "held-out",
    mask_self: bool = True,
    normalise: bool = True,
    groups: Groups | None = None,
    permutations: int = 50,
    confidence: float = 0.95,
    seed: Seed = 0,
) -> tuple[GibbsDistance, ...]:
    """`tv_gibbs` over a grid of temperatures with its permutation null, normalised value and p-value.

    Groups are permuted whole, with groups of the same size (`estimators.resampling.permute_groups`).

    Returns:
        One `GibbsDistance` for each temperature, in the order given. All share one bank and one set of permutations.

    >>> import numpy as np
    >>> from estimators import tv_gibbs_grid
    >>> rng = np.random.default_rng(0)
    >>> grid = tv_gibbs_grid(rng.normal(size=(300, 8)), rng.normal(size=(300, 8)), permutations=20)
    >>> [abs(g.normalised.value) < 0.05 for g in grid]
    [True, True, True, True]
    """
    rng = as_generator(seed)
    if permutations < 1:
        raise ValueError(f"permutations must be positive, got {permutations}")
    problem = _Problem.read(source, target, form, bank, mask_self, normalise, groups, rng)
    orders = [problem.permuted(rng) for _ in range(permutations)]
    return tuple(problem.report(_positive(tau), orders, confidence) for tau in temperatures)


def _positive(temperature: float) -> float:
    if not 0.0 < temperature < np.inf:
        raise ValueError(f"temperature must be positive, got {temperature}")
    return float(temperature)


@dataclass(frozen=True)
class _Problem:
    """Evaluated pairs and their bank. For the rows' own bank, bank and rows are the same tensors."""

    a: torch.Tensor  # [n, d_s]
    b: torch.Tensor  # [n, d_t]
    bank_a: torch.Tensor  # [Q, d_s]
    bank_b: torch.Tensor  # [Q, d_t]; equal to bank_a for "seed"
    codes: IntArray  # [n]
    bank_codes: IntArray  # [Q]
    own: bool  # the bank is the evaluated rows
    mask: bool
    form: Form

    @classmethod
    def read(
        cls,
        source: Array,
        target: Array,
        form: Form,
        bank: str,
        mask_self: bool,
        normalise: bool,
        groups: Groups | None,
        rng: np.random.Generator,
    ) -> _Problem:
        if form not in ("intra", "seed") or bank not in ("held-out", "self"):
            raise ValueError(f"form is 'intra' or 'seed', bank 'held-out' or 'self'; got {form!r}, {bank!r}")
        a, b = (t.double() for t in as_pairs(source, target, 4, same_width=form == "seed"))
        codes = as_groups(groups, a.shape[0])
        if normalise:
            a, b = (torch.nn.functional.normalize(t, dim=1, eps=1e-300) for t in (a, b))
        count, need = np.unique(codes).size, 4 if bank == "self" else 8
        if count < need:
            raise ValueError(f"needs at least {need} groups with bank={bank!r}, got {count}")
        if bank == "self":
            return cls(a, b, a, a if form == "seed" else b, codes, codes, True, mask_self, form)
        banked = np.isin(codes, rng.permutation(count)[: count // 2])
        keep, put = np.flatnonzero(~banked), np.flatnonzero(banked)
        bank_a = a[put]
        return cls(
            a[keep], b[keep], bank_a, bank_a if form == "seed" else b[put], codes[keep], codes[put], False, False, form
        )

    def permuted(self, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
        """Orders of target rows and of bank columns that break the pairing."""
        rows = permute_groups(self.codes, rng)
        if self.form == "seed":
            return rows, np.arange(len(self.bank_codes))
        return rows, rows if self.own else permute_groups(self.bank_codes, rng)

    def rows(self, temperature: float, orders: Sequence[tuple[IntArray, IntArray]] = ()) -> FloatArray:
        """TV of each row's two laws, [1 + orders, n]: as paired, then in each order; blocks of rows of p.

        A law of permuted logits is the permuted law. Where all laws of the target fit into memory they are computed
        once for all orders; otherwise each block's anew.
        """
        every = self._law(self.b, self.bank_b, 0, temperature) if orders and self._small() else None
        values = [self._block(temperature, start, orders, every) for start in range(0, len(self.a), _BLOCK)]
        return torch.cat(values, 1).clamp(max=1.0).cpu().numpy()

    def _small(self) -> bool:
        # A masked row of "seed" masks its place, not itself: its law changes when it moves.
        moves = self.form == "intra" or not (self.own and self.mask)
        return moves and len(self.b) * len(self.bank_b) <= _LAWS_KEPT

    def _block(
        self, temperature: float, start: int, orders: Sequence[tuple[IntArray, IntArray]], every: torch.Tensor | None
    ) -> torch.Tensor:
        part = slice(start, start + _BLOCK)
        p = self._law(self.a[part], self.bank_a, start, temperature)
        here = np.arange(len(self.a))[part]
        distances = [0.5 * (p - self._law(self.b[part], self.bank_b, start, temperature)).abs().sum(1)]
        for order, columns in orders:
            if every is None:
                q = self._law(self.b[order[here]], self.bank_b[columns], start, temperature)
            else:
                q = every[torch.from_numpy(order[here]).to(p.device)]
                q = q[:, torch.from_numpy(columns).to(p.device)] if self.form == "intra" else q
            distances.append(0.5 * (p - q).abs().sum(1))
        return torch.stack(distances)

    def _law(self, x: torch.Tensor, bank: torch.Tensor, start: int, temperature: float) -> torch.Tensor:
        logits = x @ bank.T / temperature
        if self.own and self.mask:
            here = torch.arange(x.shape[0], device=x.device)
            logits[here, here + start] = -torch.inf
        return torch.softmax(logits, dim=1)

    def distance(self, temperature: float, confidence: float, rows: FloatArray | None = None) -> Estimate:
        means = group_means(self.rows(temperature)[0] if rows is None else rows, self.codes)
        name = f"tv_gibbs[{self.form}, tau {temperature:g}]"
        value = float(means.mean())
        alpha = check_confidence(confidence)
        if self.own:
            return plain(value, means.size, name, note="rows share their bank: no interval is claimed")
        low = chernoff_lower(value, means.size, alpha / 2)
        high = chernoff_upper(value, means.size, alpha / 2)
        return Estimate(clipped(value, low, high), low, high, confidence, means.size, "interval", name)

    def report(self, temperature: float, orders: list[tuple[IntArray, IntArray]], confidence: float) -> GibbsDistance:
        rows = self.rows(temperature, orders)
        distance = self.distance(temperature, confidence, rows[0])
        null = np.array([group_means(values, self.codes).mean() for values in rows[1:]])
        p_value = permutation_p_value(-distance.value, -null)
        name = f"{self.form}, tau {temperature:g}"
        middle, tail = float(null.mean()), (1.0 - confidence) / 2
        low, high = (float(q) for q in np.quantile(null, [tail, 1.0 - tail]))
        spread = Estimate(
            middle, min(low, middle), max(high, middle), confidence, distance.n, "plug-in", f"tv_gibbs_null[{name}]"
        )
        return GibbsDistance(temperature, distance, spread, _normalised(distance, middle, name), p_value)


def _normalised(distance: Estimate, null: float, name: str) -> Estimate:
    title = f"tv_gibbs_normalised[{name}]"
    if null <= 1e-12:
        return undefined(title, distance.n, "permuted pairs have distance 0 (constant features?)")
    value = 1.0 - distance.value / null
    if np.isnan(distance.low):
        return plain(value, distance.n, title)
    low, high = 1.0 - distance.high / null, 1.0 - distance.low / null
    return Estimate(value, low, high, distance.confidence, distance.n, "plug-in", title, "null mean taken as given")
