"""What every method owes, those of later files included: a finite loss, gradients, options, its provenance."""

import copy
import re
from functools import cache

import numpy as np
import pytest
import torch

from protocols import Recipe
from tests.toy import ToyData
from xkd_bench import methods, registry
from xkd_bench.batches import Known, PairBatches
from xkd_bench.errors import UsageError
from xkd_bench.methods.base import Batch, Level, Method, Options, Teacher
from xkd_bench.models.encoders import build_encoder
from xkd_bench.sampling import pair_sampler
from xkd_bench.training import fit, make_fabric

NAMES = [name for name, entry in registry.entries("methods").items() if entry.origin == "xkd-bench"]
DISTILLING = [n for n in NAMES if methods.get(n).distils and "classification" in methods.get(n).kinds]
"""Dense methods have a contract of their own: tests/methods/test_dense_contract.py."""
PAIRED = [name for name in DISTILLING if methods.get(name).uses_pairs]
DIM = 24
UNPAIRED = ("socket",)
"""Methods that look at no pair, though they are shown a teacher."""
REMEMBERS = ("crd",)
"""Methods whose loss is on what they remember of the very items that they are shown: undefined on unseen ones."""


@cache
def maps() -> tuple[torch.Tensor, ...]:
    """Two levels of feature maps of all source items: random mixtures of their ink, coarse and coarser."""
    ink = 1 - torch.from_numpy(ToyData(16, 16).source.data).float() / 255
    mixing = torch.Generator().manual_seed(0)
    return tuple(
        torch.einsum("nchw,cd->ndhw", torch.nn.functional.avg_pool2d(ink, cell), torch.rand(3, d, generator=mixing))
        for cell, d in ((4, 6), (8, 10))
    )


@pytest.fixture(scope="module")
def data() -> ToyData:
    return ToyData(16, 16)


@pytest.fixture(scope="module")
def features(data) -> torch.Tensor:
    """A teacher that knows what a shape looks like: random projections of its pixels, positive as pooled ones are."""
    pixels = torch.from_numpy(data.source.data).float().flatten(1) / 255
    projection = torch.randn(pixels.shape[1], DIM, generator=torch.Generator().manual_seed(0))
    return ((pixels - pixels.mean(0)) @ projection / 10).exp()


def build(name: str, features: torch.Tensor, **options) -> Method:
    method = methods.get(name)
    torch.manual_seed(1)
    student = build_encoder("resnet8-w16", 1, 16)
    return method(student, known(method, features), method.parse_options(name, options))


def known(method: type[Method], features: torch.Tensor) -> Teacher | None:
    """What the method may know of a teacher with these features, and with `maps`, before training."""
    if not method.uses_pairs:
        return None
    levels = tuple(Level(tuple(m.shape[2:]), m.mean((0, 2, 3)), m.var((0, 2, 3), correction=0)) for m in maps())
    concept = torch.from_numpy(ToyData(16, 16).target.concept[ToyData(16, 16).split(0).pairs_target])
    return Teacher(features, concept, levels if method.sees != "features" else ())


def batches_for(model: Method, data: ToyData, features: torch.Tensor, batch: int = 16, **sampling) -> PairBatches:
    cls = type(model)
    sampler = pair_sampler(
        data, data.split(0), seed=0, batch=batch, uses_pairs=cls.uses_pairs,
        positives=cls.batch_positives(model.options), **sampling,
    )  # fmt: skip
    batches = PairBatches(torch.device("cpu"), data.target.data, data.target.concept, sampler, "light", cls.views)
    if cls.uses_pairs:
        shown = maps() if cls.sees == "maps" else ()
        batches.show_features(Known(features, shown, torch.arange(len(features))))
    return batches


def first_batch(model: Method, data: ToyData, features: torch.Tensor, **sampling) -> Batch:
    torch.manual_seed(0)
    return next(iter(batches_for(model, data, features, **sampling)(0)))


@pytest.mark.parametrize("name", NAMES)
def test_a_method_says_where_its_loss_comes_from_and_has_defaults(name):
    method = methods.get(name)
    assert issubclass(method, Method)
    assert re.match(r"\[(PAPER|RECON (hi|med|lo)|STD|DERIVED|CODE [^]]+|ABS)\] .+", method.provenance), (
        method.provenance
    )
    options = method.parse_options(name, {})
    assert isinstance(options, Options)
    assert method.parse_options(name, options.model_dump(mode="json")) == options
    assert method.views >= 1
    assert method.batch_positives(options) in ("distinct", "all")


