import mido
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mt3lite import notes, tempo_map
from mt3lite.beats import Beats


def beats(seconds, bar: int = 4, first: int = 0) -> Beats:
    return Beats(np.asarray(seconds, float), np.arange(len(seconds)) % bar == first)


def messages(path, kind: str) -> list[tuple]:
    """Return (tick, message) of all of a kind in the first track."""
    tick, found = 0, []
    for message in mido.MidiFile(path).tracks[0]:
        tick += message.time
        if message.type == kind:
            found.append((tick, message))
    return found


def test_music_in_time_has_one_tempo():
    rng = np.random.default_rng(0)
    found = tempo_map.following(beats(0.5 * np.arange(200) + rng.uniform(-0.02, 0.02, 200)))
    assert found.ticks.tolist() == [0]
    assert found.microseconds[0] == pytest.approx(500_000, rel=0.001)
    assert found.bars == [(0, 4, 4)]


def test_a_tempo_that_changes_is_followed():
    seconds = np.cumsum(np.repeat([0.5, 0.75], 20)) - 0.5
    found = tempo_map.following(beats(seconds))
    assert found.microseconds[[0, -1]] == pytest.approx([500_000, 750_000], rel=0.01)
    assert 2 <= len(found.ticks) <= 4
    assert found.ticks[1] == pytest.approx(19 * 960, abs=960)


def test_an_upbeat_is_a_bar_of_its_own():
    found = tempo_map.following(beats(1.0 + 0.5 * np.arange(12), bar=3, first=1))
    assert found.bars == [(0, 3, 4)]  # two quarters of silence and one beat: a bar of three
    found = tempo_map.following(beats(0.5 * np.arange(12), bar=3, first=2))
    assert found.bars == [(0, 2, 4), (2 * 960, 3, 4)]
    found = tempo_map.following(beats(0.25 + 0.5 * np.arange(12), bar=4, first=0))
    assert found.bars == [(0, 1, 8), (480, 4, 4)]


def test_long_silence_is_whole_bars():
    found = tempo_map.following(beats(100.0 + 0.5 * np.arange(12)))
    assert found.bars == [(0, 4, 4)]
    assert found.ticks_at(np.array([100.0])) == 200 * 960
    found = tempo_map.following(beats(101.0 + 0.5 * np.arange(12)))
    assert found.bars == [(0, 2, 4), (2 * 960, 4, 4)]


def test_bars_that_change_are_told():
    is_downbeat = np.zeros(14, bool)
    is_downbeat[[0, 4, 8, 11]] = True
    found = tempo_map.following(Beats(0.5 * np.arange(14), is_downbeat))
    assert found.bars == [(0, 4, 4), (8 * 960, 3, 4)]


@pytest.mark.parametrize("number", [0, 1])
def test_less_than_two_beats_are_no_tempo(number):
    assert tempo_map.following(beats(0.5 * np.arange(number))) is tempo_map.STEADY


def test_beats_without_bars_are_in_four():
    found = tempo_map.following(Beats(0.5 * np.arange(8), np.zeros(8, bool)))
    assert found.bars == [(0, 4, 4)]


@given(
    st.lists(st.floats(0.27, 1.5), min_size=1, max_size=60),
    st.floats(0, 30),
    st.sampled_from([(2, 0), (3, 2), (4, 1)]),
)
def test_beats_are_quarters_and_times_stay(tmp_path_factory, gaps, first, bar):
    found = beats(first + np.concatenate([[0], np.cumsum(gaps)]), *bar)
    tempos = tempo_map.following(found)
    assert (np.diff(tempos.ticks) > 0).all() and tempos.ticks[0] == 0 and tempos.seconds[0] == 0
    # Each beat is where a quarter is, to the tolerance, from a beginning in eighths of them on.
    mean = np.mean(np.diff(found.seconds))
    aside = []
    for lead in np.arange(-1, 2) + round(8 * (tempos.ticks_at(found.seconds[-1:])[0] / 960 - len(gaps))):
        heard = tempos.seconds_at(np.maximum(lead / 8 + np.arange(len(found.seconds)), 0) * 960)
        aside.append(np.abs(heard[1:] - found.seconds[1:]).max())
    assert min(aside) <= 0.026 + mean / 16 * (first < mean)
    # And notes are read where they were, to half a tick.
    path = tmp_path_factory.mktemp("midi") / "a.mid"
    played = notes.from_rows([(float(at), float(at) + 0.2, 60, 90, 0, False) for at in found.seconds])
    notes.write_midi(notes.trim_overlaps(played), path, beats=found)
    half_a_tick = tempos.microseconds.max() / 960 / 2e6
    np.testing.assert_allclose(notes.read_midi(path)["onset"], found.seconds, atol=half_a_tick + 1e-5)


def test_the_file_has_the_tempos_and_bars(tmp_path):
    found = beats(0.5 + np.cumsum(np.repeat([0.4, 0.6], 8)), bar=3, first=0)
    played = notes.from_rows([(float(at), float(at) + 0.2, 60, 90, 0, False) for at in found.seconds])
    notes.write_midi(played, tmp_path / "a.mid", beats=found)
    tempos = tempo_map.following(found)
    written = messages(tmp_path / "a.mid", "set_tempo")
    assert [tick for tick, _ in written] == tempos.ticks.tolist()
    assert [message.tempo for _, message in written] == tempos.microseconds.tolist()
    bars = [(tick, one.numerator, one.denominator) for tick, one in messages(tmp_path / "a.mid", "time_signature")]
    assert bars == tempos.bars
    assert mido.MidiFile(tmp_path / "a.mid").ticks_per_beat == 960


def test_a_note_sequence_has_what_the_file_has(tmp_path):
    found = beats(0.5 + np.cumsum(np.repeat([0.4, 0.6], 8)), bar=3, first=1)
    played = notes.from_rows([(float(at), float(at) + 0.2, 60, 90, 0, False) for at in found.seconds])
    notes.write_midi(played, tmp_path / "a.mid", beats=found)
    read = notes.read_note_sequence(tmp_path / "a.mid", (tmp_path / "a.mid").read_bytes())
    made = notes.to_note_sequence(played, beats=found)
    assert made.ticks_per_quarter == read.ticks_per_quarter == 960
    assert len(made.tempos) > 1 and len(made.time_signatures) == 2
    for ours, theirs in ((made.tempos, read.tempos), (made.time_signatures, read.time_signatures)):
        assert [each.time for each in ours] == pytest.approx([each.time for each in theirs], abs=1e-6)
    assert [each.qpm for each in made.tempos] == pytest.approx([each.qpm for each in read.tempos])
    bars, theirs = ([(each.numerator, each.denominator) for each in of.time_signatures] for of in (made, read))
    assert bars == theirs == [(numerator, denominator) for _, numerator, denominator in tempo_map.following(found).bars]
    assert not notes.to_note_sequence(played).tempos
