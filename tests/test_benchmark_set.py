"""The benchmark set: its recipe, and that no model was trained on it."""

import gzip
import hashlib
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from mt3lite import notes
from mt3lite.errors import InputError
from mt3lite.training import datasets, synthetic

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "data" / "benchmark"
HELD_OUT_FRACTION = 0.06  # the default of `synthetic.SynthesisConfig`


def load_script():
    spec = importlib.util.spec_from_file_location("make_set", ROOT / "benchmarks" / "make_set.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_set = load_script()
PIECES = make_set.read_pieces()


def excluded() -> list[str]:
    return (FOLDER / "excluded.txt").read_text(encoding="utf-8").splitlines()


def trained_on() -> list[tuple[Path, dict]]:
    manifests = sorted((ROOT / "data" / "models").rglob("*manifest.jsonl*"))
    assert {path.suffix for path in manifests} == {".jsonl", ".gz"}  # none is left out for how it is kept
    lines = [(path, json.loads(line)) for path in manifests for line in read_text(path).splitlines()]
    return [(path, line) for path, line in lines if line["split"] == "train"]


def read_text(path: Path) -> str:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        return file.read()


def conflicts(lines: list[tuple[Path, dict]]) -> list[str]:
    """Return the training pieces that are of a file or a sound of the benchmark set."""
    sources = [(f"{path}: {line['id']}", line.get("source", "")) for path, line in lines]
    return [name for name, source in sources if source.startswith(tuple(excluded())) or "TimGM6mb" in source]


def test_no_model_was_trained_on_a_piece_or_sound_of_the_set():
    lines = trained_on()
    assert len(lines) > 9000  # of which run 13 heard 6,405
    assert conflicts(lines) == []
    path, line = lines[0]
    for source in (excluded()[0], f"{excluded()[-1]}, FluidR3_GM.sf2", "pop-piano/001.mid, TimGM6mb.sf2"):
        assert len(conflicts([(path, {**line, "source": source})])) == 1


def test_the_set_is_what_it_is_said_to_be():
    kinds = [piece["kind"] for piece in PIECES]
    assert {kind: kinds.count(kind) for kind in make_set.PROGRAMS} == dict.fromkeys(make_set.PROGRAMS, 10)
    assert len({piece["id"] for piece in PIECES}) == len({piece["seed"] for piece in PIECES}) == 60
    assert len({(piece["source"], piece["start_seconds"]) for piece in PIECES}) == 60
    assert sorted({piece["source"] for piece in PIECES}) == excluded()
    sources = json.loads((FOLDER / "sources.json").read_text())
    for piece in PIECES:
        assert piece["license"] == sources[piece["source"].split("/")[0]]["license"]
        assert piece["notes"] >= make_set.FEWEST_NOTES


def test_training_on_the_same_folders_leaves_the_pieces_out():
    for name in excluded():
        stem = name.removesuffix(".mid")
        assert datasets.split_by_hash(stem, HELD_OUT_FRACTION) != "train", name
    assert HELD_OUT_FRACTION == synthetic.SynthesisConfig((), ("x.sf2",), {"train": 1.0}).held_out_fraction


def parts():
    """Return a score of two parts, a note every quarter second."""
    rows = [(0.25 * index, 0.25 * index + 0.2, 60 + 7 * (index % 4), 80, 0, False) for index in range(200)]
    return [notes.from_rows(rows), notes.from_rows((on, off, pitch - 12, *rest) for on, off, pitch, *rest in rows)]


def test_the_recipe_is_pinned():
    """When this fails, the recipe makes other pieces than those that were scored: see `make_set.py --pin`."""
    found = {
        kind: make_set.notes_sha256(make_set.arrange(parts(), kind, 5.0, seed=7))[:12] for kind in make_set.PROGRAMS
    }
    assert found == {
        "piano": "703878a5c48b", "guitar": "4a8b5d304fee", "string-quartet": "df2a8d34d78f",
        "winds": "4897500c0452", "orchestra": "703878a5c48b", "band": "703878a5c48b",
    }  # fmt: skip


def test_an_excerpt_keeps_within_its_bounds():
    played = make_set.arrange(parts(), "winds", 5.0, seed=7)
    assert played["onset"].min() >= 0 and played["onset"].max() < make_set.MUSIC_SECONDS
    assert played["offset"].max() <= make_set.DURATION_SECONDS
    assert set(played["program"]) == {73, 68}
    np.testing.assert_array_equal(played, make_set.arrange(parts(), "winds", 5.0, seed=7))
    assert make_set.notes_sha256(played) != make_set.notes_sha256(make_set.arrange(parts(), "winds", 5.0, seed=8))


def test_another_midi_file_is_refused(tmp_path):
    piece = {**PIECES[0], "source": "a.mid"}
    with pytest.raises(InputError, match=r"a\.mid: cannot be read .*README\.md names sources"):
        make_set.played_notes(piece, tmp_path)
    notes.write_midi(parts()[0], tmp_path / "a.mid")
    with pytest.raises(InputError, match=r"a\.mid: checksum .*another version"):
        make_set.played_notes(piece, tmp_path)


def test_another_soundfont_or_arrangement_is_refused(tmp_path):
    (tmp_path / "x.sf2").write_bytes(b"another")
    with pytest.raises(InputError, match=r"x\.sf2: checksum .*pretty_midi's copy"):
        make_set.make(tmp_path, tmp_path / "x.sf2", tmp_path / "out", jobs=1)
    notes.write_midi(parts()[0], tmp_path / "a.mid")
    digest = hashlib.sha256((tmp_path / "a.mid").read_bytes()).hexdigest()
    piece = {**PIECES[0], "source": "a.mid", "midi_sha256": digest, "start_seconds": 0.0}
    with pytest.raises(InputError, match="the notes differ from those of the recipe"):
        make_set.make_piece(piece, tmp_path, tmp_path / "x.sf2", tmp_path)


def test_beats_lie_beside_the_pieces_that_have_some(tmp_path, monkeypatch):
    monkeypatch.setattr(make_set.render, "render", lambda *_, **__: np.ones(16000, np.float32))
    notes.write_midi(parts()[0], tmp_path / "a.mid")
    digest = hashlib.sha256((tmp_path / "a.mid").read_bytes()).hexdigest()
    played = make_set.arrange([parts()[0]], "winds", 0.0, seed=7)
    about = {"source": "a.mid", "midi_sha256": digest, "start_seconds": 0.0, "kind": "winds", "seed": 7, "license": ""}
    for number, known in ((1, True), (2, False)):
        piece = {**about, "id": f"winds-{number:02}", "notes_sha256": make_set.notes_sha256(played)}
        make_set.make_piece(piece, tmp_path, tmp_path / "x.sf2", tmp_path)
        assert (tmp_path / f"{piece['id']}.beats").exists() == known
    assert {path.stem for path in make_set.BEATS.glob("*.beats")} < {piece["id"] for piece in PIECES}
