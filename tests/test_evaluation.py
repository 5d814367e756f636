"""Scoring: the encoder is left alone, choices rest on validation data, draws are those of every other method."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from protocols import HeadRecipe, Recipe
from tests.runs import METHODS, run
from tests.toy import ToyData
from xkd_bench import evaluation
from xkd_bench.evaluation import fine_tuned_score, linear_scores, standardised, target_features
from xkd_bench.models.encoders import build_encoder
from xkd_bench.sampling import draw_labels
from xkd_bench.training import make_fabric

CPU = torch.device("cpu")
LOGISTIC = HeadRecipe(solver="logistic", inverse_strengths=(1e-4, 1e-2, 1.0, 100.0))
TUNING = Recipe(lr=3e-3, epochs=6, batch=16, schedule="constant", augmentation="light")


@pytest.fixture(scope="module")
def data() -> ToyData:
    return ToyData(8, 24)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    encoder = build_encoder("resnet8-w16", 1, 24)
    with torch.no_grad():  # statistics that are not those of a fresh network
        encoder(torch.rand(32, 1, 24, 24))
    return encoder


@pytest.fixture(scope="module")
def informative(data) -> torch.Tensor:
    """Features that tell the classes apart, with noise."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(4, 20, generator=generator)
    return 0.7 * centres[torch.from_numpy(data.label)] + torch.randn(96, 20, generator=generator)


