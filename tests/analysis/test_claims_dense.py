"""Claims on segmentation: what an option is worth, networks of two kinds, operations; in both directions."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.report.frames import row
from xkd_bench.analysis.claims import DENSE
from xkd_bench.analysis.claims_dense import is_transformer
from xkd_bench.analysis.ledger import Data, evaluate

CNN, TRANSFORMER = "deeplabv3plus-tu-mobilenetv3_small_050-w32", "segformer-mit_b0"
CSK = {"channels": "quantile", "columns": 2, "separate_norms": True, "sparsity": 0.0}
AF = {"weight_ctr": 400.0, "variant": "omni"}


def scores(*kinds, seeds=4, noise=0.002, rng=0):
    """Scores of kinds of runs (method, mean, options, more), which share what their seed is worth."""
    random, rows = np.random.default_rng(rng), []
    for seed in range(seeds):
        shared = random.normal(0, 0.05)
        for method, mean, options, more in kinds:
            cell = {"task": "tabletop:depth", "student": CNN, "seed": seed, "trained": "all", "labels_per_class": None,
                    "metric": "mIoU", "options": json.dumps(options), "inputs": "target"}  # fmt: skip
            run = {"method": method, "teacher": "" if method == "sup-ft" else "supervised"}
            value = mean + shared + random.normal(0, noise)
            rows.append(row(run, value, **(cell | {"option_changes": json.dumps(options)} | more)))
    return pd.DataFrame(rows).astype({"labels_per_class": "Int64"})


def verdicts(df, **more):
    return evaluate(DENSE, Data(df, **more)).set_index("claim")


def csk(mean, **changes):
    return "csk-net", mean, CSK | changes, {}


@pytest.mark.parametrize(("apart", "said"), [(0.52, "supported"), (0.48, "refuted"), (0.50, "undecided")])
def test_norms_apart_and_shared_are_compared_with_all_else_equal(apart, said):
    alike = {"channels": "none", "columns": 0}
    df = scores(csk(apart, **alike), csk(0.5, **alike, separate_norms=False), csk(0.9))
    found = verdicts(df).loc["csk-norms"]
    assert found["verdict"] == said
    assert found["effect"] == pytest.approx(100 * (apart - 0.5), abs=0.5)
    assert (found["n"], found["conditions"]) == (4, 1)


def test_rows_that_differ_in_more_than_the_option_are_not_compared():
    df = scores(csk(0.5), csk(0.4, channels="none", columns=0, separate_norms=False))
    assert "no condition with 3 seeds" in verdicts(df).loc["csk-norms", "missing"]


def test_runs_of_another_recipe_are_no_pair():
    recipe = {"option_changes": json.dumps({"sparsity": 2e-4, "recipe.all.lr": 0.1})}
    found = verdicts(scores(csk(0.5), ("csk-net", 0.1, CSK | {"sparsity": 2e-4}, recipe)))
    assert "no condition with 3 seeds" in found.loc["csk-sparsity", "missing"]


@pytest.mark.parametrize(("penalised", "said"), [(0.47, "supported"), (0.53, "refuted")])
def test_the_penalty_on_scales_is_what_is_claimed_to_hurt(penalised, said):
    found = verdicts(scores(csk(0.5), csk(penalised, sparsity=2e-4))).loc["csk-sparsity"]
    assert found["verdict"] == said
    assert found["effect"] == pytest.approx(100 * (0.5 - penalised), abs=0.5)


def test_several_settings_that_have_both_are_averaged_within_a_seed():
    late = {"columns": 4}
    df = scores(csk(0.5), csk(0.48, sparsity=2e-4), csk(0.5, **late), csk(0.44, sparsity=2e-4, **late), noise=0)
    found = verdicts(df).loc["csk-sparsity"]
    assert found["effect"] == pytest.approx(4)
    assert found["n"] == 4


@pytest.mark.parametrize(("bare", "said"), [(0.46, "supported"), (0.49, "refuted"), (0.48, "undecided")])
def test_contrast_over_imitation_needs_two_points(bare, said):
    df = scores(("af-dcd", 0.5, AF, {}), ("af-dcd", bare, AF | {"weight_ctr": 0.0}, {}),
                ("af-dcd", 0.9, AF | {"variant": "spatial"}, {}))  # fmt: skip
    assert verdicts(df).loc["afdcd-over-imitation", "verdict"] == said


@pytest.mark.parametrize(("gain", "said"), [(0.01, "supported"), (0.07, "refuted")])
def test_gains_of_both_kinds_of_networks_are_paired_by_seed(gain, said):
    other = {"student": TRANSFORMER, "option_changes": "{}"}
    df = scores(("af-dcd", 0.54, AF, {"option_changes": "{}"}), ("sup-ft", 0.5, {}, {}),
                ("af-dcd", 0.6 + gain, AF, other), ("sup-ft", 0.6, {}, other))  # fmt: skip
    found = verdicts(df).loc["afdcd-transformers"]
    assert found["verdict"] == said
    assert found["effect"] == pytest.approx(4 - 100 * gain, abs=0.6)
    assert found["n"] == 4
    assert verdicts(df[df["student"] == CNN]).loc["afdcd-transformers", "missing"]


def test_transformers_are_known_by_their_names():
    assert all(
        map(is_transformer, ("segformer-mit_b0", "deeplabv3plus-mit_b2-w32", "pspnet-tu-swin_tiny_patch4_window7"))
    )
    assert not any(map(is_transformer, (CNN, "deeplabv3-resnet18-os8-aux", "pspnet-mobilenet_v2")))


@pytest.mark.parametrize(("operations", "said"), [(1000, "supported"), (1010, "supported"), (1020, "refuted")])
def test_the_dearest_network_settles_what_inference_costs(operations, said):
    def cost(method, student, budget):
        assert (method, budget) == ("csk-net", "laptop")
        own = operations if student == CNN else 990
        return {"operations": own, "parameters": 10, "both_operations": 2300, "plain_operations": 1000,
                "plain_parameters": 10}  # fmt: skip

    df = scores(csk(0.5), ("csk-net", 0.5, CSK, {"student": "pspnet-resnet18"}), seeds=1)
    found = verdicts(df, cost=cost).loc["csk-cost"]
    assert found["verdict"] == said
    assert (found["effect"], found["n"]) == (operations / 1000, 2)
    assert "with both modalities 2.3 times the operations" in found["note"]
    assert verdicts(df).loc["csk-cost", "verdict"] == "undecided", "nobody counted"
    assert verdicts(df[df["student"] == "none"], cost=cost).loc["csk-cost", "missing"]
