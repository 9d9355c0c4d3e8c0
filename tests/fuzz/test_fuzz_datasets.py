"""Manifests, the folders that publishers give their datasets, and what an evaluation or a run kept."""

import csv
import io
import json

import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from mutation import DEEP, TEXTS, VALUES, changed, damaged
from surviving import fuzz, nothing_half_written, survive

from mt3lite import notes
from mt3lite.errors import InputError
from mt3lite.training import checks, datasets, evaluation, importers

PIECE = notes.from_rows([(0.1 * i, 0.1 * i + 0.08, 60 + i, 90, 0, False) for i in range(5)])


def put(folder, name: str):
    """Write a recording of half a second and its notes."""
    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / f"{name}.wav", [0.0] * 8000, 16000)
    notes.write_midi(PIECE, folder / f"{name}.mid")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset")
    for name in ("a", "b"):
        put(folder, name)
    return folder


LINES = [
    {"id": "a", "split": "train", "audio": "a.wav", "midi": "a.mid", "duration": 0.5, "license": "CC0-1.0"},
    {"id": "b", "split": "test", "midi": "b.mid", "stems": [{"audio": "b.wav", "midi": "b.mid", "program": 3}]},
]


def check(folder) -> None:
    """Read a manifest in every way that there is; what is taken can be written, and reads the same."""
    tracks = datasets.read_manifest(folder)
    checks.check_manifest(folder)
    datasets.write_manifest(tracks, folder / "again.jsonl")
    assert datasets.read_manifest(folder / "again.jsonl") == tracks


def test_manifests_of_other_values(dataset):
    @fuzz(200)
    @given(changed(LINES, most=4))
    def shown(lines):
        text = "\n".join(json.dumps(line, ensure_ascii=len(lines) % 2 == 0) for line in lines)
        (dataset / datasets.MANIFEST_NAME).write_text(text, encoding="utf-8", errors="surrogatepass")
        survive("manifests, other values", check, dataset)

    shown()


def test_manifests_with_damage(dataset):
    whole = "".join(json.dumps(line) + "\n" for line in LINES).encode()

    @fuzz(100)
    @given(damaged(whole, header=len(whole)))
    def shown(content):
        (dataset / datasets.MANIFEST_NAME).write_bytes(content)
        survive("manifests, damaged", check, dataset)

    shown()


@pytest.mark.parametrize("text", DEEP, ids=range(len(DEEP)))
def test_manifests_too_deep_or_too_long(dataset, text):
    (dataset / datasets.MANIFEST_NAME).write_text(text)
    assert isinstance(survive("manifests, damaged", check, dataset), InputError)


# --- datasets of publishers ---


def imported(name: str, root, out) -> None:
    """Import a dataset with all that can be asked for; it writes below `out` and nowhere else."""
    importers.run(name, root, out, convert=True, skip_faulty=True, overwrite=True)


def outside(folder, *inside) -> set[tuple[str, int]]:
    """Return all files of a folder that are in none of some folders of it, and when they were written."""
    found = (path for path in folder.rglob("*") if path.is_file() and not any(map(path.is_relative_to, inside)))
    return {(str(path), path.stat().st_mtime_ns) for path in found}


def run_import(name: str, tmp_path, kind: str) -> None:
    before = outside(tmp_path, tmp_path / "out")
    survive(f"datasets to import, {kind}", imported, name, tmp_path / "root", tmp_path / "out")
    assert outside(tmp_path, tmp_path / "out") == before
    nothing_half_written(tmp_path)


CELLS = st.one_of(VALUES.map(str), TEXTS, st.sampled_from(["2004/a.wav", "2004/a.mid", "../../x.wav", "/etc/hosts"]))


def table(rows) -> str:
    stream = io.StringIO()
    csv.writer(stream).writerows(rows)
    return stream.getvalue()


def test_tables_of_maestro(tmp_path):
    put(tmp_path / "root" / "2004", "a")
    (tmp_path / "secret.wav").write_bytes((tmp_path / "root" / "2004" / "a.wav").read_bytes())
    heads = ("canonical_composer", "canonical_title", "split", "midi_filename", "audio_filename")
    whole = ("C", "T", "train", "2004/a.mid", "2004/a.wav")

    @fuzz(40)
    @given(st.lists(st.tuples(st.integers(0, 5), CELLS), max_size=3))
    def shown(changes):
        row = list(whole)
        for place, cell in changes:
            row[place : place + 1] = [cell]
        text = table([heads, whole, row, whole[:3]][: 3 + len(changes) % 2])
        (tmp_path / "root" / "maestro-v3.0.0.csv").write_text(text, encoding="utf-8", errors="surrogatepass")
        run_import("maestro", tmp_path, "tables")

    shown()


def test_tables_of_groove(tmp_path):
    put(tmp_path / "root" / "drummer1", "a")
    heads, whole = ("style", "split", "midi_filename", "audio_filename"), ("rock", "train", "drummer1/a.mid")

    @fuzz(40)
    @given(st.lists(st.tuples(st.integers(0, 3), CELLS), max_size=3))
    def shown(changes):
        row = [*whole, "drummer1/a.wav"]
        for place, cell in changes:
            row[place] = cell
        text = table([heads, [*whole, "drummer1/a.wav"], row])
        (tmp_path / "root" / "info.csv").write_text(text, encoding="utf-8", errors="surrogatepass")
        run_import("groove", tmp_path, "tables")

    shown()


