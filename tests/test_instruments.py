import json
from pathlib import Path

import numpy as np
import pytest

from mt3lite import instruments
from mt3lite.errors import InputError

GOLDEN = Path(__file__).parent / "golden" / "vocabulary"


def test_names_are_complete_and_distinct():
    assert len(set(instruments.PROGRAM_NAMES)) == 128
    assert len(set(instruments.FAMILY_NAMES)) == 16
    assert len(set(instruments.DRUM_NAMES)) == 81 - 35 + 1


@pytest.mark.parametrize(
    ("program", "expected"),
    [(0, "Acoustic Grand Piano"), (24, "Acoustic Guitar (nylon)"), (40, "Violin"), (56, "Trumpet"), (73, "Flute"),
     (80, "Lead 1 (square)"), (104, "Sitar"), (127, "Gunshot")],
)  # fmt: skip
def test_name(program, expected):
    assert instruments.name(program) == expected


def test_every_family_begins_with_its_kind():
    assert [instruments.name(8 * family) for family in (1, 2, 4, 6, 8, 14)] == [
        "Celesta", "Drawbar Organ", "Acoustic Bass", "String Ensemble 1", "Soprano Sax", "Tinkle Bell",
    ]  # fmt: skip


def test_name_of_drums():
    assert instruments.name(17, is_drum=True) == "Drums"
    assert [instruments.drum_name(pitch) for pitch in (34, 35, 38, 42, 49, 81, 82)] == [
        "Drum 34", "Acoustic Bass Drum", "Acoustic Snare", "Closed Hi-Hat",
        "Crash Cymbal 1", "Open Triangle", "Drum 82",
    ]  # fmt: skip


def test_map_program_equals_golden():
    golden = json.loads((GOLDEN / "programs_and_errors.json").read_text())["program_map"]
    assert sorted(golden) == sorted(instruments.GRANULARITIES)
    for granularity, expected in golden.items():
        assert instruments.map_program(np.arange(128), granularity).tolist() == expected
        assert [instruments.map_program(program, granularity) for program in range(128)] == expected


def test_map_program_keeps_dtype_and_is_idempotent():
    programs = np.arange(128, dtype=np.int32)
    for granularity in instruments.GRANULARITIES:
        once = instruments.map_program(programs, granularity)
        assert once.dtype == np.int32
        assert np.array_equal(instruments.map_program(once, granularity), once)


def test_map_program_refuses_unknown_granularity():
    with pytest.raises(InputError, match="'fine'; choose one of: flat, midi_class, full"):
        instruments.map_program(3, "fine")


@pytest.mark.parametrize(
    ("text", "programs", "drums"),
    [
        ("piano", range(8), False),
        ("Piano, bass,drums", [*range(8), *range(32, 40)], True),
        ("guitars", range(24, 32), False),
        ("strings", [*range(40, 46), *range(48, 52)], False),
        ("Brass", range(56, 64), False),
        ("sax", range(64, 68), False),
        ("flute", [73], False),
        ("flutes", [73], False),
        ("voice", range(52, 55), False),
        ("organ", range(16, 21), False),
        ("LEAD 8 bass+lead", [87], False),
        ("electric guitar (jazz)", [26], False),
        ("honky tonk piano", [3], False),
        ("synth lead", range(80, 88), False),
        ("0, 127", [0, 127], False),
        ("drum kit", [], True),
        ("piano,,", range(8), False),
    ],
)
def test_parse(text, programs, drums):
    assert instruments.parse(text) == instruments.InstrumentSet(frozenset(programs), drums)


def test_a_single_program_of_a_family_gives_its_notes_their_name():
    chosen = instruments.parse("cello, guitar, 4", complete=True)
    assert chosen.complete and not instruments.parse("cello").complete
    programs = np.array([40, 24, 0, 56, 40], np.int32)  # as a model that tells families writes them
    named = chosen.name_programs(programs)
    np.testing.assert_array_equal(named, [42, 24, 4, 56, 42])  # of the guitars, none was told from the others
    assert named.dtype == programs.dtype


def test_parse_knows_all_names():
    for program, name in enumerate(instruments.PROGRAM_NAMES):
        assert program in instruments.parse(name).programs
    for family, name in enumerate(instruments.FAMILY_NAMES):
        assert 8 * family in instruments.parse(name).programs


@pytest.mark.parametrize("text", ["kazoo", "128", "-1", "piano,kazoo", "1.5", "\N{SUPERSCRIPT TWO}", "?"])
def test_parse_refuses_unknown_names_and_lists_the_choices(text):
    with pytest.raises(InputError, match=r"unknown instrument .*choose from: .*brass.*drums.*sax.*0\.\.127"):
        instruments.parse(text)


@pytest.mark.parametrize("text", ["", "  ", ",,"])
def test_parse_refuses_an_empty_list(text):
    with pytest.raises(InputError, match="no instrument in"):
        instruments.parse(text)
