"""Log-mel spectrograms against a naive transform, and as pictures."""

import numpy as np
import pytest

from xkd_bench.tasks._spectrogram import BANDS, HIGHEST, HOP, LOWEST, OFFSET, RATE, WINDOW, log_mel, spectrogram


def tone(hertz: float, seconds: float = 1.0, loud: float = 1.0) -> np.ndarray:
    return (loud * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def naive(wave: np.ndarray) -> np.ndarray:
    """The definition, by loops over frames, frequencies and bands."""
    mel = lambda hertz: 1127 * np.log(1 + hertz / 700)  # noqa: E731
    corners = [mel(LOWEST) + i * (mel(HIGHEST) - mel(LOWEST)) / (BANDS + 1) for i in range(BANDS + 2)]
    out = []
    for start in range(0, len(wave) - WINDOW + 1, HOP):
        t = np.arange(WINDOW)
        frame = wave[start : start + WINDOW] * np.sin(np.pi * t / WINDOW) ** 2
        magnitude = [abs(np.sum(frame * np.exp(-2j * np.pi * k * t / WINDOW))) for k in range(WINDOW // 2 + 1)]
        column = []
        for low, middle, high in zip(corners, corners[1:], corners[2:], strict=False):
            total = 0.0
            for k, value in enumerate(magnitude):
                m = mel(k * RATE / WINDOW)
                weight = (m - low) / (middle - low) if m <= middle else (high - m) / (high - middle)
                total += max(0.0, weight) * value
            column.append(np.log(OFFSET + total))
        out.append(column)
    return np.array(out).T


def test_against_the_definition():
    wave = np.random.default_rng(0).normal(0, 0.1, WINDOW + 2 * HOP + 50).astype(np.float32)
    found = log_mel(wave)
    assert found.shape == (BANDS, 3)
    assert np.abs(found - naive(wave)).max() < 1e-4


def test_silence_and_short_sounds():
    assert np.allclose(log_mel(np.zeros(RATE, np.float32)), np.log(OFFSET))
    assert log_mel(np.ones(10, np.float32)).shape == (BANDS, 1)
    assert (spectrogram(np.zeros(10, np.float32), 1.0, 16) == 0).all()
    with pytest.raises(ValueError, match="no sound"):
        spectrogram(np.zeros(0, np.float32), 1.0, 16)
    with pytest.raises(ValueError, match="not finite"):
        spectrogram(np.array([np.nan], np.float32), 1.0, 16)


@pytest.mark.parametrize(("hertz", "row"), [(200, 60), (1000, 44), (3000, 22), (7000, 1)])
def test_low_tones_are_below(hertz, row):
    """Rows by the mel scale: 64 bands from 125 to 7500 Hz, the lowest in the last row."""
    picture = spectrogram(tone(hertz), 1.0, 64)[0]
    assert np.abs(picture.mean(1).argmax() - row) <= 1


def test_full_scale_fits_the_range():
    for hertz in (150, 440, 1000, 4000, 7000):
        top = log_mel(tone(hertz)).max()
        assert 4.3 < top < 5.5


def test_short_sounds_are_repeated_and_long_ones_cut():
    half = np.concatenate([tone(500, 0.5), np.zeros(RATE // 2, np.float32)])
    picture = spectrogram(half, 2.0, 64)[0].astype(int)
    for inside in (slice(4, 12), slice(37, 44)):
        assert picture[:, inside].max() > 200
    for quiet in (slice(19, 29), slice(52, 61)):
        assert (picture[:, quiet] == 0).all()
    assert np.array_equal(spectrogram(half, 0.4, 32), spectrogram(half[: int(0.4 * RATE)], 0.4, 32))


def test_padded_sounds_are_followed_by_silence():
    half = tone(500, 0.5)
    picture = spectrogram(half, 1.0, (64, 98), "padded")[0]
    assert picture.shape == (64, 98)
    assert (picture[:, :48].max(0) > 200).all()
    assert (picture[:, 51:] == 0).all()
    frames = log_mel(np.pad(half, (0, RATE // 2)))
    assert frames.shape == picture.shape, "at its own size nothing is averaged"
    scaled = (frames - np.log(OFFSET)) / (6.0 - np.log(OFFSET)) * 255
    assert np.abs(scaled[::-1] - picture).max() <= 0.5 + 1e-4
    longer = np.concatenate([half, tone(900, 3)])
    assert np.array_equal(spectrogram(longer, 0.5, 32, "padded"), spectrogram(half, 0.5, 32))
