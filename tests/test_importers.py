"""Importers, each on a small made-up tree with the layout that its publisher gives the dataset."""

import json

import numpy as np
import pytest
import soundfile
from dataset_trees import by_id, midi, pitches, sound, table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mt3lite import cli, notes
from mt3lite.arguments import data as data_arguments
from mt3lite.errors import InputError
from mt3lite.training import checks, datasets, importers, importing


def test_the_command_offers_every_importer():
    assert data_arguments.DATASETS == tuple(importers.IMPORTERS)
    assert data_arguments.SPLITS == datasets.SPLITS


# --- MAESTRO ---


@pytest.fixture
def maestro(tmp_path):
    root = tmp_path / "maestro-v3.0.0"
    rows = [("canonical_composer", "canonical_title", "split", "year", "midi_filename", "audio_filename", "duration")]
    for split, name in (("train", "2004/A_wav--1"), ("validation", "2008/B_wav--2"), ("test", "2018/C_wav--3")):
        sound(root / f"{name}.wav", channels=2)
        midi(root / f"{name}.midi")
        rows.append(("Frédéric Chopin", 'Ballade, "No. 1"', split, name[:4], f"{name}.midi", f"{name}.wav", 1.0))
    table(root / "maestro-v3.0.0.csv", *rows)
    return root


def test_maestro(maestro):
    imported = importers.run("maestro", maestro)
    assert imported.manifest == maestro / "manifest.jsonl"
    tracks = by_id(imported)
    assert {name: track.split for name, track in tracks.items()} == {
        "2004/A_wav--1": "train",
        "2008/B_wav--2": "validation",
        "2018/C_wav--3": "test",
    }
    assert tracks["2004/A_wav--1"] == datasets.Track(
        id="2004/A_wav--1",
        split="train",
        audio=maestro / "2004/A_wav--1.wav",
        midi=maestro / "2004/A_wav--1.midi",
        duration_seconds=1.0,
        license="CC-BY-NC-SA-4.0",
        source='Frédéric Chopin: Ballade, "No. 1"',
    )
    assert '"audio": "2004/A_wav--1.wav"' in imported.manifest.read_text()
    assert imported.remarks == ["files of another rate than 16000 Hz, converted as they are read: 3, in 3 of 3 tracks"]


