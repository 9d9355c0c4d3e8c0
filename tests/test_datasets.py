import json

import numpy as np
import pytest
import soundfile

from mt3lite import notes
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
            stems=(
                datasets.Stem(folder / "b-bass.flac", folder / "b-bass.mid", program=33),
                datasets.Stem(folder / "b.flac", is_drum=True),
            ),
        ),
        datasets.Track("c", "test", None, folder / "b.mid", stems=(datasets.Stem(folder / "b-bass.flac"),)),
    ]
    datasets.write_manifest(tracks, folder)
    assert datasets.read_manifest(folder) == tracks
    assert datasets.read_manifest(folder / "manifest.jsonl") == tracks


def test_a_line_of_the_documented_form_is_understood(folder):
    stems = [{"audio": "b-bass.flac", "midi": "b-bass.mid", "program": 33}, {"audio": "b.flac", "is_drum": True}]
    path = write_lines(folder, {**A, "duration": 2.5, "license": "CC0-1.0", "source": "me", "stems": stems})
    (track,) = datasets.read_manifest(path)
    assert (track.duration_seconds, track.license, track.source) == (2.5, "CC0-1.0", "me")
    bass, kit = track.stems
    assert bass == datasets.Stem(folder / "b-bass.flac", folder / "b-bass.mid", 33, False)
    assert kit == datasets.Stem(folder / "b.flac", None, 0, True)
    assert track.recordings == (folder / "a.wav",)


def test_without_audio_the_stems_are_the_recording(tmp_path):
    for name, level, length in (("x.wav", 0.25, 40), ("y.wav", 0.5, 60)):
        soundfile.write(tmp_path / name, np.full(length, level, np.float32), 16000)
    stems = (datasets.Stem(tmp_path / "x.wav"), datasets.Stem(tmp_path / "y.wav", program=33))
    track = datasets.Track("a", "train", None, tmp_path / "a.mid", stems=stems)
    assert track.recordings == (tmp_path / "x.wav", tmp_path / "y.wav")
    samples = datasets.load_samples(track, 16000)
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, [0.75] * 40 + [0.5] * 20, atol=1e-3)


def test_notes_of_a_stem_have_its_instrument_whatever_the_file_says(tmp_path):
    notes.write_midi(notes.from_rows([(0.0, 1.0, 40, 90, 38, False)]), tmp_path / "s.mid")
    played = datasets.stem_notes(datasets.Stem(tmp_path / "s.wav", tmp_path / "s.mid", program=33))
    assert played[["pitch", "program", "is_drum"]].tolist() == [(40, 33, False)]
    played = datasets.stem_notes(datasets.Stem(tmp_path / "s.wav", tmp_path / "s.mid", is_drum=True))
    assert played[["pitch", "program", "is_drum"]].tolist() == [(40, 0, True)]
    with pytest.raises(InputError, match="s.wav: this stem has no MIDI file"):
        datasets.stem_notes(datasets.Stem(tmp_path / "s.wav"))


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
        ({"duration": -1}, "'duration' must be a number of seconds above 0, not -1"),
        ({"duration": float("nan")}, "'duration' must be a number of seconds above 0, not nan"),
        ({"duration": True}, "'duration' must be a number of seconds above 0, not True"),
        ({"duration": None}, "'duration' must be a number of seconds above 0, not None"),
        ({"duration_seconds": 2.0}, "unknown key 'duration_seconds'"),
        ({"stems": {"audio": "a"}}, "'stems' must be a list, not "),
        ({"stems": ["a.wav"]}, "stem 1: an object is wanted, not 'a.wav'"),
        ({"stems": [{"audio": "a.wav"}]}, "stem 1: 'program' must be a General MIDI program, 0 to 127, not None"),
        ({"stems": [{"audio": "a.wav", "program": 128}]}, "stem 1: 'program' must be .* not 128"),
        ({"stems": [{"audio": "a.wav", "program": True}]}, "stem 1: 'program' must be .* not True"),
        ({"stems": [{"audio": "a.wav", "program": 0, "gain": 1}]}, "stem 1: unknown key 'gain'"),
        ({"stems": [{"audio": "a.wav", "is_drum": 1}]}, "stem 1: 'is_drum' must be true or false, not 1"),
        ({"stems": [{"program": 0}]}, "stem 1: 'audio' must be text, not None"),
        ({"stems": [{"audio": "a.wav", "midi": "lost.mid", "program": 0}]}, "no such file: .*lost.mid"),
        ({"audio": "."}, "no such file"),
    ],
)
def test_faulty_value(folder, change, message):
    with pytest.raises(InputError, match=f"line 1: {message}"):
        datasets.read_manifest(write_lines(folder, {**A, **change}))


@pytest.mark.parametrize("stems", [{}, {"stems": []}])
def test_a_track_needs_audio_or_stems(folder, stems):
    entry = {key: value for key, value in A.items() if key != "audio"} | stems
    with pytest.raises(InputError, match="line 1: missing key 'audio'; only a track with 'stems' can do without"):
        datasets.read_manifest(write_lines(folder, entry))


def test_splits_by_name_are_shared_out_and_stay():
    splits = [datasets.split_by_hash(f"song {i}", 0.2) for i in range(2000)]
    shares = [splits.count(split) / len(splits) for split in datasets.SPLITS]
    np.testing.assert_allclose(shares, [0.8, 0.1, 0.1], atol=0.02)
    assert splits[:4] == [datasets.split_by_hash(f"song {i}", 0.2) for i in range(4)]
    assert set(datasets.split_by_hash(f"song {i}", 0.0) for i in range(50)) == {"train"}


def test_missing_manifest(tmp_path):
    with pytest.raises(InputError, match=r"manifest\.jsonl: no such manifest; a dataset folder holds"):
        datasets.read_manifest(tmp_path)


def test_manifest_without_tracks(folder):
    with pytest.raises(InputError, match="the manifest names no track"):
        datasets.read_manifest(write_lines(folder, ""))


def test_manifest_that_is_no_text(folder):
    (folder / "manifest.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not text in UTF-8"):
        datasets.read_manifest(folder)


@pytest.mark.parametrize("line", ["[" * 100_000, "9" * 5000, '{"id": "' + "x" * 100_000 + '", "midi": 3}'])
def test_lines_that_cannot_be_read_are_faults_like_others(folder, line):
    (folder / "manifest.jsonl").write_text(line + "\n")
    with pytest.raises(InputError, match="line 1: ") as error:
        datasets.read_manifest(folder)
    assert len(str(error.value)) < 2000


@pytest.mark.parametrize("name", ["x" * 300, "x/" * 3000, "a\0b"])
def test_a_name_that_no_file_can_have_is_a_fault(folder, name):
    with pytest.raises(InputError, match="line 1: no such file: "):
        datasets.read_manifest(write_lines(folder, {"id": "a", "split": "train", "audio": name, "midi": name}))


@pytest.mark.parametrize("name", ["a\u2028b\x85c", "a\udcffb"])
def test_any_letters_come_back(folder, name):
    track = datasets.read_manifest(write_lines(folder, {**A, "id": name, "source": name}))[0]
    datasets.write_manifest([track], folder)
    assert datasets.read_manifest(folder) == [track]
