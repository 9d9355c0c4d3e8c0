"""A stretch of a recording and its notes -> one training example. NumPy only, random by the generator that comes in.

Sound and notes stay what they are until the end: a crop is a slice of samples and the notes in it, a mix is a sum of
samples and all their notes. Only then come tokens (`codec.encode`) and the table for the auxiliary heads.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.signal
import soundfile
import soxr

from mt3lite import codec, instruments, notes, segments
from mt3lite.config import Config
from mt3lite.errors import InputError
from mt3lite.training import datasets, losses
from mt3lite.vocabulary import Vocabulary

MAX_NOTES = 384  # rows of an example's note table; the auxiliary heads are not told of more
UNUSED = -(10**9)  # onset of an unused row
_RESAMPLING_MARGIN = 512  # samples read on either side; soxr's filter reaches less far
MOST_DRAWS = 100  # for one example; so many too long ones in a row are no chance


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """How far training examples may stray from the recordings. All are chances or ranges of uniform draws."""

    mix_chance: float = 0.25  # of adding a second track
    mix_gain_db: tuple[float, float] = (-9.0, 3.0)  # of the second track against the first
    level_db: tuple[float, float] = (-22.0, 3.0)  # peak of the example, dB below full scale
    equaliser_chance: float = 0.6
    equaliser_db: float = 8.0  # most boost or cut of the low and the high shelf
    noise_chance: float = 0.6
    noise_db: tuple[float, float] = (-75.0, -38.0)  # level of the noise against the peak


@dataclasses.dataclass(frozen=True)
class Example:
    """One training example."""

    samples: np.ndarray  # float32 [num_samples]: what `segments.sample_span` asks for one segment
    tokens: np.ndarray  # int32 [num_tokens], EOS at the end
    notes: np.ndarray  # int32 [MAX_NOTES, 5]: the columns of `losses`, in encoder positions
    dropped: int = 0  # examples drawn in its place before, whose targets were too long


@functools.lru_cache(maxsize=20_000)
def track_notes(midi_path: Path) -> np.ndarray:
    """Read a track's notes once, sorted by onset."""
    return notes.sort(notes.read_midi(midi_path))


def read_span(path: Path, start: int, stop: int, sample_rate: int) -> np.ndarray:
    """Read samples [start, stop) of a WAV or FLAC file, zeros where there are none: float32 [stop - start], mono.

    Nothing but the span is decoded. A file of another rate is converted by soxr at its "HQ" quality, with enough around
    the span that the samples are those of the whole file's conversion.

    Args:
        path: the file.
        start: first sample, counted at `sample_rate`; may lie before the recording.
        stop: behind the last sample.
        sample_rate: of the samples wanted, Hz.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with soundfile.SoundFile(path) as file:
            if file.samplerate == sample_rate:
                return _read_frames(file, start, stop)
            # Both ends where a sample of the file and one of the result fall together.
            common = math.gcd(file.samplerate, sample_rate)
            result_step, file_step = sample_rate // common, file.samplerate // common
            first = (start - _RESAMPLING_MARGIN) // result_step
            last = -((-stop - _RESAMPLING_MARGIN) // result_step)
            around = _read_frames(file, first * file_step, last * file_step)
    except soundfile.LibsndfileError as error:
        reason = error.error_string.rstrip(". ") if path.is_file() else "there is no such file"
        raise InputError(f"{path}: cannot be read as audio: {reason}") from error
    samples = soxr.resample(around, file_step, result_step, quality="HQ")
    return samples[start - first * result_step : stop - first * result_step]


def _read_frames(file: soundfile.SoundFile, start: int, stop: int) -> np.ndarray:
    """Return samples [start, stop) of an open file at its own rate, zeros where there are none: float32, mono."""
    first = max(start, 0)
    file.seek(min(first, file.frames))
    found = file.read(max(0, stop - first), dtype="float32", always_2d=True).mean(axis=1)
    samples = np.zeros(stop - start, np.float32)
    samples[first - start : first - start + len(found)] = found
    return samples


def crop(track: datasets.Track, config: Config, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Cut a random segment out of a track: samples float32 [span], and its notes relative to the segment's start."""
    rate = config.spectrogram.sample_rate
    start, stop = segments.sample_span(0, config.spectrogram, config.segments)
    seconds = track.duration_seconds
    if seconds is None:
        seconds = min(soundfile.info(path).duration for path in track.recordings)
    length = int(seconds * rate) - config.segments.num_frames * config.spectrogram.hop_samples
    at = int(rng.integers(0, max(1, length)))
    samples = sum(read_span(path, at + start, at + stop, rate) for path in track.recordings)
    # Notes that begin in the context behind the segment stay for the auxiliary heads; `codec.encode` leaves them out.
    return samples, notes.crop(track_notes(track.midi), at / rate, (at + stop) / rate)


