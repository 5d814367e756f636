"""The truths of the simulated world, against samples, quadrature, fitted classifiers and this project's estimators."""

import functools
import itertools

import numpy as np
import pytest
from scipy import integrate, stats
from sklearn.linear_model import LogisticRegression

import estimators
from xkd_bench.tasks._twin_gaussian_world import World, tv_scale

GAPS = (0.0, 0.1, 0.3, 0.6, 0.9, 0.99)
SIDES = ("source", "target")
MANY = 100_000


def log_ratio(world: World, x: np.ndarray) -> np.ndarray:
    """log p_A(x) / p_B(x) by the densities of the two multivariate normals, [n]."""
    k, q = world.latents, world.rotation
    laws = []
    for side in SIDES:
        mean = np.zeros(2 * k)
        mean[-1] = world.displacement * (side == "target")
        covariance = q @ np.diag([world.variance(side)] * k + [1.0] * k) @ q.T
        laws.append(stats.multivariate_normal(q @ mean, covariance))
    return laws[0].logpdf(x) - laws[1].logpdf(x)


def within(share: float, truth: float, n: int, sigmas: float = 4.0) -> bool:
    return abs(share - truth) <= sigmas * np.sqrt(max(truth * (1 - truth), 1 / n) / n)


@pytest.mark.parametrize("side", SIDES)
def test_the_items_have_the_laws_that_are_stated(side):
    world = World(gap=0.4, shift=0.5)
    drawn = world.draw(MANY)
    x = getattr(drawn, side) @ world.rotation
    k = world.latents
    expected = np.r_[np.full(k, world.variance(side)), np.ones(k)]
    mean = np.zeros(2 * k)
    mean[-1] = world.displacement * (side == "target")
    assert np.allclose(world.rotation @ world.rotation.T, np.eye(2 * k))
    assert np.allclose(x.mean(0), mean, atol=5 * np.sqrt(expected.max() / MANY))
    assert np.allclose(np.cov(x.T), np.diag(expected), atol=0.03)
    shared = np.cov(np.hstack([x[:, :k], drawn.z]).T)[:k, k:]
    assert np.allclose(shared, np.eye(k), atol=0.02)


def test_given_the_latent_the_label_does_not_depend_on_what_is_seen():
    # The theory's assumption, y independent of x given z: the label is a function of z, unless part of it is private.
    drawn = World().draw(4000)
    assert np.array_equal(drawn.label, (drawn.z[:, :2] > 0) @ [1, 2])
    twisted = World(private=0.5).draw(4000)
    seen = twisted.target @ World().rotation
    bit = twisted.label % 2
    near = np.abs(twisted.z[:, 0]) < 0.3  # z says little here; the nuisance of the target decides
    assert abs(np.corrcoef(bit[near], seen[near, 8])[0, 1]) > 0.5


@pytest.mark.parametrize(
    ("gap", "shift", "k"), [*((g, 0.0, 8) for g in GAPS), (0, 0.4, 8), (0.3, 0.3, 8), (0.7, 0.2, 1)]
)
def test_tv_of_the_laws_is_what_the_densities_give_on_samples(gap, shift, k):
    world = World(gap=gap, shift=shift, latents=k, classes=2)
    drawn = world.draw(MANY)
    hits = (log_ratio(world, drawn.source) > 0).mean(), (log_ratio(world, drawn.target) > 0).mean()
    assert abs(hits[0] - hits[1] - world.tv_laws()) < 4 * np.sqrt(0.5 / MANY)
    # The mean of (1 - p_B / p_A)+ under A: another formula for the same number, and bounded.
    direct = np.maximum(0, -np.expm1(-log_ratio(world, drawn.source)))
    assert abs(direct.mean() - world.tv_laws()) < 5 * direct.std() / np.sqrt(MANY) + 1e-9


@pytest.mark.parametrize("k", [1, 2, 8])
@pytest.mark.parametrize("ratio", [1.0, 1.3, 4.0])
def test_tv_of_two_scales_is_the_integral_of_the_radial_densities(k, ratio):
    def gap(r: float) -> float:
        return abs(stats.chi2.pdf(r, k) - stats.chi2.pdf(r / ratio, k) / ratio) / 2

    crossing = k * np.log(ratio) / (1 - 1 / ratio) if ratio > 1 else 1.0
    by_integral = sum(integrate.quad(gap, a, b, limit=200)[0] for a, b in itertools.pairwise((0, crossing, 40, 400)))
    assert tv_scale(ratio, k) == pytest.approx(by_integral, abs=1e-6)
    assert tv_scale(1 / ratio, k) == pytest.approx(tv_scale(ratio, k), abs=1e-12)


def test_one_dimension_is_the_normal_distribution_function():
    # N(0, 1) and N(0, 4) cross at x^2 = 2 ln 4 / (1 - 1/4).
    edge = np.sqrt(2 * np.log(2) * 4 / 3)
    expected = 2 * (stats.norm.cdf(edge) - stats.norm.cdf(edge / 2))
    assert tv_scale(4.0, 1) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("k", [1, 3, 8, 12])
