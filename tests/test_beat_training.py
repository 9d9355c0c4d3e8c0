"""What the network of beats was trained with, on made-up pieces."""

import gzip
import importlib.util
import json
import sys
from pathlib import Path

import mido
import numpy as np
import pytest
from test_beats import rock, waltz

from mt3lite import beat_activity, notes, tempo_map
from mt3lite.beats import Beats

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "data" / "models" / "beats"
sys.path.insert(0, str(FOLDER))
import annotate  # noqa: E402
import prepare  # noqa: E402
import score  # noqa: E402
import train  # noqa: E402

sys.path.remove(str(FOLDER))


def kept(path: Path, number: int = 12) -> Path:
    """Write what `prepare.py` would write of some pieces; of scores in quarter notes."""
    arrays = {}
    for index in range(number):
        bands, songs = 0.4 + 0.02 * index + (0.45 + 0.01 * index) * np.arange(90), np.arange(60.0)
        arrays |= {
            f"band/d_{index}/notes": rock(bands),
            f"band/d_{index}/beats": bands,
            f"band/d_{index}/downbeats": bands[::4],
            f"lieder/scores A lc{index}/notes": waltz(songs),
            f"lieder/scores A lc{index}/beats": songs,
            f"lieder/scores A lc{index}/downbeats": songs[::3],
        }
    arrays |= {key.replace("band/d_0", "asap/Bach"): array for key, array in arrays.items() if "band/d_0" in key}
    # One of the benchmark set, and one that only looks like it.
    for name in ("d_map29", "d_map290"):
        arrays |= {key.replace("d_1/", f"{name}/"): array for key, array in arrays.items() if "band/d_1/" in key}
    np.savez(path, **arrays)
    return path


def test_pieces_of_the_benchmark_set_are_not_trained_on(tmp_path):
    path = kept(tmp_path / "pieces.npz")
    pieces = {split: train.read_pieces(path, split) for split in ("train", "validation", "test")}
    names = {split: [f"{kind}/{piece.name}" for kind in of for piece in of[kind]] for split, of in pieces.items()}
    everything = sorted(sum(names.values(), []))
    assert len(everything) == len(set(everything)) == 26  # of 27
    assert "band/d_map29" not in names["train"] and "band/d_map290" in names["train"]
    assert (
        [name for name in everything if name.startswith("asap")]
        == ["asap/Bach"]
        == [name for name in names["test"] if name.startswith("asap")]
    )


def test_what_was_trained_on_is_not_of_the_benchmark_set():
    with gzip.open(FOLDER / "train.manifest.jsonl.gz", "rt", encoding="utf-8") as lines:
        names = [json.loads(line)["id"] for line in lines]
    excluded = (ROOT / "data" / "benchmark" / "excluded.txt").read_text(encoding="utf-8").split("\n")
    stems = {name.removesuffix(".mid").replace("/", "_") for name in excluded if name}
    assert len(names) > 1000 and len(stems) > 30
    assert [name for name in names for stem in stems if stem.endswith("_" + name.split("/")[1].split(" ")[-1])] == []


def test_scores_are_played_and_others_keep_their_tempo():
    rng = np.random.default_rng(0)
    written = train.Piece("lieder", "a", waltz(np.arange(60.0)), np.arange(60.0), np.arange(0.0, 60, 3))
    played, beats, downbeats = train.perform(written, rng, change_tempo=False)
    gaps = np.diff(beats)
    assert 0.3 < np.median(gaps) < 1.2 and gaps.std() > 0.01
    assert np.isin(downbeats, beats).all()
    # Notes are still where beats are, but for a performer's tenth of a beat.
    assert np.abs(played["onset"][:, None] - beats).min(axis=1).max() < 0.06
    seconds = np.arange(60.0)
    sequenced = train.Piece("band", "b", rock(seconds), seconds, seconds[::4])
    assert train.perform(sequenced, rng, change_tempo=False)[1].tolist() == seconds.tolist()
    faster = train.perform(sequenced, rng, change_tempo=True)
    np.testing.assert_allclose(np.diff(faster[1]), faster[1][1], rtol=1e-9)
    assert faster[1][1] != 1


def test_an_example_wants_the_beats_of_its_notes(tmp_path):
    pieces = {"band": train.read_pieces(kept(tmp_path / "pieces.npz"), "train")["band"]}
    for seed in range(5):
        features, wanted, counts = train.example_of_beats(pieces, np.random.default_rng(seed))
        assert features.shape == (30 * 50, beat_activity.NUM_FEATURES)
        assert wanted.shape == counts.shape == (30 * 50,)
        beats = np.flatnonzero(wanted == 1)
        assert len(beats) > 30
        assert wanted[beats[1:-1] - 1].tolist() == wanted[beats[1:-1] + 1].tolist() == [0.5] * (len(beats) - 2)
        kicks = features[:, 10] > 0.5
        assert not kicks.any() or wanted[kicks].mean() > 0.4


