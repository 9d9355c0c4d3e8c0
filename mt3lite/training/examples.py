"""A stretch of a recording and its notes -> one training example. NumPy only, random by the generator that comes in.

Sound and notes stay what they are until the end: a crop is a slice of samples and the notes in it, a mix is a sum of
samples and all their notes. Only then come tokens (`codec.encode`) and the table for the heads that hear notes.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr

from mt3lite import codec, instruments, notes, segments
from mt3lite.config import Config
from mt3lite.errors import InputError
from mt3lite.training import datasets, effects, losses
from mt3lite.vocabulary import Vocabulary

MAX_NOTES = 384  # rows of an example's note table; the heads that hear are not told of more
_RESAMPLING_MARGIN = 512  # samples read on either side; soxr's filter reaches less far
MOST_DRAWS = 100  # for one example; so many too long ones in a row are no chance


@dataclasses.dataclass(frozen=True)
class AugmentConfig:
    """How far training examples may stray from the recordings. All are chances or ranges of uniform draws.

    Raises:
        InputError: a chance is not from 0 to 1, a range does not ascend, or a number is less than it can be.
    """

    mix_chance: float = 0.25  # of playing several tracks at once
    most_mixed: int = 2  # so many tracks at most
    mix_gain_db: tuple[float, float] = (-9.0, 3.0)  # of the further tracks against the first
    stem_chance: float = 0.5  # of hearing only some parts of a track whose stems have notes of their own
    shift_chance: float = 0.25  # of playing all faster and higher, or slower and lower; the notes follow
    shift_semitones: int = 3  # most, up or down; the drums keep their pitches, which are names
    detune_semitones: float = 0.2  # beside that, up or down: the notes do not follow
    reverb_chance: float = 0.2
    reverb_seconds: tuple[float, float] = (0.15, 1.0)  # to 60 dB less
    reverb_db: tuple[float, float] = (-20.0, -4.0)  # energy of the room's answer against the sound
    low_pass_chance: float = 0.15
    low_pass_hz: tuple[float, float] = (3000.0, 7500.0)
    level_db: tuple[float, float] = (-22.0, 3.0)  # peak of the example, dB below full scale
    equaliser_chance: float = 0.6
    equaliser_db: float = 8.0  # most boost or cut of the low and the high shelf
    noise_chance: float = 0.6
    noise_db: tuple[float, float] = (-75.0, -38.0)  # level of the noise against the peak

    def __post_init__(self):
        for name, value in vars(self).items():
            if name.endswith("_chance") and not 0 <= value <= 1:
                raise InputError(f"augmentation.{name}: {value} is not from 0 to 1")
            if isinstance(value, tuple) and value[0] > value[1]:
                raise InputError(f"augmentation.{name}: {value} does not ascend")
        for name, least in (("most_mixed", 1), ("shift_semitones", 0), ("detune_semitones", 0), ("equaliser_db", 0)):
            if getattr(self, name) < least:
                raise InputError(f"augmentation.{name}: {getattr(self, name)} is less than {least}")


@dataclasses.dataclass(frozen=True)
class Example:
    """One training example."""

    samples: np.ndarray  # float32 [num_samples]: what `segments.sample_span` asks for one segment
    tokens: np.ndarray  # int32 [num_tokens], EOS at the end
    notes: np.ndarray  # int32 [MAX_NOTES, losses.NUM_COLUMNS]: the columns of `losses`, in encoder positions
    dropped: int = 0  # examples drawn in its place before, whose targets were too long


_KEPT_TRACKS = 4096  # whose notes are kept in memory; 1 GB if all are piano recitals of 8000 notes


@functools.lru_cache(maxsize=_KEPT_TRACKS)
def track_notes(midi_path: Path) -> np.ndarray:
    """Read a track's notes once, sorted by onset."""
    return notes.read_midi(midi_path)


_stem_notes = functools.lru_cache(maxsize=_KEPT_TRACKS)(datasets.stem_notes)