def test_no_gap_is_none_at_all_and_more_is_more(k):
    assert World(gap=0, latents=k, classes=2).tv_laws() == 0.0
    assert World(gap=0, latents=k, classes=2).tv_oracles() == 0.0
    laws = [World(gap=g, shift=0.2, latents=k, classes=2) for g in GAPS]
    for values in ([w.tv_laws() for w in laws], [w.variance("target") for w in laws]):
        assert all(a < b for a, b in itertools.pairwise(values))
    accuracy = [w.bayes_accuracy() for w in laws]
    assert all(a > b for a, b in itertools.pairwise(accuracy))


@pytest.mark.parametrize("gap", GAPS)
def test_gap_and_shift_are_the_distances_that_they_say(gap):
    assert World(gap=gap).tv_laws() == pytest.approx(gap, abs=1e-9)
    assert World(gap=gap, shift=0.6).tv_oracles() == pytest.approx(gap, abs=1e-9)
    shifted = World(gap=0, shift=gap)
    assert shifted.tv_laws() == pytest.approx(gap, abs=1e-12)
    assert shifted.tv_laws() == pytest.approx(estimators.tv_gaussian_shift(shifted.displacement), abs=1e-12)
    assert shifted.bayes_accuracy() == World(gap=0).bayes_accuracy("source"), "a shift loses nothing"


def test_quadrature_agrees_with_its_two_limits():
    assert World(gap=0.3, shift=1e-6).tv_laws() == pytest.approx(0.3, abs=1e-5)
    assert World(gap=1e-6, shift=0.3).tv_laws() == pytest.approx(0.3, abs=1e-5)
    both = World(gap=0.3, shift=0.3).tv_laws()
    assert 0.3 < both < 0.3 + 0.3 - 0.3 * 0.3, "TV of products: above each, below 1 - (1 - a)(1 - b)"


@pytest.mark.parametrize("world", [World(), World(gap=0.8, classes=8), World(gap=0.5, private=0.3, shift=0.4)])
@pytest.mark.parametrize("side", SIDES)
def test_the_bayes_rule_has_its_accuracy_and_a_fitted_classifier_comes_near_but_not_above(world, side):
    drawn = world.draw(MANY)
    x = getattr(drawn, side)
    bayes = world.bayes_accuracy(side)
    assert within((world.predict(x, side) == drawn.label).mean(), bayes, MANY)
    # The rule is linear in x, so that multinomial logistic regression can learn it.
    fitted = LogisticRegression(C=1e4, max_iter=200).fit(x[:40_000], drawn.label[:40_000])
    reached = fitted.score(x[40_000:], drawn.label[40_000:])
    assert bayes - 0.01 < reached < bayes + 4 * np.sqrt(0.25 / (MANY - 40_000))


@pytest.mark.parametrize("side", SIDES)
def test_oracle_features_are_the_mean_of_the_latent_and_have_the_stated_law(side):
    world = World(gap=0.5)
    drawn = world.draw(MANY)
    x = getattr(drawn, side)
    phi = world.oracle(x, side)
    coefficients = np.linalg.lstsq(x, drawn.z, rcond=None)[0]
    assert np.allclose(x[:1000] @ coefficients, phi[:1000], atol=0.1)
    assert np.allclose((drawn.z - phi).var(0), 1 - world.informativeness(side), atol=0.01)
    assert np.allclose(phi.var(0), world.informativeness(side), atol=0.02)
    assert np.allclose(world.oracle(x, side).mean(0), 0, atol=0.02)


@pytest.mark.parametrize(("a", "b"), list(itertools.product(SIDES, SIDES)))
def test_gibbs_rows_are_the_law_of_the_other_half(a, b):
    """Two ways: the mean of the other half under the rows; and how often the true one is where they say it is."""
    world = World(gap=0.4, latents=2)
    bank = getattr(world.draw(20_000, seed=1), b)
    x = getattr(world.draw(50, seed=2), a)
    rows = world.gibbs(x, a, bank, b)
    assert np.allclose(rows.sum(1), 1)
    # E[x' | x] in the latent's coordinates is phi_a(x); phi_b shrinks it.
    assert np.allclose(rows @ world.oracle(bank, b), world.informativeness(b) * world.oracle(x, a), atol=0.12)

    few, trials, hits, said = 5, 4000, 0, 0.0
    pairs = world.draw(trials, seed=3)
    # A second view of the same latent, with noise of its own.
    noise = world.draw(trials, seed=4)
    other = getattr(noise, b) @ world.rotation
    other[:, :2] += pairs.z - noise.z
    other = other @ world.rotation.T
    strangers = getattr(world.draw(trials * few, seed=5), b).reshape(trials, few, -1)
    for own, mate, rest in zip(getattr(pairs, a), other, strangers, strict=True):
        row = world.gibbs(own[None], a, np.vstack([mate, rest]), b)[0]
        hits += row.argmax() == 0
        said += row.max()
    assert abs(hits - said) < 4 * np.sqrt(trials / 4), "the rows are calibrated"


