"""Importers of Slakh2100 and Cerberus4, on a small made-up tree with the publisher's layout."""

import numpy as np
import pytest
import soundfile
from dataset_trees import by_id, midi, pitches, sound

from mt3lite.errors import InputError
from mt3lite.training import datasets, importers, slakh


def song(folder, stems, mix_level=0.5):
    """Make a song of Slakh2100: (name, inst_class, program, is_drum, pitch, rendered) of each stem."""
    sound(folder / "mix.flac", level=mix_level)
    metadata = {}
    for number, (name, inst_class, program, is_drum, pitch, rendered) in enumerate(stems):
        if rendered:
            sound(folder / "stems" / f"{name}.flac", level=0.01 * 2**number)
            midi(folder / "MIDI" / f"{name}.mid", [(0.1, 0.5, pitch, 90, 5, False)])
        metadata[name] = {
            "audio_rendered": rendered,
            "inst_class": inst_class,
            "is_drum": is_drum,
            "midi_program_name": "whatever",
            "midi_saved": rendered,
            "program_num": program,
        }
    yaml = pytest.importorskip("yaml", reason="pip install pyyaml", exc_type=ImportError)
    (folder / "metadata.yaml").write_text(yaml.safe_dump({"UUID": "1a81", "midi_dir": "MIDI", "stems": metadata}))
    midi(folder / "all_src.mid", [(0.0, 0.9, 1, 90, 0, False)])


BAND = [
    ("S00", "Guitar", 30, False, 50, True),
    ("S01", "Drums", 128, True, 38, True),
    ("S02", "Piano", 1, False, 60, True),
    ("S03", "Bass", 35, False, 30, True),
    ("S04", "Sound Effects", 103, False, 10, False),
    ("S05", "Guitar", 25, False, 55, True),
]


@pytest.fixture
def slakh_root(tmp_path):
    root = tmp_path / "slakh2100_flac_redux"
    song(root / "train" / "Track00001", BAND)
    song(root / "validation" / "Track01501", [("S00", "Strings (continued)", 45, False, 70, True)])
    song(root / "omitted" / "Track00003", BAND)
    return root


def test_slakh(slakh_root):
    imported = importers.run("slakh2100", slakh_root)
    tracks = by_id(imported)
    assert {name: track.split for name, track in tracks.items()} == {"Track00001": "train", "Track01501": "validation"}
    track = tracks["Track00001"]
    assert (track.audio, track.license) == (slakh_root / "train/Track00001/mix.flac", "CC-BY-4.0")
    assert track.midi == slakh_root / "midi" / "Track00001.mid"
    assert sorted(pitches(track.midi)) == [
        (30, 33, False),
        (38, 0, True),
        (50, 29, False),
        (55, 24, False),
        (60, 0, False),
    ]
    kit, guitar = track.stems[1], track.stems[0]
    folder = slakh_root / "train" / "Track00001"
    assert guitar == datasets.Stem(folder / "stems/S00.flac", folder / "MIDI/S00.mid", 29, False)
    assert (kit.program, kit.is_drum) == (0, True)
    assert [stem.audio.stem for stem in track.stems] == ["S00", "S01", "S02", "S03", "S05"]
    assert pitches(tracks["Track01501"].midi) == [(70, 48, False)]
    assert imported.remarks[0] == "1 songs are in no split (omitted/) and left aside"


def test_babyslakh_has_no_folders_of_splits(tmp_path):
    song(tmp_path / "Track00001", BAND[:2])
    metadata = tmp_path / "Track00001" / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("audio_rendered: true", "audio_rendered: false"))
    for path in [*tmp_path.rglob("*.flac")]:
        samples, rate = soundfile.read(path)
        soundfile.write(path.with_suffix(".wav"), samples, rate)
        path.unlink()
    imported = importers.run("slakh2100", tmp_path)
    (track,) = by_id(imported).values()
    assert track.audio.name == "mix.wav" and len(track.stems) == 2
    assert imported.remarks[0] == "1 songs are in no folder of a split; they are taken as train"