def read_span(path: Path, start: int, stop: int, sample_rate: int, *, speed: float = 1.0) -> np.ndarray:
    """Read samples [start, stop) of a WAV or FLAC file, zeros where there are none: float32 [stop - start], mono.

    Nothing but the span is decoded. A file of another rate is converted by soxr at its "HQ" quality, with enough around
    the span that the samples are those of the whole file's conversion.

    Args:
        path: the file.
        start: first sample, counted at `sample_rate` and `speed`; may lie before the recording.
        stop: behind the last sample.
        sample_rate: of the samples wanted, Hz.
        speed: how much faster, and so higher, the recording is played.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with soundfile.SoundFile(path) as file:
            if file.samplerate == sample_rate and speed == 1:
                return _read_frames(file, start, stop)
            if speed == 1:
                # Both ends where a sample of the file and one of the result fall together.
                common = math.gcd(file.samplerate, sample_rate)
                result_step, file_step = sample_rate // common, file.samplerate // common
            else:
                # They never do, so the result is up to half a sample off.
                result_step, file_step = 1, file.samplerate * speed / sample_rate
            first = (start - _RESAMPLING_MARGIN) // result_step
            last = -((-stop - _RESAMPLING_MARGIN) // result_step)
            around = _read_frames(file, round(first * file_step), round(last * file_step))
    except soundfile.LibsndfileError as error:
        reason = error.error_string.rstrip(". ") if path.is_file() else "there is no such file"
        raise InputError(f"{path}: cannot be read as audio: {reason}") from error
    samples = soxr.resample(around, file_step, result_step, quality="HQ")
    return samples[start - first * result_step : stop - first * result_step]


def _read_frames(file: soundfile.SoundFile, start: int, stop: int) -> np.ndarray:
    """Return samples [start, stop) of an open file at its own rate, zeros where there are none: float32, mono."""
    first = max(start, 0)
    file.seek(min(first, file.frames))
    found = file.read(max(0, stop - first), dtype="float32", always_2d=True)
    found = found[:, 0] if file.channels == 1 else found.mean(axis=1)
    samples = np.zeros(stop - start, np.float32)
    samples[first - start : first - start + len(found)] = found
    return samples


def crop(
    track: datasets.Track, config: Config, rng: np.random.Generator, augmentation: AugmentConfig | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Cut a random segment out of a track: samples float32 [span], and its notes relative to the segment's start.

    With augmentation it may be of some of the track's stems only, and be played faster and higher or slower and lower.

    Raises:
        InputError: a file of the track cannot be read.
    """
    rate = config.spectrogram.sample_rate
    start, stop = segments.sample_span(0, config.spectrogram, config.segments)
    recordings, played, semitones, detuned = track.recordings, track_notes(track.midi), 0, 0.0
    if augmentation is not None:
        recordings, played = _some_parts(track, augmentation, rng)
        semitones, detuned = _shift(played, augmentation, rng)
    speed = 2.0 ** ((semitones + detuned) / 12)
    seconds = track.duration_seconds
    if seconds is None:
        seconds = min(soundfile.info(path).duration for path in track.recordings)
    length = int(seconds / speed * rate) - config.segments.num_frames * config.spectrogram.hop_samples
    at = int(rng.integers(0, max(1, length)))
    samples = sum(read_span(path, at + start, at + stop, rate, speed=speed) for path in recordings)
    # Notes that begin in the context behind the segment stay for the heads that hear; `codec.encode` leaves them out.
    # Those that begin after the recording are left out: nothing is asked for where there is no sound.
    played = played[played["onset"] < seconds]
    cropped = notes.crop(played, at * speed / rate, (at + stop) * speed / rate)
    cropped["onset"] /= speed
    cropped["offset"] /= speed
    cropped["pitch"] += np.where(cropped["is_drum"], 0, semitones).astype(np.int32)
    return samples, cropped


def _some_parts(
    track: datasets.Track, augmentation: AugmentConfig, rng: np.random.Generator
) -> tuple[Sequence[Path], np.ndarray]:
    """Return the files to hear and the notes in them: the whole track, or a random choice of its stems."""
    stems = track.stems
    if not stems or any(stem.midi is None for stem in stems) or rng.random() >= augmentation.stem_chance:
        return track.recordings, track_notes(track.midi)
    chosen = rng.random(len(stems)) < 0.5
    chosen[rng.integers(len(stems))] = True
    kept = [stem for stem, wanted in zip(stems, chosen, strict=True) if wanted]
    return [stem.audio for stem in kept], notes.sort(np.concatenate([_stem_notes(stem) for stem in kept]))


