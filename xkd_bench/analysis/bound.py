"""The bound of CMCD's Theorem 3.3, as far as it can be had: every term with its range and what sort of statement it is.

    R - R* ≤ 2κ [TV(φ_A*, φ_B*) + TV(φ̂_A, φ_A*) + TV(φ̂_A, φ̂_B)] + margin + 2R_n + sampling        [DERIVED]

of 0-1 risks. TV is of Gibbs laws over one set of held-out pairs and one bank, and so obeys the triangle inequality. The
theorem's formulas are lost; this is built from its argument. The last three terms are the head's (`bound_head`). κ is
the constant of Assumption 3.1, which nobody knows: the bound is stated with κ = 1.

What it does not say: it bounds the excess risk, not what a method gains over another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estimators.concentration import clopper_pearson_lower, clopper_pearson_upper
from xkd_bench.analysis.bound_head import Head, head_terms
from xkd_bench.analysis.bound_laws import (
    Encoded,
    Floats,
    Range,
    bernstein,
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
from xkd_bench.analysis.bound_terms import Tag, Term

DELTA = 0.05
"""The chance that the bound fails by bad luck, divided evenly among its five events."""
EVENTS = 5
TEMPERATURE = 0.1
TARGET = "reached from the target: R* may be less"
SOURCE = "reached from the source at test time: R*, from the target, may be less or more"
NORMAL = 1.959964


@dataclass(frozen=True)
class Truth:
    """What is known of a simulated world.

    risk: R*. tv: [n] TV of P_φ̂B(z | x) and the true law, of each scored item, φ̂_B mapped linearly to the latent.
    decided: [n] whether acting on P_φ̂B is right; fitted: its risk on the labels that the head learned from.
    """

    risk: float
    tv: Floats
    decided: NDArray[np.bool_]
    fitted: float


@dataclass(frozen=True)
class Measured:
    """What was measured on one run, with n scored pairs.

    correct: [n_test] the head on the test items; group: [n_test]. stars: of stand-ins for the best classifier, by name,
    whether they are right on the same items. teacher, student, oracle_source, oracle_target: by the scored pairs
    (pair_group: [n]) and one bank. mapped: [n, d] the student's features of scored items, in the teacher's space.
    train: teacher and student by the pairs that distillation saw, and the same bank. parameters: of the student's
    network. truth: None outside of simulated worlds.
    """

    correct: NDArray[np.bool_]
    group: NDArray[np.int64]
    stars: Mapping[str, NDArray[np.bool_]]
    teacher: Encoded
    student: Encoded
    oracle_source: Encoded
    oracle_target: Encoded
    pair_group: NDArray[np.int64]
    mapped: Floats
    train: tuple[Floats, Floats]
    head: Head
    parameters: int
    oracle: str
    truth: Truth | None = None


@dataclass(frozen=True)
class Bound:
    """terms: all of them, links included. numbers: of `analysis.results.BOUND_COLUMNS`."""

    terms: list[Term]
    numbers: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: what was not had is null."""
        rows = [{k: _json(v) for k, v in asdict(term).items()} for term in self.terms]
        return {"numbers": {k: _json(v) for k, v in self.numbers.items()}, "terms": rows}


def bound_of(m: Measured, tau: float = TEMPERATURE, seed: int = 0) -> Bound:
    """All terms of one run, the bound that they make, and every link of its argument (`link_…`: right side less left,
    negative where the inequality fails)."""
    risks, star, excess, error = _risks(m)
    distances = _distances(m, tau, np.random.default_rng(seed))
    routes = _routes(m, tau)
    heads = head_terms(m.head, DELTA / EVENTS)
    by_name = {term.term: term for term in (*risks, *distances, *routes, *heads)}
    tv = [by_name[name] for name in ("tv_oracle", "tv_teacher", "tv_distil")]
    slack = sum(by_name[name].high for name in ("margin", "capacity", "sampling"))
    whole = 2 * sum(term.high for term in tv) + slack
    best = by_name[f"risk_star:{star}"].value
    words = f"κ = 1, δ = {DELTA:g}; {'at least' if whole >= 1 - best else 'less than'} the largest excess there can be"
    told: Tag = "vacuous" if whole >= 1 - best else ("exact" if m.truth else "proxy")
    total = Term("bound", whole, math.nan, whole, told, words)
    links = _links(m, by_name, total, excess, tau)
    numbers = {
        "risk": by_name["risk"].value, "risk_star": best, "star": star, "excess": excess, "excess_se": error,
        "bound": whole, "tightness": excess / whole, "n_test": len(m.correct),
    }  # fmt: skip
    kappa = _kappa(excess, slack, sum(term.value for term in tv), sum(term.high for term in tv))
    return Bound([*by_name.values(), *kappa, total, *links], numbers)


