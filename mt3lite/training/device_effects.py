"""`effects`, and `examples.augment` that draws them, in JAX: for examples that are made where the network learns.

The same rooms, shelves, noise and low-pass, as products of spectra; from another random stream.
"""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.fft

from mt3lite.training import examples

_LATEST_SECONDS = 0.03  # of a room's answer
_RINGING_SECONDS = 0.05  # of a steep low-pass: so many zeros behind the sound, that it does not come round
_LOW_PASS_WIDTH = 0.08  # as in `effects`


def augment(samples: jax.Array, key: jax.Array, sample_rate: int, config: examples.AugmentConfig) -> jax.Array:
    """What `examples.augment` does, with float32 [num_samples] of one example; all is computed, and used by chance."""
    room_key, shelf_key, noise_key, pass_key, level_key = jax.random.split(key, 5)
    behind = max(config.reverb_seconds[1] + _LATEST_SECONDS, _RINGING_SECONDS)
    padded = scipy.fft.next_fast_len(len(samples) + int(behind * sample_rate), real=True)
    turns = _turns(padded)

    spectrum = jnp.fft.rfft(samples, padded) * (1 + _room(room_key, sample_rate, padded, turns, config))
    spectrum *= _shelves(shelf_key, sample_rate, turns, config)
    changed = jnp.fft.irfft(spectrum, padded)[: len(samples)]
    peak = jnp.maximum(jnp.abs(changed).max(), 1e-5)
    noisy = changed + peak * _noise(noise_key, len(samples), sample_rate, config)

    spectrum = jnp.fft.rfft(noisy, padded) * _low_pass(pass_key, sample_rate, turns, config)
    passed = jnp.fft.irfft(spectrum, padded)[: len(samples)]
    level = 10 ** (_between(level_key, config.level_db) / 20) / jnp.maximum(peak, 1e-3)
    return passed * level


def shelf(corner_hz: jax.Array, gain_db: jax.Array, sample_rate: int, turns: jax.Array) -> jax.Array:
    """Return the response of `effects.shelf` at frequencies in radians a sample, complex64."""
    warped = jnp.tan(jnp.pi * corner_hz / sample_rate)
    late = jnp.exp(-1j * turns)
    low = warped * (1 + late) / (1 + warped + (warped - 1) * late)
    return 1 + (10 ** (gain_db / 20) - 1) * low


def _turns(num_samples: int) -> np.ndarray:
    """Return the frequencies of a real transform in radians a sample, float32 [num_samples // 2 + 1]."""
    return (2 * np.pi * np.fft.rfftfreq(num_samples)).astype(np.float32)


def _between(key: jax.Array, ends: tuple[float, float]) -> jax.Array:
    return jax.random.uniform(key, minval=ends[0], maxval=ends[1])


def _room(key: jax.Array, sample_rate: int, padded: int, turns: jax.Array, config: examples.AugmentConfig) -> jax.Array:
    """Return the spectrum of a room's answer as in `effects.reverberate`; 0 where there is no room."""
    chance_key, decay_key, wet_key, late_key, noise_key = jax.random.split(key, 5)
    decay_seconds = _between(decay_key, config.reverb_seconds)
    num_samples = int(config.reverb_seconds[1] * sample_rate)
    seconds = jnp.arange(num_samples) / sample_rate
    noise = jax.random.normal(noise_key, (2, num_samples))
    dull = jnp.fft.irfft(jnp.fft.rfft(noise[0]) * shelf(1500.0, 24.0, sample_rate, _turns(num_samples)), num_samples)
    room = dull / dull.std() * 10 ** (-3 * seconds / decay_seconds)
    room += 0.7 * noise[1] * 10 ** (-6 * seconds / decay_seconds)
    room = jnp.where(seconds < decay_seconds, room, 0.0)
    room *= 10 ** (_between(wet_key, config.reverb_db) / 20) / jnp.sqrt(jnp.square(room).sum())
    late = jnp.floor(_between(late_key, (0.005, _LATEST_SECONDS)) * sample_rate)
    answer = jnp.fft.rfft(room, padded) * jnp.exp(-1j * turns * late)
    return jnp.where(jax.random.uniform(chance_key) < config.reverb_chance, answer, 0.0)


def _shelves(key: jax.Array, sample_rate: int, turns: jax.Array, config: examples.AugmentConfig) -> jax.Array:
    """Return the response of a low and a high shelf; 1 where there are none."""
    chance_key, *keys = jax.random.split(key, 5)
    response = jnp.complex64(1)
    for corner_key, gain_key, corners_hz in ((keys[0], keys[1], (80.0, 400.0)), (keys[2], keys[3], (800.0, 4000.0))):
        gain_db = _between(gain_key, (-config.equaliser_db, config.equaliser_db))
        response *= shelf(_between(corner_key, corners_hz), gain_db, sample_rate, turns)
    return jnp.where(jax.random.uniform(chance_key) < config.equaliser_chance, response, 1.0)


def _noise(key: jax.Array, num_samples: int, sample_rate: int, config: examples.AugmentConfig) -> jax.Array:
    """Return noise, white or rumbling, of a level against a peak of 1; 0 where there is none."""
    chance_key, rumble_key, level_key, noise_key = jax.random.split(key, 4)
    noise = jax.random.normal(noise_key, (num_samples,))
    response = shelf(300.0, 20.0, sample_rate, _turns(num_samples))
    rumbling = jnp.fft.irfft(jnp.fft.rfft(noise) * response, num_samples)
    noise = jnp.where(jax.random.uniform(rumble_key) < 0.5, rumbling / rumbling.std(), noise)
    level = 10 ** (_between(level_key, config.noise_db) / 20)
    return jnp.where(jax.random.uniform(chance_key) < config.noise_chance, noise * level, 0.0)


def _low_pass(key: jax.Array, sample_rate: int, turns: jax.Array, config: examples.AugmentConfig) -> jax.Array:
    """Return the response of `effects.low_pass`; 1 where there is none."""
    chance_key, corner_key = jax.random.split(key)
    corner_hz = _between(corner_key, config.low_pass_hz)
    above = jnp.clip((turns / np.pi * sample_rate / 2 / corner_hz - 1) / _LOW_PASS_WIDTH, 0, 1)
    steep = 0.5 + 0.5 * jnp.cos(jnp.pi * above)
    return jnp.where(jax.random.uniform(chance_key) < config.low_pass_chance, steep, 1.0)
