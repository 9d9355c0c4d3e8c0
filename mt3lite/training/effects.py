"""What rooms, microphones and codecs do to a sound and a note must not depend on.

Every function takes samples (float32 [num_samples], mono) and returns as many, float32; none of them moves an onset.
"""

import numpy as np
import scipy.fft
import scipy.signal

_LOW_PASS_WIDTH = 0.08  # from full to nothing, as a share of the corner


def shelf(samples: np.ndarray, corner_hz: float, gain_db: float, sample_rate: int) -> np.ndarray:
    """Raise or lower what lies below a corner frequency by `gain_db`, with a first-order slope."""
    warped = np.tan(np.pi * corner_hz / sample_rate)  # first-order Butterworth low-pass by the bilinear transform
    b, a = np.full(2, warped / (1 + warped), np.float32), np.array([1, (warped - 1) / (warped + 1)], np.float32)
    low = scipy.signal.lfilter(b, a, samples)
    return samples + np.float32(10 ** (gain_db / 20) - 1) * low


def low_pass(samples: np.ndarray, corner_hz: float, sample_rate: int) -> np.ndarray:
    """Leave out all above a corner frequency, as codecs do at low bit rates: steep, and without delay."""
    padded = scipy.fft.next_fast_len(len(samples) + int(0.05 * sample_rate), real=True)  # its ringing does not wrap
    spectrum = scipy.fft.rfft(samples, padded)
    frequencies_hz = np.linspace(0, sample_rate / 2, len(spectrum), dtype=np.float32)
    above = np.clip((frequencies_hz / corner_hz - 1) / _LOW_PASS_WIDTH, 0, 1)
    spectrum *= 0.5 + 0.5 * np.cos(np.pi * above)
    return scipy.fft.irfft(spectrum, padded)[: len(samples)].astype(np.float32)


def reverberate(
    samples: np.ndarray, decay_seconds: float, wet_db: float, sample_rate: int, rng: np.random.Generator
) -> np.ndarray:
    """Add a room: noise that dies away by 60 dB in `decay_seconds`, the high of it in half that time.

    The room answers 5 to 30 ms after the sound, with `wet_db` times the sound's energy (for a sound of short notes).
    """
    seconds = np.arange(int(decay_seconds * sample_rate)) / sample_rate
    noise = rng.standard_normal((2, len(seconds)), np.float32)
    dull = shelf(noise[0], 1500.0, 24.0, sample_rate)
    room = dull / dull.std() * 10 ** (-3 * seconds / decay_seconds) + 0.7 * noise[1] * 10 ** (
        -6 * seconds / decay_seconds
    )
    room *= 10 ** (wet_db / 20) / np.sqrt(np.sum(room**2))
    late = int(rng.uniform(0.005, 0.03) * sample_rate)
    answer = np.concatenate([np.zeros(late, np.float32), room.astype(np.float32)])
    return samples + scipy.signal.fftconvolve(samples, answer)[: len(samples)].astype(np.float32)


def add_noise(
    samples: np.ndarray, level: float, sample_rate: int, rng: np.random.Generator, *, rumbling: bool
) -> np.ndarray:
    """Add noise of a level (root mean square): white, or with 20 dB more below 300 Hz, as rooms rumble."""
    noise = rng.standard_normal(len(samples), np.float32)
    if rumbling:
        noise = shelf(noise, 300.0, 20.0, sample_rate)
        noise /= noise.std()
    return samples + noise * np.float32(level)
