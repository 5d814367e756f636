"""The coverage and speed studies as programs: resumable, whole files, the same bytes again."""

import json

import numpy as np
import pandas as pd
import pytest

from xkd_bench.benchmarks import estimator_coverage as study
from xkd_bench.benchmarks import estimator_speed as speed
from xkd_bench.benchmarks.coverage_report import write

SMALL = ("tv_modality_gap", "tv_classifier")


def case(**changes):
    fields = {
        "study": "coverage",
        "law": "gaussian",
        "d": 2,
        "tv": 0.2,
        "dependence": "paired",
        "n": 40,
        "replicates": 4,
    }
    return study.Case(**fields | changes, estimators=SMALL)


def test_the_full_study_has_the_promised_conditions():
    cases = study.coverage_cases(500, 500)
    assert {c.tv for c in cases} == {0.0, 0.04, 0.2, 0.68}
    assert {c.d for c in cases if c.law == "gaussian"} == {2, 32, 256}
    assert {c.dependence for c in cases} == {"paired", "unpaired", "grouped"}
    assert {c.law for c in cases} == {"gaussian", "student", "discrete"}
    assert len({c.key for c in cases}) == len(cases)
    assert {c.d for ladder in study.power_cases(10) for c in ladder} == {2, 32, 256}


def test_a_case_is_repeatable_and_named_by_its_settings():
    rows, again = study.run_case(case()), study.run_case(case())
    for row in rows + again:
        row.pop("ms_per_call")
    assert rows == again
    assert case().key != case(n=41).key
    assert case().key != case(replicates=5).key


def test_finished_cases_are_kept_whole_and_not_run_again(tmp_path, monkeypatch):
    store = study.Store(tmp_path)
    ladder = [case(study="power", tv=tv, dependence="unpaired") for tv in (0.8, 0.1)]
    first = study.run_study([case()], [ladder], store)
    assert len(list(tmp_path.glob("*.json"))) >= 2
    assert not list(tmp_path.glob("*.tmp"))
    monkeypatch.setattr(study, "run_case", lambda *a: pytest.fail("ran again"))
    second = study.run_study([case()], [ladder], store)
    for one, two in zip(first, second, strict=True):
        pd.testing.assert_frame_equal(one, two)
    half = [[*ladder, case(study="power", tv=0.05, dependence="unpaired")]]
    store.folder.joinpath(f"{ladder[1].key}.json").unlink(missing_ok=True)
    assert study.run_study([], half, store, finished_only=True)[1].empty
    empty = study.run_study([case(n=50)], [], study.Store(tmp_path / "other"), finished_only=True)
    assert empty[0].empty


def test_coverage_is_counted_and_judged():
    values = np.array([[0.1, 0.2, 1.0, 0.15]] * 90 + [[0.2, 0.2, 1.0, 0.15]] * 10)
    row = study._row(case(replicates=100), "tv_classifier", values, 1.0)
    assert row["coverage"] == 0.9
    assert row["detected"] == 1.0
    assert row["coverage_low"] < 0.9 < row["coverage_high"]
    assert row["holds"] is True  # 90 of 100 has a chance of 0.03 at level 0.95: not below 0.001
    assert study._row(case(replicates=100), "tv_classifier", values[10:], 1.0)["holds"] is True
    worse = np.concatenate([values, values[-10:]])
    assert study._row(case(replicates=110), "tv_classifier", worse, 1.0)["holds"] is False
    assert study._row(case(tv=0.0), "mmd2", values, 1.0)["holds"] is None


def test_smallest_gap_stops_at_the_first_one_that_is_missed():
    rows = pd.DataFrame({"tv": [0.8, 0.4, 0.2, 0.1], "detected": [1.0, 0.9, 0.7, 0.95]})
    table = study.smallest_seen(rows.assign(estimator="a", d=2, n=10, replicates=5))
    assert table["smallest_tv"].tolist() == [0.4]


def test_report_is_whole_and_repeatable(tmp_path):
    coverage, power = study.run_study(
        [case(), case(tv=0.0)], [[case(study="power", tv=0.8, dependence="unpaired")]], study.Store(tmp_path / "cases")
    )
    paths = write(coverage, study.smallest_seen(power), tmp_path / "out")
    names = [f"{kind}.{ending}" for kind in ("coverage", "power") for ending in ("csv", "md", "png", "svg")]
    assert [p.name for p in paths] == names
    before = [p.read_bytes() for p in paths]
    assert before == [p.read_bytes() for p in write(coverage, study.smallest_seen(power), tmp_path / "out")]
    text = (tmp_path / "out" / "coverage.md").read_text()
    assert "| tv_classifier | lower bound | every n | 2 |" in text
    assert "None fails" in text
    assert "Not finished" not in text
    write(coverage, pd.DataFrame(), tmp_path / "part", [case(d=256).title])
    assert sorted(p.name for p in (tmp_path / "part").iterdir()) == sorted(names[:4])
    assert "not in this page: gaussian, d 256, TV 0.2, paired" in (tmp_path / "part" / "coverage.md").read_text()
    assert "ms_per_call" not in (tmp_path / "out" / "coverage.csv").read_text()


def test_stored_rows_are_plain_json(tmp_path):
    store = study.Store(tmp_path)
    store.write(case(), study.run_case(case()))
    assert store.read(case()) == json.loads(next(tmp_path.glob("*.json")).read_text())
    assert store.read(case(n=41)) is None


def test_speed_contenders_compute_the_same_value(tmp_path):
    results = speed.measure(list(speed.contenders()), 300, 16, rounds=2)
    values = {r.name: r.value for r in results if r.name != speed.BARE}
    assert max(values.values()) - min(values.values()) < 1e-4
    frame = speed.table(results, 16)
    assert frame.set_index("contender").loc[speed.OURS, "times_ours"] == 1.0
    assert "| 300 | 16 |" in speed.markdown(frame)


@pytest.mark.slow
def test_linear_cka_is_fast_and_small_at_20000_rows():
    """The promise of the issue: 10 times faster than Gram forms, within 1.5 of the bare product, memory O(d^2)."""
    frame = speed.table(speed.measure(list(speed.contenders())[:3], 20_000, 512, rounds=3), 512)
    by_name = frame.set_index("contender")
    assert by_name.loc["Gram, elementwise (float32)", "times_ours"] >= 10
    assert 1 / by_name.loc[speed.BARE, "times_ours"] <= 1.5
    assert by_name.loc[speed.OURS, "peak_mb"] < 400