def state_of(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def linear(data, features, recipe=LOGISTIC, counts=(1, 5, None), draws=3, split=None, seed=0):
    return linear_scores(
        features, split or data.split(0), recipe, counts, draws, seed=seed, fabric=make_fabric("cpu")
    )  # fmt: skip


def test_linear_evaluation_leaves_every_bit_of_the_encoder(data, encoder):
    before = state_of(encoder)
    encoder.train()
    features = target_features(encoder, data, CPU)
    linear(data, features)
    assert same(before, state_of(encoder))
    with torch.no_grad():
        expected = encoder.eval()(torch.from_numpy(data.target.data).float() / 255)
    assert torch.allclose(features, expected, atol=1e-5)


def test_fine_tuning_trains_a_copy_body_head_and_statistics(data, encoder, monkeypatch):
    before = state_of(encoder)
    trained = []
    real = evaluation.fit
    monkeypatch.setattr(evaluation, "fit", lambda module, *a, **k: trained.append(module) or real(module, *a, **k))
    fine_tuned_score(encoder, data, data.split(0), TUNING, 5, 0, seed=0, fabric=make_fabric("cpu"))
    assert same(before, state_of(encoder))
    (model,) = trained
    after = model.encoder.state_dict()
    assert all(not torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_fine_tuning_learns_from_its_labels(data, encoder):
    scores = [
        fine_tuned_score(
            encoder, data, data.split(0), TUNING.model_copy(update={"epochs": epochs}), None, 0, seed=0,
            fabric=make_fabric("cpu"),
        ).value
        for epochs in (1, 25)
    ]  # fmt: skip
    assert scores[1] > max(0.6, scores[0] + 0.1)


def test_a_score_is_the_share_of_right_answers_on_the_test_part(data, informative, encoder):
    split = data.split(0)
    tuned = fine_tuned_score(encoder, data, split, TUNING, 1, 0, seed=0, fabric=make_fabric("cpu"))
    for score in [*linear(data, informative), tuned]:
        assert score.correct.shape == (score.n_test,) == (len(split.test),)
        assert score.correct.dtype == bool
        assert score.value == pytest.approx(score.correct.mean(), abs=1e-6)


@pytest.mark.parametrize("per_class", [5, None])
def test_linear_evaluation_is_scikit_learns_on_the_same_features_and_labels(data, informative, per_class):
    split = data.split(0)
    scaler = StandardScaler().fit(informative[split.train])
    x = scaler.transform(informative)
    for score in linear(data, informative, counts=(per_class,), draws=1 if per_class is None else 3):
        items = draw_labels(split, per_class, seed=0, draw=score.draw)
        theirs = LogisticRegression(C=score.chosen["C"], solver="newton-cholesky").fit(x[items], split.label[items])
        assert (theirs.predict(x[split.test]) == split.label[split.test]).tolist() == score.correct.tolist()
        assert theirs.score(x[split.val], split.label[split.val]) == pytest.approx(score.validation, abs=1e-6)


def test_the_regularisation_is_the_best_on_validation_data_over_all_draws(data, informative):
    split = data.split(0)
    x = standardised(informative, split).numpy()
    for per_class in (1, 5):
        scores = linear(data, informative, counts=(per_class,))
        (chosen,) = {score.chosen["C"] for score in scores}
        mean = {}
        for c in LOGISTIC.inverse_strengths:
            draws = [draw_labels(split, per_class, seed=0, draw=d) for d in range(3)]
            fits = [LogisticRegression(C=c, solver="newton-cholesky").fit(x[d], split.label[d]) for d in draws]
            mean[c] = np.mean([fit.score(x[split.val], split.label[split.val]) for fit in fits])
        nearest = min(mean, key=lambda c: abs(c - chosen))  # the record holds a float32
        assert mean[nearest] == max(mean.values())


def test_the_labels_of_the_test_part_choose_nothing(data, informative):
    split = data.split(0)
    label = split.label.copy()
    label[split.test] = (label[split.test] + 1) % 4
    lied = dataclasses.replace(split, label=label)
    true, false = (linear(data, informative, split=s) for s in (split, lied))
    assert [(s.chosen, s.validation) for s in true] == [(s.chosen, s.validation) for s in false]
    assert np.mean([s.value for s in true]) > np.mean([s.value for s in false]) + 0.2


def test_the_features_of_the_test_part_change_nothing_but_their_own_scores(data, informative):
    split = data.split(0)
    moved = informative.clone()
    moved[split.test] = 1000.0
    assert torch.equal(standardised(moved, split)[split.train], standardised(informative, split)[split.train])
    assert [s.chosen for s in linear(data, moved)] == [s.chosen for s in linear(data, informative)]


def test_standardised_features_have_mean_0_and_deviation_1_on_train_and_constant_ones_are_0(data, informative):
    split = data.split(0)
    padded = torch.cat((informative * 50 + 7, torch.full((96, 1), 3.0), torch.zeros(96, 1)), 1)
    x = standardised(padded, split)
    assert x.dtype == torch.float32
    assert torch.allclose(x[split.train].mean(0), torch.zeros(22), atol=1e-5)
    assert torch.allclose(x[split.train].std(0), torch.tensor([1.0] * 20 + [0.0] * 2), atol=1e-5)
    assert x[:, 20:].abs().max() == 0


def test_the_published_recipe_trains_heads_that_learn_and_repeats_itself(data, informative):
    recipe = Recipe(
        lr=0.05, epochs=30, batch=16, schedule="multistep", milestones=(20, 25), augmentation="none"
    )  # fmt: skip
    head = HeadRecipe(solver="recipe", recipe=recipe)
    one, two = (linear(data, informative, recipe=head, counts=(1, None), draws=1) for _ in range(2))
    assert [s.value for s in one] == [s.value for s in two]
    assert one[1].value > 0.7
    assert one[1].value >= one[0].value
    assert all(s.chosen == {} and np.isnan(s.validation) for s in one)


def test_more_labels_score_more_on_average(data, informative):
    scores = linear(data, informative, counts=(1, 10), draws=10)
    mean = {n: np.mean([s.value for s in scores if s.labels_per_class == n]) for n in (1, 10)}
    assert mean[10] > mean[1] + 0.05


def test_seeds_change_the_draws_and_nothing_is_random_otherwise(data, informative):
    def values(seed: int) -> list[list[bool]]:
        torch.manual_seed(np.random.randint(1000))
        return [s.correct.tolist() for s in linear(data, informative, counts=(1,), seed=seed)]

    assert values(0) == values(0)
    assert values(0) != values(1)


def test_every_method_is_scored_on_the_same_labels(toy, tmp_path, monkeypatch):
    drawn: dict[str, list] = {}

    def spy(method: str):
        def draw(split, per_class, *, seed, draw):
            items = draw_labels(split, per_class, seed=seed, draw=draw)
            drawn.setdefault(method, []).append((per_class, draw, items.tolist()))
            return items

        return draw

    for method in METHODS:
        monkeypatch.setattr(evaluation, "draw_labels", spy(method))
        run(tmp_path, method=method, protocol="few-shot")
    first = drawn.pop(METHODS[0])
    assert len(first) == 3 * 2 * 2  # shots × draws × (head, all)
    assert all(other == first for other in drawn.values())
