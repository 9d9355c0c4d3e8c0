import json
import math
import subprocess
import sys
from pathlib import Path

import hypothesis
import note_seq
import numpy as np
import pytest
from hypothesis import strategies as st

from mt3lite import notes, tempo_map
from mt3lite.errors import InputError

GOLDEN = Path(__file__).parent / "golden" / "encoding"
PIECES = {case["name"]: case for case in json.loads((GOLDEN / "sequences.json").read_text())["cases"]}
NOTE_OPS = json.loads((GOLDEN / "note_ops.json").read_text())["cases"]

PIANO_NOTE = (0.5, 1.0, 60, 100, 0, False)


def rows_of(array):
    return [list(row) for row in array.tolist()]


def piece_notes(piece):
    return notes.from_rows(row[:6] for row in piece["notes"])


def piece_note_sequence(piece):
    note_sequence = note_seq.NoteSequence()
    for onset, offset, pitch, velocity, program, is_drum, instrument in piece["notes"]:
        note_sequence.notes.add(
            start_time=onset,
            end_time=offset,
            pitch=pitch,
            velocity=velocity,
            program=program,
            is_drum=is_drum,
            instrument=instrument,
        )
    for seconds, number, value, instrument in piece["ccs"]:
        note_sequence.control_changes.add(
            time=seconds, control_number=number, control_value=value, instrument=instrument
        )
    return note_sequence


@st.composite
def note_arrays(draw, max_size=12):
    """Valid notes, few enough pitches and programs that they collide."""
    steps = st.integers(0, 400)
    row = st.tuples(
        steps, st.integers(1, 150), st.integers(60, 63), st.integers(1, 127), st.sampled_from([0, 40]), st.booleans()
    )
    rows = draw(st.lists(row, max_size=max_size))
    return notes.from_rows((onset / 64, (onset + length) / 64, *rest) for onset, length, *rest in rows)


@pytest.mark.parametrize("golden", NOTE_OPS, ids=lambda golden: golden["case"])
def test_note_operations_equal_golden(golden):
    piece = PIECES[golden["case"]]
    assert rows_of(notes.trim_overlaps(piece_notes(piece))) == [row[:6] for row in golden["after_trim"]]
    instruments = [note.instrument for note in notes.to_note_sequence(piece_notes(piece)).notes]
    assert instruments == golden["instruments_after_assign"]
    if "after_sustain" in golden:
        sustained = notes.from_note_sequence(piece_note_sequence(piece))
        assert rows_of(sustained) == [row[:6] for row in golden["after_sustain"]]


def test_some_golden_piece_has_a_pedal():
    assert sum("after_sustain" in golden for golden in NOTE_OPS) >= 3


def test_sustain_false_leaves_notes_alone():
    piece = PIECES["sustain_simple"]
    assert rows_of(notes.from_note_sequence(piece_note_sequence(piece), sustain=False)) == [
        row[:6] for row in piece["notes"]
    ]


@pytest.mark.parametrize("name", [name for name, piece in PIECES.items() if "all" not in piece["errors"]])
def test_validate_accepts_what_the_ancestor_accepts(name):
    notes.validate(piece_notes(PIECES[name]))


@pytest.mark.parametrize("name", [name for name, piece in PIECES.items() if "all" in piece["errors"]])
def test_validate_refuses_what_the_ancestor_refuses(name):
    with pytest.raises(InputError, match=r"note \d+ \(pitch"):
        notes.validate(piece_notes(PIECES[name]))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((0.5, 0.5, 60, 100, 0, False), r"note 1 \(pitch 60, Acoustic Grand Piano, 0.5 to 0.5 s\) does not end after"),
        ((math.nan, 1.0, 60, 100, 0, False), "not finite"),
        ((0.0, math.inf, 60, 100, 0, False), "not finite"),
        ((-math.inf, 0.0, 60, 100, 0, False), "not finite"),
        ((0.0, 1.0, 60, 0, 0, False), r"velocity 0 is not within 1\.\.127"),
        ((0.0, 1.0, 60, 128, 0, False), r"velocity 128 is not within 1\.\.127"),
        ((0.0, 1.0, 128, 9, 0, True), r"note 1 \(pitch 128, drums, .*: pitch 128 is not within 0\.\.127"),
        ((0.0, 1.0, -1, 9, 0, False), r"pitch -1 is not within 0\.\.127"),
        ((0.0, 1.0, 60, 9, -1, False), r"program -1, .*: program -1 is not within 0\.\.127"),
        ((0.0, 1.0, 60, 9, 128, False), r"program 128 is not within 0\.\.127"),
    ],
)
def test_validate_names_the_note(row, message):
    with pytest.raises(InputError, match=message):
        notes.validate(notes.from_rows([PIANO_NOTE, row]))


def test_validate_accepts_none_and_a_note_from_before():
    notes.validate(notes.empty())
    notes.validate(notes.from_rows([(-1.0, 0.5, 60, 1, 127, False)]))


def test_empty():
    assert notes.empty().dtype == notes.NOTE_DTYPE
    assert len(notes.empty()) == len(notes.from_rows([])) == 0
    for function in (notes.sort, notes.trim_overlaps):
        assert len(function(notes.empty())) == 0
    assert notes.to_note_sequence(notes.empty()).total_time == 0


def test_sort_by_onset_drums_program_pitch():
    rows = [
        (1.0, 2.0, 50, 1, 0, True),
        (1.0, 2.0, 60, 1, 5, False),
        (1.0, 2.0, 70, 1, 4, False),
        (1.0, 2.0, 60, 1, 4, False),
        (0.5, 2.0, 99, 1, 99, True),
    ]
    assert rows_of(notes.sort(notes.from_rows(rows))) == [list(rows[i]) for i in (4, 3, 2, 1, 0)]