def _risks(m: Measured) -> tuple[list[Term], str, float, float]:
    """Risk, stand-ins for the best one, and the excess over each; the least of them is R*."""
    terms = [_proportion("risk", ~m.correct, "measured", "test error of the head")]
    if m.truth is not None:
        exact = m.truth.risk
        terms.append(Term("risk_star:bayes", exact, exact, exact, "exact", "the Bayes rule of this world"))
        stars: dict[str, tuple[float, Floats]] = {"bayes": (exact, np.full(len(m.correct), exact))}
    else:
        stars = {name: (float((~right).mean()), (~right).astype(float)) for name, right in m.stars.items()}
        terms += [
            _proportion(f"risk_star:{name}", ~right, "proxy", SOURCE if name.endswith("source") else TARGET)
            for name, right in m.stars.items()
        ]
    found: dict[str, tuple[float, float]] = {}
    for name, (_, wrong) in stars.items():
        value, error = _clustered((~m.correct).astype(float) - wrong, m.group)
        found[name] = value, error
        low, high = value - NORMAL * error, value + NORMAL * error
        tag: Tag = "exact" if m.truth is not None else "proxy"
        terms.append(Term(f"excess:{name}", value, low, high, tag, "paired on test items; normal range by groups"))
    star = min(stars, key=lambda name: stars[name][0])
    return terms, star, *found[star]


def _distances(m: Measured, tau: float, rng: np.random.Generator) -> list[Term]:
    """Total variation of the Gibbs laws: of the oracles, of teacher and oracle, of student and teacher and oracle."""
    laws = {name: log_law(getattr(m, name).unit(), tau)
            for name in ("oracle_source", "oracle_target", "teacher", "student")}  # fmt: skip
    known: Tag = "exact" if m.truth is not None else "proxy"
    asked: tuple[tuple[str, str, str, Tag, str], ...] = (
        ("tv_oracle", "oracle_source", "oracle_target", known, f"{m.oracle} oracles of both modalities"),
        ("tv_teacher", "teacher", "oracle_source", known, f"teacher and {m.oracle} oracle of the source"),
        ("tv_distil", "teacher", "student", "measured", "route (a): teacher and student"),
        ("tv_student", "oracle_target", "student", known, f"student and {m.oracle} oracle of the target"),
    )
    terms = []
    for name, one, other, tag, words in asked:
        here = bounded(tv_rows(laws[one], laws[other]), m.pair_group, DELTA / EVENTS)
        null = null_tv(laws[one], laws[other], rng)
        terms.append(Term(name, here.value, here.low, here.high, tag, f"{words}; τ {tau:g}, bank {laws[one].shape[1]}"))
        value, low, high = (1 - x / null if null > 1e-12 else math.nan for x in (here.value, here.high, here.low))
        words = "1 - TV / its mean over permuted pairs: 0 unaligned, 1 identical"
        terms.append(Term(f"{name}_normalised", value, low, high, tag, words))
    return terms


def _routes(m: Measured, tau: float) -> list[Term]:
    """What else bounds the distillation's term: routes (b) and (c), and what stands for R_m."""
    teacher, student = m.teacher.unit(), m.student.unit()
    log_p, log_q = log_law(teacher, tau), log_law(student, tau)
    width = float(np.log(log_p.shape[1]) + 2 / tau)
    level = DELTA / EVENTS
    kl = bernstein(kl_rows(log_p, log_q), m.pair_group, level, width)
    b = Range(*(pinsker(x) for x in (kl.value, kl.low, kl.high)))
    mapped = unit_rows(m.mapped)
    own_p, own_q = (own_first(rows, teacher.rows, teacher.bank, tau) for rows in (teacher.rows, mapped))
    c = contrast(own_p, own_q, m.pair_group, tau, level)
    seed = bounded(tv_rows(own_p, own_q), m.pair_group, level)
    space = "student mapped linearly into the teacher's space, own item a candidate"
    return [
        Term("kl_distil", kl.value, kl.low, kl.high, "measured", "CMD's loss less the teacher's entropy, nats"),
        Term("tv_distil_pinsker", b.value, b.low, b.high, _full(b), "route (b): Pinsker, or Bretagnolle-Huber"),
        Term("tv_distil_seed", seed.value, seed.low, seed.high, "measured", f"what route (c) bounds: {space}"),
        Term("tv_distil_contrast", c.value, c.low, c.high, _full(c), f"route (c): {space}"),
        *_generalisation(m, kl_rows(log_p, log_q), tau, width),
        _bracketing(m),
    ]


