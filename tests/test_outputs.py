"""Text formats and instrument names; that all formats tell the same is held in test_cli.py."""

import json

import pytest

from mt3lite import notes, outputs
from mt3lite.errors import InputError

PIECE = notes.from_rows(
    [
        (1.1, 2.0000000001, 60, 90, 41, False),
        (0.5, 1.0, 62, 80, 40, False),
        (0.5, 0.6, 38, 100, 0, True),
        (0.0, 0.5, 30, 70, 33, False),
    ]
)


@pytest.mark.parametrize(
    "granularity, sizes",
    [
        ("flat", {"Pitched": 3, "Drums": 1}),
        ("midi_class", {"Bass": 1, "Strings": 2, "Drums": 1}),
        ("full", {"Electric Bass (finger)": 1, "Violin": 1, "Viola": 1, "Drums": 1}),
    ],
)
def test_instruments_are_named_no_finer_than_they_are_told(granularity, sizes):
    groups = outputs.by_instrument(PIECE, granularity)
    assert {name: len(mine) for name, mine in groups.items()} == sizes
    assert list(groups) == list(sizes)


def test_no_notes_no_instruments():
    assert outputs.by_instrument(notes.empty(), "full") == {}


def test_csv(tmp_path):
    outputs.write_csv(PIECE, tmp_path / "a.csv", granularity="midi_class")
    assert (tmp_path / "a.csv").read_text().splitlines() == [
        "onset_seconds,offset_seconds,pitch,velocity,program,is_drum,instrument",
        "0.0,0.5,30,70,33,False,Bass",
        "0.5,1.0,62,80,40,False,Strings",
        "0.5,0.6,38,100,0,True,Drums",
        "1.1,2.0,60,90,41,False,Strings",
    ]


def test_json(tmp_path):
    outputs.write_json(PIECE[1:2], tmp_path / "a.json", granularity="full", about={"model": "tiny"})
    assert json.loads((tmp_path / "a.json").read_text()) == {
        "model": "tiny",
        "notes": [
            {
                "onset_seconds": 0.5,
                "offset_seconds": 1.0,
                "pitch": 62,
                "velocity": 80,
                "program": 40,
                "is_drum": False,
                "instrument": "Violin",
            }
        ],
    }


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="there is no folder"):
        outputs.write_csv(PIECE, tmp_path / "no" / "a.csv", granularity="full")
