"""Sketches to sounds of instruments: the score that is played, the split, and (slow) the true fonts' pitches."""

import shutil

import numpy as np
import pytest

from tests.tasks.sounds import tone
from xkd_bench import tasks
from xkd_bench.errors import UsageError
from xkd_bench.tasks import instruments
from xkd_bench.tasks._spectrogram import RATE
from xkd_bench.tasks.instruments import FONTS, INSTRUMENTS, NOTES, Note, midi, play


def events(track: bytes) -> list[tuple[int, tuple[int, ...]]]:
    """(tick, message) of a MIDI track without running status, read as the standard says."""
    found, at, now = [], 0, 0
    while at < len(track):
        delta = 0
        while True:
            byte, at = track[at], at + 1
            delta = delta << 7 | byte & 127
            if byte < 128:
                break
        now += delta
        length = 3 + track[at + 2] if track[at] == 0xFF else {0xC: 2}.get(track[at] >> 4, 3)
        found.append((now, tuple(track[at : at + length])))
        at += length
    return found


def test_the_score_plays_each_note_alone():
    notes = [Note(4, 0, 60, 110), Note(1, -1, 38, 60), Note(8, 40, 90, 60)]
    score = midi(notes)
    assert score[:14] == b"MThd\0\0\0\6\0\0\0\1\1\xf4"
    assert score[14:18] == b"MTrk"
    assert int.from_bytes(score[18:22], "big") == len(score) - 22
    said = events(score[22:])
    assert said[0] == (0, (0xFF, 0x51, 3, 0x07, 0xA1, 0x20)), "half a second a quarter: 500 ticks a quarter are ms"
    assert [event for event in said if event[1][0] >> 4 == 9] == [
        (0, (0x90, 60, 110)),
        (1500, (0x99, 38, 60)),
        (3000, (0x90, 90, 60)),
    ]
    assert [event for event in said if event[1][0] >> 4 == 8] == [
        (800, (0x80, 60, 0)),
        (2300, (0x89, 38, 0)),
        (3800, (0x80, 90, 0)),
    ]
    assert [message[1] for _, message in said if message[0] == 0xC0] == [0, 40]
    assert said[-1] == (4500, (0xFF, 0x2F, 0))


def test_without_the_player_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for ask in (lambda: tasks.get("instruments").prepare(), lambda: play(tmp_path / "none.sf2", NOTES[:1])):
        with pytest.raises(UsageError, match="apt-get install fluidsynth") as error:
            ask()
        assert "\n" not in str(error.value)


def test_not_prepared_says_how(tmp_path, monkeypatch):
    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path))
    with pytest.raises(UsageError, match="xkd-bench data prepare instruments"):
        tasks.get("instruments").load(8, 8)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The task with sines in place of the fonts' notes: the same pitches, each font with a loudness of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XKD_BENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(instruments.Instruments, "folder", lambda self, package: package.name)
        patch.setattr(instruments.Instruments, "_played", lambda self, font: played(FONTS.index(font)))
        yield tasks.get("instruments").load(16, (16, 8))


def played(font: int) -> tuple[np.ndarray, str]:
    sounds = [tone(440 * 2 ** ((note.key - 69) / 12), 0.5, RATE) / (font + 1) for note in NOTES]
    return (np.stack(sounds) * 32767).astype(np.int16), str(font)


@pytest.mark.parametrize("seed", range(3))
def test_fonts_pitches_and_instruments_are_apart(data, seed):
    split = data.split(seed)
    font, note = np.divmod(np.arange(len(data.target)), len(NOTES))
    key = np.array([n.key for n in NOTES])[note]
    assert set(font[split.test]) == {2}
    assert set(font[split.train]) == set(font[split.val]) == set(font[split.pairs_target]) == {0, 1}
    learned = set(key[split.train]) | set(key[split.pairs_target])
    assert not learned & set(key[split.val])
    assert len(split.classes) == 4
    paired = {list(INSTRUMENTS)[kind] for kind in data.target.concept[split.pairs_target]}
    assert paired == set(INSTRUMENTS) - set(split.classes)


def test_items_are_the_notes_and_the_sketches(data):
    assert data.source.data.shape == (100 * len(INSTRUMENTS), 1, 16, 16)
    assert data.target.data.shape == (3 * len(NOTES), 1, 16, 8)
    assert (data.target.data[..., 5:] == 0).all(), "silent after half a second"
    piano = [i for i, note in enumerate(NOTES) if note.kind == list(INSTRUMENTS).index("piano")]
    heights = data.target.data[piano, 0, :, 1].argmax(1)
    assert heights[0] > heights[-1], "higher notes are above"
    loud = data.target.data.reshape(3, len(NOTES), -1).max(2).mean(1)
    assert loud[0] > loud[1] > loud[2], "fonts in their order"


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("fluidsynth"), reason="needs FluidSynth")
def test_a_true_font_plays_the_pitches(tmp_path, monkeypatch):
    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(instruments, "FONTS", FONTS[2:])
    monkeypatch.setattr(instruments.Instruments, "packages", (FONTS[2].package,))
    task = tasks.get("instruments")
    task.prepare()
    waves, _ = task._played(FONTS[2])
    hertz = np.fft.rfftfreq(1 << 15, 1 / RATE)
    for name in ("violin", "guitar"):
        for note, wave in zip(NOTES, waves, strict=True):
            if note.kind == list(INSTRUMENTS).index(name):
                found = hertz[np.abs(np.fft.rfft(wave[2000:10000] * np.hanning(8000), 1 << 15)).argmax()]
                partial = found / (440 * 2 ** ((note.key - 69) / 12))
                assert abs(partial - round(partial)) < 0.03 * round(partial), f"{note}: {found} Hz"
