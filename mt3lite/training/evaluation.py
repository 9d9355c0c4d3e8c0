"""A split of a dataset -> scores of a model on it."""

import dataclasses
from collections.abc import Callable, Sequence

from mt3lite import metrics, notes
from mt3lite.training import datasets
from mt3lite.transcriber import Transcriber


@dataclasses.dataclass(frozen=True)
class TrackScore:
    """How a model did on one track."""

    id: str
    counts: dict[str, metrics.Counts]  # see `metrics.counts`
    instruments: dict[str, dict[str, metrics.Counts]]  # see `metrics.by_instrument`, by General MIDI family
    drum_classes: dict[str, dict[str, metrics.Counts]]  # see `metrics.by_drum_class`
    invalid_events: int
    dropped_events: int


def evaluate(
    transcriber: Transcriber,
    tracks: Sequence[datasets.Track],
    *,
    progress: Callable[[TrackScore], None] | None = None,
) -> list[TrackScore]:
    """Transcribe each track and hold the notes against its MIDI file, sustain pedal applied.

    Args:
        transcriber: the model.
        tracks: what to transcribe.
        progress: called after each track with its score.

    Raises:
        InputError: an audio or a MIDI file cannot be read.
    """
    scores = []
    for track in tracks:
        rate = transcriber.model.config.spectrogram.sample_rate
        transcription = transcriber.transcribe(track.audio or datasets.load_samples(track, rate))
        reference = notes.read_midi(track.midi)
        score = TrackScore(
            id=track.id,
            counts=metrics.counts(reference, transcription.notes),
            instruments=metrics.by_instrument(reference, transcription.notes, granularity="midi_class"),
            drum_classes=metrics.by_drum_class(reference, transcription.notes),
            invalid_events=transcription.invalid_events,
            dropped_events=transcription.dropped_events,
        )
        scores.append(score)
        if progress:
            progress(score)
    return scores