def test_an_example_wants_the_bars_of_its_beats(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "WITHOUT", 0.0)
    pieces = {"band": train.read_pieces(kept(tmp_path / "pieces.npz"), "train")["band"]}
    halved = 0
    for seed in range(12):
        features, wanted, counts = train.example_of_bars(pieces, np.random.default_rng(seed))
        assert features.shape == (train.NUM_BEATS, 4 * beat_activity.NUM_FEATURES)
        bars = np.flatnonzero(wanted)
        length = bars[1] - bars[0]
        halved += length == 2
        assert np.diff(bars).tolist() == [length] * (len(bars) - 1) and length in (2, 4)
        assert counts[: bars[-1] + 1].all()
        bass = features[:, 1] > 0.5  # it begins each bar
        assert not bass.any() or wanted[bass].mean() > 0.9
    assert 0 < halved < 6


def test_spoilt_notes_are_a_copy():
    played = rock(0.5 * np.arange(60))
    before = played.copy()
    for seed in range(8):
        spoilt = train.spoil(played, np.random.default_rng(seed))
        assert 0 < len(spoilt) < 1.1 * len(played)
    assert (played == before).all()
    assert len(train.spoil(notes.empty(), np.random.default_rng(0))) == 0


def test_it_learns_and_says_what_from(tmp_path, monkeypatch):
    small = {"batch_size": 2, "channels": 8, "blocks": 4}
    monkeypatch.setattr(train, "RECIPES", {name: each._replace(**small) for name, each in train.RECIPES.items()})
    monkeypatch.setattr(train, "KEPT", 0.5)
    monkeypatch.setattr(train, "SECONDS", 10)
    path = kept(tmp_path / "pieces.npz", 4)
    out, curve, manifest = (tmp_path / name for name in ("w.safetensors", "curve.csv", "train.jsonl.gz"))
    line = [path, out, "--curve", curve, "--manifest", manifest, "--steps", 200]
    monkeypatch.setattr(sys, "argv", ["train.py", *map(str, line)])
    assert train.main() == 0
    told = [row.split(",") for row in curve.read_text().splitlines()[1:]]
    assert [(name, step) for name, step, _ in told] == [
        (name, step) for name in ("beats", "bars") for step in ("100", "200")
    ]
    losses = np.array([float(loss) for _, _, loss in told])
    assert (losses[1::2] < 0.8 * losses[::2]).all()
    rows = [json.loads(row) for row in gzip.decompress(manifest.read_bytes()).decode().splitlines()]
    assert {row["license"] for row in rows} == {"BSD-3-Clause", "CC0-1.0"}
    monkeypatch.setattr(beat_activity, "WEIGHTS", out)
    beat_activity.weights.cache_clear()
    try:
        trained = beat_activity.weights()
        assert trained["beats"]["taps"].shape == trained["bars"]["taps"].shape == (4, 5, 8, 8)
        monkeypatch.setattr(sys, "argv", ["score.py", str(path), "--json", str(tmp_path / "scores.json")])
        assert score.main() == 0
    finally:
        beat_activity.weights.cache_clear()
    scored = json.loads((tmp_path / "scores.json").read_text())
    assert scored["asap"]["pieces"] == 1 and 0 <= scored["asap"]["beats F1"] <= 1


def test_the_bundled_network_scores_well_on_what_it_is_for():
    beats = 60 / 110 * np.arange(200)
    piece = train.Piece("band", "a", rock(beats), beats, beats[::4])
    found = score.score(*score.middle(piece, np.random.default_rng(0)))
    assert min(found) > 0.9


# --- What is collected ---


def test_a_piece_of_pop909(tmp_path):
    folder = tmp_path / "048"
    folder.mkdir()
    notes.write_midi(rock(0.5 * np.arange(20)), folder / "048.mid")
    (folder / "beat_midi.txt").write_text("0.0 1.0 1.0\n0.5 0.0 0.0\n1.0 1.0 0.0\n1.5 0.0 0.0\n2.0 1.0 1.0\n")
    played, beats, downbeats = prepare.read_pop(folder)
    assert beats.tolist() == [0, 0.5, 1, 1.5, 2] and downbeats.tolist() == [0, 2]
    assert len(played) == len(rock(0.5 * np.arange(20)))
    assert prepare.find("pop", tmp_path) == [folder]


def test_a_performance_of_asap(tmp_path):
    notes.write_midi(waltz(0.5 * np.arange(9)), tmp_path / "Kim.mid")
    path = tmp_path / "Kim_annotations.txt"
    path.write_text("0.5\t0.5\tdb,3/4,0\n1.0\t1.0\tb\n1.4\t1.4\tbR\n2.0\t2.0\tdb\n")
    _, beats, downbeats = prepare.read_asap(path)
    assert beats.tolist() == [0.5, 1.0, 1.4, 2.0] and downbeats.tolist() == [0.5, 2.0]
    assert prepare.find("asap", tmp_path) == [path]


