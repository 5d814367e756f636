"""The bound's arithmetic: against naive loops, closed forms, and worlds in which it must hold."""

import math

import numpy as np
import pytest

from xkd_bench.analysis.bound import Measured, Truth, bound_of
from xkd_bench.analysis.bound_head import Head, head_terms
from xkd_bench.analysis.bound_laws import (
    Encoded,
    bounded,
    contrast,
    kl_rows,
    log_law,
    null_tv,
    own_first,
    pinsker,
    tv_rows,
    unit_rows,
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def encoded(rng, n=60, q=40, d=5):
    return Encoded(rng.normal(size=(n, d)), rng.normal(size=(q, d)))


def test_laws_are_softmax_rows_over_the_bank(rng):
    x = encoded(rng).unit()
    law = np.exp(log_law(x, 0.2))
    for i in range(3):
        weights = [math.exp(sum(a * b for a, b in zip(x.rows[i], key, strict=True)) / 0.2) for key in x.bank]
        np.testing.assert_allclose(law[i], np.array(weights) / sum(weights), rtol=1e-10)


def test_the_printed_example_of_laws():
    p, q = np.log([[0.7, 0.2, 0.1]]), np.log([[0.5, 0.3, 0.2]])
    assert tv_rows(p, q)[0] == pytest.approx(0.2)
    assert kl_rows(p, q)[0] == pytest.approx(0.085123, abs=1e-6)


def test_a_rotated_and_scaled_encoder_has_the_same_law(rng):
    x = encoded(rng)
    turn = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    y = Encoded(3 * x.rows @ turn + 7, 3 * x.bank @ turn + 7)
    np.testing.assert_allclose(tv_rows(log_law(x.unit(), 0.1), log_law(y.unit(), 0.1)), 0, atol=1e-9)


def test_what_is_permuted_is_as_far_apart_as_the_null(rng):
    one, other = (log_law(encoded(rng).unit(), 0.2) for _ in range(2))
    null = null_tv(one, other, rng)
    assert float(tv_rows(one, other).mean()) == pytest.approx(null, abs=0.02)


@pytest.mark.parametrize("tau", [0.05, 0.1, 1.0])
def test_every_route_is_above_what_it_bounds(rng, tau):
    """Total variation by Pinsker and by contrast, on laws near and far from each other."""
    for noise in (0.0, 0.3, 3.0):
        a = encoded(rng).unit()
        rows = unit_rows(a.rows + noise * rng.normal(size=a.rows.shape))
        p, q = (own_first(x, a.rows, a.bank, tau) for x in (a.rows, rows))
        tv = float(tv_rows(p, q).mean())
        assert tv <= pinsker(float(kl_rows(p, q).mean())) + 1e-12
        route = contrast(p, q, np.arange(60), tau, 0.05)
        assert tv <= route.value + 1e-12
        assert route.low <= route.value <= route.high


def test_pinsker_gives_way_where_the_laws_are_far_apart():
    assert pinsker(0.5) == pytest.approx(0.5)
    assert pinsker(4.0) == pytest.approx(math.sqrt(1 - math.exp(-4)))  # sqrt(2) says nothing


def test_limits_cover_a_mean_of_groups(rng):
    """Rows of one group are copies: the limits must not take them for independent."""
    missed = 0
    for _ in range(300):
        groups = np.repeat(np.arange(30), 10)
        found = bounded(np.repeat(rng.beta(0.5, 0.5, size=30), 10), groups, 0.025)
        missed += not found.low <= 0.5 <= found.high
    assert missed <= 15


def head_of(rng, n=400, d=6, k=3, noise=0.5):
    labels = rng.integers(0, k, n)
    centres = rng.normal(size=(k, d))
    x = centres[labels] + noise * rng.normal(size=(n, d))
    weight = 2 * centres.T
    return Head(x, labels, weight, -(centres**2).sum(1)), centres


def test_margins_are_those_of_a_loop(rng):
    head, _ = head_of(rng)
    logits = head.features @ head.weight + head.bias
    for i in range(20):
        others = [logits[i, j] for j in range(3) if j != head.labels[i]]
        assert head.margins()[i] == pytest.approx(logits[i, head.labels[i]] - max(others))
    assert head.risk() == pytest.approx((logits.argmax(1) != head.labels).mean())


def test_the_head_s_terms_hold_on_fresh_items_and_shrink_with_labels(rng):
    sums = []
    for n in (100, 400, 6400):
        head, centres = head_of(rng, n=n)
        terms = {t.term: t.high for t in head_terms(head, 0.01)}
        fresh = rng.integers(0, 3, 20000)
        x = centres[fresh] + 0.5 * rng.normal(size=(20000, 6))
        risk = ((x @ head.weight + head.bias).argmax(1) != fresh).mean()
        assert risk <= head.risk() + terms["margin"] + terms["capacity"] + terms["uniform"]
        assert min(terms.values()) >= 0
        sums.append(sum(terms.values()))
        rng = np.random.default_rng(0)
    assert sums[0] > sums[1] > sums[2]


def measured(rng, noise=0.3, n=80, truth=None, wrong=0.3, **more):
    a = encoded(rng, n=n)
    others = {name: Encoded(a.rows + noise * rng.normal(size=a.rows.shape), a.bank + noise * rng.normal(
        size=a.bank.shape)) for name in ("student", "oracle_source", "oracle_target")}  # fmt: skip
    head, _ = head_of(rng)
    correct = rng.random(n) > wrong
    fields = dict(
        correct=correct, group=np.arange(n), stars={"sup-ft": rng.random(n) > 0.1, "oracle": rng.random(n) > 0.2},
        teacher=a, **others, pair_group=np.arange(n), mapped=others["student"].rows, train=(a.rows, a.rows),
        head=head, parameters=1000, oracle="contrastive", truth=truth,
    )  # fmt: skip
    return Measured(**(fields | more))


def test_the_bound_is_the_sum_of_its_terms_and_names_its_tags(rng):
    found = bound_of(measured(rng))
    by = {term.term: term for term in found.terms}
    tv = sum(by[name].high for name in ("tv_oracle", "tv_teacher", "tv_distil"))
    slack = sum(by[name].high for name in ("margin", "capacity", "sampling"))
    assert found.numbers["bound"] == pytest.approx(2 * tv + slack) == by["bound"].value
    assert found.numbers["star"] == "sup-ft"  # the better of the two
    assert found.numbers["excess"] == pytest.approx(found.numbers["risk"] - found.numbers["risk_star"])
    assert by["tv_oracle"].tag == by["risk_star:sup-ft"].tag == "proxy"
    assert by["tv_distil"].tag == by["risk"].tag == "measured"
    assert by["bracketing"].tag == "vacuous"
    assert by["bracketing"].value > 1
    assert by["risk"].low < found.numbers["risk"] < by["risk"].high
    assert all(by[name].value >= 0 for name in ("tv_oracle", "tv_teacher", "tv_distil", "margin", "capacity", "kappa"))
    for name in ("link_triangle", "link_pinsker", "link_contrast", "link_head", "link_bound"):
        assert by[name].value >= 0, by[name].note


def test_distances_grow_with_the_noise_between_encoders():
    values = []
    for noise in (0.0, 0.1, 0.5, 2.0):
        terms = {t.term: t.value for t in bound_of(measured(np.random.default_rng(1), noise)).terms}
        values.append([terms[name] for name in ("tv_oracle", "tv_teacher", "tv_distil", "tv_student")])
    assert np.allclose(values[0], 0)
    assert (np.diff(values, axis=0) > 0).all()


def test_kappa_is_what_the_excess_needs(rng):
    one = measured(rng, noise=0.001, n=4000, wrong=0.9, stars={"best": np.ones(4000, bool)})
    found = bound_of(one)
    by = {term.term: term for term in found.terms}
    tv = sum(by[name].value for name in ("tv_oracle", "tv_teacher", "tv_distil"))
    assert by["kappa_plain"].value == pytest.approx(found.numbers["excess"] / (2 * tv))
    assert by["kappa_plain"].value > 1
    assert 0 <= by["kappa"].value <= by["kappa_plain"].value


def test_truths_are_exact_and_their_links_are_checked(rng):
    good = Truth(risk=0.1, tv=np.full(80, 0.2), decided=np.arange(80) % 4 > 0, fitted=0.5)
    by = {t.term: t for t in bound_of(measured(rng, truth=good)).terms}
    assert by["risk_star:bayes"].tag == by["tv_oracle"].tag == by["link_decision"].tag == "exact"
    assert by["link_decision"].value == pytest.approx(2 * 0.2 - (0.25 - 0.1))
    assert "holds" in by["link_decision"].note
    bad = Truth(risk=0.1, tv=np.full(80, 0.01), decided=np.arange(80) % 4 > 0, fitted=0.0)
    assert "FAILS" in {t.term: t for t in bound_of(measured(rng, truth=bad)).terms}["link_decision"].note