def test_a_manifest_elsewhere_names_the_files_whole(maestro, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    imported = importers.run("maestro", maestro.relative_to(tmp_path), (tmp_path / "out").relative_to(tmp_path))
    assert imported.manifest == tmp_path / "out" / "manifest.jsonl"
    assert by_id(imported)["2004/A_wav--1"].audio == maestro / "2004/A_wav--1.wav"


def test_faults_are_told_together_and_no_manifest_is_written(maestro):
    (maestro / "2004/A_wav--1.wav").unlink()
    (maestro / "2008/B_wav--2.midi").write_bytes(b"no MIDI")
    with pytest.raises(InputError) as error:
        importers.run("maestro", maestro)
    message = str(error.value)
    assert message.startswith(f"{maestro}: 2 faults\n")
    assert "2004/A_wav--1: no such file:" in message and "B_wav--2.midi: not a readable MIDI file" in message
    assert not (maestro / "manifest.jsonl").exists()


def test_faulty_tracks_can_be_left_out(maestro):
    (maestro / "2004/A_wav--1.wav").unlink()
    imported = importers.run("maestro", maestro, skip_faulty=True)
    assert sorted(by_id(imported)) == ["2008/B_wav--2", "2018/C_wav--3"]
    assert "left out: 2004/A_wav--1: no such file:" in imported.remarks[-1]
    for path in maestro.glob("*/*.wav"):
        path.unlink()
    with pytest.raises(InputError, match="4 faults\n  every track is faulty"):
        importers.run("maestro", maestro, skip_faulty=True, overwrite=True)


def test_a_manifest_is_not_overwritten(maestro):
    importers.run("maestro", maestro)
    with pytest.raises(InputError, match=r"manifest\.jsonl: is there already; choose another --out, or say --overwrit"):
        importers.run("maestro", maestro)
    assert importers.run("maestro", maestro, overwrite=True).manifest.exists()


def test_maestro_with_another_table(maestro):
    table(maestro / "maestro-v3.0.0.csv", ("split", "midi_filename"), ("train", "a.midi"))
    with pytest.raises(InputError, match="has no column canonical_composer, canonical_title, audio_filename"):
        importers.run("maestro", maestro)


@pytest.mark.parametrize("name", importers.IMPORTERS)
def test_a_folder_without_the_dataset(tmp_path, name):
    with pytest.raises(InputError, match="this is not the dataset: "):
        importers.run(name, tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="no such folder"):
        importers.run(name, tmp_path / "lost")


# --- GuitarSet ---


def jams_file(path, strings):
    """Write what GuitarSet's annotations look like: one note_midi and one pitch_contour a string."""
    path.parent.mkdir(parents=True, exist_ok=True)
    annotations = []
    for number, string in enumerate(strings):
        about = {"annotation_metadata": {"data_source": str(number)}, "sandbox": {}, "time": 0, "duration": 1.0}
        rows = [{"time": t, "duration": d, "value": v, "confidence": None} for t, d, v in string]
        contour = {"time": [0.1], "duration": [0.0], "confidence": [None]}
        contour["value"] = [{"voiced": True, "index": 0, "frequency": 196.0}]
        annotations += [{**about, "namespace": "note_midi", "data": rows}]
        annotations += [{**about, "namespace": "pitch_contour", "data": contour}]
    metadata = {"title": path.stem, "artist": "", "release": "", "duration": 1.0, "identifiers": {}, "jams_version": ""}
    path.write_text(json.dumps({"annotations": annotations, "file_metadata": metadata, "sandbox": {}}))


def test_guitarset(tmp_path):
    pytest.importorskip("jams", reason="pip install 'mt3lite[data]'", exc_type=ImportError)
    for name in ("00_BN1-129-Eb_comp", "03_Jazz3-137-Eb_solo"):
        # The same pitch on two strings at once; a note without length.
        jams_file(tmp_path / f"annotation/{name}.jams", [[(0.1, 0.5, 55.04)], [(0.2, 0.1, 54.96), (0.8, 0.0, 60.0)]])
        sound(tmp_path / f"audio_mono-mic/{name}_mic.wav")
    imported = importers.run("guitarset", tmp_path)
    tracks = by_id(imported)
    assert {name: track.split for name, track in tracks.items()} == {
        "00_BN1-129-Eb_comp": "train",
        "03_Jazz3-137-Eb_solo": "validation",
    }
    played = notes.read_midi(tracks["00_BN1-129-Eb_comp"].midi)
    assert played[["pitch", "program", "velocity"]].tolist() == [(55, 24, 100)] * 2
    np.testing.assert_allclose(played["onset"], [0.1, 0.2], atol=1e-4)
    np.testing.assert_allclose(played["offset"], [0.6, 0.3], atol=1e-4)
    assert imported.remarks[0] == "2 annotated notes have no length and are left out"


def test_guitarset_faults(tmp_path):
    pytest.importorskip("jams", reason="pip install 'mt3lite[data]'", exc_type=ImportError)
    for name in ("00_BN1-129-Eb_comp", "00_BN2-129-Eb_comp"):
        jams_file(tmp_path / f"annotation/{name}.jams", [[(0.1, 0.5, 55.0)]])
    sound(tmp_path / "audio_mono-mic/00_BN1-129-Eb_comp_mic.wav")
    (tmp_path / "annotation/00_BN1-129-Eb_comp.jams").write_text("{")
    (tmp_path / "annotation/notes.jams").write_text("{}")
    with pytest.raises(InputError) as error:
        importers.run("guitarset", tmp_path)
    message = str(error.value)
    assert "3 faults" in message and "notes.jams: a name such as 00_BN1" in message
    assert "00_BN1-129-Eb_comp.jams: cannot be read as JAMS" in message
    assert "00_BN2-129-Eb_comp_mic.wav" in message


# --- MusicNet ---


@pytest.fixture
def musicnet(tmp_path):
    header = ("start_time", "end_time", "instrument", "note", "start_beat", "end_beat", "note_value")
    for folder, name in (("train", "1727"), ("train", "1733"), ("test", "1759"), ("train", "1729")):
        sound(tmp_path / f"{folder}_data/{name}.wav")
        rows = [(4410, 22050, 41, 76, 0.0, 1.0, "Quarter"), (8820, 13230, 1, 60, 0.0, 1.0, "Quarter")]
        table(tmp_path / f"{folder}_labels/{name}.csv", header, *rows)
    columns = ("id", "composer", "composition", "movement", "ensemble", "source", "transcriber", "catalog_name")
    table(tmp_path / "musicnet_metadata.csv", columns, ("1727", "Schubert", "Piano Quintet", "2. Andante", *"abcd"))
    return tmp_path


def test_musicnet(musicnet):
    tracks = by_id(importers.run("musicnet", musicnet))
    splits = {name: track.split for name, track in tracks.items()}
    assert splits == {"1727": "train", "1733": "validation", "1759": "train", "1729": "test"}
    assert tracks["1759"].audio == musicnet / "test_data" / "1759.wav"
    assert tracks["1727"].source == "Schubert: Piano Quintet, 2. Andante" and tracks["1733"].source == ""
    played = notes.read_midi(tracks["1727"].midi)
    assert played[["pitch", "program"]].tolist() == [(76, 40), (60, 0)]  # violin and piano, counted from 0
    np.testing.assert_allclose(played["onset"], [0.1, 0.2], atol=1e-4)
    np.testing.assert_allclose(played["offset"], [0.5, 0.3], atol=1e-4)


def test_musicnet_with_a_broken_label(musicnet):
    header = ("start_time", "end_time", "instrument", "note")
    table(musicnet / "train_labels/1727.csv", header, (0, "soon", 1, 60))
    table(musicnet / "train_labels/1733.csv", header, (0, 4410, 1, 128))
    with pytest.raises(InputError) as error:
        importers.run("musicnet", musicnet)
    assert "1727.csv: a label is not a whole number" in str(error.value)
    assert "1733.csv: a note of pitch 128, program 0, 0 to 0.1 s is none" in str(error.value)


def test_musicnet_em(musicnet):
    for name in ("1727", "1733", "1759"):
        midi(musicnet / "musicnet_em" / f"{name}.mid", [(0.1, 0.5, 76, 80, 40, False)])
    imported = importers.run("musicnet-em", musicnet)
    tracks = by_id(imported)
    assert {name: track.split for name, track in tracks.items()} == {
        "1727": "train",
        "1733": "validation",
        "1759": "train",
    }
    assert tracks["1727"].midi == musicnet / "musicnet_em" / "1727.mid"
    assert imported.remarks[0] == "1 recordings have no MIDI file: 1729"


# --- URMP ---


@pytest.fixture
def urmp(tmp_path):
    for name in ("01_Jupiter_vn_vc", "11_Maria_ob_vc"):
        folder = tmp_path / "Dataset" / name
        sound(folder / f"AuMix_{name}.wav", rate=48000)
        number, title, *codes = name.split("_")
        for player, code in enumerate(codes, start=1):
            sound(folder / f"AuSep_{player}_{code}_{number}_{title}.wav", rate=48000)
            (folder / f"Notes_{player}_{code}_{number}_{title}.txt").write_text(f"0.1\t{220.5 * player}\t0.4\n")
        midi(folder / f"Sco_{name}.mid")
    (tmp_path / "Dataset" / "Supplementary_Files").mkdir()
    return tmp_path


def test_urmp(urmp):
    tracks = by_id(importers.run("urmp", urmp))
    splits = {name: track.split for name, track in tracks.items()}
    assert splits == {"01_Jupiter_vn_vc": "validation", "11_Maria_ob_vc": "train"}
    track = tracks["11_Maria_ob_vc"]
    assert track.audio.name == "AuMix_11_Maria_ob_vc.wav"
    assert pitches(track.midi) == [(69, 42, False), (57, 68, False)]
    oboe, cello = track.stems
    assert (oboe.audio.name, oboe.program, cello.program) == ("AuSep_1_ob_11_Maria.wav", 68, 42)
    assert pitches(cello.midi) == [(69, 42, False)]


def test_urmp_faults(urmp):
    folder = urmp / "Dataset" / "01_Jupiter_vn_vc"
    (folder / "Notes_1_vn_01_Jupiter.txt").rename(folder / "Notes_1_kazoo_01_Jupiter.txt")
    (urmp / "Dataset/11_Maria_ob_vc/Notes_2_vc_11_Maria.txt").write_text("0.1 220\n")
    with pytest.raises(InputError) as error:
        importers.run("urmp", urmp)
    assert "with a code among vn, va, " in str(error.value) and "not kazoo, vc" in str(error.value)
    assert "Notes_2_vc_11_Maria.txt: lines of onset, frequency and duration are wanted" in str(error.value)


# --- a folder of one's own ---


def test_folder_pairs_by_name(tmp_path):
    sound(tmp_path / "a.wav")
    midi(tmp_path / "a.MID")
    sound(tmp_path / "sound" / "b.flac", rate=16000)
    midi(tmp_path / "scores" / "b.midi")
    for take in ("x", "y"):
        sound(tmp_path / take / "same.wav")
        midi(tmp_path / take / "same.mid")
    sound(tmp_path / "alone.wav")
    midi(tmp_path / "score.mid")
    imported = importers.run("folder", tmp_path, split="test")
    tracks = by_id(imported)
    assert {name: track.midi.relative_to(tmp_path).as_posix() for name, track in tracks.items()} == {
        "a": "a.MID",
        "sound/b": "scores/b.midi",
        "x/same": "x/same.mid",
        "y/same": "y/same.mid",
    }
    assert {track.split for track in tracks.values()} == {"test"}
    assert imported.remarks[:2] == [
        "left aside, as they have no MIDI file of the same name: alone.wav",
        "left aside, as they have no recording of the same name: score.mid",
    ]


def test_folder_refuses_two_recordings_of_one_name(tmp_path):
    sound(tmp_path / "a.wav")
    sound(tmp_path / "a.flac")
    midi(tmp_path / "a.mid")
    with pytest.raises(InputError, match="several recordings of one name in one folder: a; keep one of each"):
        importers.run("folder", tmp_path)


def test_what_was_converted_before_is_passed_over(tmp_path):
    sound(tmp_path / "sound" / "b.wav")
    midi(tmp_path / "scores" / "b.mid")
    first = by_id(importers.run("folder", tmp_path, convert=True, split="train"))
    assert first["sound/b"].audio == tmp_path / "audio-16k" / "sound" / "b.flac"
    again = by_id(importers.run("folder", tmp_path, split="train", overwrite=True))
    assert list(again) == ["sound/b"] and again["sound/b"].audio == tmp_path / "sound" / "b.wav"


def test_recordings_of_any_format_can_be_converted(tmp_path):
    sound(tmp_path / "a.mp3", seconds=1.5, channels=2)
    midi(tmp_path / "a.mid")
    with pytest.raises(InputError, match="a.mp3: parts of a file of this format cannot be read exactly"):
        importers.run("folder", tmp_path)
    (track,) = by_id(importers.run("folder", tmp_path, tmp_path / "out", convert=True, split="train")).values()
    assert track.audio == tmp_path / "out" / "audio-16k" / "a.flac"
    described = soundfile.info(track.audio)
    assert (described.samplerate, described.channels) == (16000, 1)
    assert track.duration_seconds == pytest.approx(1.5, abs=0.15)


# --- what all share ---


def test_overlapping_notes_survive_the_file(tmp_path):
    rows = [
        (0.0, 2.0, 60, 80, 40, False),
        (0.5, 1.0, 60, 70, 40, False),
        (0.7, 3.0, 60, 60, 40, False),
        (1.0, 1.5, 60, 50, 40, False),
        (0.12345, 0.5, 61, 90, 0, False),
        (0.5, 0.51, 38, 99, 0, True),
    ]
    importing.write_midi(notes.from_rows(rows), tmp_path / "a.mid")
    read, wanted = notes.read_midi(tmp_path / "a.mid"), notes.sort(notes.from_rows(rows))
    for field in notes.NOTE_DTYPE.names:
        np.testing.assert_allclose(read[field], wanted[field], atol=6e-5, err_msg=field)
    assert checks.num_overlapping(read) == 3


TICKS = st.integers(0, 30)  # of 50 ms: few times and pitches, so that many notes meet
ROWS = st.lists(
    st.tuples(TICKS, TICKS, st.integers(60, 62), st.integers(1, 127), st.sampled_from([0, 40]), st.booleans())
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS)
def test_any_notes_survive_the_file(tmp_path, rows):
    rows = [(0.05 * on, 0.05 * (on + length + 1), *rest) for on, length, *rest in rows]
    wanted = notes.from_rows(rows)
    wanted["program"][wanted["is_drum"]] = 0
    importing.write_midi(wanted, tmp_path / "a.mid")
    read = notes.read_midi(tmp_path / "a.mid")

    def comparable(played):
        return sorted((*np.round(row.tolist()[:2], 3), *row.tolist()[2:]) for row in played)

    assert comparable(read) == comparable(wanted)


def test_command(maestro, tmp_path, capsys):
    assert cli.main(["data", "import", "maestro", str(maestro), "--out", str(tmp_path / "o")]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[1].split() == ["train", "1", "0.00", "10"] and out[-1] == f"manifest: {tmp_path / 'o/manifest.jsonl'}"
    assert cli.main(["data", "check", str(tmp_path / "o")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "no faults"
    (maestro / "2004/A_wav--1.midi").write_bytes(b"")
    assert cli.main(["data", "check", str(tmp_path / "o")]) == 1
    assert "manifest.jsonl: 1 fault\n  line 1: " in capsys.readouterr().err
    with pytest.raises(SystemExit) as exit:
        cli.main(["data", "import", "maestro", str(maestro), "--split", "test"])
    assert exit.value.code == 2 and "--split is for folder" in capsys.readouterr().err


@pytest.mark.parametrize("absolute", [True, False])
def test_a_table_cannot_have_files_written_outside(maestro, tmp_path, absolute):
    sound(tmp_path / "elsewhere" / "x.wav")
    named = str(tmp_path / "elsewhere" / "x.wav") if absolute else "../elsewhere/x.wav"
    csv_path = maestro / "maestro-v3.0.0.csv"
    csv_path.write_text(csv_path.read_text().replace("2004/A_wav--1.wav", named))
    with pytest.raises(InputError, match=r"x\.wav: lies outside of .*, so it is not written or converted"):
        importers.run("maestro", maestro, tmp_path / "out", convert=True)
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["x.wav"]


def test_rows_with_too_few_columns_are_told(maestro):
    csv_path = maestro / "maestro-v3.0.0.csv"
    csv_path.write_text(csv_path.read_text() + "Bach\n")
    with pytest.raises(InputError, match="row 4 has fewer columns than the first line"):
        importers.run("maestro", maestro)


def test_numbers_beyond_all_are_told(tmp_path):
    with pytest.raises(InputError, match="far beyond those of MIDI"):
        importing.rows_to_notes([(0.0, 1.0, 10**30, 0)], tmp_path / "a.csv")
    with pytest.raises(InputError, match="is none"):
        importing.rows_to_notes([(0.0, 1e300, 60, 0)], tmp_path / "a.csv")
