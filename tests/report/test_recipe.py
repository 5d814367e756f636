"""A shared change of the recipe is a fact of the table; one of some rows stays in their names."""

import json

import pytest

from tests.report.frames import study
from xkd_bench.analysis.compare import summarise
from xkd_bench.report.recipe import shared_recipe_apart
from xkd_bench.report.tables import csv, latex, markdown

CHANGE = {"recipe.distil.epochs": 48}


def with_changes(df, changes, where=None):
    """`df` whose rows (all, or those of a method) have these changes beside their own."""
    own = [
        json.dumps(json.loads(old) | (changes if where in (None, method) else {}), sort_keys=True)
        for old, method in zip(df["option_changes"], df["method"], strict=True)
    ]
    return df.assign(option_changes=own)


def test_shared_by_all_rows_it_stands_with_the_budget():
    """Names, scores and marks are those of the same table without it; only the budget's line differs."""
    plain = study()
    df = with_changes(plain, CHANGE)
    words = "laptop with distil.epochs=48"
    assert markdown(df) == markdown(plain).replace("budget laptop", f"budget {words}")
    assert latex(df) == latex(plain).replace("budget laptop", f"budget {words}")


def test_several_are_listed_and_other_options_stay_in_names():
    df = with_changes(study(), CHANGE | {"recipe.distil.lr": 0.01, "recipe.all.schedule": "poly"})
    df = with_changes(df, {"tau": 0.2}, "cmc")
    shown = shared_recipe_apart(df)
    assert shown["budget"].unique() == ["laptop with all.schedule=poly, distil.epochs=48, distil.lr=0.01"]
    assert "cmc (tau=0.2)" in set(summarise(shown)["variant"])


@pytest.mark.parametrize("other", [{}, {"recipe.distil.epochs": 12}])
def test_of_some_rows_it_stays_in_their_names(other):
    df = with_changes(with_changes(study(), other), CHANGE, "cmc")
    assert shared_recipe_apart(df) is df
    assert "cmc (recipe.distil.epochs=48)" in set(summarise(df)["variant"])


def test_an_option_of_the_method_is_never_moved():
    df = with_changes(study(), {"tau": 0.2})
    assert shared_recipe_apart(df) is df


def test_the_plot_and_the_numbers_to_compute_with():
    """The plot's names are the table's; the CSV, which is read beside others, names each row in full."""
    from xkd_bench.report.plots import figure

    df = with_changes(study(shots=(5,), trained=("head",)), CHANGE)
    labels = [text.get_text() for text in figure(df).axes[0].get_yticklabels()]
    assert "cmc" in labels
    assert not any("recipe" in label for label in labels)
    assert "cmc (recipe.distil.epochs=48)" in csv(df)
