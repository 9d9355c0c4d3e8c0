"""When notes end."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mt3lite import notes, offsets

NEVER, AT_ONCE = 0.0, -1000.0


def likeliest(log_stays, onset_steps, shortest=3):
    return offsets.likeliest(np.array(log_stays, np.float32), np.array(onset_steps), 100, shortest).tolist()


def stays(num_steps, *ends):
    """Log chances of notes that end for sure in some steps, and never in others."""
    log_stays = np.full(num_steps, NEVER)
    log_stays[list(ends)] = AT_ONCE
    return log_stays


@pytest.mark.parametrize("end", [12, 50, 180])
def test_an_end_that_is_heard_for_sure_is_the_end(end):
    (found,) = likeliest(stays(200, end), [4])
    assert abs(found - end) <= max(1, 0.03 * (end - 4))


def test_a_note_ends_with_the_next_one_or_with_the_recording():
    assert likeliest(stays(300), [10, 100, 250]) == [100, 250, 300]
    assert likeliest(stays(300), [10, 10, 250]) == [250, 250, 300], "notes that begin together"


def test_what_ends_is_over_though_the_next_note_is_far():
    (first, second) = likeliest(stays(900, 40, 830), [10, 800])
    assert abs(first - 40) <= 1
    assert abs(second - 830) <= 1


def test_a_note_that_dies_away_ends_in_the_middle_of_that():
    log_stays = stays(400)
    log_stays[100:140] = np.log1p(-1 / (40.5 - np.arange(40)))  # each of these steps is as likely
    (found,) = likeliest(log_stays, [0])
    assert 115 <= found <= 130


def test_a_note_is_not_ended_where_it_is_heard_to_sound():
    # One chance in five that it ends at once, and the rest lies so far apart that no other end is as likely.
    log_stays = np.log1p(-np.full(2000, 0.002))
    log_stays[10] = np.log(0.8)
    (found,) = likeliest(log_stays, [0])
    assert found >= 30


def test_the_shortest_note_lasts():
    assert likeliest(np.full(50, AT_ONCE), [10, 49, 50]) == [14, 50, 51]
    assert likeliest(stays(50), [10, 11]) == [11, 50]


def test_no_notes_and_no_steps():
    assert likeliest(stays(50), np.zeros(0, int)) == []
    assert likeliest(stays(0), [0]) == [1]


@given(st.integers(0, 10**6))
def test_no_other_end_would_be_right_more_often(seed):
    """But for those before the note has ended with a chance of a quarter."""
    rng = np.random.default_rng(seed)
    num_steps, onset, shortest = 150, 5, 3
    log_stays = np.log1p(-rng.choice([0.001, 0.01, 0.3], num_steps, p=[0.5, 0.45, 0.05]))
    (found,) = likeliest(log_stays, [onset], shortest)
    # The chance of each length, which is `num_steps` at the most.
    lengths = np.arange(shortest + 1, num_steps - onset + 1)
    sounds = np.exp(np.cumsum(log_stays[onset + shortest :]))
    chances = -np.diff(sounds, prepend=1.0)
    chances[-1] += sounds[-1]

    def right(length):
        tolerance = 0.8 * np.maximum(100 * notes.OFFSET_TOLERANCE_SECONDS, notes.OFFSET_RATIO * lengths)
        # Half a step more or less is a matter of rounding.
        return chances[np.abs(lengths - length) <= tolerance + 1].sum()

    earliest = lengths[np.argmax(sounds <= 0.75)] if (sounds <= 0.75).any() else lengths[-1]
    strictly = 0.8 * np.maximum(100 * notes.OFFSET_TOLERANCE_SECONDS, notes.OFFSET_RATIO * lengths) - 1
    best = max(chances[np.abs(lengths - length) <= strictly].sum() for length in lengths[lengths >= earliest])
    assert right(found - onset) >= 0.95 * best
