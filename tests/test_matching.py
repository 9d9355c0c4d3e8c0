import mir_eval.transcription
import mir_eval.transcription_velocity
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mt3lite import matching, notes
from mt3lite.errors import InputError

# Few pitches and instruments within two seconds, so that notes compete for partners.
ROW = st.tuples(
    st.integers(0, 200),
    st.integers(1, 60),
    st.integers(60, 62),
    st.integers(1, 127),
    st.sampled_from([0, 1, 40]),
    st.booleans(),
)
ROWS = st.lists(ROW, max_size=25)


def make(rows):
    """Notes of (onset in 10 ms, duration in 10 ms, pitch, velocity, program, is_drum) rows."""
    return notes.from_rows(
        (onset / 100, (onset + duration) / 100, pitch, velocity, program, is_drum)
        for onset, duration, pitch, velocity, program, is_drum in rows
    )


def spans_and_pitches(note_array):
    frequencies_hz = 440.0 * 2.0 ** ((note_array["pitch"] - 69) / 12)
    return np.stack([note_array["onset"], note_array["offset"]], axis=1), frequencies_hz


@settings(max_examples=60)
@given(ROWS, ROWS, st.booleans())
def test_pairs_are_those_of_mir_eval(reference_rows, estimate_rows, offsets):
    reference, estimate = (make((*row[:5], False) for row in rows) for rows in (reference_rows, estimate_rows))
    pairs = matching.match(reference, estimate, offsets=offsets).hits
    expected = mir_eval.transcription.match_notes(
        *spans_and_pitches(reference), *spans_and_pitches(estimate), offset_ratio=0.2 if offsets else None
    )
    assert [tuple(pair) for pair in pairs.tolist()] == expected


@settings(max_examples=60)
@given(ROWS, ROWS)
def test_pairs_with_equal_velocities_are_those_of_mir_eval(reference_rows, estimate_rows):
    reference, estimate = (make((*row[:5], False) for row in rows) for rows in (reference_rows, estimate_rows))
    if not len(reference):
        return  # mir_eval's function fails
    pairs = matching.match_velocities(reference, estimate, matching.match(reference, estimate).hits)
    spans, frequencies_hz = spans_and_pitches(reference)
    expected = mir_eval.transcription_velocity.match_notes(
        spans, frequencies_hz, reference["velocity"], *spans_and_pitches(estimate), estimate["velocity"]
    )
    assert [tuple(pair) for pair in pairs.tolist()] == [tuple(map(int, pair)) for pair in expected]


@settings(max_examples=60)
@given(ROWS, ROWS, st.sampled_from(["flat", "midi_class", "full"]))
def test_every_note_is_a_hit_or_a_miss_or_an_extra(reference_rows, estimate_rows, granularity):
    reference, estimate = make(reference_rows), make(estimate_rows)
    found = matching.match(reference, estimate, granularity=granularity)
    assert sorted([*found.hits[:, 0], *found.misses]) == list(range(len(reference)))
    assert sorted([*found.hits[:, 1], *found.extras]) == list(range(len(estimate)))
    for row, column in found.hits:
        assert reference["is_drum"][row] == estimate["is_drum"][column]
        assert reference["pitch"][row] == estimate["pitch"][column]
        assert abs(reference["onset"][row] - estimate["onset"][column]) <= 0.0501


def test_hits_misses_and_extras_by_hand():
    reference = make([(0, 50, 60, 90, 0, False), (100, 50, 62, 90, 0, False), (150, 10, 38, 90, 0, True)])
    estimate = make([(150, 1, 38, 90, 0, True), (103, 50, 62, 90, 0, False), (0, 50, 72, 90, 0, False)])
    found = matching.match(reference, estimate)
    assert found.hits.tolist() == [[1, 1], [2, 0]]
    assert found.misses.tolist() == [0]
    assert found.extras.tolist() == [2]
    assert found.hits.dtype == np.int64


