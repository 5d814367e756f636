"""Tables of conditions whose truth is known."""

import numpy as np
import pandas as pd

from xkd_bench.benchmarks.calibration_worlds import ESTIMATORS, bound_study

__all__ = ["ESTIMATORS", "bound_study", "conditions"]


def conditions(
    slope=-0.3, tasks=6, each=6, *, noise=0.02, between=0.2, gap_error=0.0, gain_error=0.01, confounded=0.0, rng=0
):
    """Gains on gaps with an intercept for each task; `confounded`: how the intercept falls with the task's mean gap."""
    random = np.random.default_rng(rng)
    n = tasks * each
    family = np.repeat([f"task{i}" for i in range(tasks)], each)
    centre = np.repeat(random.uniform(0.2, 0.6, tasks), each)
    true = centre + random.uniform(-0.2, 0.2, n)
    level = np.repeat(random.normal(0, between, tasks), each) + confounded * centre
    gain = level + slope * true + random.normal(0, noise, n) + random.normal(0, gain_error, n)
    return pd.DataFrame({
        "family": family, "condition": [f"{f}-{i}" for i, f in enumerate(family)], "gain": gain, "gain_se": gain_error,
        "gap": true + random.normal(0, gap_error, n), "gap_se": gap_error, "baseline": random.uniform(0, 1, n),
    })  # fmt: skip
