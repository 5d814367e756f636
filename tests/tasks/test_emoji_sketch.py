"""emoji-sketch: every item is there and visible, and no split leaks."""

import subprocess
import sys

import numpy as np
import pytest

from xkd_bench import tasks
from xkd_bench.errors import UsageError
from xkd_bench.tasks._embedded import archive

SEEDS = range(50)


def test_shapes_and_types(emoji_sketch):
    n_source, n_target = len(emoji_sketch.source), len(emoji_sketch.target)
    assert emoji_sketch.source.data.shape == (n_source, 3, 16, 16)
    assert emoji_sketch.target.data.shape == (n_target, 1, 32, 32)
    assert emoji_sketch.source.data.dtype == emoji_sketch.target.data.dtype == np.uint8
    assert n_target == 5 * 1060
    assert 5 * 1060 < n_source < 6 * 1060


def test_every_drawing_shows_something(emoji_sketch):
    for items in (emoji_sketch.source, emoji_sketch.target):
        pixels = np.asarray(items.data).reshape(len(items), -1).astype(int)
        assert (pixels.max(1) - pixels.min(1)).min() >= 10, "not even a white square on white is blank"


def test_the_same_drawing_is_never_in_two_groups(emoji_sketch):
    """Two concepts may share a glyph (a stop button is a black square): then they share a group."""
    for items in (emoji_sketch.source, emoji_sketch.target):
        groups: dict[bytes, set[int]] = {}
        for picture, group in zip(np.asarray(items.data), items.group.tolist(), strict=True):
            groups.setdefault(picture.tobytes(), set()).add(group)
        assert max(len(found) for found in groups.values()) == 1


def test_colour_is_in_the_source_only(emoji_sketch):
    source = np.asarray(emoji_sketch.source.data).astype(int)
    assert (np.ptp(source, axis=1).max((1, 2)) > 30).mean() > 0.9


def test_no_concept_and_no_group_crosses_a_split(emoji_sketch, subgroups):
    for data in (emoji_sketch, subgroups):
        for seed in SEEDS:
            split = data.split(seed)
            parts = [split.train, split.val, split.test]
            for key in (data.target.concept, data.target.group):
                seen = [set(key[part].tolist()) for part in parts]
                assert len(seen[0] | seen[1] | seen[2]) == sum(map(len, seen))
                assert not set(key[split.pairs_target].tolist()) & (seen[1] | seen[2])
            held_out = set(data.target.concept[np.concatenate(parts[1:])].tolist())
            assert not held_out & set(data.source.concept[split.pairs_source].tolist())


def test_shares_and_strata(emoji_sketch):
    n = len(emoji_sketch.target)
    for seed in SEEDS:
        split = emoji_sketch.split(seed)
        assert len(split.train) == len(split.pairs_target)
        for part, share in ((split.train, 0.60), (split.val, 0.15), (split.test, 0.25)):
            assert abs(len(part) / n - share) < 0.02
            counts = np.bincount(split.label[part], minlength=8)
            whole = np.bincount(split.label, minlength=8)
            assert (abs(counts / whole - share) < 0.06).all()


def test_every_subgroup_is_in_all_parts(subgroups):
    for seed in SEEDS:
        split = subgroups.split(seed)
        for part in (split.train, split.val, split.test):
            assert set(split.label[part].tolist()) == set(range(len(split.classes)))
    assert len(split.classes) == 37
    assert len(split.pairs_target) > len(split.train), "concepts of small subgroups are still in pairs"


def test_large_groups_are_not_always_in_the_same_part(emoji_sketch):
    clocks = np.flatnonzero([name == "one o’clock" for name in emoji_sketch.concept_names])[0]
    where = {bool(np.isin(clocks, emoji_sketch.target.concept[emoji_sketch.split(seed).test])) for seed in SEEDS}
    assert where == {True, False}


@pytest.mark.parametrize(
    "alike",
    [
        ("one o’clock", "eleven-thirty"),
        ("man", "woman"),
        ("dog face", "dog"),
        ("red heart", "black heart"),
        ("up arrow", "down-left arrow"),
        ("monkey face", "see-no-evil monkey"),
        ("thumbs up", "thumbs down"),
    ],
)
def test_near_duplicates_share_a_group(alike):
    near = {concept.label: concept.near for concept in archive().concepts}
    assert near[alike[0]] == near[alike[1]]


def test_different_things_do_not_share_a_group():
    near = {concept.label: concept.near for concept in archive().concepts}
    for a, b in (("tongue", "face with tongue"), ("cat", "dog"), ("bell", "bellhop bell"), ("bus", "taxi")):
        assert near[a] != near[b]


def test_seeds_differ_and_repeat(emoji_sketch):
    assert (emoji_sketch.split(3).test == emoji_sketch.split(3).test).all()
    assert not np.array_equal(emoji_sketch.split(3).test, emoji_sketch.split(4).test)


def test_digest_and_split_do_not_depend_on_the_process(emoji_sketch):
    code = (
        "from xkd_bench import tasks; import hashlib; d = tasks.get('emoji-sketch').load(16, 32); "
        "print(d.digest, hashlib.sha256(d.split(7).test.tobytes()).hexdigest())"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code], env=_environment(seed), capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    import hashlib

    assert runs == {f"{emoji_sketch.digest} {hashlib.sha256(emoji_sketch.split(7).test.tobytes()).hexdigest()}\n"}


def _environment(hash_seed: str) -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


def test_the_two_labellings_have_digests_and_cards_of_their_own(emoji_sketch, subgroups):
    assert emoji_sketch.digest != subgroups.digest
    assert tasks.get("emoji-sketch").card.name != tasks.get("emoji-sketch:subgroups").card.name


def test_progress_reaches_the_end_also_from_the_cache(emoji_sketch):
    told: list[tuple[int, int]] = []
    tasks.get("emoji-sketch").load(16, 32, progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] == len(emoji_sketch.source) + len(emoji_sketch.target)
    assert told == sorted(told)


def test_unknown_labels_are_refused():
    with pytest.raises(UsageError, match="'groups' or 'subgroups'"):
        tasks.get("emoji-sketch:colours")


def test_importing_the_task_is_quick_and_light():
    heavy = "{'torch', 'pandas', 'resvg_py', 'PIL'}"
    code = f"import sys, xkd_bench.tasks.emoji_sketch; print(sorted({heavy} & set(sys.modules)))"
    out = subprocess.run(
        [sys.executable, "-c", code], env=_environment("0"), capture_output=True, text=True, check=True
    )
    assert out.stdout == "[]\n"