def test_the_matching_is_maximal_not_first_come():
    # The first estimate could take either reference note; only if it takes the first is there one for the second.
    reference = make([(100, 50, 60, 90, 0, False), (104, 50, 60, 90, 0, False)])
    estimate = make([(101, 50, 60, 90, 0, False), (96, 50, 60, 90, 0, False)])
    assert matching.match(reference, estimate, offsets=False).hits.tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("granularity", "program", "is_hit"),
    [("flat", 60, True), ("midi_class", 60, False), ("midi_class", 45, True), ("full", 45, False), ("full", 40, True)],
)
def test_programs_agree_after_mapping(granularity, program, is_hit):
    reference = make([(0, 50, 60, 90, 40, False)])
    estimate = make([(0, 50, 60, 90, program, False)])
    assert len(matching.match(reference, estimate, granularity=granularity).hits) == is_hit


def test_drum_kits_are_one_and_need_no_offset():
    reference = make([(0, 50, 38, 90, 16, True)])
    estimate = make([(0, 1, 38, 90, 0, True)])
    assert len(matching.match(reference, estimate, granularity="full").hits) == 1
    assert len(matching.match(reference, make([(0, 50, 38, 90, 16, False)])).hits) == 0


def test_a_note_that_sounds_on_from_before_a_crop():
    cropped = notes.crop(make([(0, 200, 60, 90, 0, False)]), 1.0, 2.0)
    assert cropped["onset"][0] < 0
    assert len(matching.match(cropped, cropped).hits) == 1
    frames = int(62.5 * 1.0)
    assert matching.count_cells(cropped, cropped) == (frames, frames, frames)


def test_onset_tolerance():
    reference, estimate = make([(100, 50, 60, 90, 0, False)]), make([(108, 50, 60, 90, 0, False)])
    assert len(matching.match(reference, estimate, offsets=False).hits) == 0
    assert len(matching.match(reference, estimate, offsets=False, onset_tolerance_seconds=0.1).hits) == 1


def test_empty_sides():
    one = make([(0, 50, 60, 90, 0, False)])
    assert matching.match(one, notes.empty()).misses.tolist() == [0]
    assert matching.match(notes.empty(), one).extras.tolist() == [0]
    assert matching.match(notes.empty(), notes.empty()).hits.shape == (0, 2)
    assert matching.count_cells(notes.empty(), notes.empty()) == (0, 0, 0)


def test_cells_by_hand():
    # Frames 62 to 124, and 31 of them in the estimate, an octave above in the others.
    reference = notes.from_rows([(1.0, 2.0, 60, 31, 0, False), (1.0, 2.0, 50, 30, 0, False)])
    estimate = notes.from_rows([(1.0, 1.5, 60, 1, 0, False), (1.5, 2.0, 72, 1, 0, False)])
    assert matching.count_cells(reference, estimate) == (31, 63, 63)


def test_quiet_notes_add_up_in_a_cell():
    reference = notes.from_rows([(0.0, 1.0, 60, 20, 0, False), (0.0, 1.0, 60, 20, 40, False)])
    assert matching.count_cells(reference, notes.empty()) == (0, 0, 62)


def test_cells_of_a_week_take_no_more_memory_than_those_of_a_second():
    late = notes.from_rows([(599_999.0, 600_000.0, 60, 90, 0, False)])
    early = notes.from_rows([(0.0, 599_999.5, 60, 90, 0, False)])
    assert matching.count_cells(late, early) == (31, 37_499_968, 63)


def test_lengthen():
    short = notes.from_rows([(1.0, 1.01, 60, 90, 0, False), (1.0, 2.0, 60, 90, 0, False), (1.0, 2.0, 38, 90, 0, True)])
    assert matching.lengthen(short)["offset"].tolist() == [1.05, 2.0, 1.05]
    assert short["offset"].tolist() == [1.01, 2.0, 2.0]


def test_impossible_notes_are_refused():
    good, bad = make([(0, 50, 60, 90, 0, False)]), make([(0, 50, 60, 90, 0, False)])
    bad["offset"] = np.nan
    with pytest.raises(InputError, match="not finite"):
        matching.match(good, bad)
    with pytest.raises(InputError, match="granularity 'instrument'.*midi_class"):
        matching.match(good, good, granularity="instrument")
