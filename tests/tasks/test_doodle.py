"""doodle: distilled on 160 categories, scored on the 100 others."""

import numpy as np

from xkd_bench import tasks
from xkd_bench.tasks._embedded import archive

SEEDS = range(50)


def test_shapes(doodle):
    assert doodle.target.data.shape == (26_000, 1, 32, 32)
    assert doodle.source.data.shape[1:] == (3, 16, 16)
    assert set(doodle.source.concept.tolist()) == set(range(260))
    assert tasks.get("doodle").card.pairing == "class"


def test_scored_categories_are_never_paired(doodle):
    for seed in SEEDS:
        split = doodle.split(seed)
        paired = set(doodle.target.concept[split.pairs_target].tolist())
        assert paired == set(doodle.source.concept[split.pairs_source].tolist())
        assert len(paired) == 160
        scored = set(doodle.target.concept[np.concatenate([split.train, split.val, split.test])].tolist())
        assert len(scored) == 100
        assert not paired & scored


def test_subjects_are_never_parted(doodle):
    for seed in SEEDS:
        split = doodle.split(seed)
        paired = np.unique(doodle.target.concept[split.pairs_target])
        scored = np.unique(doodle.target.concept[split.test])
        assert not set(doodle.subject[paired].tolist()) & set(doodle.subject[scored].tolist())


def test_categories_with_the_same_emoji_or_subject_are_one_subject(doodle):
    subject = dict(zip(doodle.concept_names, doodle.subject.tolist(), strict=True))
    for a, b in (("violin", "cello"), ("bus", "school bus"), ("cup", "mug"), ("pencil", "crayon")):
        assert subject[a] == subject[b]
    codes = archive().categories
    for a in codes:
        for b in codes:
            assert codes[a] != codes[b] or subject[a] == subject[b]


def test_each_class_has_50_10_and_40_sketches(doodle):
    split = doodle.split(5)
    for part, n in ((split.train, 50), (split.val, 10), (split.test, 40)):
        assert (np.bincount(split.label[part], minlength=100) == n).all()
        assert (np.diff(part) > 0).all()
    assert not set(split.train.tolist()) & set(split.val.tolist())
    assert len(set(np.concatenate([split.train, split.val, split.test]).tolist())) == 10_000


def test_labels_name_the_right_category(doodle):
    split = doodle.split(11)
    for item in split.test[::97]:
        assert split.classes[split.label[item]] == doodle.concept_names[doodle.target.concept[item]]
    assert (split.label[split.pairs_target] == -1).all()


def test_seeds_vary_the_categories(doodle):
    assert doodle.split(0).classes != doodle.split(1).classes
    assert doodle.split(0).classes == doodle.split(0).classes