def test_a_sequence_and_one_that_nobody_aligned(tmp_path):
    seconds = 0.437 * np.arange(40)
    found = Beats(seconds, np.arange(40) % 4 == 0)
    notes.write_midi(rock(seconds), tmp_path / "aligned.mid", beats=found)
    notes.write_midi(rock(seconds), tmp_path / "not.mid")
    assert tempo_map.following(found).microseconds.tolist() == [437_000]
    assert mido.MidiFile(tmp_path / "aligned.mid").ticks_per_beat == 960
    played, beats, downbeats = prepare.read("band", tmp_path / "aligned.mid")
    np.testing.assert_allclose(beats[:39], seconds[:39], atol=1e-3)
    np.testing.assert_allclose(downbeats[:9], seconds[:36:4], atol=1e-3)
    assert prepare.on_beat(played, beats) > 0.5
    assert "notes begin with beats" in prepare.read("band", tmp_path / "not.mid")
    assert "FileNotFoundError" in prepare.read("pop", tmp_path / "none")


def test_a_performance_of_groove(tmp_path):
    seconds = 0.5 * np.arange(40)
    played = rock(seconds)
    played["pitch"][played["pitch"] == 42] = 22  # the edge of its hi-hat
    path = tmp_path / "drummer1" / "1_rock_120_beat_4-4.mid"
    path.parent.mkdir()
    notes.write_midi(played[played["is_drum"]], path, beats=Beats(seconds, np.arange(40) % 4 == 0))
    for name in ("2_rock_120_fill_4-4.mid", "3_rock_120_beat_6-8.mid"):
        (path.parent / name).write_bytes(path.read_bytes())
    assert prepare.find("drums", tmp_path) == [path]
    found, beats, downbeats = prepare.read("drums", path)
    assert set(found["pitch"].tolist()) == {36, 38, 42}
    np.testing.assert_allclose(beats[:39], seconds[:39], atol=1e-3)
    np.testing.assert_allclose(downbeats[:9], seconds[:36:4], atol=1e-3)


MUSICXML = """<?xml version="1.0"?>
<score-partwise version="3.1"><part-list><score-part id="P1"><part-name>Voice</part-name></score-part></part-list>
<part id="P1">{measures}</part></score-partwise>"""
NOTE = "<note><pitch><step>C</step><octave>5</octave></pitch><duration>{0}</duration><type>eighth</type></note>"


def measure(number: int, eighths: int, time: str = "") -> str:
    notes_ = NOTE.format(1) * eighths
    return f'<measure number="{number}"><attributes><divisions>2</divisions>{time}</attributes>{notes_}</measure>'


def test_a_score_begins_with_an_upbeat(tmp_path):
    if not importlib.util.find_spec("partitura"):
        pytest.skip("reading scores needs partitura: pip install partitura")
    time = "<time><beats>6</beats><beat-type>8</beat-type></time>"
    measures = measure(0, 1, time) + "".join(measure(number, 6) for number in (1, 2, 3))
    path = tmp_path / "a.musicxml"
    path.write_text(MUSICXML.format(measures=measures))
    played, beats, downbeats = prepare.read_score(path)
    assert len(played) == 19
    np.testing.assert_allclose(downbeats - played["onset"][0], [0.5, 3.5, 6.5])
    np.testing.assert_allclose(beats - played["onset"][0], [0.5, 2, 3.5, 5, 6.5, 8])


def test_annotations_are_those_of_the_excerpt():
    seconds = 0.5 * np.arange(200)
    parts = [rock(seconds)]
    beats, downbeats = annotate.excerpt([seconds, seconds[1::4]], parts, 10.0, seed=3)
    assert beats[0] == 0 and beats[-1] < 29
    rows = [line.split("\t") for line in annotate.lines(beats, downbeats).splitlines()]
    assert [number for _, number in rows[:6]] == ["0", "1", "2", "3", "4", "1"]
    assert [float(second) for second, _ in rows[:3]] == [0, 0.5, 1]
    written = [part.copy() for part in parts]
    written[0]["velocity"] = 80  # a score: it is played with a tempo that wanders
    warped, _ = annotate.excerpt([seconds, seconds[1::4]], written, 10.0, seed=3)
    assert np.diff(warped).std() > 0.005


def test_the_set_has_beats_for_most_of_its_pieces():
    folder = ROOT / "data" / "benchmark" / "beats"
    files = sorted(folder.glob("*.beats"))
    assert len(files) >= 40
    for path in files:
        rows = np.loadtxt(path)
        assert (np.diff(rows[:, 0]) > 0.15).all() and rows[0, 0] >= 0 and rows[-1, 0] < 30
        assert (rows[:, 1] == 1).sum() >= 3
