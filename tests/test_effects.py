"""Each effect, heard: by the level of bands, by tails, by when things begin."""

import numpy as np
import pytest

from mt3lite.training import effects

RATE = 16000


def tone(frequency_hz, seconds=1.0):
    return np.sin(2 * np.pi * frequency_hz * np.arange(int(seconds * RATE)) / RATE).astype(np.float32)


def click(seconds=1.0, at=0.2):
    samples = np.zeros(int(seconds * RATE), np.float32)
    samples[int(at * RATE)] = 1.0
    return samples


def level_db(samples):
    return 10 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-20)


def band_db(samples, low_hz, high_hz):
    power = np.abs(np.fft.rfft(samples)) ** 2
    frequencies_hz = np.fft.rfftfreq(len(samples), 1 / RATE)
    return 10 * np.log10(power[(frequencies_hz >= low_hz) & (frequencies_hz < high_hz)].sum() + 1e-20)


@pytest.mark.parametrize("gain_db", [-8.0, 8.0])
def test_a_shelf_changes_what_lies_below_its_corner(gain_db):
    for frequency_hz, expected_db in ((40, gain_db), (6000, 0.0)):
        sound = tone(frequency_hz)
        changed = effects.shelf(sound, 400.0, gain_db, RATE)
        assert changed.dtype == np.float32
        assert level_db(changed[2000:]) - level_db(sound[2000:]) == pytest.approx(expected_db, abs=0.5)


def test_low_pass_leaves_out_what_lies_above_and_nothing_else():
    noise = np.random.default_rng(0).normal(0, 0.1, 2 * RATE).astype(np.float32)
    dull = effects.low_pass(noise, 4000.0, RATE)
    assert dull.dtype == np.float32 and dull.shape == noise.shape
    assert band_db(dull, 100, 3900) == pytest.approx(band_db(noise, 100, 3900), abs=0.1)
    assert band_db(dull, 4600, 8000) < band_db(noise, 4600, 8000) - 40


def test_low_pass_delays_nothing_and_wraps_nothing():
    assert np.argmax(np.abs(effects.low_pass(click(), 4000.0, RATE))) == np.argmax(click())
    early = effects.low_pass(click(at=0.0), 4000.0, RATE)
    assert np.abs(early[-800:]).max() < 1e-3


def test_a_room_answers_after_the_sound_and_dies_away():
    dry = click(seconds=2.0)
    wet = effects.reverberate(dry, 0.8, -6.0, RATE, np.random.default_rng(0))
    assert wet.dtype == np.float32 and wet.shape == dry.shape
    at = np.argmax(dry)
    np.testing.assert_allclose(wet[: at + 80], dry[: at + 80], atol=1e-5)  # nothing before 5 ms
    answer = wet - dry
    assert 10 * np.log10(np.sum(answer**2)) == pytest.approx(-6.0, abs=0.2)
    early, late = (level_db(answer[at + int(s * RATE) : at + int((s + 0.1) * RATE)]) for s in (0.05, 0.45))
    assert early - late == pytest.approx(0.4 / 0.8 * 60, abs=5)
    assert late > level_db(answer[: at - 1]) + 20
    tail = answer[at + int(0.3 * RATE) : at + int(0.5 * RATE)]
    assert band_db(tail, 100, 1000) > band_db(tail, 6000, 8000) + 10  # the high dies sooner


def test_noise_has_its_level_and_colour():
    rng = np.random.default_rng(0)
    silence = np.zeros(4 * RATE, np.float32)
    white = effects.add_noise(silence, 0.01, RATE, rng, rumbling=False)
    rumble = effects.add_noise(silence, 0.01, RATE, rng, rumbling=True)
    assert level_db(white) == pytest.approx(-40, abs=0.2) and level_db(rumble) == pytest.approx(-40, abs=0.2)
    assert band_db(white, 0, 100) - band_db(white, 7900, 8000) == pytest.approx(0, abs=2)
    assert band_db(rumble, 0, 100) - band_db(rumble, 7900, 8000) > 15
