"""The parts of benchmarks/peers.py that need no peer."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mt3lite import notes, scoring
from mt3lite.errors import InputError

FOLDER = Path(__file__).parent.parent / "benchmarks"
PIECE = notes.from_rows([(0.0, 0.5, 60, 80, 0, False), (0.5, 1.0, 64, 80, 0, False)])


@pytest.fixture
def peers(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import peers

    yield peers
    for name in ("peers", "environments"):
        sys.modules.pop(name)


def scores_of(number, found=PIECE):
    return [scoring.score_piece(f"set/{index}", PIECE, found) for index in range(number)]


def test_a_folder_of_recordings_and_labels(peers, tmp_path):
    folder = tmp_path / "real"
    folder.mkdir()
    for name in ("kit", "song-01"):
        soundfile.write(folder / f"{name}.wav", np.zeros(44100), 44100)
    notes.write_midi(PIECE, folder / "song-01.mid")
    (folder / "kit.tsv").write_text("onset_seconds\tclass\n0.25\tSD\n0.5\tKD\n")
    kit, song = peers.read_set(folder, tmp_path / "work")
    assert kit.reference[["onset", "pitch", "is_drum"]].tolist() == [(0.25, 38, True), (0.5, 36, True)]
    assert (kit.group, song.group) == ("real", "song")
    assert (kit.has_pitches, song.has_pitches) == (False, True)
    assert soundfile.info(song.wav).samplerate == 16000 and song.duration_seconds == pytest.approx(1)


def test_a_folder_without_recordings(peers, tmp_path):
    with pytest.raises(InputError, match="neither a manifest nor a recording"):
        peers.read_set(tmp_path, tmp_path / "work")


def test_scores_are_compared_on_the_same_pieces(peers):
    scores = {"mt3lite": {"band": scores_of(3)}, "transkun": {"band": scores_of(1, PIECE[:1])}}
    row = peers.compare(scores, {})["band"]
    assert list(row) == ["mt3lite", "mt3lite, on transkun's pieces", "transkun"]
    assert row["transkun"]["Onset F1"][0] == pytest.approx(0.6667)
    assert row["mt3lite, on transkun's pieces"]["pieces"] == ["set/0"]
    assert "Onset + offset + program F1 (midi_class)" in row["mt3lite"]
    assert "Onset + offset + program F1 (midi_class)" not in row["transkun"]  # it tells no instruments
    table = peers.score_table({"band": row}).splitlines()
    assert table[-1] == "| band | transkun | 1 | 0.67 (0.67–0.67) | 0.67 (0.67–0.67) | – | – |"


def test_peers_are_kept_when_mt3lite_alone_is_run_again(peers):
    before = peers.compare({"mt3lite": {"band": scores_of(3, PIECE[:1])}, "transkun": {"band": scores_of(1)}}, {})
    after = peers.compare({"mt3lite": {"band": scores_of(3)}}, json.loads(json.dumps(before)))["band"]
    assert after["transkun"] == before["band"]["transkun"]
    assert after["mt3lite"]["Onset F1"][0] == after["mt3lite, on transkun's pieces"]["Onset F1"][0] == 1


def test_only_the_first_of_each_group(peers):
    recordings = [
        peers.Recording("set", f"{kind}-{index:02d}", Path(), PIECE, 1.0) for kind in "ab" for index in (1, 2)
    ]
    assert [each.id for each in peers._first_of_groups(recordings, 1)] == ["a-01", "b-01"]
    assert peers._first_of_groups(recordings, None) == recordings


def test_the_tables_in_the_repository_are_those_of_the_numbers(peers):
    for name, table in (("scores", lambda told: peers.score_table(told["groups"])), ("times", peers.time_table)):
        if (peers.RESULTS / f"{name}.json").is_file():
            told = json.loads((peers.RESULTS / f"{name}.json").read_text())
            assert (peers.RESULTS / f"{name}.md").read_text() == table(told)
            assert name != "scores" or peers.readme_table(told["groups"]) in peers.README.read_text(encoding="utf-8")


def test_the_table_of_the_readme(peers, tmp_path, monkeypatch):
    scores = {
        "mt3lite": {"band": scores_of(3)},
        "basic-pitch": {"band": scores_of(3, PIECE[:1])},
        "transkun": {"band": scores_of(1)},
    }
    table = peers.readme_table(peers.compare(scores, {}))
    assert table.splitlines() == [
        "| music | mt3lite | basic-pitch | transkun |",
        "|---|---|---|---|",
        "| band | 1.00 / 1.00 | 0.67 / 0.67 | 1.00 / 1.00 (1 piece; mt3lite there 1.00 / 1.00) |",
    ]
    monkeypatch.setattr(peers, "README", tmp_path / "README.md")
    begin, end = peers.README_MARKS
    peers.README.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    peers.update_readme(table)
    peers.update_readme(table)
    assert peers.README.read_text() == f"before\n{begin}\n{table}{end}\nafter\n"


def test_what_is_kept_is_not_transcribed_again(peers, tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", np.zeros(1600), 16000)
    soundfile.write(tmp_path / "b.wav", np.ones(1600) / 2, 16000)
    recordings = [peers.Recording("set", name, tmp_path / f"{name}.wav", PIECE, 0.1) for name in "ab"]
    asked = []

    def run(tool, jobs, *_):
        for wav, midi in jobs:
            asked.append(Path(wav).stem)
            notes.write_midi(PIECE, midi)
            yield {"file": wav, "seconds": 0.1, "invalid_events": 2, "dropped_events": 0}

    monkeypatch.setattr(peers, "_run", run)
    peers.transcribe("mt3lite", recordings[:1], tmp_path, "small")
    targets = peers.transcribe("mt3lite", recordings, tmp_path, "small", kept_only=True)
    assert [piece.id for piece in peers.score(recordings, targets)["set"]] == ["set/a"]
    targets = peers.transcribe("mt3lite", recordings, tmp_path, "small")
    assert asked == ["a", "b"]
    assert [piece.invalid_events for piece in peers.score(recordings, targets)["set"]] == [2, 2]
    soundfile.write(tmp_path / "a.wav", np.ones(1600) / 4, 16000)  # another recording under the same name
    peers.transcribe("mt3lite", recordings, tmp_path, "small")
    assert asked == ["a", "b", "a"]


def test_a_runner_that_fails_is_told(peers, tmp_path, monkeypatch):
    (tmp_path / "runners").mkdir()
    (tmp_path / "runners" / "run_mt3lite.py").write_text(
        "print('{\"load_seconds\": 1}', flush=True)\nraise SystemExit(3)"
    )
    monkeypatch.setattr(peers, "HERE", tmp_path)
    found = peers._run("mt3lite", [], tmp_path, "small", sys.executable)
    assert next(found) == {"load_seconds": 1}
    with pytest.raises(InputError, match=r"mt3lite failed; what it wrote is in .*mt3lite\.log"):
        next(found)
