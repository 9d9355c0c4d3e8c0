"""Files of notes: MIDI by its events and by its bytes, NoteSequences, CSV and JSON."""

import json
import struct

import note_seq
import numpy as np
import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from mutation import DEEP, VALUES, changed, damaged
from surviving import fuzz, survive

from mt3lite import midi_tracks, note_files, notes, outputs
from mt3lite.errors import InputError
from mt3lite.training import midi_sources

ROWS = [(0.5 * i, 0.5 * i + 0.4, 60 + i, 80, 8 * i, i % 3 == 0) for i in range(6)]
PIECE = notes.from_rows(ROWS)


def read(path) -> np.ndarray:
    """Read a file; what comes of it can be written again."""
    read_notes = note_files.read(path)
    notes.validate(read_notes)
    return read_notes


def read_midi(path) -> np.ndarray:
    """Read a MIDI file in every way that there is."""
    midi_tracks.standalone(path)
    read_notes = read(path)
    try:
        midi_sources.read_parts(path)
    except InputError as error:
        assert str(error).startswith(f"{path}: ")
    return read_notes


# --- MIDI ---


def variable(number: int) -> bytes:
    """A number as MIDI writes it: seven bits a byte, the last one without its high bit."""
    digits = [number & 127]
    while number := number >> 7:
        digits.append(128 | number & 127)
    return bytes(reversed(digits))


TICKS = st.one_of(st.integers(0, 500), st.sampled_from([0, 10**4, 10**7, 2**28 - 1, 2**31, 2**40, 2**70]))
DATA = st.integers(0, 255)
META = st.builds(
    lambda kind, content: bytes([0xFF, kind]) + variable(len(content)) + content,
    st.sampled_from([*range(0x10), 0x20, 0x21, 0x2F, 0x51, 0x54, 0x58, 0x59, 0x7F, 0x60]),
    st.one_of(st.binary(max_size=6), st.sampled_from([b"\0\0\0", b"\xff\xff\xff", b"\x04\xff\x18\x08", b"\x0c\x07"])),
)
CHANNEL = st.builds(
    lambda status, first, second: bytes([status, first, second][: 2 if status >> 4 in (12, 13) else 3]),
    st.integers(0x80, 0xEF),
    st.one_of(st.integers(0, 127), st.sampled_from([64])),
    st.integers(0, 127),
)
NOTES = st.builds(lambda pitch, loud: bytes([0x90, pitch, loud]), st.integers(58, 62), st.sampled_from([0, 1, 64, 127]))
ODD = st.one_of(
    st.binary(min_size=1, max_size=4), st.builds(lambda c: b"\xf0" + variable(len(c)) + c, st.binary(max_size=5))
)
EVENTS = st.lists(st.tuples(TICKS, st.one_of(NOTES, NOTES, NOTES, CHANNEL, META, ODD)), max_size=25)


def chunk(name: bytes, content: bytes, told: int | None) -> bytes:
    return name + struct.pack(">I", len(content) if told is None else told) + content


@st.composite
def midi_files(draw) -> bytes:
    """Draw a MIDI file whose form is right and whose events are whatever they are."""
    tracks = []
    for events in draw(st.lists(EVENTS, max_size=4)):
        content = b"".join(variable(ticks) + event for ticks, event in events)
        content += draw(st.sampled_from([b"\x00\xff\x2f\x00", b""]))
        told = draw(st.one_of(st.none(), st.none(), st.none(), st.sampled_from([0, 3, 2**31, 2**32 - 1])))
        tracks.append(chunk(b"MTrk", content, told))
    number = draw(st.one_of(st.just(len(tracks)), st.just(len(tracks)), st.sampled_from([0, 1, 65535])))
    division = draw(st.sampled_from([1, 96, 220, 480, 32767, 0, 0x8000, 0xE728, 0xFFFF]))
    kind = draw(st.sampled_from([0, 1, 1, 1, 2, 3, 65535]))
    return chunk(b"MThd", struct.pack(">HHH", kind, number, division), None) + b"".join(tracks)


