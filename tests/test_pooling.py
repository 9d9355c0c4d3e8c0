import math

import pytest

from mt3lite import metrics, notes, pooling
from mt3lite.errors import InputError

PIANO = [(0.0, 1.0, 60, 80, 0, False), (1.0, 2.0, 64, 90, 0, False), (2.0, 3.0, 67, 100, 0, False)]
DRUMS = [(0.0, 0.1, 36, 90, 0, True), (1.0, 1.1, 38, 90, 0, True)]


def test_rows_of_pieces_add_up():
    first, second = notes.from_rows([*PIANO, *DRUMS]), notes.from_rows(PIANO)
    rows = pooling.total([metrics.by_instrument(first, first), metrics.by_instrument(second, second[:1])])
    assert rows["Acoustic Grand Piano"]["Onset F1"] == metrics.Counts(4, 4, 6)
    assert rows["Drums"]["Onset F1"] == metrics.Counts(2, 2, 2)


def test_pooled_scores_count_notes_not_pieces():
    long, short = notes.from_rows([(i, i + 0.5, 60, 80, 0, False) for i in range(9)]), notes.from_rows(PIANO[:1])
    pieces = [metrics.counts(long, long), metrics.counts(short, notes.empty())]
    intervals = pooling.pooled(pieces, pooling.Bootstrap(seed=3))
    assert intervals["Onset recall"] == pooling.Interval(0.9, 0.0, 1.0)
    assert intervals == pooling.pooled(pieces, pooling.Bootstrap(seed=3))
    drums = intervals["Drum onset F1 (full)"]
    assert math.isnan(drums.value) and math.isnan(drums.low) and math.isnan(drums.high)


def test_confidence_interval_of_a_share():
    # 100 pieces of one note, 80 of them found: the interval of a share is about 0.8 +- 1.96 * sqrt(0.8 * 0.2 / 100).
    pieces = [{"Onset F1": metrics.Counts(int(index < 80), 1, 1)} for index in range(100)]
    interval = pooling.pooled(pieces, pooling.Bootstrap(num_resamples=4000))["Onset recall"]
    assert interval.value == 0.8
    assert interval.low == pytest.approx(0.72, abs=0.02)
    assert interval.high == pytest.approx(0.88, abs=0.02)
    narrower = pooling.pooled(pieces, pooling.Bootstrap(confidence=0.5))["Onset recall"]
    assert interval.low < narrower.low < narrower.high < interval.high


def test_mean_counts_pieces_not_notes():
    long, short = notes.from_rows([(i, i + 0.5, 60, 80, 0, False) for i in range(9)]), notes.from_rows(PIANO[:1])
    pieces = [metrics.score(long, long), metrics.score(short, notes.empty())]
    means = pooling.mean(pieces)
    assert means["Onset recall"] == pooling.Interval(0.5, 0.0, 1.0)
    assert math.isnan(means["Drum onset F1 (full)"].value)


def test_interval_of_a_mean():
    # Ones and zeros, half each: the standard error of their mean is 0.5 / sqrt(100).
    pieces = [{"Onset F1": float(index % 2)} for index in range(100)] + [{"Onset F1": math.nan}]
    interval = pooling.mean(pieces, pooling.Bootstrap(num_resamples=4000))["Onset F1"]
    assert interval.value == 0.5
    assert interval.low == pytest.approx(0.4, abs=0.02)
    assert interval.high == pytest.approx(0.6, abs=0.02)


def test_correlation_of_pieces():
    rising = metrics.Moments(3, 6, 6, 14, 14, 14)  # velocities 1, 2, 3 found as 1, 2, 3
    assert pooling.correlation([rising, rising]) == pooling.Interval(
        pytest.approx(1), pytest.approx(1), pytest.approx(1)
    )
    falling = metrics.Moments(3, 6, 6, 14, 14, 10)  # found as 3, 2, 1
    both = pooling.correlation([rising, falling])
    assert (both.value, both.low, both.high) == pytest.approx((0, -1, 1))
    assert math.isnan(pooling.correlation([metrics.Moments()]).value)


def test_confusions_add_up():
    first, second = {"Piano": {"Piano": 2, "Bass": 1}}, {"Piano": {"Bass": 1}, metrics.NOTHING: {"Bass": 3}}
    assert pooling.total_confusion([first, second]) == {
        "Piano": {"Piano": 2, "Bass": 2},
        metrics.NOTHING: {"Bass": 3},
    }


def test_no_piece_is_refused():
    for function in (pooling.pooled, pooling.mean, pooling.correlation):
        with pytest.raises(InputError, match="no piece"):
            function([])
