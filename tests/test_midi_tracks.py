"""MIDI files in which one track says what concerns another, read through `notes.read_midi`."""

import mido
import pytest

from mt3lite import midi_tracks, notes

TICKS = 480  # a quarter note; half a second at the tempo that a file has which states none


def note(pitch, start, end, channel=0):
    """Return the events of a note from tick to tick."""
    return [
        (start, mido.Message("note_on", note=pitch, velocity=80, channel=channel)),
        (end, mido.Message("note_off", note=pitch, velocity=0, channel=channel)),
    ]


def program(number, channel=0, tick=0):
    return [(tick, mido.Message("program_change", program=number, channel=channel))]


def pedal(tick, value, channel=0):
    return [(tick, mido.Message("control_change", control=64, value=value, channel=channel))]


def tempo(tick, beats_per_minute):
    return [(tick, mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(beats_per_minute)))]


def write(path, *tracks):
    midi = mido.MidiFile(type=1, ticks_per_beat=TICKS)
    for events in tracks:
        track, before = mido.MidiTrack(), 0
        for tick, message in sorted(events, key=lambda event: event[0]):
            track.append(message.copy(time=tick - before))
            before = tick
        midi.tracks.append(track)
    midi.save(path)
    return path


def read(path):
    return [(row[0], row[1], row[2], row[4]) for row in notes.read_midi(path).tolist()]


@pytest.mark.parametrize("track_of_tempo", [0, 1, 2])
def test_tempo_changes_count_in_every_track(tmp_path, track_of_tempo):
    tracks = [[], note(60, 0, 480), note(64, 480, 1440)]
    tracks[track_of_tempo] = tracks[track_of_tempo] + tempo(0, 60) + tempo(480, 240)
    path = write(tmp_path / "a.mid", *tracks)
    assert read(path) == [(0.0, pytest.approx(1.0), 60, 0), (pytest.approx(1.0), pytest.approx(1.5), 64, 0)]


def test_a_program_counts_for_its_channel_in_every_track(tmp_path):
    path = write(tmp_path / "a.mid", program(33, 0) + program(40, 1), note(40, 0, 480), note(70, 0, 480, channel=1))
    assert read(path) == [(0.0, 0.5, 40, 33), (0.0, 0.5, 70, 40)]


def test_tracks_with_programs_of_their_own_keep_them(tmp_path):
    path = write(tmp_path / "a.mid", program(33) + note(40, 0, 480), program(40) + note(70, 0, 480))
    assert midi_tracks.standalone(path) is None
    assert read(path) == [(0.0, 0.5, 40, 33), (0.0, 0.5, 70, 40)]


def test_a_pedal_counts_for_both_hands(tmp_path):
    right = note(72, 0, 480) + pedal(0, 127) + pedal(960, 0)
    path = write(tmp_path / "a.mid", [], right, note(48, 0, 480))
    assert read(path) == [(0.0, 1.0, 48, 0), (0.0, 1.0, 72, 0)]


def test_a_pedal_does_not_count_for_another_instrument_or_channel(tmp_path):
    piano = program(0) + note(72, 0, 480) + pedal(0, 127) + pedal(960, 0)
    path = write(tmp_path / "a.mid", [], piano, program(40) + note(60, 0, 480), note(48, 0, 480, channel=1))
    assert read(path) == [(0.0, 0.5, 48, 0), (0.0, 1.0, 72, 0), (0.0, 0.5, 60, 40)]


def test_a_program_that_changes_on_the_way(tmp_path):
    path = write(tmp_path / "a.mid", program(0) + program(56, tick=480), note(60, 0, 480) + note(62, 480, 960))
    assert read(path) == [(0.0, 0.5, 60, 0), (0.5, 1.0, 62, 56)]


def test_the_time_between_events_stays(tmp_path):
    """A track that gets borrowed events has the same notes at the same times."""
    own = [event for index in range(20) for event in note(50 + index, 100 * index, 100 * index + 77)]
    plain = read(write(tmp_path / "a.mid", [], program(0) + own))
    borrowing = read(write(tmp_path / "b.mid", program(0) + pedal(5, 0) + pedal(555, 0) + tempo(0, 120), own))
    assert borrowing == plain


def test_what_is_no_midi_is_left_to_the_reader(tmp_path):
    for content in (
        b"",
        b"MThd",
        b"not MIDI at all",
        b"MThd\x00\x00\x00\x06\x00\x01\x00\x01\x01\xe0MTrk\x00\x00\x00\x09\x00",
    ):
        path = tmp_path / "bad.mid"
        path.write_bytes(content)
        assert midi_tracks.standalone(path) is None
