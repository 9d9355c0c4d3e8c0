"""What the notes of a piece say of each other."""

import numpy as np
import pytest

from mt3lite import agreement, hearing, note_heads, notes

PIANO, STRINGS, REED = 0, 5, 8


def heard(families, sure=2.0):
    """Log chances of notes that are heard as these families."""
    chances = np.zeros((len(families), note_heads.NUM_FAMILIES), np.float32)
    chances[np.arange(len(families)), families] = sure
    return chances


def begun(at=((), ()), struck=((), ()), log_stays=None, **told):
    """What was heard of notes at (positions, pitches) and strokes at (positions, drums); the rest does not matter."""
    (positions, pitches), (beats, drums) = (map(np.array, each) for each in (at, struck))
    fields = {
        "note_position": positions.astype(int),
        "pitch": pitches.astype(int),
        "family": heard([STRINGS] * len(positions)),
        "unison": np.full(len(positions), -4.0),
        "velocity": np.full(len(positions), 0.7),
        "moment": positions + 0.5,
        "stroke_position": beats.astype(int),
        "drum": drums.astype(int),
        "drum_logit": np.full(len(beats), 2.0),
        "drum_velocity": np.full(len(beats), 0.7),
        "drum_moment": beats + 0.5,
    }
    return hearing.Begun(**fields | told, log_stays=log_stays)


def test_a_line_is_played_by_one_instrument_though_some_of_it_sounds_like_another():
    families = np.full(40, STRINGS)
    families[[7, 21, 22]] = REED
    chosen, _ = agreement.families(np.arange(40) * 0.4, 60 + np.arange(40) % 7, heard(families))
    np.testing.assert_array_equal(chosen, STRINGS)


def test_two_lines_keep_their_instruments():
    families = np.tile([STRINGS, PIANO], 30)
    pitches = np.tile([76, 45], 30)
    chosen, _ = agreement.families(np.repeat(np.arange(30) * 0.5, 2), pitches, heard(families))
    np.testing.assert_array_equal(chosen, families)


def test_what_is_heard_for_sure_is_believed_though_it_is_rare():
    families, chances = np.full(40, PIANO), heard(np.full(40, PIANO))
    families[20], chances[20] = REED, heard([REED], sure=9.0)
    chosen, _ = agreement.families(np.arange(40) * 0.4, np.full(40, 60), chances)
    np.testing.assert_array_equal(chosen, families)


def test_only_families_that_may_play_are_chosen():
    chosen, _ = agreement.families(np.arange(9) * 0.4, np.full(9, 60), heard(np.full(9, REED)), among={PIANO, STRINGS})
    assert set(chosen.tolist()) <= {PIANO, STRINGS}


def test_the_second_likeliest_is_told_where_there_is_another():
    chances = heard(np.full(9, STRINGS)) + heard(np.full(9, REED), sure=1.0)
    at = np.arange(9) * 0.4, np.full(9, 60)
    assert set(agreement.families(*at, chances)[1].tolist()) == {REED}
    assert set(agreement.families(*at, chances, among={PIANO, STRINGS})[1].tolist()) == {PIANO}
    assert set(agreement.families(*at, chances, among={STRINGS})[1].tolist()) == {-1}


def test_no_notes_have_no_families():
    assert [each.tolist() for each in agreement.families(np.zeros(0), np.zeros(0, int), np.zeros((0, 16)))] == [[], []]


@pytest.mark.parametrize("seed", range(8))
def test_families_do_not_depend_on_a_constant_of_each_note_or_on_the_order_of_notes(seed):
    rng = np.random.default_rng(seed)
    chances = rng.normal(0, 3, (6, note_heads.NUM_FAMILIES))
    turn = seed % 6
    onsets, pitches = np.array([0.0, 0.0, 0.3, 0.31, 7.0, 90.0]), np.array([60, 64, 60, 0, 127, 60])
    chosen, _ = agreement.families(onsets, pitches, chances)
    other = np.roll(chances, turn, axis=0) + np.arange(6)[:, None]
    again, _ = agreement.families(np.roll(onsets, turn), np.roll(pitches, turn), other)
    np.testing.assert_array_equal(np.roll(chosen, turn), again)


