import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mt3lite import beats, notes
from mt3lite.arguments import types
from mt3lite.errors import InputError

KICK, SNARE, HIHAT = 36, 38, 42


def rock(beat_seconds: np.ndarray) -> np.ndarray:
    """Return drums in four, the hi-hat in eighths, at beats at some times."""
    rows = []
    for index, (at, following) in enumerate(zip(beat_seconds, beat_seconds[1:], strict=False)):
        rows += [(at, at + 0.05, SNARE if index % 2 else KICK, 100, 0, True)]
        rows += [(time, time + 0.05, HIHAT, 80, 0, True) for time in (at, (at + following) / 2)]
        if index % 4 == 0:
            rows += [(at, following, 36, 90, 33, False)]
    return notes.sort(notes.from_rows((float(on), float(off), *rest) for on, off, *rest in rows))


def waltz(beat_seconds: np.ndarray) -> np.ndarray:
    """Return a piano in three, bass and two chords, with a melody."""
    rows = []
    for index, (at, following) in enumerate(zip(beat_seconds, beat_seconds[1:], strict=False)):
        low = [43, 47][index // 3 % 2]
        rows += [(at, following, low, 80, 0, False)] if index % 3 == 0 else []
        rows += [(at, following, pitch, 60, 0, False) for pitch in (59, 62, 67) if index % 3]
        rows += [(at, at + 2.5 * (following - at), 74 + index % 5, 90, 0, False)] if index % 3 == 0 else []
    return notes.sort(notes.from_rows((float(on), float(off), *rest) for on, off, *rest in rows))


def nearest(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return how far the found beats are from the nearest that are wanted, in seconds."""
    return np.abs(found[:, None] - wanted).min(axis=1)


@pytest.mark.parametrize("per_minute", [96, 120, 150])
def test_drums_in_time(per_minute):
    wanted = 0.7 + 60 / per_minute * np.arange(64)
    found = beats.track(rock(wanted))
    assert found.per_minute == pytest.approx(per_minute, rel=0.05)
    inside = found.seconds[(found.seconds > 0.6) & (found.seconds < wanted[-2])]
    assert np.quantile(nearest(inside, wanted), 0.95) < 0.03
    assert len(inside) == pytest.approx(63, abs=2)


def test_a_tempo_that_wanders_is_followed():
    wanted = np.cumsum(0.5 * np.exp(0.15 * np.sin(np.arange(96) / 12)))
    found = beats.track(rock(wanted))
    inside = found.seconds[(found.seconds > wanted[0]) & (found.seconds < wanted[-2])]
    assert len(inside) == pytest.approx(95, abs=3)
    assert np.quantile(nearest(inside, wanted), 0.95) < 0.04


def test_bars_of_three():
    wanted = 60 / 120 * np.arange(90)
    found = beats.track(waltz(wanted))
    downbeats = found.downbeat_seconds
    assert np.median(np.diff(np.flatnonzero(found.is_downbeat))) == 3
    assert np.median(nearest(downbeats, wanted[::3])) < 0.03


def test_a_told_tempo_settles_the_level():
    wanted = 60 / 150 * np.arange(96)
    played = rock(wanted)
    for told, exact in ((150, 150), (70, 75), (295, 300)):
        assert beats.track(played, per_minute=told).per_minute == pytest.approx(exact, rel=0.03)
    assert (beats.TEMPOS_TOLD, beats.BARS_TOLD) == (types.TEMPOS, types.BARS)
    with pytest.raises(InputError, match="400 beats a minute: 20 to 300 are wanted"):
        beats.track(played, per_minute=400)


def test_told_bars_have_as_many_beats():
    seconds = 0.5 * np.arange(96)
    for played, per_bar in ((rock(seconds), 4), (waltz(seconds), 3)):
        assert beats.track(played).per_bar == per_bar
        for told in (2, 3, 4, 7):
            found = beats.track(played, per_bar=told)
            assert set(np.diff(np.flatnonzero(found.is_downbeat)).tolist()) == {told} == {found.per_bar}
    assert beats.Beats(seconds[:3], np.array([False, True, False])).per_bar == 0
    with pytest.raises(InputError, match="bars of 17 beats: 2 to 16 are wanted"):
        beats.track(rock(seconds), per_bar=17)


def test_no_notes_have_no_beats():
    found = beats.track(notes.empty())
    assert found.seconds.shape == found.is_downbeat.shape == (0,)
    assert np.isnan(found.per_minute) and found.per_bar == 0


@settings(max_examples=30)
@given(st.lists(st.tuples(st.floats(0, 20), st.integers(0, 127), st.booleans()), min_size=1, max_size=20))
def test_any_notes_have_beats_in_order_at_possible_tempos(rows):
    found = beats.track(notes.from_rows((onset, onset + 0.1, pitch, 90, 0, drum) for onset, pitch, drum in rows))
    gaps = np.diff(found.seconds)
    assert (gaps >= 60 / beats.FASTEST - 0.02).all() and (gaps <= 60 / beats.SLOWEST + 0.02).all()
    assert found.is_downbeat.shape == found.seconds.shape
    assert (found.seconds >= 0).all()


def test_the_likeliest_row_is_found_among_noise():
    rng = np.random.default_rng(0)
    wanted = np.cumsum([10] + [25] * 12 + [26] * 12 + [24] * 12)
    activity = rng.uniform(0.01, 0.15, wanted[-1] + 20)
    activity[wanted] = 0.8
    activity[wanted[[5, 6, 20]]] = 0.02  # beats that nothing is heard of
    activity[wanted[8] + 12] = 0.9  # and something that is none
    assert beats._likeliest_beats(activity).tolist() == wanted.tolist()


def test_it_is_as_likely_as_any():
    """Against all rows of beats of a short stretch, counted one by one."""
    rng = np.random.default_rng(1)
    activity = rng.uniform(0.01, 0.6, 60)
    found = beats._likeliest_beats(activity)

    def log_likelihood(frames: tuple[int, ...]) -> float:
        halves = np.zeros(len(activity))
        for frame in frames:
            for near, value in ((frame - 1, 1), (frame, 2), (frame + 1, 1)):
                if 0 <= near < len(activity):
                    halves[near] = value
        fits = np.log(activity) * halves / 2 + np.log(1 - activity) * (1 - halves / 2)
        return fits.sum() + np.log(2) * np.sum(halves == 1) + beats._MORE_BEATS * len(frames)

    best = max(
        ((a, a + gap, a + 2 * gap) for gap in range(20, 30) for a in range(60) if a + 2 * gap < 60), key=log_likelihood
    )
    # The row that is found may change its tempo, and so fits at least as well but for what that costs.
    assert log_likelihood(tuple(found)) >= log_likelihood(best) - 8


@pytest.mark.parametrize("beats_in_bar", beats.BARS)
def test_bars_of_each_length(beats_in_bar):
    activity = np.where(np.arange(40) % beats_in_bar == 1, 0.7, 0.1)
    found = beats._likeliest_downbeats(activity)
    assert np.flatnonzero(found).tolist() == list(range(1, 40, beats_in_bar))


def test_bars_may_change():
    wanted = [*range(0, 40, 4), *range(40, 79, 3)]
    activity = np.full(79, 0.05)
    activity[wanted] = 0.8
    assert np.flatnonzero(beats._likeliest_downbeats(activity)).tolist() == wanted
