"""All that is counted of one piece, and the sum over pieces: what ``mt3lite evaluate`` tells and writes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mt3lite import metrics, pooling
from mt3lite.metrics import Confusion, Counts, Moments, Rows
from mt3lite.pooling import Interval

DRUM_CLASS_SCORE = "Drum class onset F1"


@dataclass(frozen=True)
class Settings:
    """How pieces are scored."""

    granularity: str = "midi_class"  # of the rows by instrument and of the confusion
    compatibility: str = "none"  # see ``metrics``


@dataclass(frozen=True)
class PieceScore:
    """What was counted of one piece."""

    id: str
    counts: dict[str, Counts]  # see `metrics.counts`; and DRUM_CLASS_SCORE, the sum of `drum_classes`
    scores: dict[str, float]  # of the counts, see `metrics.from_counts`
    instruments: Rows  # see `metrics.by_instrument`
    drum_classes: Rows  # see `metrics.by_drum_class`
    confusion: Confusion  # see `metrics.confusion`
    velocities: Moments  # see `metrics.velocity_moments`
    num_reference: int  # notes
    num_estimated: int
    invalid_events: int | None = None  # tokens that contradicted what came before; None: there were no tokens
    dropped_events: int | None = None  # tokens beyond the end of their segment


@dataclass(frozen=True)
class Scored:
    """A piece's score with the notes that it is of, for pictures."""

    score: PieceScore
    reference: np.ndarray  # notes.NOTE_DTYPE
    estimate: np.ndarray


@dataclass(frozen=True)
class Summary:
    """The scores of all pieces together."""

    pooled: dict[str, Interval]
    mean: dict[str, Interval]
    instruments: Rows
    drum_classes: Rows
    confusion: Confusion
    velocity_correlation: Interval
    invalid_events: int | None  # sums; None: there were no tokens
    dropped_events: int | None


def score_piece(
    id: str,
    reference: np.ndarray,
    estimate: np.ndarray,
    settings: Settings = Settings(),  # noqa: B008  frozen
    *,
    invalid_events: int | None = None,
    dropped_events: int | None = None,
) -> PieceScore:
    """Count everything about one piece.

    Args:
        id: the piece's name.
        reference: NOTE_DTYPE [num_reference], what was played.
        estimate: NOTE_DTYPE [num_estimated], what was transcribed.
        settings: how.
        invalid_events: of the transcription, where a model made it.
        dropped_events: likewise.

    Raises:
        InputError: a note is impossible, or a setting is unknown.
    """
    drum_classes = metrics.by_drum_class(reference, estimate)
    counts = metrics.counts(reference, estimate, compatibility=settings.compatibility)
    counts[DRUM_CLASS_SCORE] = sum((row["Onset F1"] for row in drum_classes.values()), Counts(0, 0, 0))
    return PieceScore(
        id=id,
        counts=counts,
        scores=metrics.from_counts(counts, compatibility=settings.compatibility),
        instruments=metrics.by_instrument(reference, estimate, granularity=settings.granularity),
        drum_classes=drum_classes,
        confusion=metrics.confusion(reference, estimate, granularity=settings.granularity),
        velocities=metrics.velocity_moments(reference, estimate),
        num_reference=len(reference),
        num_estimated=len(estimate),
        invalid_events=invalid_events,
        dropped_events=dropped_events,
    )


def summarise(pieces: Sequence[PieceScore], bootstrap: pooling.Bootstrap = pooling.DEFAULT) -> Summary:
    """Return the scores of all pieces together, with intervals over the pieces.

    Raises:
        InputError: there is no piece.
    """
    return Summary(
        pooled=pooling.pooled([piece.counts for piece in pieces], bootstrap),
        mean=pooling.mean([piece.scores for piece in pieces], bootstrap),
        instruments=pooling.total(piece.instruments for piece in pieces),
        drum_classes=pooling.total(piece.drum_classes for piece in pieces),
        confusion=pooling.total_confusion(piece.confusion for piece in pieces),
        velocity_correlation=pooling.correlation([piece.velocities for piece in pieces], bootstrap),
        invalid_events=_sum_of_known(piece.invalid_events for piece in pieces),
        dropped_events=_sum_of_known(piece.dropped_events for piece in pieces),
    )


def _sum_of_known(numbers: Iterable[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None