def test_opinions_are_found_by_segment_position_and_key():
    opinions = agreement.Opinions((14 / 3, 1 / 3))
    family = np.arange(32, dtype=np.float32).reshape(2, 16)
    places = np.array([4, 7]), np.array([60, 72])
    opinions.add(0, 200, None)
    assert opinions.is_empty
    unison = np.array([-3.0, 2.0], np.float32)
    velocities, moments = np.array([0.25, 0.75]), np.array([4.5, 7.25])
    of_notes = {"family": family, "unison": unison, "velocity": velocities, "moment": moments}
    of_strokes = {"drum_logit": np.array([1.5, -0.5]), "drum_velocity": velocities[::-1], "drum_moment": moments}
    opinions.add(200, 400, begun(places, places, **of_notes, **of_strokes))
    assert not opinions.is_empty
    assert not opinions.tell_offsets
    # Step 200 lies in position 4 (of 14 / 3), steps 207 to 209 in position 7, 210 to 212 beside it.
    asked = np.array([200, 7, 207, 210, 213, 209, 207]), np.array([60, 72, 72, 72, 72, 72, 60])
    of_notes = opinions.notes(*asked)
    assert of_notes.which.tolist() == [0, 2, 3, 5]
    np.testing.assert_array_equal(of_notes.family, family[[0, 1, 1, 1]])
    np.testing.assert_array_equal(of_notes.unison, unison[[0, 1, 1, 1]])
    np.testing.assert_array_equal(of_notes.velocity, velocities[[0, 1, 1, 1]])
    of_strokes = opinions.strokes(*asked)
    assert of_strokes.which.tolist() == [0, 2, 3, 5]
    assert of_strokes.logit.tolist() == [1.5, -0.5, -0.5, -0.5]
    assert of_strokes.velocity.tolist() == [0.75, 0.25, 0.25, 0.25]
    # Position 4 begins with step 198, 7 with 207, and their steps are of times half a step earlier.
    for onset in (of_notes.onset, of_strokes.onset):
        np.testing.assert_allclose(onset, np.array([199.5, 207.75, 207.75, 207.75]) - 0.5, atol=1e-4)
    nothing = opinions.notes(np.zeros(0, np.int64), np.zeros(0, np.int64))
    assert [each.shape for each in nothing] == [(0,), (0, 16), (0,), (0,), (0,)]


def test_what_began_is_what_was_heard_to():
    rng = np.random.default_rng(0)
    logits = {
        "onset": np.full((2, 76, 88), -9.0),
        "frame": np.full((2, 76, 88), 3.0),
        "drum": np.full((2, 76, 128), -9.0),
        "family": rng.normal(size=(2, 76, 88, 16)),
        "unison": rng.normal(size=(2, 76, 88)),
        "velocity": rng.uniform(size=(2, 76, 88)),
        "drum_velocity": rng.uniform(size=(2, 76, 128)),
    }
    logits["onset"][1, 3, 39] = logits["onset"][1, 70, 0] = 2.0
    logits["onset"][1, 2, 39] = -3.0  # so that it begins a little earlier
    logits["drum"][1, 20, 36], logits["drum"][0, 20, 38] = 0.75, 4.0
    heard = hearing.prepare({name: np.float32(values) for name, values in logits.items()})
    begun = hearing.begun(heard, 1)
    assert begun.note_position.tolist() == [3, 70]
    assert begun.pitch.tolist() == [60, 21]
    np.testing.assert_array_equal(begun.family, np.asarray(heard.family)[1, [3, 70], [39, 0]])
    np.testing.assert_array_equal(begun.unison, np.float32(logits["unison"][1, [3, 70], [39, 0]]))
    assert (begun.stroke_position.tolist(), begun.drum.tolist()) == ([20], [36])
    assert begun.drum_logit == pytest.approx(0.75)
    np.testing.assert_allclose(begun.moment, [3.5 - 0.1875, 70.5])
    np.testing.assert_allclose(begun.drum_moment, [20.5])
    np.testing.assert_array_equal(begun.velocity, np.float32(logits["velocity"][1, [3, 70], [39, 0]]))
    np.testing.assert_array_equal(begun.drum_velocity, np.float32(logits["drum_velocity"][1, [20], [36]]))


def test_a_drum_that_is_never_heard_for_sure_is_not_there():
    drums = np.array([36] * 10 + [41] * 3)
    logits = np.array([2.0, 1.5, 2.5, -0.8, 2.2, 3.0, 2.0, 1.0, -1.5, 2.0, -1.5, -1.1, -1.3])
    np.testing.assert_array_equal(agreement.are_struck(100 * np.arange(13), drums, logits, 4), drums == 36)