def test_a_table_cannot_have_files_written_elsewhere(tmp_path):
    put(tmp_path / "root" / "2004", "a")
    put(tmp_path / "elsewhere", "b")
    heads = ("canonical_composer", "canonical_title", "split", "midi_filename", "audio_filename")
    for name in ("../elsewhere/b.wav", str(tmp_path / "elsewhere" / "b.wav")):
        text = table([heads, ("C", "T", "train", "2004/a.mid", name)])
        (tmp_path / "root" / "maestro-v3.0.0.csv").write_text(text)
        run_import("maestro", tmp_path, "tables")
        row = ("rock", "train", name.replace(".wav", ".mid"), "2004/a.wav")
        (tmp_path / "root" / "info.csv").write_text(table([("style", "split", "midi_filename", "audio_filename"), row]))
        run_import("groove", tmp_path, "tables")


def test_metadata_of_slakh(tmp_path):
    pytest.importorskip("yaml", reason="pip install 'mt3lite[data]'", exc_type=ImportError)
    song = tmp_path / "root" / "train" / "Track1"
    put(song / "stems", "S00")
    put(song / "MIDI", "S00")
    put(song, "mix")
    classes = {"S00": "Piano", "S01": "Bass", "S02": "Guitar", "S03": "Drums"}
    stem = {"program_num": 0, "audio_rendered": True, "is_drum": False}
    whole = {"UUID": "x", "stems": {name: {**stem, "inst_class": kind} for name, kind in classes.items()}}
    texts = st.one_of(
        changed(whole).map(json.dumps),
        damaged(json.dumps(whole).encode(), header=400).map(lambda content: content.decode("utf-8", "replace")),
        st.sampled_from([*DEEP, "a: &a [*a]", "stems: 2001-99-99", "stems: &s {../../S00: *s}", "!!python/name:os.x"]),
    )

    @fuzz(40)
    @given(texts, st.sampled_from(["slakh2100", "cerberus4"]))
    def shown(text, name):
        (song / "metadata.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
        run_import(name, tmp_path, "metadata")

    shown()


def test_annotations(tmp_path):
    """MusicNet's labels, URMP's notes and MDB Drums' strokes."""
    labels, duet = tmp_path / "root" / "train_labels", tmp_path / "root" / "01_Duet_vn"
    labels.mkdir(parents=True)
    put(tmp_path / "root" / "train_data", "1727")
    duet.mkdir()
    for name in ("AuMix_01_Duet_vn.wav", "AuSep_1_vn_01_Duet.wav", "Rock_Drum.wav"):
        soundfile.write(duet / name, [0.0] * 8000, 16000)
    heads = ("start_time", "end_time", "instrument", "note", "start_beat", "end_beat", "note_value")
    whole = {
        "musicnet": (labels / "1727.csv", ["4410", "8820", "1", "60", "0", "1", "x"]),
        "urmp": (duet / "Notes_1_vn_01_Duet.txt", ["0.1", "220", "0.2"]),
        "mdb-drums": (duet / "Rock_subclass.txt", ["0.1", "KD"]),
    }

    @fuzz(50)
    @given(st.lists(st.lists(CELLS, min_size=1, max_size=7), max_size=4), st.sampled_from(sorted(whole)))
    def shown(rows, name):
        path, first = whole[name]
        rows = [first, *rows]
        text = table([heads, *rows]) if name == "musicnet" else "\n".join("\t".join(row) for row in rows)
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        run_import(name, tmp_path, "annotations")

    shown()


def test_annotations_of_guitarset(tmp_path):
    pytest.importorskip("jams", reason="pip install 'mt3lite[data]'", exc_type=ImportError)
    put(tmp_path / "root", "00_BN1-129-Eb_comp_mic")
    note = {"time": 0.1, "duration": 0.2, "value": 60.2, "confidence": None}
    string = {
        "namespace": "note_midi",
        "data": [note],
        "annotation_metadata": {},
        "sandbox": {},
        "time": 0,
        "duration": 1,
    }
    whole = {"annotations": [string] * 2, "file_metadata": {"duration": 1.0}, "sandbox": {}}

    @fuzz(40)
    @given(st.one_of(changed(whole).map(json.dumps), st.sampled_from(DEEP)))
    def shown(text):
        (tmp_path / "root" / "00_BN1-129-Eb_comp.jams").write_text(text)
        run_import("guitarset", tmp_path, "annotations")

    shown()


# --- what was kept ---


def test_kept_transcriptions(tmp_path):
    whole = {
        "made_of": {"version": "0"},
        "duration_seconds": 1.0,
        "invalid_events": 0,
        "dropped_events": 0,
        "notes": [],
    }
    path = tmp_path / "kept.json"

    @fuzz(80)
    @given(st.one_of(changed(whole).map(json.dumps), st.sampled_from(DEEP)))
    def shown(text):
        path.write_text(text)
        about = survive("transcriptions that an evaluation kept", evaluation._about, path)
        if not isinstance(about, InputError):
            assert all(about[key] >= 0 for key in ("duration_seconds", "invalid_events", "dropped_events"))

    shown()
