"""The protocols and budgets as data: each loads, holds the published numbers, and a wrong file is refused."""

import tomllib
from importlib.resources import files
from itertools import pairwise

import pytest
from pydantic import ValidationError

import protocols
from protocols import HeadRecipe, Protocol, Recipe, model


@pytest.fixture
def other_files(tmp_path, monkeypatch):
    """Protocols are read from a folder of the test's; the real ones are back afterwards."""
    caches = (model.protocol_names, model.load_protocol, model.budget_names, model.load_budget)
    monkeypatch.setattr(model, "files", lambda package: tmp_path)
    for cached in caches:
        cached.cache_clear()
    yield tmp_path
    for cached in caches:
        cached.cache_clear()


# --- what is published ----------------------------------------------------------------------------------------------


def test_the_four_protocols_are_there_and_load():
    assert protocols.protocol_names() == ("few-shot", "fine-tune", "linear-eval", "reduced-pair")
    for name in protocols.protocol_names():
        protocol = protocols.load_protocol(name)
        assert protocol.name == name
        assert protocol.summary
        assert "[PAPER]" in protocol.source


@pytest.mark.parametrize(
    ("name", "fractions", "labels", "trained"),
    [
        ("linear-eval", (1.0,), (None,), ("head",)),
        ("fine-tune", (1.0,), (None,), ("all",)),
        ("few-shot", (1.0,), (1, 5, 10), ("head", "all")),
        ("reduced-pair", (1.0, 0.5, 0.3, 0.2, 0.1, 0.05), (None,), ("head",)),
    ],
)
def test_each_is_its_point_in_the_space(name, fractions, labels, trained):
    protocol = protocols.load_protocol(name)
    assert protocol.pair_fractions == fractions
    assert protocol.label_counts() == labels
    assert protocol.trained == trained
    assert protocol.draws == (10 if name == "few-shot" else 1)  # "over at least 10 label draws"


def test_the_budgets_are_there_from_cheap_to_dear():
    assert protocols.budget_names() == ("smoke", "laptop", "paper")
    loaded = [protocols.load_budget(name) for name in protocols.budget_names()]
    for one, next_one in pairwise(loaded):
        assert one.seeds <= next_one.seeds
        assert one.target_size <= next_one.target_size
        assert one.distil.epochs < next_one.distil.epochs


@pytest.mark.parametrize(
    ("kind", "distil_batch", "evaluation_lr", "evaluation_batch"),
    [("image", 64, 1e-3, 64), ("depth", 16, 1e-2, 16), ("audio", 16, 1e-2, 16)],
)
def test_the_papers_numbers(kind, distil_batch, evaluation_lr, evaluation_batch):
    paper = protocols.load_budget("paper", kind)
    distil = paper.distil
    assert (distil.optimiser, distil.lr, distil.epochs, distil.schedule) == ("adam", 1e-3, 100, "constant")
    assert distil.batch == distil_batch
    assert (distil.weight_decay, distil.warmup_epochs, distil.clip_norm) == (0, 0, None)
    assert paper.head.solver == "recipe"
    for recipe in (paper.head.recipe, paper.all):
        assert (recipe.optimiser, recipe.lr, recipe.epochs, recipe.batch) == (
            "adam",
            evaluation_lr,
            100,
            evaluation_batch,
        )
        assert (recipe.schedule, recipe.milestones, recipe.gamma) == ("multistep", (60, 70, 80), 0.1)
    assert paper.student == "resnet50"
    assert paper.teacher_views == "augmented"
    assert paper.seeds >= 5


def test_an_override_touches_what_it_names_and_nothing_else():
    image, depth = (protocols.load_budget("paper", kind).model_dump() for kind in ("image", "depth"))
    assert depth["distil"] == {**image["distil"], "batch": 16}
    assert depth["all"] == {**image["all"], "lr": 1e-2, "batch": 16}
    assert {k: v for k, v in depth.items() if k not in ("distil", "all", "head")} == {
        k: v for k, v in image.items() if k not in ("distil", "all", "head")
    }
    assert protocols.load_budget("laptop", "depth") == protocols.load_budget("laptop")


@pytest.mark.parametrize("name", ["few_shot", "Few-Shot", "budgets", "", "../budgets"])
def test_a_name_that_is_none_is_a_key_error(name):
    with pytest.raises(KeyError):
        protocols.load_protocol(name)


def test_budget_that_is_none_is_a_key_error():
    with pytest.raises(KeyError):
        protocols.load_budget("desktop")


def test_what_is_loaded_cannot_be_changed():
    with pytest.raises(ValidationError):
        protocols.load_protocol("few-shot").draws = 3
    with pytest.raises(ValidationError):
        protocols.load_budget("laptop").distil.lr = 1.0


def test_the_numbers_live_in_the_toml_files_alone():
    shipped = {f.name for f in files("protocols").iterdir() if f.name.endswith(".toml")}
    assert shipped == {"budgets.toml", "few_shot.toml", "fine_tune.toml", "linear_eval.toml", "reduced_pair.toml"}
    text = files("protocols").joinpath("few_shot.toml").read_text()
    assert tomllib.loads(text)["labels_per_class"] == [1, 5, 10]


# --- files that are wrong -------------------------------------------------------------------------------------------

