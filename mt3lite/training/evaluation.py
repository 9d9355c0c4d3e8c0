"""A split of a dataset -> scores of a model on it, of which what is done can be kept for the next run."""

import hashlib
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import mt3lite
from mt3lite import note_files, notes, outputs, reading, scoring, stepping, tuning, weights
from mt3lite.errors import InputError, reason
from mt3lite.scoring import Scored
from mt3lite.training import datasets
from mt3lite.transcriber import Transcriber

LONGEST_NAME = 200  # of a file that is named after a track


@dataclass(frozen=True)
class _Heard:
    """What of a transcription is kept."""

    notes: np.ndarray
    duration_seconds: float  # of the recording
    invalid_events: int
    dropped_events: int


def evaluate(
    transcriber: Transcriber,
    tracks: Sequence[datasets.Track],
    settings: scoring.Settings = scoring.Settings(),  # noqa: B008  frozen
    *,
    tuning_hz: float | None = None,
    workdir: Path | None = None,
    complain: Callable[[str], None] | None = None,
) -> Iterator[Scored]:
    """Transcribe each track and hold the notes against its MIDI file, sustain pedal applied.

    Args:
        transcriber: the model.
        tracks: what to transcribe.
        settings: how to score.
        tuning_hz: the frequency of A4 in all recordings; None to listen for it in each.
        workdir: keeps the transcriptions; those that are there are taken from there, if they are of the same model,
            precision, tuning, version and recording. None: nothing is kept.
        complain: told of what is odd about a track, and of a track that cannot be read, which is then left out. Without
            it that is raised.

    Raises:
        InputError: an audio or a MIDI file cannot be read, and there is nobody to complain to; the model's spectrogram
            cannot be tuned so.
    """
    if tuning_hz is not None:
        tuning.tuned(transcriber.model.config.spectrogram, tuning_hz)  # it concerns all tracks alike
    for track in tracks:
        try:
            reference = notes.read_midi(track.midi)
            if workdir:
                heard = _kept(transcriber, track, tuning_hz, workdir)
            else:
                heard = _transcribe(transcriber, track, tuning_hz)
        except InputError as error:
            if complain is None:
                raise
            complain(f"{track.id} is left out: {error}")
            continue
        late = int(np.count_nonzero(reference["onset"] >= heard.duration_seconds))
        if late and complain:
            complain(f"{track.id}: {late} notes of {track.midi.name} begin after the recording has ended; they count")
        score = scoring.score_piece(
            track.id,
            reference,
            heard.notes,
            settings,
            invalid_events=heard.invalid_events,
            dropped_events=heard.dropped_events,
        )
        yield Scored(score, reference, heard.notes)


def _transcribe(transcriber: Transcriber, track: datasets.Track, tuning_hz: float | None) -> _Heard:
    rate = transcriber.model.config.spectrogram.sample_rate
    found = transcriber.transcribe(track.audio or datasets.load_samples(track, rate), tuning_hz=tuning_hz)
    return _Heard(found.notes, found.duration_seconds, found.invalid_events, found.dropped_events)


def model_key(model: weights.Model) -> str:
    """Return what tells models apart, 12 hexadecimal digits; the settings' file has the weights' checksum."""
    return _sha256(model.path / weights.CONFIG_FILE)[:12]


def _kept(transcriber: Transcriber, track: datasets.Track, tuning_hz: float | None, workdir: Path) -> _Heard:
    """Return what `workdir` holds of a track, after putting it there if need be.

    What is new is read back, too, so that a run that was interrupted scores the same numbers as one that was not.
    """
    other = "" if transcriber.precision == stepping.FLOAT32 else f"-{transcriber.precision}"
    told = "" if tuning_hz is None else f"-{tuning_hz}hz"
    folder = workdir / f"{model_key(transcriber.model)}{other}{told}"
    name = urllib.parse.quote(track.id, safe=" ", errors="backslashreplace")
    if len(name) > LONGEST_NAME:
        name = hashlib.sha256(name.encode()).hexdigest()
    path = folder / f"{name}.json"
    made_of = {"version": mt3lite.__version__, "audio_sha256": [_sha256(each) for each in track.recordings]}
    if not path.is_file() or _about(path)["made_of"] != made_of:
        found = _transcribe(transcriber, track, tuning_hz)
        about = {
            "made_of": made_of,
            "duration_seconds": found.duration_seconds,
            "invalid_events": found.invalid_events,
            "dropped_events": found.dropped_events,
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder}: cannot be made: {error.strerror}") from error
        outputs.write_json(found.notes, path, granularity=transcriber.model.config.codec.granularity, about=about)
    about = _about(path)
    return _Heard(note_files.read(path), about["duration_seconds"], about["invalid_events"], about["dropped_events"])


def _about(path: Path) -> dict:
    """Return what a kept transcription says of itself.

    Raises:
        InputError: it is not ours, or damaged.
    """
    try:
        content = reading.parse_json(reading.read_text(path))
        counts = [content[key] for key in ("duration_seconds", "invalid_events", "dropped_events")]
        if not all(type(each) in (int, float) and each >= 0 for each in counts):
            raise InputError("a count is none")
        return {key: content[key] for key in ("made_of", "duration_seconds", "invalid_events", "dropped_events")}
    except (InputError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a transcription that an evaluation kept ({reason(error)}); delete it") from error


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
