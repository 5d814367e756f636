"""RunSpec: defaults filled in, everything wrong refused with one line, keys that depend on all of it."""

import pytest
from pydantic import ValidationError

from protocols import CHANGEABLE, load_budget
from xkd_bench.errors import UsageError
from xkd_bench.spec import RunSpec, digest


@pytest.fixture
def make(toy):
    def make_spec(**fields) -> RunSpec:
        return RunSpec.make(**{"task": toy, "budget": "smoke", **fields})

    return make_spec


def test_defaults_are_filled_in(make):
    spec = make()
    assert (spec.method, spec.protocol, spec.teacher, spec.pairs) == ("cmc", "few-shot", "efficientnet-lite0", "true")
    assert (spec.seed, spec.precision, spec.batch) == (0, "32", None)
    assert spec.student == spec.load_budget().student == "conv4-w8"
    assert spec.options == {
        "tau": 0.1, "learn_tau": False, "positives": "distinct", "queue": 0, "centre_teacher": True,
    }  # fmt: skip
    assert (spec.init, spec.teacher_weights, spec.teacher_digest) == ("random", None, None)


def test_options_given_as_text_are_the_same_run_as_typed_ones(make):
    assert make(options={"tau": "0.2", "centre_teacher": "false"}) == make(
        options={"tau": 0.2, "centre_teacher": False}
    )
    assert make(options={"tau": "0.1"}) == make()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"task": "tou"}, "unknown task 'tou': did you mean 'toy'?"),
        ({"method": "cmcc"}, "unknown method 'cmcc': did you mean 'cmc'?"),
        ({"protocol": "fewshot"}, "unknown protocol 'fewshot': did you mean 'few-shot'?"),
        ({"budget": "labtop"}, "unknown budget 'labtop': did you mean 'laptop'?"),
        ({"teacher": "efficientnet-lite"}, "unknown teacher 'efficientnet-lite': did you mean 'efficientnet-lite"),
        ({"student": "resnet_50"}, "unknown student 'resnet_50': did you mean 'resnet50'?"),
        ({"student": "resnet9-w16"}, "6n + 2 layers"),
        ({"pairs": "shuffle"}, "unknown kind of pairs 'shuffle': did you mean 'shuffled'?"),
        ({"precision": "64"}, "unknown precision '64'"),
        ({"options": {"tua": 0.1}}, "unknown option of method 'cmc' 'tua': did you mean 'tau'?"),
        ({"options": {"tau": "warm"}}, "option tau=warm of method 'cmc': input should be a valid number"),
        ({"options": {"tau": 0}}, "option tau=0 of method 'cmc': input should be greater than 0"),
        ({"options": {"tau": "nan"}}, "option tau=nan of method 'cmc'"),
        ({"options": {"tau": "inf"}}, "option tau=inf of method 'cmc'"),
        ({"options": {"positives": "some"}}, "option positives=some of method 'cmc'"),
        ({"method": "cmd", "options": {"form": "inter"}}, "option form=inter of method 'cmd'"),
        ({"method": "sup-ft", "options": {"tau": 0.1}}, "unknown option of method 'sup-ft' 'tau'"),
        ({"seed": -1}, "a seed is 0 or more, got -1"),
        ({"batch": 1}, "a batch has 2 items or more, got 1"),
        ({"batch": 0}, "a batch has 2 items or more, got 0"),
    ],
)
def test_what_is_wrong_is_one_line(make, fields, message):
    with pytest.raises(UsageError) as caught:
        make(**fields)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert caught.value.exit_code == 2


def test_a_method_without_pairs_is_one_run_whatever_the_teacher(make):
    for method in ("ssl", "sup-ft"):
        plain = make(method=method)
        assert plain.teacher == "none"
        assert make(method=method, teacher="random") == plain
        assert make(method=method, teacher="simclr", pairs="shuffled") == plain


def test_a_method_with_pairs_is_not(make):
    different = [make(), make(teacher="random"), make(teacher="simclr"), make(pairs="shuffled")]
    assert len({spec.model_dump_json() for spec in different}) == 4


def test_a_spec_is_frozen_and_hashable(make):
    spec = make()
    with pytest.raises(ValidationError):
        spec.seed = 3
    assert len({spec, make(), make(seed=1), make(options={"tau": 0.3})}) == 3


