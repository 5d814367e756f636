"""Gaps and bounds of runs: measured once, kept, read as tables; in the world whose truths are known nothing fails."""

import json

import numpy as np
import pytest

from tests.runs import runner
from xkd_bench.analysis import conditions as conditions_module
from xkd_bench.analysis import load
from xkd_bench.analysis.results import gap_frame
from xkd_bench.errors import UsageError
from xkd_bench.spec import RunSpec
from xkd_bench.stages.held_out import held_out
from xkd_bench.stages.oracle import oracle
from xkd_bench.suite import measure
from xkd_bench.suite.asked import Asked, gap_spec, measurements
from xkd_bench.suite.engine import LeftOutError, RunTimeoutError, SerialEngine, carry_out
from xkd_bench.suite.plan import Stage, make_plan

WORLD = "twin-gaussian:gap={},items=400"


def made(task="toy", method="cmc", **more):
    return RunSpec.make(**{"task": task, "method": method, "protocol": "linear-eval", "budget": "smoke", **more})


def done(root, specs, kinds=("gap", "bound"), timeout=None, told=lambda what: None):
    """Run and measure these; what failed. told: of each that begins."""
    one = runner(root)
    plan = make_plan(one, specs, measure=kinds)
    return carry_out(plan, SerialEngine(one, timeout), told, lambda outcome: None)


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    """Two worlds of small and large gap: two seeds, two methods, and a control."""
    root = tmp_path_factory.mktemp("worlds")
    specs = [made(WORLD.format(gap), method, seed=seed, **more) for gap in (0.1, 0.9) for seed in (0, 1)
             for method, more in (("cmc", {}), ("cmc", {"pairs": "shuffled"}), ("ssl", {}))]  # fmt: skip
    assert done(root, specs) == []
    return root


def test_in_a_known_world_every_link_holds(worlds):
    """The theorem's argument, on runs: no inequality fails, and the oracles and the best risk are exact."""
    found = load(worlds)
    assert len(found.bounds) == 12
    links = found.terms[found.terms["term"].str.startswith("link_")]
    must = links[~links["term"].isin(["link_assumption", "link_erm"])]  # an assumption and an idealisation: measured
    assert set(must["term"]) == {"link_triangle", "link_pinsker", "link_contrast", "link_head", "link_bound",
                                 "link_decision"}  # fmt: skip
    assert (must["value"] >= -1e-9).all(), must[must["value"] < 0]
    tags = found.terms.groupby("term")["tag"].unique()
    for name in ("tv_oracle", "tv_teacher", "tv_student", "risk_star:bayes", "link_bound"):
        assert list(tags[name]) == ["exact"], name
    assert (found.bounds["star"] == "bayes").all()
    assert (found.bounds["bound"] >= found.bounds["excess"]).all()


def test_exact_gaps_grow_with_the_world_s(worlds):
    found = load(worlds)
    gaps = found.gaps[(found.gaps["encoders"] == "oracle") & (found.gaps["estimator"] == "tv_gibbs_normalised")]
    assert set(gaps["oracle"]) == {"exact"}
    mean = gaps.groupby("task")["value"].mean()
    assert mean[WORLD.format(0.1)] > mean[WORLD.format(0.9)]  # 1 is no gap


def test_tables_are_tidy_and_their_conditions_fit_the_regressions(worlds):
    found = load(worlds)
    assert found.budget == "smoke"
    conditions = conditions_module.check(found.conditions)
    assert set(conditions["condition"]) == {WORLD.format(gap) for gap in (0.1, 0.9)}
    assert set(conditions["family"]) == set(conditions["cluster"]) == {"twin-gaussian"}
    assert set(conditions["definition"]) == {"raw", "relative", "error_reduction", "excess_risk"}
    assert {"oracle:tv_classifier", "oracle:tv_gibbs_normalised", "raw:cka"} <= set(conditions["estimator"])
    row = conditions_module.choose(
        conditions, condition=WORLD.format(0.9), method="cmc", definition="raw", estimator="oracle:tv_gibbs_normalised"
    ).iloc[0]
    records = found.records[(found.records["task"] == WORLD.format(0.9)) & (found.records["pairs"] == "true")]
    score = records.groupby("method")["value"].mean()
    assert row["gain"] == pytest.approx(score["cmc"] - score["ssl"])
    assert row["baseline"] == pytest.approx(score["ssl"])
    values = found.gaps[(found.gaps["task"] == WORLD.format(0.9)) & (found.gaps["encoders"] == "oracle")]
    own = values[values["estimator"] == "tv_gibbs_normalised"]["value"]
    assert row["gap"] == pytest.approx(1 - own.mean())  # larger is farther
    assert row["gap_se"] >= own.std(ddof=1) / np.sqrt(2) - 1e-12
    assert row["n_seeds"] == 2
    assert row["n_pairs"] == pytest.approx(240, abs=2)  # 60 % of 400, whole groups
    excess = conditions_module.choose(conditions, condition=WORLD.format(0.9), method="cmc", definition="excess_risk")
    mine = found.bounds[(found.bounds["task"] == WORLD.format(0.9)) & (found.bounds["pairs"] == "true")]
    assert excess["gain"].iloc[0] == pytest.approx(mine[mine["method"] == "cmc"]["excess"].mean())


