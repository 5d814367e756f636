"""The world of `twin-gaussian`: two noisy views of one latent vector, with its truths in closed form.

    z ~ N(0, I_k)                                      the latent that both modalities share
    x_A = Q (z + s_A e_A, n_A)                         source; e, n ~ N(0, I_k), independent of all else
    x_B = Q (z + s_B e_B, n_B + d u)                   target; u a coordinate, Q a fixed rotation of R^2k
    y   = signs of v_1 .. v_b                          the class: one of 2^b
    v_j = sqrt(1 - w) z_j + sqrt(w) n_B,j              w = `private`

With w = 0 the label is a function of z, so that y is independent of (x_A, x_B) given z, as CMCD assumes. With w > 0 it
is not: what the target alone knows decides the class too, and the theory promises nothing. Half of the coordinates, n,
tell nothing of z. `gap` is noise that the target has in excess of the source, which is information lost; `shift` moves
the target where nothing is to be known, which loses none. Both are stated as the total variation that they make.

Below, r_m^2 = 1 / (1 + s_m^2) is the share of the latent in the variance of what modality m shows of it. All that is
claimed here is [DERIVED], in the docstrings; the tests compare it with samples, quadrature and fitted classifiers.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import integrate, optimize, special

from xkd_bench.tasks._splits import generator

Side = Literal["source", "target"]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Draw:
    """n items of the world. z: [n, k]. source, target: [n, 2k]. label: [n] in 0 .. classes - 1."""

    z: Array
    source: Array
    target: Array
    label: NDArray[np.int64]


@dataclass(frozen=True)
class World:
    """gap: TV of the laws of source and target, before `shift`, in [0, 1). shift: TV that the displacement alone makes,
    in [0, 1). private: share of the label that the target alone knows, in [0, 1]. classes: a power of two. latents: k.
    noise: s_A, the source's. Nothing is checked here."""

    gap: float = 0.3
    shift: float = 0.0
    private: float = 0.0
    classes: int = 4
    latents: int = 8
    noise: float = 0.3

    @property
    def bits(self) -> int:
        """b: how many latents decide the class."""
        return self.classes.bit_length() - 1

    def variance(self, side: Side) -> float:
        """1 + s_m^2, of each coordinate that shows the latent. The target's is as much larger as `gap` asks for."""
        own = 1 + self.noise**2
        return own if side == "source" else own * self._excess

    def informativeness(self, side: Side) -> float:
        """r_m^2 = 1 / (1 + s_m^2): squared correlation of a latent and what the modality shows of it."""
        return 1 / self.variance(side)

    @cached_property
    def _excess(self) -> float:
        """The ratio of variances whose TV is `gap`."""
        if self.gap == 0:
            return 1.0
        return math.exp(optimize.brentq(lambda t: tv_scale(math.exp(t), self.latents) - self.gap, 0.0, 50.0))

    @property
    def displacement(self) -> float:
        """d: N(0, 1) and N(d, 1) are at TV 2 Phi(d / 2) - 1 = `shift` [STD]."""
        return float(2 * special.ndtri((1 + self.shift) / 2))

    @cached_property
    def rotation(self) -> Array:
        """Q, [2k, 2k]: the same for both modalities, and for all worlds with k latents."""
        gauss = generator(0, f"twin-gaussian/rotation/{self.latents}").standard_normal((2 * self.latents,) * 2)
        q, r = np.linalg.qr(gauss)
        return np.asarray(q * np.sign(np.diag(r)))

    def draw(self, n: int, seed: int = 0) -> Draw:
        """n independent items. Worlds that differ in gap, shift and private alone get the same z, e and n: what one
        seed says of them is paired."""
        rng = generator(seed, "twin-gaussian/items")
        z, e_a, e_b, n_a, n_b = rng.standard_normal((5, n, self.latents))
        votes = math.sqrt(1 - self.private) * z + math.sqrt(self.private) * n_b
        moved = n_b + self.displacement * np.eye(self.latents)[-1]
        noise = math.sqrt(self.variance("target") - 1)
        source = np.hstack([z + self.noise * e_a, n_a]) @ self.rotation.T
        target = np.hstack([z + noise * e_b, moved]) @ self.rotation.T
        return Draw(z, source, target, self._class(votes))

    def _class(self, votes: Array) -> NDArray[np.int64]:
        return (votes[:, : self.bits] > 0) @ (1 << np.arange(self.bits))

    def _shown(self, x: ArrayLike) -> tuple[Array, Array]:
        """(what x shows of the latent, what it shows besides): [n, k] each."""
        turned = np.asarray(x, float) @ self.rotation
        return turned[:, : self.latents], turned[:, self.latents :]

    # How well one can do

    def bayes_accuracy(self, side: Side = "target") -> float:
        """The best accuracy that any classifier of this modality has: (1/2 + arcsin(rho) / pi)^b.

        Given x, the v_j are independent Gaussians, so the best guess of the class is the sign of each E[v_j | x]. Now
        (v_j, E[v_j | x]) are jointly Gaussian with mean 0 and correlation rho, rho^2 = Var E[v_j | x], as Var v_j = 1;
        two such have the same sign with probability 1/2 + arcsin(rho) / pi (Sheppard 1899), and the bits are
        independent. E[v_j | x_B] = sqrt(1 - w) r_B^2 u_j + sqrt(w) n_B,j gives rho_B^2 = (1 - w) r_B^2 + w; the source
        does not see n_B, so rho_A^2 = (1 - w) r_A^2.
        """
        rho2 = (1 - self.private) * self.informativeness(side) + (self.private if side == "target" else 0.0)
        return (0.5 + math.asin(min(1.0, math.sqrt(rho2))) / math.pi) ** self.bits

    def predict(self, x: ArrayLike, side: Side = "target") -> NDArray[np.int64]:
        """[n] the class that the Bayes rule gives to x, [n, 2k] of this modality: signs of E[v_j | x], see above."""
        seen, besides = self._shown(x)
        votes = math.sqrt(1 - self.private) * self.informativeness(side) * seen
        if side == "target":
            votes += math.sqrt(self.private) * (besides - self.displacement * np.eye(self.latents)[-1])
        return self._class(votes)

    def decide(self, features: ArrayLike) -> NDArray[np.int64]:
        """[n] the class that acting on P_phi(z | x) = N(phi(x), v I) gives, features: phi(x), [n, k]: the signs of phi.

        With `private` = 0 it is that law's Bayes rule, for then v_j = z_j.
        """
        return self._class(np.asarray(features, float))

    # How far apart the modalities are

    def tv_laws(self, blur: float = 0.0) -> float:
        """TV of the laws of x_A and x_B, or of both with independent N(0, blur^2 I) added (what `tv_smoothed` bounds).

        A rotation changes no TV, and of the rotated coordinates all but k + 1 have one law in both modalities. The k
        have variances a = 1 + s_A^2 + blur^2 and b, and log-density ratio l(q) = (k ln(b / a) - q (1/a - 1/b)) / 2 at
        squared norm q. The last, t, has N(0, c) and N(d, c), c = 1 + blur^2, and ratio (d^2 / 2 - d t) / c. Where the
        sum is positive P is the larger density, so TV = P(sum > 0) - Q(sum > 0). Given q that event is
        t < d/2 + c l(q) / d: a quadrature over q, whose laws are chi-squared with k degrees, times a and times b. With
        d = 0 it is `tv_scale`, with a = b the displacement's 2 Phi(d / 2 sqrt(c)) - 1.
        """
        a, b = (self.variance(side) + blur**2 for side in ("source", "target"))
        c, d, k = 1 + blur**2, self.displacement, self.latents
        if d == 0:
            return tv_scale(b / a, k)
        if a == b:
            return math.erf(d / math.sqrt(8 * c))

        def at(g: float) -> float:
            edge = c * (k * math.log(b / a) - g * (1 - a / b)) / 2 / d  # g = q / a under P, g' = q / b under Q
            far = c * (k * math.log(b / a) - g * (b / a - 1)) / 2 / d
            return float(_chi2(g, k) * (special.ndtr((d / 2 + edge) / c**0.5) - special.ndtr((far - d / 2) / c**0.5)))

        return float(integrate.quad(at, 0, k + 40 * math.sqrt(2 * k) + 40, points=[k], limit=200)[0])

    def tv_oracles(self) -> float:
        """TV of the laws of the oracle features phi_A*(x_A) and phi_B*(x_B): equal to `gap`, whatever the shift.

        phi_m* = r_m^2 u_m is N(0, r_m^2 I_k) (see `oracle`), so the ratio of variances is that of x turned over, and
        `tv_scale` depends on the ratio's logarithm up to sign alone.
        """
        return tv_scale(self.informativeness("source") / self.informativeness("target"), self.latents)

    # Oracle encoders and their Gibbs laws

    def oracle(self, x: ArrayLike, side: Side) -> Array:
        """phi_m*(x) = E[z | x] = r_m^2 u, [n, k]: z given x is N(phi*(x), (1 - r_m^2) I).

        It is the encoder of Theorem 3.3 in two ways: it parametrises the true P(z | x), and it is the one whose Gibbs
        law is the true law of a pair's other half (`gibbs`).
        """
        return self.informativeness(side) * self._shown(x)[0]

    def gibbs_temperature(self, a: Side, b: Side) -> float:
        """tau at which exp(phi_a*(x) . phi_b*(x') / tau) is the x-dependent part of p(x' | x): 1 - r_a^2 r_b^2.

        For x of modality a and another view x' of the same z (of a second modality b, or a second view of the same),
        u' given u is N(r_a^2 u, C I) with C = 1/r_b^2 - r_a^2, so the density's cross term is exp(r_a^2 u . u' / C).
        With phi = r^2 u the exponent is phi . phi' / (r_b^2 C), and r_b^2 C = 1 - r_a^2 r_b^2.
        """
        return 1 - self.informativeness(a) * self.informativeness(b)

    def gibbs(self, x: ArrayLike, a: Side, bank: ArrayLike, b: Side) -> Array:
        """[n, q] the true law of which item of a bank is the other half of each x, one of them being it.

        x: [n, 2k] of modality a; bank: [q, 2k] independent items of modality b. p_j ~ p(x'_j | x) / p(x'_j): with C and
        tau as above, log p(u' | u) - log p(u') = phi . phi' / tau - |u'|^2 (1/C - r_b^2) / 2 + (terms in u alone), and
        (1/C - r_b^2) |u'|^2 = |phi'|^2 r_a^2 / tau. So rows are softmax_j((phi . phi'_j - r_a^2 |phi'_j|^2 / 2) / tau),
        a Gibbs law of the oracle encoders, its base the law of x' reweighted by exp(-r_a^2 |phi'|^2 / 2 tau).
        """
        phi, keys = self.oracle(x, a), self.oracle(bank, b)
        scores = (phi @ keys.T - self.informativeness(a) * (keys**2).sum(1) / 2) / self.gibbs_temperature(a, b)
        return np.asarray(special.softmax(scores, axis=1))

    def tv_joint(self, features: ArrayLike, x: ArrayLike, side: Side) -> Array:
        """[n] TV of P_phi(z | x) = N(phi(x), (1 - r_m^2) I) and the true P(z | x); its mean is that of (x, z).

        features: phi(x), [n, k], of any encoder; x: [n, 2k]. Two Gaussians with one covariance v I whose means are h
        apart are at TV 2 Phi(h / 2 sqrt(v)) - 1 [STD], and both joint laws have the same marginal of x. This is the
        left side of CMCD's Assumption 3.1; for losses in [0, L] the excess risk of acting on P_phi is at most 2 L times
        the mean.
        """
        gap = np.linalg.norm(np.asarray(features, float) - self.oracle(x, side), axis=1)
        return np.asarray(special.erf(gap / math.sqrt(8 * (1 - self.informativeness(side)))))


def tv_scale(ratio: float, k: int) -> float:
    """TV of N(0, a I_k) and N(0, b I_k), ratio = b / a: F_k(c) - F_k(c / ratio), c = k ln(ratio) / (1 - 1 / ratio).

    For b > a the first density is the larger one inside the ball |x|^2 < a c, and |x|^2 / a, |x|^2 / b are chi-squared
    with k degrees, of distribution function F_k. The same for 1 / ratio, by symmetry.
    """
    log = abs(math.log(ratio))
    if log == 0:
        return 0.0
    c = k * log / -math.expm1(-log)
    return float(special.gammainc(k / 2, c / 2) - special.gammainc(k / 2, c * math.exp(-log) / 2))


def _chi2(q: float, k: int) -> float:
    """Density of chi-squared with k degrees of freedom."""
    return math.exp((k / 2 - 1) * math.log(q) - q / 2 - k / 2 * math.log(2) - math.lgamma(k / 2)) if q > 0 else 0.0
