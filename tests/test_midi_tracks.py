"""MIDI files in which one track says what concerns another, read through `notes.read_midi`."""

import mido
import pytest

from mt3lite import midi_tracks, notes
from mt3lite.errors import InputError

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
    assert midi_tracks.standalone(path) == path.read_bytes()
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


HEADER = b"MThd\x00\x00\x00\x06\x00\x01\x00\x01\x01\xe0"


def chunk(*events: bytes) -> bytes:
    content = b"".join(events) + b"\x00\xff\x2f\x00"
    return b"MTrk" + len(content).to_bytes(4, "big") + content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is cut short"),
        (b"MThd", "it is cut short"),
        (b"not MIDI at all", "MThd not found"),
        (HEADER + b"MTrk\x00\x00\x00\x09\x00", "it is cut short"),
        (b"MThd\xff\xff\xff\xff" + HEADER[8:], "it is cut short"),  # mido would ask for 4 GB
        (HEADER + chunk(b"\x00\xff\x59\x02\x00\x02"), "Could not decode key"),
        (HEADER + chunk(b"\xff\xff\xff\x7f\x90\x3c\x40"), "last tick is 268435455, so it is damaged"),
        (HEADER[:10] + b"\x04\x01" + HEADER[12:] + chunk() * 1025, "1025 tracks; 1024 are most"),
    ],
)
def test_what_is_no_midi_is_refused(tmp_path, content, message):
    path = tmp_path / "bad.mid"
    path.write_bytes(content)
    for read_midi in (midi_tracks.standalone, midi_tracks.read):
        with pytest.raises(InputError, match=rf"bad\.mid: not a readable MIDI file \(.*{message}"):
            read_midi(path)


def test_tracks_that_borrow_without_end_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(midi_tracks, "MOST_BORROWED", 100)
    path = write(tmp_path / "a.mid", *[program(number) for number in range(20)], *[note(60, 0, 10)] * 6)
    with pytest.raises(InputError, match="share more than 100 events"):
        midi_tracks.standalone(path)


def test_messages_of_the_moment_are_left_out_where_tracks_are_written_anew(tmp_path):
    path = tmp_path / "a.mid"
    tempo_later = chunk(b"\x00\xff\x51\x03\x0f\x42\x40", b"\x00\x90\x3c\x40", b"\x83\x60\xf8", b"\x00\x80\x3c\x00")
    path.write_bytes(HEADER[:10] + b"\x00\x02" + HEADER[12:] + chunk() + tempo_later)
    assert read(path) == [(0.0, pytest.approx(1.0), 60, 0)]