def test_slakh_faults_of_metadata_are_told_together(slakh_root):
    song(slakh_root / "train" / "Track00001", [("S00", "Ethnic", 104, False, 50, True)])
    (slakh_root / "validation" / "Track01501" / "metadata.yaml").write_text("stems: [")
    with pytest.raises(InputError) as error:
        importers.run("slakh2100", slakh_root)
    message = str(error.value)
    assert "2 faults" in message and "stem S00 has the program 104, which none of Slakh's classes has" in message
    assert "Track01501/metadata.yaml: cannot be read as a song's metadata" in message


def test_slakh_classes_are_those_of_mt3():
    assert sorted(stands_for for stands_for, _ in slakh.CLASSES.values()) == [
        0, 4, 8, 16, 24, 26, 29, 32, 33, 40, 41, 42, 43, 46, 47, 48, 50, 52, 55, 56, 57, 58, 60, 61, 64,
        66, 67, 68, 69, 70, 71, 73, 80, 88,
    ]  # fmt: skip
    programs = [program for _, members in slakh.CLASSES.values() for program in members]
    assert len(programs) == len(set(programs)) == 92 and max(programs) == 95


def test_cerberus4(slakh_root):
    imported = importers.run("cerberus4", slakh_root)
    tracks = by_id(imported)
    assert sorted(tracks) == ["Track00001-S03-S01-S00-S02", "Track00001-S03-S01-S05-S02"]
    track = tracks["Track00001-S03-S01-S05-S02"]
    assert (track.split, track.audio, track.duration_seconds) == ("train", None, 1.0)
    assert [(stem.program, stem.is_drum) for stem in track.stems] == [(32, False), (0, True), (24, False), (0, False)]
    assert sorted(pitches(track.midi)) == [(30, 32, False), (38, 0, True), (55, 24, False), (60, 0, False)]
    levels = datasets.load_samples(track, 44100)
    np.testing.assert_allclose(levels, 0.01 * (8 + 2 + 32 + 4), atol=1e-3)  # bass, drums, second guitar, piano
    assert "1 of 2 songs have bass, drums, guitar and piano" in imported.remarks


def test_stems_are_converted_once_for_all_tracks_that_have_them(slakh_root, tmp_path):
    out = tmp_path / "out"
    tracks = by_id(importers.run("cerberus4", slakh_root, out, convert=True))
    first, second = tracks["Track00001-S03-S01-S00-S02"], tracks["Track00001-S03-S01-S05-S02"]
    assert first.audio is None and first.stems[0].audio == second.stems[0].audio
    assert first.stems[0].audio == out / "audio-16k/train/Track00001/stems/S03.flac"
    assert soundfile.info(first.stems[0].audio).samplerate == 16000
    np.testing.assert_allclose(datasets.load_samples(first, 16000)[1000:-1000], 0.01 * (8 + 2 + 1 + 4), atol=1e-3)

    before = first.stems[0].audio.stat().st_mtime_ns
    slakh = by_id(importers.run("slakh2100", slakh_root, out, convert=True, overwrite=True))
    assert slakh["Track00001"].audio == out / "audio-16k/train/Track00001/mix.flac"
    assert slakh["Track00001"].stems[3].audio.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stems: {../../S00: {program_num: 0, is_drum: false, audio_rendered: true}}", "is not the name of a stem"),
        ("stems: " + "[" * 100_000, "RecursionError"),
        ("stems: 2001-99-99", "ValueError"),
    ],
)
def test_hostile_metadata(slakh_root, text, message):
    pytest.importorskip("yaml", reason="pip install pyyaml", exc_type=ImportError)
    (slakh_root / "train" / "Track00001" / "metadata.yaml").write_text(text)
    for name in ("slakh2100", "cerberus4"):
        with pytest.raises(InputError, match=message):
            importers.run(name, slakh_root)