def test_one_stroke_that_is_heard_for_sure_counts():
    at = np.array([10, 300])
    assert agreement.are_struck(at, np.array([49, 50]), np.array([0.5, -1.2]), 4).tolist() == [True, False]
    none = np.zeros(0, int)
    assert agreement.are_struck(none, none, np.zeros(0), 4).tolist() == []


def test_one_stroke_is_not_that_of_two_drums_of_a_class():
    # A kick, heard as two; a snare and a side stick; two toms and a hi-hat at once; and a kick a little later.
    steps = np.array([100, 100, 200, 203, 300, 301, 300, 108])
    drums = np.array([35, 36, 38, 37, 41, 48, 42, 35])
    logits = np.array([3.0, 4.0, 5.0, 1.0, 2.0, 3.0, 4.0, 3.0])
    assert agreement.are_struck(steps, drums, logits, 4).tolist() == [False, True, True, False, False, True, True, True]
    turned = agreement.are_struck(steps[::-1], drums[::-1], logits[::-1], 4)
    assert turned[::-1].tolist() == [False, True, True, False, False, True, True, True]


def test_a_piece_agrees_and_what_was_not_heard_stays():
    opinions = agreement.Opinions((14 / 3, 1 / 3))
    positions = np.arange(5, 65, 5)  # of steps 1, 16, 31, ...
    family = heard([STRINGS] * 6 + [REED] + [STRINGS] * 5)
    of_notes = {"family": family, "velocity": np.linspace(-0.5, 1.5, 12), "moment": positions + 0.25}
    of_strokes = {"drum_logit": np.array([2.0, -0.5, -1.5]), "drum_velocity": np.array([0.9, 0.8, 0.7])}
    strokes = np.array([5, 20, 35]), np.array([36, 36, 43])
    opinions.add(0, 200, begun((positions, np.full(12, 60)), strokes, **of_notes, **of_strokes))
    onsets = (3 * positions - 14) / 100
    rows = [(onset, onset + 0.1, 60, 90, 64 if index == 6 else 40, False) for index, onset in enumerate(onsets)]
    rows += [(0.5, 0.6, 72, 90, 24, False)]  # was not heard to begin
    rows += [(onset, onset + 0.01, key, 90, 0, True) for onset, key in ((0.01, 36), (0.46, 36), (0.91, 43), (1.5, 50))]
    piece = notes.from_rows(rows)
    agreed = agreement.agreed(piece, opinions, 100, families_told=True)
    assert agreed["program"][:12].tolist() == [40] * 12
    assert agreed["program"][12] == 24
    assert agreed["pitch"][13:].tolist() == [36, 36, 50]
    assert agreed["velocity"].tolist() == [1, 1, 1, 6, 29, 52, 75, 98, 121, 127, 127, 127, 90, 114, 102, 90]
    np.testing.assert_allclose(agreed["onset"][:12], (3 * positions - 14 + 0.75 - 0.5) / 100, atol=0.0005 + 1e-9)
    np.testing.assert_allclose(agreed["onset"][12:15], [0.5, 0.02, 0.47])
    assert (agreed["offset"] > agreed["onset"]).all()
    assert piece["program"][6] == 64, "what was given is changed"
    as_told = agreement.agreed(piece, opinions, 100, families_told=False)
    np.testing.assert_array_equal(as_told["program"], np.delete(piece["program"], 15))


def two_segments(rows, log_stays):
    """What is agreed on of a piece of 3.5 s, of which one note of pitch 60 was heard to begin in the first segment."""
    opinions = agreement.Opinions((14 / 3, 1 / 3))
    opinions.add(0, 200, begun(([71], [60]), moment=np.array([71 + 1 / 6]), log_stays=log_stays[0]))
    opinions.add(200, 350, begun(log_stays=log_stays[1]) if log_stays[1] is not None else None)
    return agreement.agreed(notes.from_rows(rows), opinions, 100, families_told=True)


