import json

import pytest

from mt3lite.errors import InputError
from mt3lite.training import datasets


@pytest.fixture
def folder(tmp_path):
    for name in ("a.wav", "a.mid", "b.flac", "b.mid", "b-bass.flac", "b-bass.mid"):
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def write_lines(folder, *entries):
    path = folder / "manifest.jsonl"
    path.write_text("\n".join(entry if isinstance(entry, str) else json.dumps(entry) for entry in entries))
    return path


A = {"id": "a", "split": "train", "audio": "a.wav", "midi": "a.mid"}


def test_written_manifest_reads_back(folder):
    tracks = [
        datasets.Track("a", "train", folder / "a.wav", folder / "a.mid"),
        datasets.Track(
            "b",
            "validation",
            folder / "b.flac",
            folder / "b.mid",
            duration_seconds=2.5,
            license="CC0-1.0",
            source="Bärenreiter",
            stems=(datasets.Stem(folder / "b-bass.flac", folder / "b-bass.mid"),),
        ),
    ]
    datasets.write_manifest(tracks, folder)
    assert datasets.read_manifest(folder) == tracks
    assert datasets.read_manifest(folder / "manifest.jsonl") == tracks


def test_written_paths_are_relative_so_the_folder_can_move(folder, tmp_path_factory):
    datasets.write_manifest([datasets.Track("a", "train", folder / "a.wav", folder / "a.mid")], folder)
    moved = folder.rename(tmp_path_factory.mktemp("elsewhere") / "moved")
    (track,) = datasets.read_manifest(moved)
    assert track.audio == moved / "a.wav"


def test_files_outside_the_folder_stay_absolute(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    tracks = [datasets.Track("a", "train", folder / "a.wav", folder / "a.mid")]
    datasets.write_manifest(tracks, elsewhere / "manifest.jsonl")
    assert datasets.read_manifest(elsewhere) == tracks


def test_empty_lines_are_passed_over(folder):
    write_lines(folder, "", A, "")
    assert [track.id for track in datasets.read_manifest(folder)] == ["a"]


def test_all_faults_are_told_together_by_line(folder):
    path = write_lines(folder, A, {**A, "midi": "none.mid"}, "{broken", {"id": "c", "colour": 3}, {**A, "split": "dev"})
    with pytest.raises(InputError) as error:
        datasets.read_manifest(path)
    message = str(error.value)
    assert "manifest.jsonl: 8 faults" in message
    assert "line 2: no such file:" in message and "none.mid" in message
    assert "line 2: id 'a' is already that of line 1" in message
    assert "line 3: not JSON" in message
    assert "line 4: missing key 'split'" in message
    assert "line 4: unknown key 'colour'; known ones: id, split" in message
    assert "line 5: split 'dev' is none of train, validation, test" in message


def test_many_faults_are_cut_short(folder):
    with pytest.raises(InputError, match="30 faults(.|\n)*and 10 more$"):
        datasets.read_manifest(write_lines(folder, *["[]"] * 30))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": ""}, "'id' must be text, not ''"),
        ({"id": 7}, "'id' must be text, not 7"),
        ({"audio": None}, "'audio' must be text"),
        ({"license": 1}, "'license' must be text"),
        ({"duration_seconds": -1}, "'duration_seconds' must be a number above 0, not -1"),
        ({"duration_seconds": float("nan")}, "'duration_seconds' must be a number above 0, not nan"),
        ({"duration_seconds": True}, "'duration_seconds' must be a number above 0, not True"),
        ({"stems": {"audio": "a"}}, "'stems' must be a list of objects"),
        ({"stems": [{"audio": "a.wav"}]}, "'stems' must be a list of objects"),
        ({"stems": [{"audio": "a.wav", "midi": "lost.mid"}]}, "no such file: .*lost.mid"),
        ({"audio": "."}, "no such file"),
    ],
)
def test_faulty_value(folder, change, message):
    with pytest.raises(InputError, match=f"line 1: {message}"):
        datasets.read_manifest(write_lines(folder, {**A, **change}))


def test_missing_manifest(tmp_path):
    with pytest.raises(InputError, match=r"manifest\.jsonl: no such manifest; a dataset folder holds"):
        datasets.read_manifest(tmp_path)


def test_manifest_without_tracks(folder):
    with pytest.raises(InputError, match="the manifest names no track"):
        datasets.read_manifest(write_lines(folder, ""))


def test_manifest_that_is_no_text(folder):
    (folder / "manifest.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read as text"):
        datasets.read_manifest(folder)
