"""The memory of pixels and regions: what goes in, what stays, what comes out; and both ways to draw pixels."""

import pytest
import torch
import torch.nn.functional as F

from xkd_bench.losses.dense_pixels import ranks
from xkd_bench.losses.dense_queue import ClassQueue, class_pixels, class_regions

# Each feature tells its image and place: (image, place, 1).
LABELS = torch.tensor([[[0, 0, 1], [1, 1, 255]], [[2, 2, 2], [2, 0, 2]]])
PLACES = torch.arange(6.0).reshape(2, 3)
FEATURES = torch.stack([torch.stack((torch.full((2, 3), float(i)), PLACES, torch.ones(2, 3))) for i in range(2)])


def rows_of(classes: list[int], start: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    angle = (start + torch.arange(len(classes))) * 0.01
    return torch.stack((angle.cos(), angle.sin()), 1), torch.tensor(classes)


def test_the_last_of_each_class_stay():
    queue = ClassQueue(3, 4, 2)
    seen: dict[int, list[torch.Tensor]] = {0: [], 1: [], 2: []}
    for step, classes in enumerate([[0, 1, 0], [1, 1, 1, 0], [1] * 6, [0, 0, 0], []]):
        rows, labels = rows_of(classes, 10 * step)
        queue.push(5 * rows, labels)  # lengths are lost
        for row, label in zip(rows, classes, strict=True):
            seen[label].append(row)
    assert queue.count.tolist() == [len(seen[k]) for k in range(3)]
    for k in range(3):
        held = {tuple(row.tolist()) for row in queue.features[k][: len(seen[k])]}
        torch.testing.assert_close(
            torch.tensor(sorted(held)), torch.tensor(sorted(tuple(r.tolist()) for r in seen[k][-4:]))
        )


def test_order_of_pushes_does_not_matter_within_a_batch_of_few():
    one, other = ClassQueue(2, 8, 2), ClassQueue(2, 8, 2)
    rows, labels = rows_of([0, 1, 0, 1])
    one.push(rows, labels)
    other.push(rows[:1], labels[:1])
    other.push(rows[1:], labels[1:])
    assert torch.equal(one.features, other.features)


def test_samples_hold_what_came_and_say_what_is_empty():
    queue = ClassQueue(3, 5, 2)
    rows, labels = rows_of([0, 0, 2, 2, 2, 2, 2, 2])
    queue.push(rows, labels)
    bank, valid = queue.sample(4, torch.Generator().manual_seed(0))
    assert bank.shape == (12, 2)
    assert valid.reshape(3, 4).sum(1).tolist() == [2, 0, 4]
    for k, came in ((0, rows[:2]), (2, rows[3:])):
        held = bank.reshape(3, 4, 2)[k][valid.reshape(3, 4)[k]]
        apart = (held[:, None] - came).abs().sum(2)
        assert (apart.min(1).values < 1e-6).all()
        assert len(set(apart.argmin(1).tolist())) == len(held), "without replacement"
    assert queue.sample(99)[0].shape == (15, 2)
    draws = {tuple(queue.sample(2, torch.Generator().manual_seed(i))[0][4:].flatten().tolist()) for i in range(20)}
    assert len(draws) > 5


def test_state_travels():
    queue, again = ClassQueue(2, 3, 2), ClassQueue(2, 3, 2)
    queue.push(*rows_of([0, 1, 1]))
    again.load_state_dict(queue.state_dict())
    assert torch.equal(again.sample(3)[0].sum(0), queue.sample(3)[0].sum(0))


def test_pixels_are_of_their_class_and_image():
    seen = set()
    for seed in range(30):
        rows, classes = class_pixels(FEATURES, LABELS, 2, generator=torch.Generator().manual_seed(seed))
        # Classes 0 and 1 of image 0, 0 and 2 of image 1: two each, one where there is but one.
        assert sorted(classes.tolist()) == [0, 0, 0, 1, 1, 2, 2]
        assert len({tuple(row) for row in rows.tolist()}) == 7
        for (image, place, _), k in zip(rows.long().tolist(), classes.tolist(), strict=True):
            assert LABELS[image].flatten()[place] == k
            seen.add((image, place))
    assert len(seen) == 11, "all but the ignored pixel are drawn"


def test_faithful_pixels_are_the_first_of_the_image():
    drawn = set()
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        rows, classes = class_pixels(FEATURES, LABELS, 2, faithful=True, generator=generator)
        for (image, place, _), k in zip(rows.long().tolist(), classes.tolist(), strict=True):
            drawn.add((image, place, k))
    members = {(i, k): int((LABELS[i] == k).sum()) for i in range(2) for k in range(3)}
    expected = {(i, place, k) for (i, k), count in members.items() for place in range(count)}
    assert drawn == expected


def test_regions_are_means_of_classes():
    rows, classes = class_regions(FEATURES, LABELS)
    expected = {(0, 0): [0, 0.5, 1], (0, 1): [0, 3.0, 1], (1, 0): [1, 4, 1], (1, 2): [1, (0 + 1 + 2 + 3 + 5) / 5, 1]}
    found = {(int(row[0]), int(k)): row.tolist() for row, k in zip(rows, classes, strict=True)}
    assert found == {key: pytest.approx(value) for key, value in expected.items()}
    nothing = class_regions(FEATURES, torch.full_like(LABELS, 255))
    assert nothing[0].shape == (0, 3)
    assert class_pixels(FEATURES, torch.full_like(LABELS, 255))[0].shape == (0, 3)


def test_labels_come_down_to_the_features():
    fine = LABELS.repeat_interleave(2, 1).repeat_interleave(3, 2)
    for found, expected in zip(class_regions(FEATURES, fine), class_regions(FEATURES, LABELS), strict=True):
        assert torch.equal(found, expected)
    halves = class_regions(F.normalize(FEATURES, dim=1).half().requires_grad_(), LABELS)[0]
    assert halves.dtype == torch.float32
    assert not halves.requires_grad


def test_ranks_count_within_groups():
    groups = torch.tensor([3, 1, 3, 3, 1, 7])
    assert ranks(groups, shuffled=False).tolist() == [0, 0, 1, 2, 1, 0]
    counts = torch.zeros(6, 3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(600):
        drawn = ranks(groups, generator)
        assert sorted(drawn[groups == 3].tolist()) == [0, 1, 2]
        counts[torch.arange(6), drawn] += 1
    assert (counts[[0, 2, 3]] - 200).abs().max() < 60  # 5 standard deviations
    assert ranks(groups[:0]).shape == (0,)


def test_what_cannot_be_meant_is_refused():
    queue = ClassQueue(2, 3, 2)
    with pytest.raises(ValueError, match="width 2"):
        queue.push(torch.ones(2, 3), torch.zeros(2))
    with pytest.raises(ValueError, match="width 2"):
        queue.push(torch.ones(2, 2), torch.zeros(3))
    with pytest.raises(ValueError, match="positive"):
        ClassQueue(2, 0, 2)