def mix(parts: Sequence[tuple[np.ndarray, np.ndarray]], gains: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Add (samples, notes) parts of one length with a factor each: samples float32, notes of all, sorted."""
    samples = sum(part[0] * np.float32(gain) for part, gain in zip(parts, gains, strict=True))
    return samples, notes.sort(np.concatenate([part[1] for part in parts]))


def _shelf(samples: np.ndarray, corner_hz: float, gain_db: float, sample_rate: int) -> np.ndarray:
    """Raise or lower what lies below a corner frequency by `gain_db`, with a first-order slope."""
    warped = np.tan(np.pi * corner_hz / sample_rate)  # first-order Butterworth low-pass by the bilinear transform
    b, a = np.full(2, warped / (1 + warped), np.float32), np.array([1, (warped - 1) / (warped + 1)], np.float32)
    low = scipy.signal.lfilter(b, a, samples)
    return samples + np.float32(10 ** (gain_db / 20) - 1) * low


def augment(samples: np.ndarray, sample_rate: int, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """Change what a note must not depend on: tone colour of the room, hiss and level."""
    if rng.random() < config.equaliser_chance:
        samples = _shelf(samples, rng.uniform(80, 400), rng.uniform(-1, 1) * config.equaliser_db, sample_rate)
        samples = _shelf(samples, rng.uniform(800, 4000), rng.uniform(-1, 1) * config.equaliser_db, sample_rate)
    peak = float(np.abs(samples).max(initial=1e-5))
    if rng.random() < config.noise_chance:
        noise = rng.standard_normal(len(samples), np.float32)
        if rng.random() < 0.5:  # rooms rumble more than they hiss
            noise = _shelf(noise, 300.0, 20.0, sample_rate)
            noise /= noise.std()
        samples = samples + noise * np.float32(peak * 10 ** (rng.uniform(*config.noise_db) / 20))
    level = max(peak, 1e-3)  # a silent crop is not blown up
    return (samples * np.float32(10 ** (rng.uniform(*config.level_db) / 20) / level)).astype(np.float32)


def note_table(cropped: np.ndarray, config: Config) -> np.ndarray:
    """Notes relative to the segment's start -> int32 [MAX_NOTES, 5], in encoder positions, for `note_activity`."""
    positions_per_second = float(config.spectrogram.frames_per_second) / config.network.frames_per_position
    offset = config.segments.context_frames / config.network.frames_per_position
    cropped = cropped[:MAX_NOTES]
    table = np.zeros((MAX_NOTES, 5), np.int32)
    table[:, losses.ONSET] = UNUSED
    rows = table[: len(cropped)]
    onset = np.floor(cropped["onset"] * positions_per_second + offset)
    rows[:, losses.ONSET] = onset
    rows[:, losses.OFFSET] = np.floor(cropped["offset"] * positions_per_second + offset)
    rows[:, losses.PITCH] = cropped["pitch"]
    rows[:, losses.FAMILY] = cropped["program"] // 8
    rows[:, losses.IS_DRUM] = cropped["is_drum"]
    return table


def make(
    tracks: Sequence[datasets.Track], config: Config, augmentation: AugmentConfig | None, rng: np.random.Generator
) -> Example | None:
    """Draw one example from the tracks.

    Args:
        tracks: to draw from, each with the same chance.
        config: of the model that is trained.
        augmentation: None leaves the recordings as they are.
        rng: the source of all choices.

    Returns:
        The example, or None where its target is longer than `config.segments.max_tokens`.
    """
    vocabulary = Vocabulary(config.vocabulary)
    parts, gains = [crop(tracks[rng.integers(len(tracks))], config, rng)], [1.0]
    if augmentation is not None and rng.random() < augmentation.mix_chance:
        parts.append(crop(tracks[rng.integers(len(tracks))], config, rng))
        gains.append(10 ** (rng.uniform(*augmentation.mix_gain_db) / 20))
    samples, played = mix(parts, gains)
    played["program"] = instruments.map_program(played["program"], config.codec.granularity)
    played = notes.trim_overlaps(played)
    tokens = codec.encode(
        played,
        0,
        config.segments.num_frames,
        frames_per_second=config.spectrogram.frames_per_second,
        vocabulary=vocabulary,
        config=config.codec,
    )
    if len(tokens) > config.segments.max_tokens:
        return None
    if augmentation is not None:
        samples = augment(samples, config.spectrogram.sample_rate, augmentation, rng)
    return Example(samples, tokens, note_table(played, config))


def at(
    index: int,
    tracks: Sequence[datasets.Track],
    config: Config,
    augmentation: AugmentConfig | None,
    *,
    seed: int,
) -> Example:
    """Make number `index` of the examples of a seed, which depends on nothing but the arguments.

    Too long a target is dropped and counted, and another example drawn with what follows in the same random stream. A
    plain loop, Grain and seqio all call this, and so have the same examples.

    Args:
        index: 0 or more.
        tracks: see `make`.
        config: see `make`.
        augmentation: see `make`.
        seed: 0 or more.

    Raises:
        InputError: a file of a track cannot be read, or nothing that was drawn fits into `max_tokens`.
    """
    rng = np.random.default_rng([seed, index])
    for dropped in range(MOST_DRAWS):
        example = make(tracks, config, augmentation, rng)
        if example is not None:
            return dataclasses.replace(example, dropped=dropped)
    raise InputError(
        f"example {index} of seed {seed}: the targets of {MOST_DRAWS} draws in a row have more than "
        f"{config.segments.max_tokens} tokens; raise the config's segments.max_tokens"
    )
