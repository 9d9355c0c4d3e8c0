import json

import note_seq
import numpy as np
import pytest
from google.protobuf import json_format

from mt3lite import note_files, notes, outputs
from mt3lite.errors import InputError

ROWS = [(0.0, 1.0, 60, 80, 0, False), (0.5, 0.75, 38, 100, 0, True), (1.25, 2.0, 40, 70, 33, False)]
PIECE = notes.from_rows(ROWS)


def write(path):
    """Write `PIECE` in the format of the path's suffix."""
    if path.suffix == ".mid":
        notes.write_midi(PIECE, path)
    elif path.suffix == ".csv":
        outputs.write_csv(PIECE, path, granularity="full")
    elif path.suffix == ".json":
        outputs.write_json(PIECE, path, granularity="full", about={})
    else:
        path.write_bytes(notes.to_note_sequence(PIECE).SerializeToString())
    return path


@pytest.mark.parametrize("suffix", [".csv", ".json", ".pb", ".binpb"])
def test_every_format_gives_the_same_notes(tmp_path, suffix):
    np.testing.assert_array_equal(note_files.read(write(tmp_path / f"a{suffix}")), PIECE)


def test_midi_is_as_fine_as_its_ticks(tmp_path):
    read = note_files.read(write(tmp_path / "a.mid"))
    np.testing.assert_allclose(read["onset"], PIECE["onset"], atol=0.002)
    assert read[["pitch", "program", "is_drum"]].tolist() == PIECE[["pitch", "program", "is_drum"]].tolist()


def test_json_of_a_note_sequence(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json_format.MessageToJson(notes.to_note_sequence(PIECE)))
    np.testing.assert_array_equal(note_files.read(path), PIECE)
    path.write_text("{}")  # protobuf's JSON leaves out what is empty
    assert len(note_files.read(path)) == 0


def test_the_pedal_of_a_note_sequence_is_applied(tmp_path):
    sequence = note_seq.NoteSequence()
    sequence.notes.add(start_time=0, end_time=0.5, pitch=60, velocity=80)
    sequence.notes.add(start_time=3, end_time=3.5, pitch=62, velocity=80)
    sequence.control_changes.add(time=0.1, control_number=64, control_value=127)
    sequence.control_changes.add(time=2.0, control_number=64, control_value=0)
    path = tmp_path / "a.pb"
    path.write_bytes(sequence.SerializeToString())
    assert note_files.read(path)["offset"].tolist() == [2.0, 3.5]


def test_csv_of_others(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("pitch,onset_seconds,offset_seconds,comment\n64,1.5,2,second\n60,0,0.5,first\n")
    assert note_files.read(path).tolist() == [(0.0, 0.5, 60, 64, 0, False), (1.5, 2.0, 64, 64, 0, False)]
    path.write_text("onset_seconds,offset_seconds,pitch\n")
    assert len(note_files.read(path)) == 0


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "onset,offset,pitch\n0,1,60\n", "first line lacks onset_seconds, offset_seconds"),
        ("a.csv", "", "first line lacks"),
        ("a.csv", "onset_seconds,offset_seconds,pitch\n0,1,C4\n", "note 1: invalid literal.*'C4'"),
        ("a.csv", "onset_seconds,offset_seconds,pitch\n0,1,60\n1\n", "note 2: could not convert"),
        ("a.csv", "onset_seconds,offset_seconds,pitch\n1,0,60\n", "does not end after its start"),
        ("a.csv", "onset_seconds,offset_seconds,pitch\n0,nan,60\n", "not finite"),
        ("a.csv", "onset_seconds,offset_seconds,pitch\n0,1,99999999999\n", "beyond those of MIDI"),
        ("a.csv", "onset_seconds,offset_seconds,pitch,is_drum\n0,1,60,maybe\n", "is_drum is 'maybe'"),
        ("a.csv", b"\xff\xfe\x00", "is not text in UTF-8"),
        ("a.json", "{", "cannot be read as JSON"),
        ("a.json", "[1]", "neither notes as mt3lite writes them nor a NoteSequence"),
        ("a.json", '{"notes": [1]}', "must be a list of objects"),
        ("a.json", '{"notes": [{"onset_seconds": 0, "offset_seconds": 1}]}', "note 1: it lacks 'pitch'"),
        ("a.json", '{"tune": 1}', "nor a NoteSequence: .*tune"),
        ("a.json", '{"notes": [{"pitch": 60}]}', "velocity 0|does not end"),
        ("a.json", '{"\\ud800": 1}', "nor a NoteSequence: .*surrogates not allowed"),
        ("a.json", '{"totalTime": 1' + "0" * 400 + "}", "nor a NoteSequence: .*too large"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.json", '{"notes": ' + "9" * 5000 + "}", "cannot be read as JSON"),
        ("a.json", '{"notes": [{"pitch": 60, "tune": 1}]}', "nor a NoteSequence: [^\n]*tune[^\n]*$"),
        ("a.csv", f"onset_seconds,offset_seconds,pitch\n{'x' * 5000},1,60\n", "note 1: .{,330}$"),
        ("a.csv", "onset_seconds,offset_seconds,pitch\n0,1e300,60\n", "at a time beyond 600000 s"),
        ("a.pb", b"\xff\xff\xff", "not a serialised NoteSequence"),
        ("a.mid", b"no", "not a readable MIDI file"),
        ("a.txt", "", r"end with \.mid, \.midi, \.pb"),
    ],
)
def test_bad_files_are_refused_by_name(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=f"{name}: .*(?:{message})"):
        note_files.read(path)


def test_a_pedal_in_a_quantised_sequence_is_refused(tmp_path):
    sequence = note_seq.NoteSequence()
    sequence.quantization_info.steps_per_quarter = 4
    sequence.control_changes.add(control_number=64, control_value=127)
    (tmp_path / "a.pb").write_bytes(sequence.SerializeToString())
    with pytest.raises(InputError, match=r"a\.pb: .*quantised"):
        note_files.read(tmp_path / "a.pb")


def test_what_is_not_there(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        note_files.read(tmp_path / "none.csv")
    (tmp_path / "folder.mid").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        note_files.read(tmp_path / "folder.mid")


def test_numbers_are_read_as_they_were_written(tmp_path):
    """The kept transcriptions of an evaluation rely on it: ten-millisecond times survive."""
    steps = np.arange(1, 300)
    piece = notes.from_rows((step / 100, step / 100 + 0.05, 60, 64, 0, False) for step in steps.tolist())
    outputs.write_json(piece, tmp_path / "a.json", granularity="flat", about={"duration_seconds": 1})
    np.testing.assert_array_equal(note_files.read(tmp_path / "a.json")["onset"], piece["onset"])
    assert json.loads((tmp_path / "a.json").read_text())["duration_seconds"] == 1
