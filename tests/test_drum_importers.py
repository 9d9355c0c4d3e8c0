"""The importers of drums, on small made-up datasets of their layouts."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dataset_trees import by_id, midi, pitches, sound, table

from mt3lite import instruments, metrics, notes
from mt3lite.errors import InputError
from mt3lite.training import drum_datasets, importers

MDB_CLASSES = {  # the publisher's, but for the side stick, SST, which is "OT" to it
    "Kick": {"KD"},
    "Snare": {"SD", "SDB", "SDD", "SDF", "SDG", "SDNS", "SST"},
    "Tom": {"HIT", "MHT", "HFT", "LFT"},
    "Hi-hat": {"CHH", "OHH", "PHH"},
    "Cymbal": {"RDC", "RDB", "CRC", "CHC", "SPC"},
    metrics.OTHER_DRUMS: {"TMB"},
}


@pytest.fixture
def mdb_drums(tmp_path):
    root = tmp_path / "MDB Drums"
    for name in ("MusicDelta_Rock", "MusicDelta_Punk"):
        sound(root / f"audio/drum_only/{name}_Drum.wav")
        sound(root / f"audio/full_mix/{name}_MIX.wav")
        for kind, strokes in (("class", "KD HH SD"), ("subclass", "KD OHH SDG")):
            path = root / f"annotations/{kind}/{name}_{kind}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{0.02 * i:.6f} \t {stroke} \n" for i, stroke in enumerate(strokes.split())))
    return tmp_path


def test_mdb_drums(mdb_drums):
    sound(mdb_drums / "MDB Drums/audio/drum_only/MusicDelta_Blues_Drum.wav")
    imported = importers.run("mdb-drums", mdb_drums)
    tracks = by_id(imported)
    assert {name: track.split for name, track in tracks.items()} == dict.fromkeys(
        ("MusicDelta_Rock", "MusicDelta_Punk"), "test"
    )
    track = tracks["MusicDelta_Rock"]
    assert track.audio == mdb_drums / "MDB Drums/audio/drum_only/MusicDelta_Rock_Drum.wav"
    assert track.license == "CC-BY-NC-SA-4.0"
    assert pitches(track.midi) == [(36, 0, True), (46, 0, True), (38, 0, True)]
    played = notes.read_midi(track.midi)
    assert played["velocity"].tolist() == [100] * 3
    np.testing.assert_allclose(played["onset"], [0.0, 0.02, 0.04], atol=1e-4)
    np.testing.assert_allclose(played["offset"], [0.05, 0.07, 0.09], atol=1e-4)
    assert imported.remarks[0] == "1 recordings have no annotation: MusicDelta_Blues"


def test_each_subclass_of_mdb_drums_is_of_its_class(mdb_drums):
    subclasses = [subclass for group in MDB_CLASSES.values() for subclass in sorted(group)]
    assert sorted(subclasses) == sorted(drum_datasets.MDB_DRUMS_PITCHES) and len(subclasses) == 21
    path = mdb_drums / "MDB Drums/annotations/subclass/MusicDelta_Rock_subclass.txt"
    path.write_text("".join(f"{0.04 * i}\t{subclass}\n" for i, subclass in enumerate(subclasses)))
    played = notes.read_midi(by_id(importers.run("mdb-drums", mdb_drums))["MusicDelta_Rock"].midi)
    counts = {name: row["Onset F1"].matched for name, row in metrics.by_drum_class(played, played).items()}
    assert counts == {name: len(group) for name, group in MDB_CLASSES.items()}
    names = [name for name, group in MDB_CLASSES.items() for _ in group]
    for pitch, name in zip(played["pitch"].tolist(), names, strict=True):
        assert pitch in instruments.DRUM_CLASSES.get(name, {54})


def test_mdb_drums_faults(mdb_drums):
    folder = mdb_drums / "MDB Drums/annotations/subclass"
    (mdb_drums / "MDB Drums/audio/drum_only/MusicDelta_Rock_Drum.wav").unlink()
    (folder / "MusicDelta_Punk_subclass.txt").write_text("0.1 \t KD \n\n0.2 \t HH \n")
    for name, text in (("A", "0.1\n"), ("B", "soon\tKD\n"), ("C", "nan\tKD\n"), ("D", "-0.1\tKD\n")):
        sound(mdb_drums / f"MDB Drums/audio/drum_only/{name}_Drum.wav")
        (folder / f"{name}_subclass.txt").write_text(text)
    with pytest.raises(InputError) as error:
        importers.run("mdb-drums", mdb_drums)
    message = str(error.value)
    assert message.startswith(f"{mdb_drums}: 6 faults\n") and message.count("\n") == 6
    assert f"no such file: {mdb_drums}/MDB Drums/audio/drum_only/MusicDelta_Rock_Drum.wav" in message
    assert "MusicDelta_Punk_subclass.txt: the subclass 'HH' is none of KD, SD, " in message
    assert "A_subclass.txt: lines of onset and subclass are wanted: not enough values" in message
    assert "B_subclass.txt: lines of onset and subclass are wanted: could not convert" in message
    assert "C_subclass.txt: a note of pitch 36, program 0, nan to nan s is none" in message
    assert "D_subclass.txt: a note of pitch 36, program 0, -0.1 to -0.05 s is none" in message


COLUMNS = ("drummer", "id", "style", "bpm", "split", "midi_filename", "audio_filename")
STROKES = [(0.1, 0.2, 22, 40, 0, True), (0.1, 0.2, 36, 90, 0, True), (0.3, 0.4, 26, 20, 0, True)]


@pytest.fixture(params=["info.csv", "e-gmd-v1.0.0.csv"])
def groove(request, tmp_path):
    """Make a dataset of two performances and one that was not recorded."""
    rows = [COLUMNS]
    for number, split in ((1, "train"), (2, "test"), (3, "validation")):
        name = f"drummer1/session1/{number}_funk_80_beat_4-4"
        midi(tmp_path / f"{name}.mid", STROKES)
        if number < 3:
            sound(tmp_path / f"{name}.wav")
        rows.append(("drummer1", name, "funk", 80, split, f"{name}.mid", f"{name}.wav" if number < 3 else ""))
    table(tmp_path / request.param, *rows)
    return tmp_path


def test_groove(groove):
    imported = importers.run("groove", groove)
    tracks = by_id(imported)
    first, second = (f"drummer1/session1/{number}_funk_80_beat_4-4" for number in (1, 2))
    assert {name: track.split for name, track in tracks.items()} == {first: "train", second: "test"}
    assert tracks[first].audio == groove / f"{first}.wav" and tracks[first].license == "CC-BY-4.0"
    played = notes.read_midi(tracks[first].midi)
    assert played[["pitch", "velocity", "is_drum"]].tolist() == [(36, 90, True), (42, 40, True), (46, 20, True)]
    np.testing.assert_allclose(played["onset"], [0.1, 0.1, 0.3], atol=0.003)
    assert pitches(groove / f"{first}.mid")[0] == (22, 0, True)  # the publisher's file is as it was
    assert imported.remarks[0] == "1 performances were not recorded: drummer1/session1/3_funk_80_beat_4-4"


def test_performances_as_training_music(tmp_path):
    """The script of `small`: beats, not fills, of all but the test split, with General MIDI's drums."""
    rows = [("split", "beat_type", "midi_filename")]
    for split, kind in (("train", "beat"), ("train", "fill"), ("validation", "beat"), ("test", "beat")):
        midi(tmp_path / f"groove/drummer1/{split}_{kind}.mid", STROKES)
        rows.append((split, kind, f"drummer1/{split}_{kind}.mid"))
    script = [sys.executable, Path(__file__).parents[1] / "data/models/small/drumming.py", tmp_path / "groove"]
    done = subprocess.run([*script, tmp_path / "out"], capture_output=True, text=True)
    assert done.returncode == 1 and re.fullmatch(r"drumming\.py: .*info\.csv.*\n", done.stderr)
    table(tmp_path / "groove/info.csv", *rows)
    subprocess.run([*script, tmp_path / "out"], check=True)
    written = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in written] == ["drummer1-train_beat.mid", "drummer1-validation_beat.mid"]
    assert notes.read_midi(written[0])["pitch"].tolist() == [36, 42, 46]


def test_groove_faults(groove):
    path = next(groove.glob("*.csv"))
    text = path.read_text()
    path.write_text(text.replace(",test,", ",exam,"))
    (groove / "drummer1/session1/1_funk_80_beat_4-4.mid").unlink()
    with pytest.raises(InputError) as error:
        importers.run("groove", groove)
    message = str(error.value)
    assert "2_funk_80_beat_4-4: the split 'exam' is none of train, validation, test" in message
    assert "1_funk_80_beat_4-4.mid: no such file" in message
    path.write_text(text.replace("audio_filename", "audio"))
    with pytest.raises(InputError, match="audio_filename"):
        importers.run("groove", groove)
    path.unlink()
    with pytest.raises(InputError, match="one info.csv or e-gmd-v\\*.csv is wanted, not 0"):
        importers.run("groove", groove)
