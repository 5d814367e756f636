"""Carrying out a plan: what fails stops nothing else, a run has its time, an engine is anything that gives outcomes."""

import pytest

from tests.runs import runner, spec
from xkd_bench.errors import TrainingError, UsageError
from xkd_bench.stages import student
from xkd_bench.suite import engine
from xkd_bench.suite.engine import Outcome, RunTimeoutError, SerialEngine, carry_out
from xkd_bench.suite.plan import make_plan


@pytest.fixture
def three(toy, tmp_path):
    """A runner over an empty store, and a plan of three runs."""
    ours = runner(tmp_path)
    return ours, make_plan(ours, [spec(seed=seed) for seed in range(3)])


class Log:
    def __init__(self) -> None:
        self.begun, self.ended = [], []

    def __call__(self, plan, engine, max_failures=None) -> list[Outcome]:
        return carry_out(plan, engine, lambda s: self.begun.append(s.seed), self.ended.append, max_failures)


def failing(monkeypatch, seeds, error: BaseException) -> None:
    """Distillation fails for these seeds."""
    real = student._train

    def train(run, *args):
        if run.spec.seed in seeds:
            raise error
        return real(run, *args)

    monkeypatch.setattr(student, "_train", train)


@pytest.mark.parametrize("error", [TrainingError("loss nan"), UsageError("disk full"), RuntimeError("out of memory")])
def test_a_run_that_fails_is_an_outcome_and_the_others_go_on(three, monkeypatch, error):
    ours, plan = three
    failing(monkeypatch, {1}, error)
    log = Log()
    (failed,) = log(plan, SerialEngine(ours))
    assert (failed.work.seed, failed.error) == (1, error)
    assert log.begun == [o.work.seed for o in log.ended] == [0, 1, 2]
    assert [plan.runs[key].seed for key in plan.present(ours.store)] == [0, 2]


def test_the_reason_is_one_line_and_a_bug_says_where_it_is(three, monkeypatch):
    ours, plan = three
    failing(monkeypatch, {0}, UsageError("a long\n   story"))
    assert Log()(plan, SerialEngine(ours))[0].reason() == "a long story"
    failing(monkeypatch, {0}, ZeroDivisionError("oh"))
    assert Log()(plan, SerialEngine(ours))[0].reason().startswith("ZeroDivisionError: oh (test_engine.py:")
    failing(monkeypatch, {0}, ValueError())
    assert "ValueError: no message" in Log()(plan, SerialEngine(ours))[0].reason()


@pytest.mark.parametrize(("most", "begun"), [(1, [0]), (2, [0, 1]), (None, [0, 1, 2])])
def test_it_stops_at_so_many_failures(three, monkeypatch, most, begun):
    ours, plan = three
    failing(monkeypatch, {0, 1, 2}, TrainingError("loss nan"))
    log = Log()
    assert len(log(plan, SerialEngine(ours), most)) == len(begun)
    assert log.begun == begun


def test_an_interrupt_ends_all(three, monkeypatch):
    ours, plan = three
    failing(monkeypatch, {1}, KeyboardInterrupt())
    log = Log()
    with pytest.raises(KeyboardInterrupt):
        log(plan, SerialEngine(ours))
    assert log.begun == [0, 1]


def test_a_run_past_its_time_stops_at_its_next_step_and_the_others_have_their_own(three, monkeypatch):
    ours, plan = three
    real, clock = student._train, [0.0]

    def slow(run, *args):
        for step in range(10 if run.spec.seed == 1 else 1):  # 8 s a step: the others are done in time
            run.report("distilling", step, 10, "")
            clock[0] += 8
        return real(run, *args)

    monkeypatch.setattr(student, "_train", slow)
    monkeypatch.setattr(engine.time, "monotonic", lambda: clock[0])
    (failed,) = Log()(plan, SerialEngine(ours, timeout=20))
    assert isinstance(failed.error, RunTimeoutError)
    assert failed.work.seed == 1
    assert failed.reason() == "stopped after 20 s in 'distilling' at 3 of 10: give it more with --timeout"
    assert len(plan.present(ours.store)) == 2


def test_an_engine_may_end_runs_in_any_order(three):
    _, plan = three

    class Backwards:
        def run(self, specs, begin):
            for one in reversed(specs):
                begin(one)
                yield Outcome(one, 1.0, TrainingError("x") if one.seed == 1 else None)

    log = Log()
    (failed,) = log(plan, Backwards())
    assert failed.work.seed == 1
    assert [o.work.seed for o in log.ended] == [2, 1, 0]