def test_what_is_there_is_not_measured_again(worlds, monkeypatch):
    def never(*args, **more):
        raise AssertionError("measured again")

    monkeypatch.setattr(measure, "gap_table", never)
    monkeypatch.setattr(measure, "bound_of", never)
    spec = made(WORLD.format(0.1), seed=0)
    one = runner(worlds)
    plan = make_plan(one, [spec], measure=("gap", "bound"))
    assert plan.missing() == []
    assert plan.measurements() == {"gaps": Stage(2, 2), "bounds": Stage(1, 1)}
    assert plan.left(one.store) == 0
    again = SerialEngine(one).run(list(plan.measured.values()), lambda work: None)
    assert [outcome.error for outcome in again] == [None] * 3


def test_trained_oracles_see_no_held_out_pair(toy, tmp_path):
    """Items of val and test, and their partners, are changed beyond recognition: the oracles stay as they are."""
    one = runner(tmp_path / "a")
    run = one.context(gap_spec("toy", 0, "smoke"))
    pairs = held_out(run)
    items = np.concatenate([pairs.scored.target, pairs.bank.target])
    assert set(items) == set(np.concatenate([run.split.val, run.split.test]))
    assert (run.data.source.concept[pairs.scored.source] == run.data.target.concept[pairs.scored.target]).all()
    assert not set(pairs.target) & set(items)
    hidden = np.concatenate([pairs.scored.source, pairs.bank.source])
    assert not set(run.data.source.concept[pairs.source]) & set(run.data.source.concept[hidden])
    before = {kind: oracle(run, kind).features("target", pairs.target) for kind in ("supervised", "contrastive")}
    other = runner(tmp_path / "b")
    changed = other.context(gap_spec("toy", 0, "smoke"))
    changed.data.source.data[hidden] = 255 - changed.data.source.data[hidden]
    changed.data.target.data[items] = 255 - changed.data.target.data[items]
    for kind, features in before.items():
        np.testing.assert_allclose(oracle(changed, kind).features("target", pairs.target), features)


def test_a_bound_of_trained_oracles_is_a_proxy_and_says_so(toy, tmp_path):
    assert done(tmp_path, [made(), made(method="sup-ft")]) == []
    found = load(tmp_path)
    terms = found.terms.set_index("term")
    assert set(terms.loc["tv_oracle", "tag"]) == {"proxy"}
    assert {"risk_star:sup-ft", "risk_star:oracle-target", "risk_star:teacher-on-source"} <= set(terms.index)
    assert set(found.gaps["oracle"]) == {"contrastive", ""}
    assert set(found.bounds["family"]) == {"toy"}
    assert (found.terms[found.terms["term"] == "link_triangle"]["value"] >= -1e-9).all()


def test_of_two_versions_of_a_measurement_the_newer_counts():
    card = {"origin": "real", "lineage": ("", ""), "source": "a", "target": "b"}
    shared = {"task": "toy", "card": card, "seed": 0, "budget": "smoke", "encoders": "raw", "oracle": ""}
    shared |= {"data_digest": "d", "rows": [{"estimator": "cka", "value": 0.1}]}
    found = [{**shared, "key": key, "version": version} for key, version in (("b", 2), ("a", 1))]
    assert list(gap_frame(found)["key"]) == ["b"]


def test_what_has_no_bound_is_one_line(toy, tmp_path):
    with pytest.raises(UsageError, match="protocol linear-eval, not fine-tune"):
        measurements([made(protocol="fine-tune")], ["bound"])
    with pytest.raises(UsageError, match="gap, bound, not 'bounds'"):
        measurements([made()], ["bounds"])
    with pytest.raises(UsageError, match="not in the store"):
        measure.measure(runner(tmp_path), Asked(made()))
    with pytest.raises(UsageError, match="encoders are oracle"):
        measure.measured_gap(runner(tmp_path), "toy", 0, "smoke", "oracles")
    assert not (tmp_path / "bounds").exists()


