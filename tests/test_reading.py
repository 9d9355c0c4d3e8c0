"""Files that users give are read no further than their kind goes."""

import os

import pytest

from mt3lite import reading
from mt3lite.errors import InputError


def test_reads_up_to_the_bound(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("é")
    assert reading.read_bytes(path, 2) == "é".encode() and reading.read_text(path) == "é"
    with pytest.raises(InputError, match=r"a\.txt: is a file of 0 MB; those of its kind have at most 9\.5"):
        reading.read_bytes(path, 1)


def test_a_file_with_a_hole_is_measured_before_it_is_read(tmp_path):
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match="is a file of 1048576 MB; those of its kind have at most 256 MB"):
        reading.read_text(tmp_path / "a.json")


def test_what_is_no_file_is_named(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, message in (
        (tmp_path, "is a folder"),
        (tmp_path / "pipe", "is not a regular file"),
        (tmp_path / ("x" * 300), "no such file"),
        (f"{tmp_path}/a\0b", "no such file"),
    ):
        with pytest.raises(InputError, match=message):
            reading.read_bytes(path, 10)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested too deeply"),
        ("9" * 5000, "4300 digits"),
        ("{", "not JSON: Expecting"),
        (b"\xff", "0xff"),
    ],
)
def test_json_that_cannot_be_read(text, message):
    with pytest.raises(InputError, match=message):
        reading.parse_json(text)
