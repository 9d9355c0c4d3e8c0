"""Families chosen for all notes of a piece together."""

import numpy as np
import pytest

from mt3lite import hearing, naming

PIANO, STRINGS, REED = 0, 5, 8


def heard(families, sure=2.0):
    """Log chances of notes that are heard as these families."""
    chances = np.zeros((len(families), hearing.NUM_FAMILIES), np.float32)
    chances[np.arange(len(families)), families] = sure
    return chances


def test_a_line_is_played_by_one_instrument_though_some_of_it_sounds_like_another():
    families = np.full(40, STRINGS)
    families[[7, 21, 22]] = REED
    chosen = naming.choose(np.arange(40) * 0.4, 60 + np.arange(40) % 7, heard(families))
    np.testing.assert_array_equal(chosen, STRINGS)


def test_two_lines_keep_their_instruments():
    families = np.tile([STRINGS, PIANO], 30)
    pitches = np.tile([76, 45], 30)
    chosen = naming.choose(np.repeat(np.arange(30) * 0.5, 2), pitches, heard(families))
    np.testing.assert_array_equal(chosen, families)


def test_what_is_heard_for_sure_is_believed_though_it_is_rare():
    families, chances = np.full(40, PIANO), heard(np.full(40, PIANO))
    families[20], chances[20] = REED, heard([REED], sure=9.0)
    np.testing.assert_array_equal(naming.choose(np.arange(40) * 0.4, np.full(40, 60), chances), families)


def test_only_families_that_may_play_are_chosen():
    chosen = naming.choose(np.arange(9) * 0.4, np.full(9, 60), heard(np.full(9, REED)), among={PIANO, STRINGS})
    assert set(chosen.tolist()) <= {PIANO, STRINGS}


def test_no_notes_have_no_families():
    assert naming.choose(np.zeros(0), np.zeros(0, int), np.zeros((0, 16))).tolist() == []


@pytest.mark.parametrize("seed", range(8))
def test_families_do_not_depend_on_a_constant_of_each_note_or_on_the_order_of_notes(seed):
    rng = np.random.default_rng(seed)
    chances = rng.normal(0, 3, (6, hearing.NUM_FAMILIES))
    turn = seed % 6
    onsets, pitches = np.array([0.0, 0.0, 0.3, 0.31, 7.0, 90.0]), np.array([60, 64, 60, 0, 127, 60])
    chosen = naming.choose(onsets, pitches, chances)
    other = np.roll(chances, turn, axis=0) + np.arange(6)[:, None]
    again = naming.choose(np.roll(onsets, turn), np.roll(pitches, turn), other)
    np.testing.assert_array_equal(np.roll(chosen, turn), again)


def test_opinions_are_found_by_segment_position_and_pitch():
    opinions = naming.Opinions((14 / 3, 1 / 3))
    family = np.arange(32, dtype=np.float32).reshape(2, 16)
    opinions.add(0, None)
    opinions.add(200, hearing.Begun(np.array([4, 7]), np.array([60, 72]), family))
    # Step 200 lies in position 4 (of 14 / 3), steps 207 to 209 in position 7.
    heard, found = opinions.of(np.array([200, 7, 207, 210, 209, 207]), np.array([60, 72, 72, 72, 72, 60]))
    assert heard.tolist() == [0, 2, 4]
    np.testing.assert_array_equal(found, family[[0, 1, 1]])
    heard, found = opinions.of(np.zeros(0, np.int64), np.zeros(0, np.int64))
    assert (heard.shape, found.shape) == ((0,), (0, 16))


def test_what_began_is_what_was_heard_to():
    onset = np.full((76, 88), -1.0, np.float32)
    onset[3, 39], onset[70, 0] = 0.5, 2.0
    family = np.random.default_rng(0).normal(size=(76, 88, 16)).astype(np.float32)
    begun = hearing.begun(onset, family)
    assert begun.position.tolist() == [3, 70]
    assert begun.pitch.tolist() == [60, 21]
    np.testing.assert_array_equal(begun.family, family[[3, 70], [39, 0]])


@pytest.mark.parametrize("seconds", [3600.0, 10 * 3600.0])
def test_hours_of_notes_are_named(seconds):
    rng = np.random.default_rng(0)
    onsets = np.sort(rng.uniform(0, seconds, 3000))
    families = rng.integers(0, 2, 3000) * 5
    chosen = naming.choose(onsets, np.where(families, 80, 40), heard(families))
    np.testing.assert_array_equal(chosen, families)