def test_a_task_without_oracles_has_no_gap_and_that_is_said_before_anything(toy_dense, tmp_path):
    with pytest.raises(UsageError, match="task 'toy-dense' is for segmentation"):
        done(tmp_path, [made("toy-dense", "sup-ft", protocol="fine-tune")], ("gap",))
    assert not list(tmp_path.iterdir())


def test_what_is_measured_is_planned_carried_out_and_timed_like_runs(toy, tmp_path):
    """Runs first; the plan counts gaps and bounds; when like ones were measured it says how long more will take."""
    specs = [made(seed=seed, teacher="simclr") for seed in (0, 1)]
    one = runner(tmp_path)
    plan = make_plan(one, specs, measure=("gap", "bound"))
    assert plan.measurements() == {"gaps": Stage(4, 0), "bounds": Stage(2, 0)}
    assert ("gaps", "4 to measure, 0 in the store") in plan.facts()
    assert ("bounds", "2 to measure, 0 in the store") in plan.facts()
    assert (plan.seconds, plan.untimed) == (0, 8)
    begun = []
    assert done(tmp_path, specs[:1], told=begun.append) == []
    assert begun == [specs[0], Asked(gap_spec("toy", 0, "smoke"), "oracle"), Asked(gap_spec("toy", 0, "smoke"), "raw"),
                     Asked(specs[0])]  # fmt: skip

    plan = make_plan(one, specs, measure=("gap", "bound"))
    assert plan.measurements() == {"gaps": Stage(4, 2), "bounds": Stage(2, 1)}
    assert plan.left(one.store) == 4
    # Bounds fine-tune on all labels: that was done, but never as a run whose time is known.
    assert plan.untimed == 1
    history = [json.loads(f.read_text())["seconds"] for f in tmp_path.glob("artefacts/*/*/history.json")
               if f.parent.parent.name in ("students", "teachers", "oracles")]  # fmt: skip
    own = [found["seconds"] for stage in ("gaps", "bounds") for found in one.store.measured(stage)]
    (record,) = one.store.records()
    assert len(own) == 3
    assert min(own) > 0
    students = sum(sorted(history)) - min(history)  # sup-ft's, which nobody distils
    scoring = sum(score["seconds"] for score in record["scores"])
    assert plan.seconds == pytest.approx(students + sum(own) + scoring)


def test_a_bound_whose_run_failed_is_not_begun_and_gaps_are_measured_all_the_same(toy, tmp_path, monkeypatch):
    from xkd_bench.stages import student

    def broken(*args):
        raise RuntimeError("oh")

    monkeypatch.setattr(student, "_train", broken)
    begun, spec = [], made()
    one = runner(tmp_path)
    plan = make_plan(one, [spec], measure=("gap", "bound"))
    engine = SerialEngine(one)
    (failed,) = carry_out(plan, engine, begun.append, lambda outcome: None)
    assert failed.work == spec
    assert [getattr(work, "stage", "run") for work in begun] == ["run", "gaps", "gaps"]
    assert plan.left(one.store) == 2
    assert [type(o.error) for o in engine.run(plan.missing(), begun.append) if o.work == Asked(spec)] == [LeftOutError]


def test_a_measurement_that_fails_or_takes_too_long_is_an_outcome_like_a_run(toy, tmp_path, monkeypatch):
    def broken(*args, **more):
        raise ZeroDivisionError("oh")

    specs = [made(method="sup-ft")]
    assert done(tmp_path, specs, ()) == []
    late = done(tmp_path, specs, timeout=0)
    assert {type(one.error) for one in late} == {RunTimeoutError}
    assert "give it more with --timeout" in late[0].reason()
    monkeypatch.setattr(measure, "bound_of", broken)
    (failed,) = done(tmp_path, specs)
    assert (failed.work, type(failed.error)) == (Asked(specs[0]), ZeroDivisionError)
    assert len(list((tmp_path / "gaps").iterdir())) == 2
    assert not list((tmp_path / "bounds").iterdir())


def test_an_oracle_by_another_training_has_a_name_of_its_own(toy, tmp_path):
    one = runner(tmp_path)
    asked = {name: measure.measured_gap(one, "toy", 0, "smoke", name)["encoders"]
             for name in ("oracle-supervised", "oracle-contrastive")}  # fmt: skip
    assert asked == {"oracle-supervised": "oracle-supervised", "oracle-contrastive": "oracle"}


def test_empty_stores_have_empty_tables(tmp_path):
    found = load(tmp_path / "nowhere")
    assert all(len(frame) == 0 for frame in (found.records, found.gaps, found.conditions, found.bounds, found.terms))
    assert set(conditions_module.COLUMNS) <= set(found.conditions.columns)
    with pytest.raises(UsageError, match="no records of budget 'paper'"):
        load(tmp_path / "nowhere", "paper")
