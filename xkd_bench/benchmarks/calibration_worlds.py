"""Simulated bound studies: worlds where theory holds, fails, or has nothing to say, as the tables it is read from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from xkd_bench.analysis.intervals import Floats

ESTIMATORS = ("oracle:tv_classifier", "oracle:tv_gibbs_normalised", "oracle:cka")


def bound_study(
    slope: float = 0.5, families: int = 4, each: int = 9, seeds: int = 3, *, noise: float = 0.01,
    gap_error: float = 0.01, spread: float = 0.0, uneven: bool = False, loose: float = 1.0, rng: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """A bound study whose truth is known: excess risk = 0.02 + slope · gap, as tables of conditions, bounds and terms.

    slope: positive where theory holds, negative in its twisted variant, 0 without any relation. spread: the standard
    deviation of families' own slopes about it. uneven: gaps of later families vary less. loose: what the terms of the
    bound are multiplied by; from 1 on most bounds are vacuous, as measured ones are, at 0.4 none is. The reference does
    not feel the gap, so that gains fall just as excess risk grows.
    """
    random = np.random.default_rng(rng)
    conditions, bounds, terms = [], [], []
    for f in range(families):
        family, best, lost = f"family{f}", random.uniform(0.1, 0.3), random.uniform(0.15, 0.3)
        own = slope + random.normal(0, spread)
        half = 0.25 / (1 + 2 * f) if uneven else 0.25
        for i, gap in enumerate(np.linspace(0.3 - half, 0.3 + half, each)):
            name = f"{family}@blur={gap:.3f}"
            seen = [gap + random.normal(0, gap_error) for _ in ESTIMATORS]
            reference = best + lost + random.normal(0, noise / 2, seeds)
            for m, method in enumerate(("cmc", "cmd")):
                risk = best + 0.02 + 0.01 * m + own * (gap - 0.3 * (slope < 0)) + random.normal(0, noise, seeds)
                shared = {"family": family, "condition": name, "method": method, "protocol": "linear-eval",
                          "n_seeds": seeds, "cluster": family, "baseline": 1 - reference.mean(),
                          "n_pairs": 1000.0 + 200 * (i % 3),
                          "capacity": 8 + 2 * gap + random.normal(0, 0.3)}  # fmt: skip
                for definition, values in _gains(reference, risk, best).items():
                    gain = {"gain": values.mean(), "gain_se": values.std(ddof=1) / np.sqrt(seeds)}
                    gain |= {"definition": definition, "gap_se": gap_error}
                    conditions += [{**shared, **gain, "estimator": e, "gap": g}
                                   for e, g in zip(ESTIMATORS, seen, strict=True)]  # fmt: skip
                for seed in range(seeds):
                    run = f"{name}-{method}-{seed}"
                    bounds.append(_bound(run, shared, seed, risk[seed], best, parts := _parts(gap, loose)))
                    terms += [{"run": run, **part} for part in parts]
    return pd.DataFrame(conditions), pd.DataFrame(bounds), pd.DataFrame(terms)


def _gains(reference: Floats, risk: Floats, best: float) -> dict[str, Floats]:
    raw = reference - risk
    return {"raw": raw, "relative": raw / (1 - reference), "error_reduction": raw / reference, "net": raw - 0.02,
            "excess_risk": risk - best}  # fmt: skip


def _parts(gap: float, loose: float) -> list[dict[str, Any]]:
    """Terms of the right-hand side, each with its upper limit 0.01 above it, and two steps of the argument."""
    values = {"tv_oracle": (gap, "proxy"), "tv_teacher": (0.02, "proxy"), "tv_distil": (0.1, "measured"),
              "margin": (0.05, "measured"), "capacity": (0.1, "vacuous"), "sampling": (0.04, "measured"),
              "tv_student": (gap + 0.05, "proxy"), "link_triangle": (0.07, "proxy")}  # fmt: skip
    return [{"term": term, "value": loose * value, "low": loose * (value - 0.01), "high": loose * (value + 0.01),
             "tag": tag, "note": _note(term)} for term, (value, tag) in values.items()]  # fmt: skip


def _note(term: str) -> str:
    return "TV(φ̂_B, φ_B*) ≤ sum of three: holds" if term == "link_triangle" else f"what {term} is"


def _bound(
    run: str, shared: dict[str, Any], seed: int, risk: float, best: float, parts: list[dict[str, Any]]
) -> dict[str, Any]:
    high = {part["term"]: part["high"] for part in parts}
    bound = 2 * (high["tv_oracle"] + high["tv_teacher"] + high["tv_distil"])
    bound += high["margin"] + high["capacity"] + high["sampling"]
    names = ("family", "condition", "cluster", "method", "protocol")
    return {**{name: shared[name] for name in names}, "run": run, "task": shared["condition"], "pairs": "true",
            "teacher": "efficientnet-lite0", "budget": "laptop", "seed": seed, "risk": risk, "risk_star": best,
            "star": "sup-ft, all labels", "excess": risk - best, "excess_se": 0.01, "bound": bound,
            "tightness": (risk - best) / bound, "n_test": 1000}  # fmt: skip
