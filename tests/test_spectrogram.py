import dataclasses
import functools
from fractions import Fraction
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mt3lite import spectrogram
from mt3lite.errors import InputError
from mt3lite.spectrogram import SpectrogramConfig

GOLDEN = Path(__file__).parent / "golden" / "spectrogram"
MEL = SpectrogramConfig()
SEMITONE = SpectrogramConfig(
    hop_samples=160, num_bins=294, min_frequency_hz=27.5 * 2 ** (-1 / 36), scale="semitone", centered=True
)
BOTH = pytest.mark.parametrize("config", [MEL, SEMITONE], ids=["mel", "semitone"])


def noise(*shape, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def sine(frequency_hz, num_samples, sample_rate=16000):
    return np.sin(2 * np.pi * frequency_hz * np.arange(num_samples) / sample_rate).astype(np.float32)


def by_definition(samples, config):
    """The frames in float64, straight from their definition."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(config.fft_size) / config.fft_size)
    starts = range(0, len(samples) - config.fft_size + 1, config.hop_samples)
    windows = np.stack([samples[start : start + config.fft_size] for start in starts]).astype(np.float64) * window
    filtered = np.abs(np.fft.rfft(windows)) @ spectrogram.filterbank(config).astype(np.float64)
    floor = config.log_floor
    return np.log(np.where(filtered <= 0, floor, filtered) if config.scale == "mel" else np.maximum(filtered, floor))


def test_mel_filterbank_is_the_ancestors():
    golden = np.load(GOLDEN / "mel_filterbank.npz")
    ours = spectrogram.filterbank(MEL)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, golden["mel_matrix_float64"], rtol=0, atol=1e-7)
    np.testing.assert_allclose(ours, golden["mel_matrix_tfdata"], rtol=0, atol=2e-4)
    np.testing.assert_array_equal(ours > 0, golden["mel_matrix"] > 0)
    assert not ours[0].any()


def test_semitone_filters_peak_at_their_pitch_and_reach_their_neighbours():
    weights = spectrogram.filterbank(SEMITONE)
    assert weights.shape == (1025, 294) and weights.min() == 0 and weights.max() <= 1
    assert (weights > 0).any(axis=0).all(), "every filter hears something"
    centres = SEMITONE.min_frequency_hz * 2 ** (np.arange(294) / 36)
    frequencies = np.arange(1025) * 16000 / 2048
    for k in (0, 1, 100, 293):
        heard = frequencies[weights[:, k] > 0]
        reach = max(16000 / 2048, centres[k] * (2 ** (1 / 36) - 1))
        assert np.all(np.abs(heard - centres[k]) < reach) and len(heard) >= 1
    inner = frequencies[weights[:, 250] > 0]
    assert np.any(inner > centres[250]) and np.any(inner < centres[250])


@pytest.mark.parametrize("pitch", [45, 60, 69, 100])
def test_a_sine_is_loudest_in_the_bin_of_its_pitch(pitch):
    frames = spectrogram.compute(sine(440 * 2 ** ((pitch - 69) / 12), 4000), SEMITONE)
    assert set(frames.argmax(axis=1)) == {3 * (pitch - 21) + 1}  # bin 1 is A0


def test_the_filterbank_cannot_be_changed_by_a_caller():
    with pytest.raises(ValueError, match="read-only"):
        spectrogram.filterbank(MEL)[0, 0] = 1


def test_frames_per_second_is_exact():
    assert MEL.frames_per_second == 125 and SEMITONE.frames_per_second == 100
    assert SpectrogramConfig(sample_rate=44100, hop_samples=512).frames_per_second == Fraction(11025, 128)


@BOTH
def test_frames_are_as_defined(config):
    samples = noise(6000)
    frames = spectrogram.compute(samples, config)
    assert frames.dtype == np.float32
    np.testing.assert_allclose(frames, by_definition(samples, config), rtol=0, atol=1e-3)


@BOTH
@pytest.mark.parametrize("shape", [(5000,), (2, 2, 3000)])
def test_numpy_and_jax_agree(config, shape):
    samples = noise(*shape)
    traced = jax.jit(functools.partial(spectrogram.compute, config=config, xp=jnp))
    ours, theirs = spectrogram.compute(samples, config), traced(samples)
    assert theirs.dtype == jnp.float32
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-4)


@BOTH
@pytest.mark.parametrize("num_samples, hops", [(0, None), (1, None), (2047, None), (2048, 0), (2048 + 3 * 160, 3)])
def test_number_of_frames(config, num_samples, hops):
    num_frames = 0 if hops is None else 1 + (num_samples - 2048) // config.hop_samples
    for xp in (np, jnp):
        frames = spectrogram.compute(xp.zeros((2, num_samples), xp.float32), config, xp)
        assert frames.shape == (2, num_frames, config.num_bins)


@BOTH
def test_many_frames_equal_the_same_frames_one_by_one(config):
    samples = noise(2048 + 70 * config.hop_samples)  # more than a chunk
    frames = spectrogram.compute(samples, config)
    starts = np.arange(len(frames)) * config.hop_samples
    alone = spectrogram.compute(np.stack([samples[start : start + 2048] for start in starts]), config)[:, 0]
    np.testing.assert_allclose(frames, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("xp", [np, jnp])
def test_silence_is_the_floor_and_quiet_sound_lies_below_it_on_the_mel_scale_only(xp):
    silence, quiet = xp.zeros(2048, xp.float32), xp.asarray(1e-9 * noise(2048))
    for config in (MEL, SEMITONE):
        np.testing.assert_allclose(spectrogram.compute(silence, config, xp), np.log(1e-5), rtol=1e-6)
    assert spectrogram.compute(quiet, MEL, xp).min() < -15
    np.testing.assert_allclose(spectrogram.compute(quiet, SEMITONE, xp), np.log(1e-5), rtol=1e-6)
    louder_floor = dataclasses.replace(SEMITONE, log_floor=1e-3)
    np.testing.assert_allclose(spectrogram.compute(silence, louder_floor, xp), np.log(1e-3), rtol=1e-6)


@pytest.mark.parametrize(
    "values, message",
    [
        ({"hop_samples": 0}, r"spectrogram\.hop_samples: 0 is not from 1 to 131072"),
        ({"hop_samples": 4096}, r"spectrogram\.hop_samples: 4096 is more than fft_size 2048"),
        ({"scale": "bark"}, r"spectrogram\.scale: 'bark' is not one of mel, semitone"),
        ({"log_floor": 0.0}, r"spectrogram\.log_floor: 0\.0 is not above 0"),
        ({"max_frequency_hz": 8001.0}, r"spectrogram\.min_frequency_hz: filters from 20\.0 to 8001\.0 Hz"),
        ({"min_frequency_hz": 0.0}, r"spectrogram\.min_frequency_hz: filters from 0\.0"),
        ({"scale": "semitone", "num_bins": 400}, r"spectrogram\.min_frequency_hz: filters from 20\.0 to 442\d\d"),
    ],
)
def test_settings_that_cannot_work_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        SpectrogramConfig(**values)
