"""A small coverage study: every certified range, on laws of known distance. The full one is in results/estimators."""

import pytest
from scipy import stats

from estimators.total_variation import splits
from xkd_bench.benchmarks.coverage_laws import draw
from xkd_bench.benchmarks.estimator_coverage import Case, run_case

CASES = [
    ("gaussian", 2, 0.0, "paired"),
    ("gaussian", 2, 0.2, "grouped"),
    ("gaussian", 32, 0.0, "unpaired"),
    ("student", 2, 0.04, "paired"),
    ("discrete", 1, 0.68, "unpaired"),
]


@pytest.mark.parametrize(("law", "d", "tv", "dependence"), CASES)
def test_ranges_cover_at_their_level(law, d, tv, dependence):
    """Fails where so few covered replicates would have a chance below 1e-4 if the level held."""
    rows = run_case(Case("coverage", law, d, tv, dependence, 160, 100))
    assert len(rows) >= 7
    for row in rows:
        if row["holds"] is not None:
            covered = round(row["coverage"] * 100)
            assert stats.binom.cdf(covered, 100, 0.95) >= 1e-4, row


def test_the_study_would_notice_a_wrong_bound(monkeypatch):
    """Certify on the rows that were fitted, and the study must say so."""
    honest = splits.split_by_group

    def cheating(data, fractions, rng):
        parts = honest(data, fractions, rng)
        return parts._replace(certify=parts.fit)

    from estimators.total_variation import classifier

    monkeypatch.setattr(classifier, "split_by_group", cheating)
    row = run_case(Case("coverage", "gaussian", 32, 0.0, "unpaired", 160, 60, ("tv_classifier",)))[0]
    assert row["coverage"] < 0.5
    assert row["holds"] is False


def test_laws_are_at_the_distance_they_claim():
    """Empirical check of every law, by the best event: TV and smoothed TV within Monte-Carlo error."""
    import numpy as np

    rng = np.random.default_rng(0)
    for law in ("gaussian", "student", "discrete"):
        data = draw(law, 1, 0.2, "unpaired", 100_000, rng)
        noise = rng.normal(size=(2, 100_000)) * data.sigma
        for truth, left, right in (
            (0.2, data.source[:, 0], data.target[:, 0]),
            (data.smoothed_tv(), data.source[:, 0] + noise[0], data.target[:, 0] + noise[1]),
        ):
            assert abs(stats.ks_2samp(left, right).statistic - truth) < 0.008


def test_dependent_laws_keep_their_marginals():
    import numpy as np

    rng = np.random.default_rng(0)
    for law, d in (("gaussian", 2), ("student", 2), ("discrete", 1)):
        paired, apart = (draw(law, d, 0.2, how, 40_000, rng) for how in ("paired", "unpaired"))
        assert stats.ks_2samp(paired.target[:, 0], apart.target[:, 0]).pvalue > 1e-3
        assert stats.spearmanr(paired.source[:, 0], paired.target[:, 0]).statistic > 0.5
    grouped = draw("gaussian", 2, 0.0, "grouped", 8000, rng)
    assert np.corrcoef(grouped.source[0::5, 0], grouped.source[1::5, 0])[0, 1] == pytest.approx(0.8, abs=0.03)
    assert grouped.source[:, 0].std() == pytest.approx(1.0, abs=0.02)