def _generalisation(m: Measured, held_out: Floats, tau: float, width: float) -> list[Term]:
    """CMD's loss on held-out pairs less that on its training pairs, in place of 2R_m; Hoeffding on both sides."""
    bank = m.teacher.bank.mean(0), m.student.bank.mean(0)
    train = [
        Encoded(unit_rows(rows - mean), side.unit().bank)
        for rows, mean, side in zip(m.train, bank, (m.teacher, m.student), strict=True)
    ]
    seen = kl_rows(log_law(train[0], tau), log_law(train[1], tau))
    value = float(held_out.mean() - seen.mean())
    groups = len(np.unique(m.pair_group))
    half = width * (math.sqrt(math.log(4 / DELTA) / (2 * groups)) + math.sqrt(math.log(4 / DELTA) / (2 * len(seen))))
    words = "held-out less training KL, nats, in place of R_m; training pairs taken as given"
    fit = "CMD's loss less its least, on training pairs"
    return [Term("generalisation", value, value - half, value + half, "measured", words),
            Term("epsilon_distil", float(seen.mean()), math.nan, math.nan, "measured", fit)]  # fmt: skip


def _bracketing(m: Measured) -> Term:
    """3 sqrt(log N_[] / m) with log N_[] = p log(1 + 8 M R m) + log(1/δ) [DERIVED], M = R = 1: far above 1."""
    pairs = len(m.train[0])
    log_number = m.parameters * math.log(1 + 8 * pairs) + math.log(1 / DELTA)
    value = 3 * math.sqrt(log_number / pairs)
    words = f"3 sqrt(log N / m) of {m.parameters:,} parameters and {pairs:,} pairs: says nothing, and is in no sum"
    return Term("bracketing", value, math.nan, math.nan, "vacuous", words)


def _links(m: Measured, by: Mapping[str, Term], total: Term, excess: float, tau: float) -> list[Term]:
    """Every inequality of the argument, as right side less left, on what was measured."""
    tv = sum(by[name].value for name in ("tv_oracle", "tv_teacher", "tv_distil"))
    head = m.head.risk() + sum(by[name].high for name in ("margin", "capacity")) + by["uniform"].value
    tag: Tag = "exact" if m.truth is not None else "proxy"
    rows: list[tuple[str, float, Tag, str]] = [
        ("link_triangle", tv - by["tv_student"].value, tag, "TV(φ̂_B, φ_B*) ≤ sum of three"),
        ("link_pinsker", by["tv_distil_pinsker"].value - by["tv_distil"].value, "measured", "TV ≤ route (b)"),
        ("link_contrast", by["tv_distil_contrast"].value - by["tv_distil_seed"].value, "measured", "TV ≤ route (c)"),
        ("link_head", head - by["risk"].value, "measured", "risk ≤ training error + margin + 2R_n + deviation"),
        ("link_bound", total.value - excess, tag, "excess risk ≤ bound, κ = 1"),
    ]
    if m.truth is not None:
        joint, decided = float(m.truth.tv.mean()), float((~m.truth.decided).mean())
        rows += [
            ("link_decision", 2 * joint - (decided - m.truth.risk), "exact", "R(φ̂_B, ψ*) - R* ≤ 2 TV(x, z)"),
            ("link_assumption", by["tv_student"].value - joint, "exact", "TV(x, z) ≤ κ TV(x, s) at κ = 1"),
            ("link_erm", m.truth.fitted - m.head.risk(), "exact", "the head's training error ≤ that of ψ*"),
        ]
    return [Term(name, value, math.nan, math.nan, kind, f"{words}: {'holds' if value >= -1e-9 else 'FAILS'}")
            for name, value, kind, words in rows]  # fmt: skip


def _kappa(excess: float, slack: float, tv: float, tv_high: float) -> list[Term]:
    """The smallest κ that this run does not refute, and what it would be without the head's terms."""
    rigorous, plain = (
        over / (2 * distance) if over > 0 < distance else (math.inf if over > 0 else 0.0)
        for over, distance in ((excess - slack, tv_high), (excess, tv))
    )
    return [
        Term("kappa", rigorous, math.nan, math.nan, "measured", "smallest κ not refuted, head's terms allowed for"),
        Term("kappa_plain", plain, math.nan, math.nan, "proxy", "excess / 2 TV: what κ would be with a perfect head"),
    ]


def _proportion(name: str, events: NDArray[np.bool_], tag: Tag, note: str) -> Term:
    """A share with its Clopper-Pearson interval, 95 %, of items."""
    k, n = int(events.sum()), len(events)
    low, high = clopper_pearson_lower(k, n, 0.025), clopper_pearson_upper(k, n, 0.025)
    return Term(name, k / n, low, high, tag, f"{note}; Clopper-Pearson, {n} items")


def _clustered(values: Floats, group: NDArray[np.int64]) -> tuple[float, float]:
    """Mean over items and its standard error when items of one group depend on each other."""
    sums = np.bincount(np.unique(group, return_inverse=True)[1], weights=values - values.mean())
    count = len(sums)
    return float(values.mean()), float(np.sqrt(count / max(1, count - 1) * (sums**2).sum()) / len(values))


def _full(range_: Range) -> Tag:
    return "vacuous" if range_.high >= 0.995 else "measured"


def _json(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