@pytest.mark.parametrize("name", DISTILLING)
def test_the_loss_is_a_finite_scalar_and_every_parameter_has_its_share(name, data, features):
    model = build(name, features)
    out = model(first_batch(model, data, features))
    assert all(value.ndim == 0 and torch.isfinite(value) for value in out.values())
    out["loss"].backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # The last bias before a row is compared with its batch, or normalised, may be without effect; nothing else.
    assert all(n.endswith("bias") for n in silent), silent
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", DISTILLING)
def test_only_the_loss_carries_gradients_that_matter(name, data, features):
    model = build(name, features)
    out = model(first_batch(model, data, features))
    assert out["loss"].requires_grad
    assert not any(value.requires_grad for key, value in out.items() if key != "loss")


@pytest.mark.parametrize("name", DISTILLING)
def test_it_learns_and_the_teacher_stays_as_it_was(name, data, features):
    model = build(name, features)
    student = {n: t.clone() for n, t in model.student.state_dict().items()}
    taught, mean = features.clone(), {n: b.clone() for n, b in model.named_buffers() if n.startswith("teacher")}
    batches = batches_for(model, data, features)
    plan = Recipe(lr=3e-3, epochs=20, batch=16, schedule="constant", augmentation="none")
    history = fit(model, batches, len(batches), plan, seed=0, fabric=make_fabric("cpu"), what=name)
    assert history[-1] < 0.95 * history[0] - 0.05
    assert all(not torch.equal(t, student[n]) for n, t in model.student.state_dict().items() if t.ndim > 1)
    assert torch.equal(features, taught)
    assert all(torch.equal(dict(model.named_buffers())[n], b) for n, b in mean.items())


def held_out_loss(model: Method, data: ToyData, features: torch.Tensor, turn: int) -> float:
    """Loss of items that were in no pair, each with the teacher's features of the item `turn` places on."""
    items = np.concatenate([data.split(0).val, data.split(0).test])
    views = (torch.from_numpy(data.target.data[items]).float() / 255,) * model.views
    model.eval()
    with torch.no_grad():
        taught = torch.from_numpy(np.roll(items, turn))
        shown = tuple(m[taught] for m in maps()) if model.sees == "maps" else ()
        concept, place = torch.from_numpy(data.target.concept[items]), torch.arange(len(items))
        batch = Batch(views, concept, place, features[taught], shown)
        return model(batch)["loss"].item()


@pytest.mark.parametrize("name", [name for name in PAIRED if name not in UNPAIRED + REMEMBERS])
def test_a_student_of_true_pairs_knows_unseen_pairs_and_one_of_shuffled_pairs_does_not(name, data, features):
    gaps, losses = {}, {}
    for shuffled in (False, True):
        model = build(name, features)
        batches = batches_for(model, data, features, shuffled=shuffled)
        plan = Recipe(lr=3e-3, epochs=25, batch=16, schedule="constant", augmentation="none")
        fit(model, batches, len(batches), plan, seed=0, fabric=make_fabric("cpu"), what=name)
        true = held_out_loss(model, data, features, 0)
        losses[shuffled] = np.mean([held_out_loss(model, data, features, turn) for turn in (1, 2, 3)])
        gaps[shuffled] = losses[shuffled] - true
    assert gaps[False] > 0.04 * losses[False]
    assert gaps[True] < 0.5 * gaps[False]


@pytest.mark.parametrize("name", PAIRED)
def test_the_loss_depends_on_which_pairs_are_shown(name, data, features):
    model = build(name, features)  # in training mode: fresh statistics would map all items to nearly one point
    batch = first_batch(model, data, features)
    shown = tuple(m.roll(1, 0) for m in batch.teacher_maps)
    turned = Batch(batch.views, batch.concept, batch.item, batch.teacher.roll(1, 0), shown)
    torch.manual_seed(0)
    as_it_is = model(batch)["loss"].item()
    fresh = build(name, features)
    torch.manual_seed(0)
    other = fresh(turned)["loss"].item()
    assert (as_it_is == other) if name in UNPAIRED else abs(as_it_is - other) > 1e-4 * as_it_is


@pytest.mark.parametrize("name", DISTILLING)
def test_the_same_seed_builds_the_same_method(name, data, features):
    one, two = build(name, features), build(name, features)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    batch = first_batch(one, data, features)
    losses = []
    for model in (one, two):
        torch.manual_seed(0)  # some draw negatives
        losses.append(model(copy.deepcopy(batch))["loss"].item())
    assert losses[0] == losses[1]


@pytest.mark.parametrize("name", NAMES)
def test_an_option_that_is_none_is_refused_by_name(name):
    with pytest.raises(UsageError, match=f"unknown option of method '{name}' 'no_such_option'"):
        methods.get(name).parse_options(name, {"no_such_option": "1"})
