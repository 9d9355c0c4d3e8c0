"""The effects in JAX: where nothing is left to chance, what the ones in NumPy do."""

import dataclasses

import jax
import numpy as np
import pytest

from mt3lite.training import device_effects, effects, examples

RATE = 16000
NONE = examples.AugmentConfig(
    reverb_chance=0, low_pass_chance=0, equaliser_chance=0, noise_chance=0, level_db=(0.0, 0.0)
)
NOISE = np.random.default_rng(0).normal(0, 0.1, 2 * RATE).astype(np.float32)


def augment(samples, seed=0, **changes):
    config = dataclasses.replace(NONE, **changes)
    make = jax.jit(device_effects.augment, static_argnums=(2, 3))
    return np.asarray(make(samples, jax.random.key(seed), RATE, config))


def loud(samples):
    return samples / np.abs(samples).max()


def click():
    samples = np.zeros(2 * RATE, np.float32)
    samples[RATE // 2] = 1.0
    return samples


def test_without_effects_a_sound_is_as_it_was_but_for_its_level():
    np.testing.assert_allclose(augment(NOISE), loud(NOISE), atol=1e-5)
    np.testing.assert_allclose(augment(NOISE, level_db=(-20.0, -20.0)), 0.1 * loud(NOISE), atol=1e-5)


@pytest.mark.parametrize(("corner_hz", "gain_db"), [(90.0, 8.0), (3500.0, -8.0)])
def test_shelves_are_those_of_effects(corner_hz, gain_db):
    response = np.fft.rfft(effects.shelf(click(), corner_hz, gain_db, RATE)) / np.fft.rfft(click())
    turns = 2 * np.pi * np.fft.rfftfreq(2 * RATE)
    np.testing.assert_allclose(device_effects.shelf(corner_hz, gain_db, RATE, turns), response, atol=2e-3)


def test_both_shelves_stay_within_their_gains():
    responses = [
        np.abs(np.fft.rfft(augment(click(), seed, equaliser_chance=1.0, equaliser_db=6.0))) for seed in range(20)
    ]
    spreads_db = [20 * np.log10(each.max() / each.min()) for each in responses]
    assert 3 < max(spreads_db) <= 24.1 and len({round(each, 3) for each in spreads_db}) == 20


def test_a_low_pass_is_that_of_effects():
    dull = augment(NOISE, low_pass_chance=1.0, low_pass_hz=(4000.0, 4000.0))
    np.testing.assert_allclose(dull, effects.low_pass(loud(NOISE), 4000.0, RATE), atol=2e-3)


def test_a_room_answers_after_the_sound_with_the_energy_that_was_asked_for():
    for seed in range(3):
        wet = augment(click(), seed, reverb_chance=1.0, reverb_db=(-6.0, -6.0))
        wet = wet / wet[RATE // 2]
        np.testing.assert_allclose(wet[: RATE // 2], 0, atol=1e-5)
        np.testing.assert_allclose(wet[RATE // 2 + 1 : RATE // 2 + 79], 0, atol=1e-5)  # nothing for 5 ms
        assert 10 * np.log10(np.square(wet).sum() - 1) == pytest.approx(-6.0, abs=0.1)
        assert np.abs(wet[RATE // 2 + 17000 :]).max() < 1e-4  # nothing a second later


def test_noise_has_the_level_that_was_asked_for():
    kinds = set()
    for seed in range(8):
        noise = augment(click(), seed, noise_chance=1.0, noise_db=(-40.0, -40.0)) - click()
        assert 20 * np.log10(noise.std()) == pytest.approx(-40.0, abs=0.5)
        low, high = (np.abs(np.fft.rfft(noise))[band].mean() for band in (slice(20, 200), slice(8000, 16000)))
        kinds.add(bool(low > 3 * high))
    assert kinds == {True, False}


def test_chances_are_kept():
    changed = [np.abs(augment(NOISE, seed, low_pass_chance=0.5) - loud(NOISE)).max() > 1e-3 for seed in range(40)]
    assert 8 < sum(changed) < 32
