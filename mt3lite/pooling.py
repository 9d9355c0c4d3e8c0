"""The scores of many pieces -> one table: counts added up, means, and bootstrap confidence intervals.

A *pooled* score comes from the counts of all pieces added up: each note weighs the same. A *mean* is that of the
pieces' scores: each piece weighs the same, as papers print it. The intervals of both are percentile bootstrap intervals
over pieces (Efron 1979): as many pieces as there are get drawn with replacement, many times, and the scores of the
draws are sorted. They tell how much the choice of pieces matters, not whether the pieces resemble anybody's music.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass

import numpy as np

from mt3lite import metrics
from mt3lite.errors import InputError
from mt3lite.metrics import Confusion, Counts, Moments, Rows


@dataclass(frozen=True)
class Interval:
    """A score and its confidence interval; nan where it is undefined."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are drawn."""

    num_resamples: int = 1000  # how often as many pieces as there are get drawn, with replacement
    confidence: float = 0.95  # share of the resampled values between low and high, 0 to 1
    seed: int = 0  # equal seeds give equal intervals

    def draws(self, num_pieces: int) -> np.ndarray:
        """Return how often each piece was drawn, int64 [num_resamples, num_pieces].

        Raises:
            InputError: there is no piece.
        """
        if not num_pieces:
            raise InputError("there is no piece to score")
        chances = np.full(num_pieces, 1 / num_pieces)
        return np.random.default_rng(self.seed).multinomial(num_pieces, chances, size=self.num_resamples)

    def interval(self, value: float, resampled: np.ndarray) -> Interval:
        """Return the interval of a score from its resampled values [num_resamples], of which some may be nan."""
        defined = resampled[~np.isnan(resampled)]
        if not len(defined) or math.isnan(value):
            return Interval(value, math.nan, math.nan)
        low, high = np.quantile(defined, ((1 - self.confidence) / 2, (1 + self.confidence) / 2))
        return Interval(value, float(low), float(high))


DEFAULT = Bootstrap()


def total(pieces: Iterable[Rows]) -> Rows:
    """Return the rows of several pieces (``by_instrument`` or ``by_drum_class``) added up, as they first appear."""
    rows: Rows = {}
    for piece in pieces:
        for row_name, row in piece.items():
            sums = rows.setdefault(row_name, {})
            for name, count in row.items():
                sums[name] = sums.get(name, Counts(0, 0, 0)) + count
    return rows


def total_confusion(pieces: Iterable[Confusion]) -> Confusion:
    """Return the confusions of several pieces added up."""
    table: Confusion = {}
    for piece in pieces:
        for row, columns in piece.items():
            sums = table.setdefault(row, {})
            for column, number in columns.items():
                sums[column] = sums.get(column, 0) + number
    return table


def pooled(pieces: Sequence[dict[str, Counts]], bootstrap: Bootstrap = DEFAULT) -> dict[str, Interval]:
    """Return scores over the notes of all pieces, with intervals over the pieces.

    Args:
        pieces: the ``metrics.counts`` of each piece; a score that a piece lacks has no notes there.
        bootstrap: how the intervals are drawn.

    Raises:
        InputError: there is no piece.
    """
    times_drawn = bootstrap.draws(len(pieces))
    nothing = Counts(0, 0, 0)
    intervals = {}
    for name in metrics.names_of(pieces):
        of_pieces = [piece.get(name, nothing) for piece in pieces]
        resampled = _three_ratios(times_drawn @ np.array([astuple(count) for count in of_pieces]))
        values = metrics.three_scores(name, sum(of_pieces, nothing))
        for (key, value), ratios in zip(values, resampled, strict=True):
            intervals[key] = bootstrap.interval(value, ratios)
    return intervals


def _three_ratios(sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return precision, recall and F1 of rows of matched, estimated and reference notes, as `Counts` has them."""
    matched, estimated, reference = sizes.T.astype(np.float64)
    undefined = estimated + reference == 0

    def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
        shares = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
        return np.where(undefined, np.nan, shares)

    return ratio(matched, estimated), ratio(matched, reference), ratio(2 * matched, estimated + reference)


def mean(pieces: Sequence[dict[str, float]], bootstrap: Bootstrap = DEFAULT) -> dict[str, Interval]:
    """Return the mean of each score over the pieces where it is defined, with intervals over the pieces.

    Args:
        pieces: the ``metrics.score`` of each piece.
        bootstrap: how the intervals are drawn.

    Raises:
        InputError: there is no piece.
    """
    times_drawn = bootstrap.draws(len(pieces))
    intervals = {}
    for name, value in metrics.mean(pieces).items():
        scores = np.array([piece.get(name, math.nan) for piece in pieces])
        defined = ~np.isnan(scores)
        numbers = (times_drawn @ defined).astype(np.float64)
        sums = times_drawn @ np.where(defined, scores, 0.0)
        means = np.divide(sums, numbers, out=np.full_like(sums, np.nan), where=numbers > 0)
        intervals[name] = bootstrap.interval(value, means)
    return intervals


def correlation(pieces: Sequence[Moments], bootstrap: Bootstrap = DEFAULT) -> Interval:
    """Return the correlation of the velocities of all pieces' matched notes, with its interval over the pieces.

    Raises:
        InputError: there is no piece.
    """
    sums = bootstrap.draws(len(pieces)) @ np.array([astuple(piece) for piece in pieces])
    resampled = np.array([Moments(*row).correlation for row in sums.tolist()])
    return bootstrap.interval(sum(pieces, Moments()).correlation, resampled)