def test_what_two_segments_hear_at_their_edge_begins_once():
    silent = np.zeros((76, 88))
    rows = [(1.99, 2.01, 60, 90, 40, False), (2.01, 3.0, 60, 90, 0, False), (2.01, 3.0, 67, 90, 0, False)]
    rows += [(1.98, 1.99, 38, 90, 0, True), (2.01, 2.02, 38, 90, 0, True), (1.99, 2.0, 60, 90, 0, True)]
    agreed = two_segments(rows, (silent, silent))
    pitched, drums = agreed[~agreed["is_drum"]], agreed[agreed["is_drum"]]
    np.testing.assert_allclose(pitched["onset"], [1.99, 2.01])
    assert pitched["pitch"].tolist() == [60, 67]
    assert drums[["onset", "pitch"]].tolist() == [(1.98, 38), (1.99, 60)]
    apart = [(1.90, 1.99, 60, 90, 40, False), (1.93, 2.01, 60, 90, 40, False), (2.01, 3.0, 60, 90, 0, False)]
    assert len(two_segments(apart, (silent, silent))) == 3


@pytest.mark.parametrize(("segment", "end_step"), [(0, 150), (1, 260)])
def test_notes_end_where_their_ends_are_heard_in_whichever_segment(segment, end_step):
    log_stays = np.zeros((2, 76, 88))
    position = int(14 / 3 + (end_step - 200 * segment + 0.5) / 3)
    log_stays[segment, position, 60 - 21] = -50.0
    log_stays[:, :, 61 - 21] = -50.0  # of another
    agreed = two_segments([(1.0, 1.1, 60, 90, 40, False), (3.0, 3.1, 60, 90, 40, False)], log_stays)
    tolerance = 0.02 + 0.03 * (end_step / 100 - 1.0)
    np.testing.assert_allclose(agreed["offset"], [end_step / 100, 3.5], atol=tolerance)


def test_notes_end_where_nothing_sounds():
    agreed = two_segments([(1.0, 3.1, 60, 90, 40, False), (1.0, 3.1, 12, 90, 40, False)], (np.zeros((76, 88)), None))
    np.testing.assert_allclose(agreed["offset"], [2.0, 3.1], atol=0.04)  # no ends are heard of the other's pitch


def test_what_a_network_without_heads_wrote_stays():
    opinions = agreement.Opinions((0.0, 1.0))
    opinions.add(0, 200, None)
    opinions.add(200, 400, None)
    piece = notes.from_rows([(1.99, 2.0, 60, 90, 0, False), (2.0, 3.0, 60, 90, 0, False)])
    np.testing.assert_array_equal(agreement.agreed(piece, opinions, 100, families_told=True), piece)


def in_unison(families, unison, **options):
    """What a piece of as many notes agrees on, that are heard to be of these families, and written as of the piano."""
    opinions = agreement.Opinions((14 / 3, 1 / 3))
    positions = 5 + 5 * np.arange(len(families))
    at = positions, np.full(len(families), 60)
    opinions.add(0, 200, begun(at, family=families, unison=unison))
    onsets = (3 * positions - 13) / 100
    piece = notes.from_rows([(onset, onset + 0.1, 60, 90, 0, False) for onset in onsets])
    return agreement.agreed(piece, opinions, 100, **{"families_told": True} | options)


def test_two_families_play_a_note_that_is_heard_in_unison():
    together = np.where(np.arange(12) % 3 == 0, 4.0, -4.0)
    families = heard(np.full(12, STRINGS)) + heard(np.full(12, REED), sure=1.0)
    agreed = in_unison(families, together)
    strings, reeds = (agreed[agreed["program"] == 8 * family] for family in (STRINGS, REED))
    assert (len(strings), len(reeds), len(agreed)) == (12, 4, 16)
    for field in ("onset", "offset", "pitch", "velocity"):
        np.testing.assert_array_equal(reeds[field], strings[field][::3])


@pytest.mark.parametrize("options", [{"families_told": False}, {"among": {STRINGS}}])
def test_nobody_else_plays_where_none_can_be_told(options):
    agreed = in_unison(heard(np.full(12, STRINGS)), np.full(12, 4.0), **options)
    assert len(agreed) == 12


@pytest.mark.parametrize("seconds", [3600.0, 10 * 3600.0])
def test_hours_of_notes_are_named(seconds):
    rng = np.random.default_rng(0)
    onsets = np.sort(rng.uniform(0, seconds, 3000))
    families = rng.integers(0, 2, 3000) * 5
    chosen, _ = agreement.families(onsets, np.where(families, 80, 40), heard(families))
    np.testing.assert_array_equal(chosen, families)