def test_the_budget_of_a_spec_has_its_batch(make):
    assert make(batch=12).load_budget().distil.batch == 12
    plain = make().load_budget()
    assert make(batch=12).load_budget().model_dump(exclude={"distil"}) == plain.model_dump(exclude={"distil"})
    assert plain.distil.batch != 12  # the budget itself is not changed


def test_labels_tell_controls_and_seeds_apart(make):
    labels = {
        make(**f).label()
        for f in ({}, {"seed": 1}, {"teacher": "random"}, {"teacher": "simclr"}, {"pairs": "shuffled"})
    }
    assert len(labels) == 5


# --- digests --------------------------------------------------------------------------------------------------------

FIELDS = {"a": 1, "b": [1, 2], "c": {"x": 0.1, "y": None}, "d": "1"}


def test_a_digest_does_not_depend_on_the_order_of_keys():
    assert digest(FIELDS) == digest({k: FIELDS[k] for k in reversed(FIELDS)})
    assert digest({**FIELDS, "c": {"y": None, "x": 0.1}}) == digest(FIELDS)


@pytest.mark.parametrize(
    "change", [{"a": 2}, {"a": "1"}, {"b": [2, 1]}, {"c": {"x": 0.1}}, {"c": {"x": 0.2, "y": None}}, {"d": 1}, {"e": 0}]
)
def test_a_digest_depends_on_everything_else(change):
    assert digest({**FIELDS, **change}) != digest(FIELDS)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_cannot_hold_has_no_digest(value):
    with pytest.raises(ValueError, match="JSON"):
        digest({"x": value})


# --- changes of the budget ------------------------------------------------------------------------------------------


def test_a_recipe_changes_the_budget_of_its_run_and_nothing_else(make):
    plain, spec = make(), make(recipe={"all.ema": 0.999, "distil.lr": 0.5, "target_size": [24, 32]})
    budget, own = spec.load_budget(), plain.load_budget()
    assert (budget.all.ema, budget.distil.lr, budget.target_size) == (0.999, 0.5, (24, 32))
    changed = {"all", "distil", "target_size"}
    assert budget.model_dump(exclude=changed) == own.model_dump(exclude=changed)
    assert make(recipe={"distil.lr": 0.5}, batch=12).load_budget().distil.batch == 12


def test_a_recipe_is_known_by_what_it_changes(make):
    lr = make().load_budget().distil.lr
    assert "recipe" not in make().fields(), "keys of runs without one are as they were"
    assert make(recipe={}) == make(recipe={"distil.lr": lr, "distil.ema": None}) == make()
    one, two = ({"all.ema": 0.9, "distil.lr": 0.5}, {"distil.lr": 0.5, "all.ema": 0.9, "all.decay_norms": True})
    assert make(recipe=one) == make(recipe=two)
    assert make(recipe=one).fields() != make(recipe={"all.ema": 0.9}).fields()
    assert RunSpec.model_validate(make(recipe=one).model_dump()) == make(recipe=one)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"distil.batch": 3}, "recipe distil.batch: the batch of distillation has an option of its own, --batch"),
        ({"all.eam": 0.9}, "unknown field of a recipe 'all.eam': did you mean 'all.ema'? known: all.augmentation,"),
        ({"target_siz": 32}, "unknown field of a recipe 'target_siz': did you mean 'target_size'? known: all.aug"),
        ({"student": "conv4-w8"}, "unknown field of a recipe 'student': "),
        ({"all.lr": 1, "all.ema": 2}, "recipe all.ema=2: input should be less than 1"),
        ({"all.milestones": [3]}, "recipe all.milestones=[3]: milestones go with schedule = 'multistep'"),
        ({"all.lr": "warm"}, "recipe all.lr=warm: input should be a valid number"),
        ({"all.augmentation": "dense"}, "recipe all.augmentation=dense: for classification there is none, light"),
    ],
)
def test_what_is_wrong_in_a_recipe_is_one_line(make, recipe, message):
    with pytest.raises(UsageError) as caught:
        make(recipe=recipe)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_field_that_can_be_changed_can_be_read_back():
    for name in CHANGEABLE:
        for budget in ("smoke", "paper"):
            plan = load_budget(budget)
            if plan.head.recipe is not None or not name.startswith("head.recipe"):
                assert plan.changed({name: plan.value(name)}) == plan