def test_crop_keeps_what_sounds_on():
    array = notes.from_rows((onset, offset, 60, 1, 0, False) for onset, offset in [
        (1.0, 2.0), (1.0, 2.5), (2.0, 9.0), (2.5, 2.75), (3.0, 4.0)
    ])  # fmt: skip
    cropped = notes.crop(array, 2.0, 3.0)
    assert cropped[["onset", "offset"]].tolist() == [(-1.0, 0.5), (0.0, 7.0), (0.5, 0.75)]
    assert array["onset"].tolist() == [1.0, 1.0, 2.0, 2.5, 3.0]


@hypothesis.given(note_arrays(), st.integers(0, 300), st.integers(1, 300))
@hypothesis.settings(max_examples=50)
def test_crop_of_crop_is_crop(array, start, length):
    whole = notes.crop(array, 0.0, 100.0)
    assert np.array_equal(whole, array)
    direct = notes.crop(array, start / 64, (start + length) / 64)
    wider = notes.crop(array, start / 128, (start + length) / 64)
    again = notes.crop(wider, start / 128, (start + length) / 64 - start / 128)
    assert np.array_equal(again, direct)


@hypothesis.given(note_arrays())
@hypothesis.settings(max_examples=100)
def test_trimmed_notes_do_not_overlap(array):
    trimmed = notes.trim_overlaps(array)
    assert (trimmed["onset"] < trimmed["offset"]).all()
    assert np.array_equal(notes.trim_overlaps(trimmed), trimmed)
    for index, note in enumerate(trimmed):
        same = trimmed[["pitch", "program", "is_drum"]] == note[["pitch", "program", "is_drum"]]
        overlapping = same & (trimmed["onset"] < note["offset"]) & (trimmed["offset"] > note["onset"])
        assert np.flatnonzero(overlapping).tolist() == [index]
    assert set(trimmed[["onset", "pitch"]].tolist()) == set(array[["onset", "pitch"]].tolist())


@hypothesis.given(note_arrays())
@hypothesis.settings(max_examples=30)
def test_note_sequence_round_trip(array):
    note_sequence = notes.to_note_sequence(array)
    assert np.array_equal(notes.from_note_sequence(note_sequence), array)
    assert note_sequence.ticks_per_quarter == 220
    assert note_sequence.total_time == max([0.0, *array["offset"]])


def test_instruments_skip_the_drums_number():
    array = notes.from_rows([*((0, 1, 60, 1, program, False) for program in range(12)), (0, 1, 60, 1, 0, True)])
    instruments = [note.instrument for note in notes.to_note_sequence(array).notes]
    assert instruments == [*range(9), 10, 11, 12, 9]


def test_midi_file_round_trip(tmp_path):
    array = notes.sort(notes.trim_overlaps(piece_notes(PIECES["many_programs"])))
    notes.write_midi(array, tmp_path / "out.mid")
    again = notes.read_midi(tmp_path / "out.mid")
    fields = ["pitch", "velocity", "program", "is_drum"]
    assert sorted(again[fields].tolist()) == sorted(array[fields].tolist())
    one_tick = 0.5 / tempo_map.STEADY.ticks_per_quarter
    assert np.abs(np.sort(again["onset"]) - np.sort(array["onset"])).max() < one_tick
    assert np.abs(np.sort(again["offset"]) - np.sort(array["offset"])).max() < one_tick
    assert [path.name for path in tmp_path.iterdir()] == ["out.mid"]


def test_read_midi_holds_notes_by_the_pedal(tmp_path):
    path = tmp_path / "pedal.mid"
    note_seq.note_sequence_to_midi_file(piece_note_sequence(PIECES["sustain_simple"]), str(path))
    held, struck = notes.read_midi(path), notes.read_midi(path, sustain=False)
    assert held["onset"].tolist() == struck["onset"].tolist()
    assert held["offset"].sum() > struck["offset"].sum() + 0.1


def test_read_midi_of_no_notes(tmp_path):
    notes.write_midi(notes.empty(), tmp_path / "rest.mid")
    assert len(notes.read_midi(tmp_path / "rest.mid")) == 0


def test_read_midi_refuses_what_is_no_midi_file(tmp_path):
    with pytest.raises(InputError, match=r"none\.mid: no such file"):
        notes.read_midi(tmp_path / "none.mid")
    with pytest.raises(InputError, match="is a folder"):
        notes.read_midi(tmp_path)
    for content in (b"", b"hello", b"MThd\x00\x00\x00\x06\x00\x01\x00\x01\x00\xdcMTrk\x00\x00\x10\x00\x90"):
        bad = tmp_path / "bad.mid"
        bad.write_bytes(content)
        with pytest.raises(InputError, match=r"bad\.mid: not a readable MIDI file"):
            notes.read_midi(bad)


def test_write_midi_refuses_bad_notes_and_folders(tmp_path):
    with pytest.raises(InputError, match="velocity 0"):
        notes.write_midi(notes.from_rows([(0.0, 1.0, 60, 0, 0, False)]), tmp_path / "a.mid")
    with pytest.raises(InputError, match="missing"):
        notes.write_midi(notes.from_rows([PIANO_NOTE]), tmp_path / "missing" / "a.mid")
    assert list(tmp_path.iterdir()) == []


def test_import_is_light():
    code = "import sys; from mt3lite import codec, notes; assert not {'note_seq', 'pandas', 'jax'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