PROTOCOL = {
    "name": "mine", "version": 1, "summary": "s", "source": "ours", "labels_per_class": [1, 5], "trained": ["head"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels_per_class": []}, "non-empty list without repeats"),
        ({"labels_per_class": [5, 5]}, "non-empty list without repeats"),
        ({"labels_per_class": [0]}, "greater than 0"),
        ({"labels_per_class": ["some"]}, "all"),
        ({"labels_per_class": [1, "all"], "draws": 3}, "several draws of all labels are the same draw"),
        ({"pair_fractions": [1.5]}, "less than or equal to 1"),
        ({"pair_fractions": [0.0]}, "greater than 0"),
        ({"pair_fractions": []}, "non-empty list"),
        ({"trained": ["body"]}, "head"),
        ({"trained": ["head", "head"]}, "without repeats"),
        ({"draws": 0}, "greater than 0"),
        ({"version": 0}, "greater than 0"),
        ({"colour": "red"}, "Extra inputs are not permitted"),
        ({"name": None}, "valid string"),
    ],
)
def test_a_protocol_that_is_no_point_in_the_space_is_refused(change, message):
    Protocol.model_validate(PROTOCOL)
    with pytest.raises(ValidationError, match=message):
        Protocol.model_validate({**PROTOCOL, **change})


RECIPE = {"lr": 1e-3, "epochs": 2, "batch": 8, "schedule": "constant", "augmentation": "none"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schedule": "multistep"}, "milestones go with"),
        ({"milestones": [3]}, "milestones go with"),
        ({"schedule": "multistep", "milestones": [7, 6]}, "milestones must increase"),
        ({"schedule": "multistep", "milestones": [6, 6]}, "milestones must increase"),
        ({"schedule": "linear"}, "cosine"),
        ({"lr": 0}, "greater than 0"),
        ({"weight_decay": -1}, "greater than or equal to 0"),
        ({"gamma": 2}, "less than or equal to 1"),
        ({"clip_norm": 0}, "greater than 0"),
        ({"epochs": 0}, "greater than 0"),
        ({"optimiser": "lion"}, "adam"),
        ({"augmentation": "strong"}, "simclr"),
        ({"epoch": 3}, "Extra inputs"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(change, message):
    Recipe.model_validate(RECIPE)
    with pytest.raises(ValidationError, match=message):
        Recipe.model_validate({**RECIPE, **change})


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ({"solver": "logistic"}, "inverse_strengths go with"),
        ({"solver": "logistic", "inverse_strengths": [1.0], "recipe": RECIPE}, "a recipe goes with"),
        ({"solver": "recipe"}, "a recipe goes with"),
        ({"solver": "recipe", "recipe": RECIPE, "inverse_strengths": [1.0]}, "inverse_strengths go with"),
        ({"solver": "logistic", "inverse_strengths": [-1.0]}, "greater than 0"),
    ],
)
def test_a_head_that_is_neither_solved_nor_trained_is_refused(head, message):
    with pytest.raises(ValidationError, match=message):
        HeadRecipe.model_validate(head)


def test_a_new_protocol_is_one_file(other_files):
    (other_files / "two_shot.toml").write_text(
        'name = "two-shot"\nversion = 3\nsummary = "s"\nsource = "ours"\nlabels_per_class = [2]\ntrained = ["all"]\n'
    )
    assert model.protocol_names() == ("two-shot",)
    assert model.load_protocol("two-shot").label_counts() == (2,)


def test_a_file_that_names_itself_otherwise_is_refused(other_files):
    (other_files / "two_shot.toml").write_text(
        'name = "few-shot"\nversion = 1\nsummary = "s"\nsource = "o"\nlabels_per_class = [2]\ntrained = ["all"]\n'
    )
    with pytest.raises(ValueError, match="the file of protocol 'two-shot' names itself 'few-shot'"):
        model.load_protocol("two-shot")


def test_a_budget_with_a_table_missing_is_refused(other_files):
    whole = files("protocols").joinpath("budgets.toml").read_text()
    (other_files / "budgets.toml").write_text("\n".join(x for x in whole.splitlines() if not x.startswith("distil =")))
    assert "smoke" in model.budget_names()
    with pytest.raises(ValidationError, match="distil"):
        model.load_budget("smoke")


def test_a_limit_of_steps_cuts_whole_epochs_and_leaves_at_least_one():
    plan = Recipe(lr=0.1, epochs=12, batch=4, schedule="cosine", augmentation="none", max_steps=100)
    assert [plan.fitted(n).epochs for n in (1, 8, 9, 50, 100, 101)] == [12, 12, 11, 2, 1, 1]
    assert plan.fitted(5).max_steps is None
    unlimited = plan.model_copy(update={"max_steps": None})
    assert unlimited.fitted(10**6) is unlimited
    assert "max_steps" not in unlimited.model_dump(), "keys of what was made without it stay"
    assert plan.model_dump()["max_steps"] == 100


def test_a_least_number_of_steps_shows_small_sets_more_often():
    plan = Recipe(lr=0.1, epochs=12, batch=4, schedule="cosine", augmentation="none", min_steps=100)
    assert [plan.fitted(n).epochs for n in (1, 3, 8, 9, 50)] == [100, 34, 13, 12, 12]
    assert plan.fitted(5).min_steps is None
    assert "min_steps" not in plan.model_copy(update={"min_steps": None}).model_dump(), "keys stay"
    both = plan.model_dump() | {"max_steps": 100}
    assert [Recipe(**both).fitted(n).epochs for n in (1, 8, 40, 60)] == [100, 13, 3, 2]
    with pytest.raises(ValidationError, match="min_steps = 100 are more than max_steps = 99"):
        Recipe(**both | {"max_steps": 99})
    with pytest.raises(ValidationError, match="milestones stay where they are"):
        Recipe(**plan.model_dump() | {"schedule": "multistep", "milestones": (3,)})
