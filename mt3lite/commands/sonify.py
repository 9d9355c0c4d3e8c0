"""A recording and what was heard in it, played together: the recording on the left, the notes on the right."""

from pathlib import Path

import numpy as np
import soxr

from mt3lite import audio, notes, render, soundfonts, tuning

SAMPLE_RATE = 44100
PEAK = 0.8  # of each side, so that a quiet recording and its notes are equally loud


def check_installed(soundfont: Path | None) -> Path:
    """Return the soundfont to play with, after trying it: the given one, or else the largest that the system has.

    Raises:
        InputError: FluidSynth is missing, or there is no usable soundfont.
    """
    chosen = soundfont or soundfonts.find()
    render.render(notes.empty(), chosen, render.RenderConfig(tail_seconds=0.1))
    return chosen


def write(transcribed: np.ndarray, recording: Path, path: Path, soundfont: Path, tuning_hz: float) -> None:
    """Write a stereo WAV file of the recording and its notes, whose A4 is at `tuning_hz`, as that of the recording.

    Raises:
        InputError: the recording cannot be read any more, or the file cannot be written.
    """
    left = audio.load(recording, SAMPLE_RATE)
    # Played at 440 Hz, and then as much faster as it is to be higher.
    faster, slowed = tuning_hz / tuning.A4_HZ, transcribed.copy()
    for name in ("onset", "offset"):
        slowed[name] *= faster
    right = render.render(slowed, soundfont, render.RenderConfig(sample_rate=SAMPLE_RATE))
    right = soxr.resample(right, SAMPLE_RATE * faster, SAMPLE_RATE) if faster != 1 else right
    write_pair(left, right, path, SAMPLE_RATE)


def write_pair(left: np.ndarray, right: np.ndarray, path: Path, sample_rate: int) -> None:
    """Write a stereo WAV file of two sounds, float32 [num_samples] each, equally loud, as long as the longer.

    Raises:
        InputError: the file cannot be written.
    """
    both = np.zeros((max(len(left), len(right)), 2), np.float32)
    for column, samples in enumerate((left, right)):
        peak = np.abs(samples).max(initial=0.0)
        both[: len(samples), column] = samples * (PEAK / peak) if peak else samples
    audio.write_wav(path, both, sample_rate)
