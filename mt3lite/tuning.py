"""How high a recording is tuned: the frequency of its A4, as the partials of its notes tell it.

The network knows notes that are tuned to 440 Hz, and those within some thirty cents of that; beyond, it hears few of
them, or the wrong ones. So the filters of the spectrogram are moved to where the notes of a recording are.

Wherever A4 is, the peaks of the spectra lie equally far beside whole semitones from 440 Hz, in tune with each other. On
a circle that is one semitone round, their mean tells how far, and its length how much they agree: near 1 for one
instrument, near 0 for drums and noise (N. I. Fisher, "Statistical Analysis of Circular Data", 1993, chapter 2). librosa
has an estimate, too, but importing it takes two seconds, as long as transcribing a clip.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
import scipy.fft

from mt3lite.errors import InputError
from mt3lite.spectrogram import SpectrogramConfig, hann

A4_HZ = 440.0
LISTENED_SECONDS = 60  # of a recording, from its beginning

_WINDOW_SECONDS = 0.5  # long enough to tell low notes a semitone apart
_WINDOWS_TOGETHER = 64
_FROM_HZ, _TO_HZ = 80.0, 2000.0  # below, peaks are too wide; above, overtones are not where notes are
_FAINTEST = np.exp(-3)  # magnitude of a peak in a window of samples: far under the hiss of recordings
_BELOW_LOUDEST = 0.1  # of the magnitude of the loudest peak of a window; what is fainter is left out
_AGREED = 0.25  # length of the mean from which on it tells anything
_LEAST_CENTS = 10.0  # what is nearer to 440 Hz is taken for that: it makes no difference, and may be an error
_STEP_CENTS = 5.0


def beginning(blocks: Iterator[np.ndarray], sample_rate: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return what of a recording is listened to, and the blocks that were taken for it.

    Args:
        blocks: float32 [any length], mono.
        sample_rate: Hz.
    """
    wanted, num_samples, taken = LISTENED_SECONDS * sample_rate, 0, []
    for block in blocks:
        taken.append(block)
        num_samples += len(block)
        if num_samples >= wanted:
            break
    return np.concatenate([np.zeros(0, np.float32), *taken])[:wanted], taken


def estimate(samples: np.ndarray, sample_rate: int) -> float:
    """Return the frequency of A4 in Hz, within half a semitone of 440 Hz; 440 Hz where that is about right, or unknown.

    Args:
        samples: float32 [num_samples], mono.
        sample_rate: Hz.
    """
    around, weight = 0j, 0.0
    for frequencies, weights in _peaks(samples, sample_rate):
        around += np.sum(weights * np.exp(2j * np.pi * 12 * np.log2(frequencies / A4_HZ)))
        weight += np.sum(weights)
    cents = 100 * np.angle(around) / (2 * np.pi)
    if abs(around) < _AGREED * weight or abs(cents) < _LEAST_CENTS:
        return A4_HZ
    return A4_HZ * 2 ** (_STEP_CENTS * round(cents / _STEP_CENTS) / 1200)


def tuned(config: SpectrogramConfig, a4_hz: float) -> SpectrogramConfig:
    """Return the settings by which a recording with that A4 has the frames of one whose A4 is at 440 Hz.

    Raises:
        InputError: the filters are not spaced evenly in pitch, or would reach beyond half the sample rate.
    """
    if a4_hz == A4_HZ:
        return config
    if config.scale != "semitone":
        raise InputError(f"a tuning of {a4_hz:g} Hz: this model's filters, in {config.scale}, stay; leave it out")
    return dataclasses.replace(config, min_frequency_hz=config.min_frequency_hz * a4_hz / A4_HZ)


def _peaks(samples: np.ndarray, sample_rate: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the frequencies in Hz of peaks of some windows, and what they weigh: the root of their magnitudes."""
    size = scipy.fft.next_fast_len(round(_WINDOW_SECONDS * sample_rate), real=True)
    if len(samples) < size or sample_rate < 2 * _TO_HZ:
        return
    windows = np.lib.stride_tricks.sliding_window_view(samples, size)[:: size // 2]
    first, stop = (round(edge * size / sample_rate) for edge in (_FROM_HZ, _TO_HZ))
    for start in range(0, len(windows), _WINDOWS_TOGETHER):
        spectrum = np.abs(scipy.fft.rfft(windows[start : start + _WINDOWS_TOGETHER] * hann(size)))
        log = np.log(np.maximum(spectrum[:, first - 1 : stop + 1], _FAINTEST / 2))
        before, here, after = log[:, :-2], log[:, 1:-1], log[:, 2:]
        loud = np.maximum(here.max(axis=1, keepdims=True) + np.log(_BELOW_LOUDEST), np.log(_FAINTEST))
        row, column = np.nonzero((here > before) & (here >= after) & (here > loud))
        before, here, after = (each[row, column] for each in (before, here, after))
        aside = 0.5 * (before - after) / (before - 2 * here + after)  # the top of a parabola
        yield (first + column + aside) * sample_rate / size, np.exp(0.5 * here)