@fuzz(400)
@given(midi_files())
def test_midi_of_any_events(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "events.mid"
    path.write_bytes(content)
    survive("MIDI files, any events", read_midi, path)


@pytest.fixture(scope="module")
def whole_midi(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "whole.mid"
    notes.write_midi(PIECE, path)
    return path.read_bytes()


def test_midi_with_damage(tmp_path, whole_midi):
    path = tmp_path / "damaged.mid"

    @fuzz(300)
    @given(damaged(whole_midi))
    def shown(content):
        path.write_bytes(content)
        survive("MIDI files, damaged", read_midi, path)

    shown()


# --- NoteSequence, CSV, JSON ---


def test_note_sequences_with_damage(tmp_path):
    path, whole = tmp_path / "damaged.pb", notes.to_note_sequence(PIECE).SerializeToString()

    @fuzz(150)
    @given(damaged(whole, header=len(whole)))
    def shown(content):
        path.write_bytes(content)
        survive("NoteSequence files, damaged", read, path)

    shown()


NUMBERS = st.one_of(st.floats(), st.floats(0, 10), st.sampled_from([1e300, 1e18, -1.0]))
WHOLE = st.one_of(st.integers(0, 127), st.integers(-(2**31), 2**31 - 1))


@fuzz(100)
@given(
    st.lists(st.tuples(NUMBERS, NUMBERS, WHOLE, WHOLE, WHOLE, st.booleans()), max_size=6), st.lists(NUMBERS, max_size=4)
)
def test_note_sequences_of_any_numbers(tmp_path_factory, rows, pedals):
    path = tmp_path_factory.getbasetemp() / "any.pb"
    sequence = note_seq.NoteSequence()
    for start, end, pitch, velocity, program, is_drum in rows:
        sequence.notes.add(
            start_time=start, end_time=end, pitch=pitch, velocity=velocity, program=program, is_drum=is_drum
        )
    for number, seconds in enumerate(pedals):
        sequence.control_changes.add(time=seconds, control_number=64, control_value=127 * (number % 2))
    path.write_bytes(sequence.SerializeToString())
    survive("NoteSequence files, any numbers", read, path)


@pytest.fixture(scope="module")
def whole_texts(tmp_path_factory):
    """Our own CSV and JSON, and a NoteSequence as JSON."""
    folder = tmp_path_factory.mktemp("texts")
    outputs.write_csv(PIECE, folder / "a.csv", granularity="full")
    outputs.write_json(PIECE, folder / "a.json", granularity="full", about={"recording": "a.wav"})
    sequence = json_format.MessageToJson(notes.to_note_sequence(PIECE))
    return {"csv": (folder / "a.csv").read_bytes(), "json": (folder / "a.json").read_bytes(), "pb": sequence.encode()}


@pytest.mark.parametrize("kind", ["csv", "json", "pb"])
def test_texts_with_damage(tmp_path, whole_texts, kind):
    path = tmp_path / f"damaged.{'csv' if kind == 'csv' else 'json'}"

    @fuzz(80)
    @given(damaged(whole_texts[kind], header=len(whole_texts[kind])))
    def shown(content):
        path.write_bytes(content)
        survive(f"{path.suffix[1:].upper()} files of notes, damaged", read, path)

    shown()


@pytest.mark.parametrize("kind", ["json", "pb"])
def test_json_of_other_values(tmp_path, whole_texts, kind):
    path = tmp_path / "changed.json"

    @fuzz(120)
    @given(changed(json.loads(whole_texts[kind])))
    def shown(value):
        path.write_text(json.dumps(value))
        survive("JSON files of notes, other values", read, path)

    shown()


@fuzz(100)
@given(st.lists(st.tuples(VALUES, VALUES, VALUES, VALUES), max_size=5))
def test_csv_of_other_values(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "changed.csv"
    lines = ["onset_seconds,offset_seconds,pitch,velocity", *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines), encoding="utf-8", errors="surrogatepass")
    survive("CSV files of notes, other values", read, path)


@pytest.mark.parametrize("text", DEEP, ids=range(len(DEEP)))
def test_json_too_deep_or_too_long(tmp_path, text):
    path = tmp_path / "deep.json"
    path.write_text(text)
    assert isinstance(survive("JSON files of notes, other values", read, path), InputError)