def test_at_its_temperature_the_oracle_beats_its_neighbours_at_contrast():
    """The cross-modal Gibbs law minimises the population's InfoNCE, so that other critics are worse on many samples."""
    world = World(gap=0.4, latents=2)
    drawn = world.draw(1200, seed=7)

    def loss(scale: float) -> float:
        phi, keys = world.oracle(drawn.target, "target"), world.oracle(drawn.source, "source")
        own = world.informativeness("target")
        scores = scale * (phi @ keys.T - own * (keys**2).sum(1) / 2) / world.gibbs_temperature("target", "source")
        return float((np.logaddexp.reduce(scores, axis=1) - np.diag(scores)).mean())

    assert loss(1.0) < min(loss(0.7), loss(1.4))
    rows = world.gibbs(drawn.target, "target", drawn.source, "source")
    assert loss(1.0) == pytest.approx(-np.log(np.diag(rows)).mean())


def test_joint_tv_is_that_of_the_two_posteriors_and_bounds_the_excess_risk():
    world = World(gap=0.5, latents=1, classes=2)
    drawn = world.draw(MANY)
    truth = world.oracle(drawn.target, "target")
    rng = np.random.default_rng(0)
    variance = 1 - world.informativeness("target")
    for encoder in (truth * 0.3, truth + 0.4, -truth, truth + rng.normal(size=truth.shape)):
        tv = world.tv_joint(encoder, drawn.target, "target")
        for i in range(3):
            laws = stats.norm(encoder[i, 0], variance**0.5), stats.norm(truth[i, 0], variance**0.5)
            middle = (encoder[i, 0] + truth[i, 0]) / 2
            differs = functools.partial(lambda p, q, z: abs(p.pdf(z) - q.pdf(z)) / 2, *laws)
            by_integral = sum(integrate.quad(differs, a, b)[0] for a, b in ((-8, middle), (middle, 8)))
            assert tv[i] == pytest.approx(by_integral, abs=1e-6)
        wrong = ((encoder[:, 0] > 0) != drawn.label).mean()
        assert wrong - (1 - world.bayes_accuracy()) <= 2 * tv.mean() + 4 * np.sqrt(0.25 / MANY)
    assert np.array_equal(world.tv_joint(truth, drawn.target, "target"), np.zeros(MANY))


def test_worlds_of_one_seed_share_what_they_do_not_differ_in():
    few, much = World(gap=0.1).draw(50), World(gap=0.9, shift=0.3).draw(50)
    assert np.array_equal(few.z, much.z)
    assert np.array_equal(few.source, much.source)
    assert np.array_equal(few.label, much.label)
    assert not np.allclose(few.target, much.target)
    assert not np.allclose(few.z, World(gap=0.1).draw(50, seed=1).z)


# What this project's estimators say of it


@pytest.mark.parametrize("world", [World(gap=0), World(gap=0.6), World(gap=0.3, shift=0.5)])
def test_the_classifier_bound_is_below_the_truth_and_finds_much_of_it(world):
    drawn = world.draw(3000)
    found = estimators.tv_classifier(drawn.source, drawn.target, paired=True, families=["mlp"], seed=0)
    assert found.low <= world.tv_laws()
    assert found.low > 0.5 * world.tv_laws() - 0.1


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_the_smoothed_interval_holds_the_smoothed_truth(sigma):
    world = World(gap=0.5, shift=0.5)
    drawn = world.draw(3000)
    found = estimators.tv_smoothed(drawn.source, drawn.target, sigma=sigma, families=["logistic"], seed=0)
    assert found.low <= world.tv_laws(blur=sigma) <= found.high
    assert world.tv_laws(blur=sigma) < world.tv_laws()


@pytest.mark.parametrize(("gap", "shift", "blur"), [(0.5, 0.4, 0.7), (0.0, 0.5, 1.0), (0.6, 0.0, 0.5)])
def test_blurred_laws_are_those_of_blurred_samples(gap, shift, blur):
    world = World(gap=gap, shift=shift, latents=3, classes=2)
    drawn = world.draw(MANY)
    rng = np.random.default_rng(0)
    mean, k = np.zeros(6), 3
    mean[-1] = world.displacement

    def log_density(x: np.ndarray, side: str) -> np.ndarray:
        variances = np.r_[np.full(k, world.variance(side)), np.ones(k)] + blur**2
        return stats.norm.logpdf(x, mean * (side == "target"), np.sqrt(variances)).sum(1)

    hits = []
    for side in SIDES:
        x = (getattr(drawn, side) + blur * rng.standard_normal((MANY, 6))) @ world.rotation
        hits.append((log_density(x, "source") > log_density(x, "target")).mean())
    assert abs(hits[0] - hits[1] - world.tv_laws(blur)) < 4 * np.sqrt(0.5 / MANY)
