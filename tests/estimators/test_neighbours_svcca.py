import math

import numpy as np
import pytest
import torch

from estimators import mutual_knn, retrieval_recall, svcca
from estimators.kernels import neighbours


def cosine_order(x, k, codes):
    z = x / np.linalg.norm(x, axis=1, keepdims=True)
    out = []
    for i in range(len(z)):
        others = [j for j in range(len(z)) if codes[j] != codes[i]]
        out.append(set(sorted(others, key=lambda j: -(z[i] @ z[j]))[:k]))
    return out


@pytest.mark.parametrize("grouped", [False, True])
def test_mutual_knn_matches_sets_of_neighbours(grouped):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 4))
    y = x + 0.7 * rng.normal(size=(40, 4))
    codes = np.repeat(np.arange(20), 2) if grouped else np.arange(40)
    near = zip(cosine_order(x, 5, codes), cosine_order(y, 5, codes), strict=True)
    expected = np.mean([len(a & b) / 5 for a, b in near])
    e = mutual_knn(x, y, k=5, groups=codes if grouped else None)
    assert e.value == pytest.approx(expected)
    assert e.n == (20 if grouped else 40)
    assert e.low < e.value < e.high


def test_mutual_knn_of_unrelated_encoders_is_at_chance():
    rng = np.random.default_rng(0)
    values = [mutual_knn(*rng.normal(size=(2, 60, 5)), k=6).value for _ in range(40)]
    assert np.mean(values) == pytest.approx(6 / 59, abs=3 * np.std(values) / math.sqrt(40))


def test_neighbours_do_not_depend_on_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 3)), rng.normal(size=(50, 3))
    whole = mutual_knn(x, y, k=3).value, retrieval_recall(x, x + 0.3 * y).value
    monkeypatch.setattr(neighbours, "_BLOCK_BYTES", 8 * 3 * 50 * 7)
    assert (mutual_knn(x, y, k=3).value, retrieval_recall(x, x + 0.3 * y).value) == whole


@pytest.mark.parametrize("kind", ["spread", "twins", "equal", "nearly equal", "signs"])
@pytest.mark.parametrize("per_group", [1, 2])
def test_of_equals_the_first_rows_are_neighbours(kind, per_group):
    """The order is that of a stable sort of all similarities to 12 digits, where float32 sees no difference too."""
    noise = torch.randn(60, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = {
        "spread": noise,
        "twins": noise.repeat_interleave(2, 0)[:60],
        "equal": torch.ones_like(noise),
        "nearly equal": 1 + 1e-5 * noise,
        "signs": noise.sign(),
    }[kind]
    codes = np.arange(60) // per_group
    z, same = torch.nn.functional.normalize(x, dim=1), torch.from_numpy(codes[:, None] == codes)
    similar = (z @ z.T * 1e12).round().masked_fill(same, -math.inf)
    for k in (1, 7, 58):
        expected = similar.sort(dim=1, descending=True, stable=True).indices[:, :k]
        assert torch.equal(neighbours._neighbours(x, k, codes).sort(1).values, expected.sort(1).values)


def test_recall_matches_ranks_and_grows_with_k():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 4))
    y = x + rng.normal(size=(50, 4))
    u, v = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (x, y))
    similar = u @ v.T
    ranks = 1 + (similar > np.diag(similar)[:, None]).sum(1)
    for k in (1, 5, 50):
        e = retrieval_recall(x, y, k=k)
        assert e.value == pytest.approx((ranks <= k).mean())
        assert e.low <= e.value <= e.high
    assert retrieval_recall(x, y, k=50).value == 1.0


def test_recall_takes_any_target_of_the_group_and_counts_groups():
    x = np.eye(4)[[0, 0, 1, 2, 3]]
    y = np.eye(4)[[1, 0, 1, 2, 3]]  # the first pair is wrong, its twin is right
    assert retrieval_recall(x, y).value == pytest.approx(3 / 5)  # rows 0 and 2 are not alone at the top
    grouped = retrieval_recall(x, y, groups=np.array([0, 0, 1, 2, 3]))
    assert grouped.value == pytest.approx((1 + 0 + 1 + 1) / 4)
    assert grouped.n == 4


def test_svcca_of_linear_maps_is_1_and_null_is_reported():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 6))
    assert svcca(x, x @ rng.normal(size=(6, 6)), variance=1.0).value == pytest.approx(1.0)
    e = svcca(x, rng.normal(size=(300, 6)), variance=1.0)
    null = float(e.note.split(": ")[1])
    assert e.value == pytest.approx(null, abs=0.05)
    assert e.low <= e.value <= e.high
    assert null > 0.05


def test_svcca_matches_canonical_correlations_of_known_blocks():
    """y shares two of its three directions with x: mean correlation 2/3 in the limit."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, 3))
    y = np.column_stack([x[:, :2], rng.normal(size=20_000)])
    assert svcca(x, y, variance=1.0).value == pytest.approx(2 / 3, abs=0.01)


def test_svcca_keeps_the_asked_share_of_variance():
    x = np.random.default_rng(0).normal(size=(400, 4)) * [10, 1, 0.1, 0.1]
    assert svcca(x, x, variance=0.9).name == "svcca[1 x 1]"
    assert svcca(x, x, variance=1.0).name == "svcca[4 x 4]"
    with pytest.raises(ValueError, match="variance"):
        svcca(x, x, variance=0.0)


def test_svcca_leaves_rows_out_as_a_fresh_decomposition_would():
    from estimators.kernels.svcca import _basis, _mean_correlation, _without

    rng = np.random.default_rng(0)
    x, y = torch.from_numpy(rng.normal(size=(50, 4))), torch.from_numpy(rng.normal(size=(50, 3)))
    y = y + x[:, :3]
    u, v = _basis(x, 1.0), _basis(y, 1.0)
    rows = torch.tensor([3, 10, 11, 49])
    keep = torch.tensor([i for i in range(50) if i not in rows])
    fresh = [torch.linalg.qr(side[keep] - side[keep].mean(0))[0] for side in (u, v)]
    assert _without(u, v, u.T @ v, rows) == pytest.approx(_mean_correlation(*fresh), abs=1e-10)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("apart", [0.0, 1e-9, 1e-7, 1e-4, 1.0])
def test_what_float32_cannot_tell_float64_decides(grouped, apart):
    """Rows as near to each other as rounding, where a decision by float32 alone would be chance."""
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(30, 40)), 4, axis=0)
    x, y = (x + apart * rng.normal(size=x.shape) for _ in range(2))
    groups = np.repeat(np.arange(60), 2) if grouped else None
    codes = np.arange(120) if groups is None else groups
    similar = np.round(1e12 * (x / np.linalg.norm(x, axis=1)[:, None]) @ (y / np.linalg.norm(y, axis=1)[:, None]).T)
    own = codes[:, None] == codes[None, :]
    best = np.where(own, similar, -np.inf).max(1)
    rivals = ((similar >= best[:, None]) & ~own).sum(1)
    for k in (1, 2, 3, 4, 10):
        assert retrieval_recall(x, y, k=k, groups=groups).value == pytest.approx((rivals < k).mean(), abs=1e-12)
