"""What a step sees: views of target items, the teacher's features of their partners, labelled batches."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.toy import ToyData
from xkd_bench.batches import Known, LabelledBatches, PairBatches
from xkd_bench.models.teachers import TeacherEncoder
from xkd_bench.sampling import pair_sampler

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data() -> ToyData:
    return ToyData(24, 16)


def pair_batches(data: ToyData, augmentation: str = "none", views: int = 1, **options) -> PairBatches:
    sampler = pair_sampler(data, data.split(0), seed=0, batch=8, **options)
    return PairBatches(CPU, data.target.data, data.target.concept, sampler, augmentation, views)


def test_views_are_of_the_sampled_items_and_features_of_their_partners(data):
    batches = pair_batches(data)
    features = torch.arange(len(data.source)).float()[:, None] * torch.tensor([1.0, -1.0])
    batches.show_features(Known(features))
    seen = list(batches(3))
    assert len(seen) == len(batches) == 56 // 8
    for batch, (target, source) in zip(seen, batches.sampler.epoch(3), strict=True):
        assert torch.equal(batch.views[0], torch.from_numpy(data.target.data[target]).float() / 255)
        assert batch.teacher[:, 0].tolist() == source.tolist() == target.tolist() == batch.concept.tolist()


def test_shuffled_pairs_show_the_features_of_anybody(data):
    own = {}
    for shuffled in (False, True):
        batches = pair_batches(data, shuffled=shuffled)
        batches.show_features(Known(torch.arange(len(data.source)).float()[:, None]))
        own[shuffled] = torch.cat([batch.teacher[:, 0] == batch.concept for batch in batches(0)]).float().mean()
    assert own[False] == 1
    assert own[True] < 0.1  # by chance


def test_methods_without_pairs_are_shown_no_teacher(data):
    assert all(batch.teacher is None for batch in pair_batches(data, uses_pairs=False)(0))


def test_two_views_differ_and_the_seed_repeats_them(data):
    def views(seed: int) -> list[torch.Tensor]:
        torch.manual_seed(seed)
        return [view for batch in pair_batches(data, "simclr", views=2)(0) for view in batch.views]

    one, two = views(0)[:2]
    assert not torch.allclose(one, two, atol=0.05)
    assert all(torch.equal(a, b) for a, b in zip(views(5), views(5), strict=True))


class MeanColour(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))


def test_a_teacher_may_see_augmented_sources_at_each_step(data):
    teacher = TeacherEncoder(MeanColour(), 3, (0.0,) * 3, (1.0,) * 3)
    exact = pair_batches(data)
    exact.show_images(teacher, data.source.data)
    for batch, (_, source) in zip(exact(0), exact.sampler.epoch(0), strict=True):
        expected = data.source.data[source].mean((2, 3)) / 255
        assert torch.allclose(batch.teacher, torch.from_numpy(expected).float(), atol=1e-5)
        assert not batch.teacher.requires_grad
    torch.manual_seed(0)
    moved = pair_batches(data, "simclr")
    moved.show_images(teacher, data.source.data)
    one, two = (torch.cat([batch.teacher for batch in moved(0)]) for _ in range(2))
    assert not torch.allclose(one, two, atol=0.02)


@pytest.mark.parametrize(("n", "batch"), [(1, 8), (7, 8), (8, 8), (9, 8), (64, 8), (65, 8), (100, 33)])
def test_labelled_batches_cover_every_item_once_in_even_parts(n, batch):
    x = torch.arange(n)
    batches = LabelledBatches(x, 2 * x, batch, seed=0, device=CPU)
    seen = list(batches(0))
    sizes = [len(y) for _, y in seen]
    assert len(sizes) == len(batches)
    assert max(sizes) <= batch
    assert max(sizes) - min(sizes) <= 1
    assert sorted(torch.cat([x for x, _ in seen]).tolist()) == list(range(n))
    assert all(torch.equal(2 * x, y) for x, y in seen)


def test_labelled_batches_depend_on_seed_and_epoch_alone():
    x = torch.arange(40)

    def order(seed: int, epoch: int) -> tuple[int, ...]:
        return tuple(torch.cat([y for y, _ in LabelledBatches(x, x, 8, seed, CPU)(epoch)]).tolist())

    assert len({order(s, e) for s in range(3) for e in range(3)}) == 9
    assert order(1, 1) == order(1, 1)


def test_images_are_never_written(data):
    frozen = ToyData(24, 16)
    frozen.target.data.setflags(write=False)
    before = frozen.target.data.copy()
    for _ in pair_batches(frozen, "simclr", views=2)(0):
        pass
    assert np.array_equal(frozen.target.data, before)