def _shift(played: np.ndarray, augmentation: AugmentConfig, rng: np.random.Generator) -> tuple[int, float]:
    """Draw by how many semitones to shift, no note beyond MIDI's pitches, and by how much of one to detune."""
    if rng.random() >= augmentation.shift_chance:
        return 0, 0.0
    pitches = played["pitch"][~played["is_drum"]]
    semitones = int(rng.integers(-augmentation.shift_semitones, augmentation.shift_semitones + 1))
    semitones = max(-int(pitches.min(initial=127)), min(127 - int(pitches.max(initial=0)), semitones))
    return semitones, float(rng.uniform(-1, 1) * augmentation.detune_semitones)


def mix(parts: Sequence[tuple[np.ndarray, np.ndarray]], gains: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Add (samples, notes) parts of one length with a factor each: samples float32, notes of all, sorted."""
    samples = sum(part[0] * np.float32(gain) for part, gain in zip(parts, gains, strict=True))
    return samples, notes.sort(np.concatenate([part[1] for part in parts]))


def augment(samples: np.ndarray, sample_rate: int, config: AugmentConfig, rng: np.random.Generator) -> np.ndarray:
    """Change what a note must not depend on: the room, its tone colour, hiss, what a codec left, and level."""
    if rng.random() < config.reverb_chance:
        decay_seconds, wet_db = rng.uniform(*config.reverb_seconds), rng.uniform(*config.reverb_db)
        samples = effects.reverberate(samples, decay_seconds, wet_db, sample_rate, rng)
    if rng.random() < config.equaliser_chance:
        for corner_hz in (rng.uniform(80, 400), rng.uniform(800, 4000)):
            samples = effects.shelf(samples, corner_hz, rng.uniform(-1, 1) * config.equaliser_db, sample_rate)
    peak = float(np.abs(samples).max(initial=1e-5))
    if rng.random() < config.noise_chance:
        level, rumbling = peak * 10 ** (rng.uniform(*config.noise_db) / 20), rng.random() < 0.5
        samples = effects.add_noise(samples, level, sample_rate, rng, rumbling=rumbling)
    if rng.random() < config.low_pass_chance:
        samples = effects.low_pass(samples, rng.uniform(*config.low_pass_hz), sample_rate)
    level = max(peak, 1e-3)  # a silent crop is not blown up
    return (samples * np.float32(10 ** (rng.uniform(*config.level_db) / 20) / level)).astype(np.float32)


def note_table(cropped: np.ndarray, config: Config) -> np.ndarray:
    """Notes relative to the segment's start -> what `losses.note_activity` reads, times in encoder positions.

    int32 [MAX_NOTES, losses.NUM_COLUMNS].
    """
    positions_per_second = float(config.spectrogram.frames_per_second) / config.network.frames_per_position
    offset = config.segments.context_frames / config.network.frames_per_position
    cropped = cropped[:MAX_NOTES]
    table = np.zeros((MAX_NOTES, losses.NUM_COLUMNS), np.int32)
    table[:, losses.ONSET] = losses.UNUSED
    rows = table[: len(cropped)]
    steps_per_second = config.vocabulary.steps_per_second
    for column, field in ((losses.ONSET, "onset"), (losses.OFFSET, "offset")):
        # By way of steps, so that the encoder is asked for a note where its tokens say that it is.
        steps = np.round(cropped[field] * steps_per_second)
        rows[:, column] = np.floor(steps * positions_per_second / steps_per_second + offset + 1e-6)
    rows[:, losses.PITCH] = cropped["pitch"]
    rows[:, losses.FAMILY] = cropped["program"] // 8
    rows[:, losses.IS_DRUM] = cropped["is_drum"]
    rows[:, losses.VELOCITY] = cropped["velocity"]
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
    gains = [1.0]
    if augmentation is not None and augmentation.most_mixed > 1 and rng.random() < augmentation.mix_chance:
        further = rng.integers(1, augmentation.most_mixed)
        gains += list(10 ** (rng.uniform(*augmentation.mix_gain_db, further) / 20))
    parts = [crop(tracks[rng.integers(len(tracks))], config, rng, augmentation) for _ in gains]
    samples, played = mix(parts, gains)
    played["program"] = instruments.map_program(played["program"], config.codec.granularity)
    played = notes.trim_overlaps(played)
    # What compatibility "mt3" refuses is a whole piece without notes; a crop is now and then silent.
    codec_config = config.codec if len(played) else dataclasses.replace(config.codec, compatibility="none")
    tokens = codec.encode(
        played,
        0,
        config.segments.num_frames,
        frames_per_second=config.spectrogram.frames_per_second,
        vocabulary=vocabulary,
        config=codec_config,
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
