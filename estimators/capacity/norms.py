"""Norm products of networks: for ranking networks, not for bounding their error."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from ..estimate import Estimate
from ..inputs import Array, as_matrix

_CERTAIN = 1.0 - 1e-12


def weight_matrices(network: Sequence[Array] | torch.nn.Module) -> list[torch.Tensor]:
    """Weight matrices [out, in], float64, in order: those given, or those of all linear and convolution layers.

    A convolution counts as its kernel reshaped to [out, in * area]; its norm is not the layer's operator norm, which
    for stride 1 is up to sqrt(area) larger. Biases, normalisation layers and skip connections are left out, so for
    networks that have them the products are covariates and no more.

    Raises:
        ValueError: no weights.
    """
    if isinstance(network, torch.nn.Module):
        kinds = (torch.nn.Linear, torch.nn.modules.conv._ConvNd)
        found = [m.weight.detach().flatten(1).double() for m in network.modules() if isinstance(m, kinds)]
    else:
        found = [as_matrix(w, f"weight {i}").double() for i, w in enumerate(network)]
    if not found:
        raise ValueError("no weight matrices")
    return found


def frobenius_product(network: Sequence[Array] | torch.nn.Module, features: Array) -> Estimate:
    """Rademacher bound from Frobenius norms: ``B (sqrt(2 L log 2) + 1) prod_l |W_l|_F / sqrt(n)`` [1].

    For depth-L networks with 1-Lipschitz, positive-homogeneous activations (ReLU), one output and no biases;
    ``B = max_i |z_i|``.

    Args:
        network: weight matrices [out, in] from first to last, or a module (see `weight_matrices`).
        features: the network's inputs as rows, [n, d].

    Returns:
        An ``upper bound`` on the empirical complexity of the class with these norms, certain under the assumptions, in
        units of the output. Marked vacuous in the note where it exceeds 1, the most that a [-1, 1]-valued class can
        have.

    Degenerate input: all-zero features or weights give 0. NaN, no weights: ValueError.

    [1] Golowich, Rakhlin, Shamir (2018). Size-independent sample complexity of neural networks, Theorem 1 [MEM].

    >>> from estimators import frobenius_product
    >>> import numpy as np
    >>> frobenius_product([np.eye(2), np.ones((1, 2))], np.eye(2)).note
    'vacuous: a class with values in [-1, 1] has at most 1'
    """
    weights = weight_matrices(network)
    product = math.prod(float(torch.linalg.matrix_norm(w)) for w in weights)
    factor = math.sqrt(2.0 * math.log(2.0) * len(weights)) + 1.0
    return _labelled(product * factor, features, "frobenius_product", len(weights))


def spectral_product(network: Sequence[Array] | torch.nn.Module, features: Array) -> Estimate:
    """Spectrally-normalised complexity ``B prod_l s_l (sum_l (|W_l'|_{2,1} / s_l)^{2/3})^{3/2} / sqrt(n)`` [1].

    ``s_l`` is the spectral norm and ``|W'|_{2,1}`` the sum of the norms of W's rows. Constants and logarithms of the
    theorem are left out, so this is a proxy and no bound.

    Args, errors: as for `frobenius_product`.

    Returns:
        A ``proxy`` without range. `note` says vacuous where it exceeds 1.

    [1] Bartlett, Foster, Telgarsky (2017). Spectrally-normalized margin bounds for neural networks, Theorem 1.1 [MEM].

    >>> from estimators import spectral_product
    >>> import numpy as np
    >>> round(spectral_product([np.eye(2)], np.eye(2)).value, 4)
    1.4142
    """
    weights = weight_matrices(network)
    spectral = [float(torch.linalg.matrix_norm(w, 2)) for w in weights]
    if min(spectral) == 0.0:
        return _labelled(0.0, features, "spectral_product", len(weights), proxy=True)
    ratios = [float(w.norm(dim=1).sum()) / s for w, s in zip(weights, spectral, strict=True)]
    spread = sum(r ** (2.0 / 3.0) for r in ratios) ** 1.5
    return _labelled(math.prod(spectral) * spread, features, "spectral_product", len(weights), proxy=True)


def _labelled(product: float, features: Array, name: str, depth: int, proxy: bool = False) -> Estimate:
    z = as_matrix(features, "features").double()
    value = float(torch.linalg.vector_norm(z, dim=1).max()) * product / math.sqrt(z.shape[0])
    note = "vacuous: a class with values in [-1, 1] has at most 1" if value > 1.0 else ""
    name = f"{name}[{depth} layers]"
    if proxy:
        return Estimate(value, math.nan, math.nan, math.nan, z.shape[0], "proxy", name, note)
    return Estimate(value, 0.0, value, _CERTAIN, z.shape[0], "upper bound", name, note)
