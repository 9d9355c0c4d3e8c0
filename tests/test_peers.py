"""The parts of benchmarks/peers.py that need no peer."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import mt3lite
from mt3lite import notes, scoring
from mt3lite.errors import InputError

FOLDER = Path(__file__).parent.parent / "benchmarks"
sys.path.insert(0, str(FOLDER))
import environments  # noqa: E402
import peer_recordings  # noqa: E402
import peer_scores  # noqa: E402
import peer_times  # noqa: E402
import peer_tools  # noqa: E402
import peers  # noqa: E402

sys.path.remove(str(FOLDER))
PIECE = notes.from_rows([(0.0, 0.5, 60, 80, 0, False), (0.5, 1.0, 64, 80, 0, False)])


def scores_of(number, found=PIECE):
    return [scoring.score_piece(f"set/{index}", PIECE, found) for index in range(number)]


def test_a_folder_of_recordings_and_labels(tmp_path):
    folder = tmp_path / "real"
    folder.mkdir()
    for name in ("kit", "song-01"):
        soundfile.write(folder / f"{name}.wav", np.zeros(44100), 44100)
    notes.write_midi(PIECE, folder / "song-01.mid")
    (folder / "kit.tsv").write_text("onset_seconds\tclass\n0.25\tSD\n0.5\tKD\n")
    kit, song = peer_recordings.read_set(folder, tmp_path / "work")
    assert kit.reference[["onset", "pitch", "is_drum"]].tolist() == [(0.25, 38, True), (0.5, 36, True)]
    assert (kit.group, song.group) == ("real", "song")
    assert (kit.has_pitches, song.has_pitches) == (False, True)
    assert soundfile.info(song.wav).samplerate == 16000 and song.duration_seconds == pytest.approx(1)


def test_a_folder_without_recordings(tmp_path):
    with pytest.raises(InputError, match="neither a manifest nor a recording"):
        peer_recordings.read_set(tmp_path, tmp_path / "work")


def test_scores_are_compared_on_the_same_pieces():
    scores = {"mt3lite": {"band": scores_of(3)}, "transkun": {"band": scores_of(1, PIECE[:1])}}
    row = peer_scores.compare(scores, {})["band"]
    assert list(row) == ["mt3lite", "mt3lite, on transkun's pieces", "transkun"]
    assert row["transkun"]["Onset F1"][0] == pytest.approx(0.6667)
    assert row["mt3lite, on transkun's pieces"]["pieces"] == ["set/0"]
    assert "Onset + offset + program F1 (midi_class)" in row["mt3lite"]
    assert "Onset + offset + program F1 (midi_class)" not in row["transkun"]  # it tells no instruments
    table = peer_scores.table({"band": row}).splitlines()
    assert table[-1] == "| band | transkun | 1 | 0.67 (0.67–0.67) | 0.67 (0.67–0.67) | – | – |"


def test_peers_are_kept_when_mt3lite_alone_is_run_again():
    before = peer_scores.compare({"mt3lite": {"band": scores_of(3, PIECE[:1])}, "transkun": {"band": scores_of(1)}}, {})
    after = peer_scores.compare({"mt3lite": {"band": scores_of(3)}}, json.loads(json.dumps(before)))["band"]
    assert after["transkun"] == before["band"]["transkun"]
    assert after["mt3lite"]["Onset F1"][0] == after["mt3lite, on transkun's pieces"]["Onset F1"][0] == 1


def test_the_line_of_fewer_pieces_is_kept_when_a_peer_alone_is_run_again():
    scores = {"mt3lite": {"band": scores_of(3)}, "transkun": {"band": scores_of(1)}}
    before = json.loads(json.dumps(peer_scores.compare(scores, {})))
    again = peer_scores.compare({"transkun": {"band": scores_of(1, PIECE[:1])}}, before)["band"]
    assert again["mt3lite, on transkun's pieces"] == before["band"]["mt3lite, on transkun's pieces"]
    assert (
        "mt3lite, on transkun's pieces" not in peer_scores.compare({"transkun": {"band": scores_of(2)}}, before)["band"]
    )


def test_each_tool_gets_the_music_it_is_for():
    drums, guitar = PIECE.copy(), PIECE.copy()
    drums["is_drum"], guitar["program"] = True, 24
    pieces = {"piano": PIECE, "drums": drums, "guitar": guitar, "band": np.concatenate([PIECE, drums])}
    made = {name: peer_recordings.Recording("set", name, Path(), reference, 1.0) for name, reference in pieces.items()}
    given = {
        tool: [name for name, each in made.items() if peer_tools.is_for(tool, each)]
        for tool in environments.ENVIRONMENTS
    }
    assert given == {
        "mt3lite": ["piano", "drums", "guitar", "band"],
        "basic-pitch": ["piano", "guitar", "band"],
        "transkun": ["piano"],
    }


def test_the_tables_in_the_repository_are_those_of_the_numbers():
    for name, table in (("scores", lambda told: peer_scores.table(told["groups"])), ("times", peer_times.table)):
        if (peers.RESULTS / f"{name}.json").is_file():
            told = json.loads((peers.RESULTS / f"{name}.json").read_text())
            assert (peers.RESULTS / f"{name}.md").read_text() == table(told)
            assert name != "scores" or peer_scores.readme_table(told["groups"]) in peer_scores.README.read_text(
                encoding="utf-8"
            )


def test_the_table_of_the_readme(tmp_path, monkeypatch):
    scores = {
        "mt3lite": {"band": scores_of(3)},
        "basic-pitch": {"band": scores_of(3, PIECE[:1])},
        "transkun": {"band": scores_of(1)},
    }
    table = peer_scores.readme_table(peer_scores.compare(scores, {}))
    assert table.splitlines() == [
        "| music | mt3lite | basic-pitch | transkun |",
        "|---|---|---|---|",
        "| band | 1.00 / 1.00 | 0.67 / 0.67 | 1.00 / 1.00 (1 piece; mt3lite there 1.00 / 1.00) |",
    ]
    monkeypatch.setattr(peer_scores, "README", tmp_path / "README.md")
    begin, end = peer_scores.README_MARKS
    peer_scores.README.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    peer_scores.update_readme(table)
    peer_scores.update_readme(table)
    assert peer_scores.README.read_text() == f"before\n{begin}\n{table}{end}\nafter\n"


RUNNER = """
import json, shutil, sys
print(json.dumps({"load_seconds": 1}), flush=True)
for line in sys.stdin:
    wav, midi = json.loads(line)
    print("a library says hello")
    with open(ASKED, "a") as file:
        file.write(wav[-5])
    if "c.wav" in wav:
        raise SystemExit(3)
    shutil.copy(PIECE, midi)
    print(json.dumps({"file": wav, "seconds": 0.1, "invalid_events": 2, "dropped_events": 0}), flush=True)
"""


@pytest.fixture
def made_up_tool(tmp_path, monkeypatch):
    """Put a script in the place of mt3lite's runner; return the file that tells what it was asked, a letter a file."""
    notes.write_midi(PIECE, tmp_path / "piece.mid")
    (tmp_path / "runners").mkdir()
    asked, piece = tmp_path / "asked", tmp_path / "piece.mid"
    text = RUNNER.replace("ASKED", repr(str(asked))).replace("PIECE", repr(str(piece)))
    (tmp_path / "runners" / "run_mt3lite.py").write_text(text)
    monkeypatch.setattr(peer_tools, "HERE", tmp_path)
    return asked


def test_what_is_kept_is_not_transcribed_again(tmp_path, made_up_tool):
    def score():
        return peer_scores.score(pieces, lambda each: peer_tools.target("mt3lite", each, tmp_path, "small")).get(
            "set", []
        )

    def transcribe(chosen):
        peer_tools.transcribe("mt3lite", chosen, tmp_path, "small")

    for name, level in (("a", 0.0), ("b", 0.5)):
        soundfile.write(tmp_path / f"{name}.wav", np.full(1600, level), 16000)
    pieces = [peer_recordings.Recording("set", name, tmp_path / f"{name}.wav", PIECE, 0.1) for name in "ab"]
    transcribe(pieces[:1])
    assert [piece.id for piece in score()] == ["set/a"]
    transcribe(pieces)
    assert made_up_tool.read_text() == "ab"
    assert [(piece.invalid_events, piece.scores["Onset F1"]) for piece in score()] == [(2, 1.0)] * 2
    soundfile.write(tmp_path / "a.wav", np.ones(1600) / 4, 16000)  # another recording under the same name
    assert [piece.id for piece in score()] == ["set/b"]
    transcribe(pieces)
    assert made_up_tool.read_text() == "aba"


def test_a_tool_that_fails_is_told(tmp_path, made_up_tool):
    failed = r"mt3lite failed; what it wrote is in .*mt3lite\.log"
    with peer_tools.Running("mt3lite", tmp_path, "small", sys.executable) as running:
        assert running.load_seconds == 1
        assert running.transcribe(tmp_path / "a.wav", tmp_path / "a.mid")["seconds"] == 0.1
        with pytest.raises(InputError, match=failed):
            running.transcribe(tmp_path / "c.wav", tmp_path / "c.mid")
        with pytest.raises(InputError, match=failed):
            running.transcribe(tmp_path / "a.wav", tmp_path / "a.mid")
    (tmp_path / "runners" / "run_mt3lite.py").write_text("raise SystemExit(3)")
    with pytest.raises(InputError, match=failed):
        peer_tools.Running("mt3lite", tmp_path, "small", sys.executable)


def test_mt3lite_alone_leaves_times_and_peers(tmp_path, made_up_tool, monkeypatch):
    folder, results = tmp_path / "band", tmp_path / "results"
    folder.mkdir()
    results.mkdir()
    soundfile.write(folder / "a.wav", np.zeros(1600), 16000)
    notes.write_midi(PIECE, folder / "a.mid")
    before = peer_scores.compare({"mt3lite": {"band": scores_of(1, PIECE[:1])}, "transkun": {"band": scores_of(1)}}, {})
    told = {"tools": {"mt3lite": "0", "transkun": "2"}, "groups": before}
    (results / "scores.json").write_text(json.dumps(told))
    (results / "times.json").write_text("what was measured")
    monkeypatch.setattr(peers, "RESULTS", results)
    monkeypatch.setattr(peer_scores, "README", tmp_path / "README.md")
    peer_scores.README.write_text("\n".join(peer_scores.README_MARKS))
    command = ["peers", str(folder), "--workdir", str(tmp_path / "work"), "--tools", "mt3lite", "--no-times"]
    monkeypatch.setattr(sys, "argv", command)
    assert peers.main() == 0
    after = json.loads((results / "scores.json").read_text())
    assert after["groups"]["band"]["mt3lite"]["Onset F1"] == [1, 1, 1]
    assert after["groups"]["band"]["transkun"] == json.loads(json.dumps(before))["band"]["transkun"]
    assert after["tools"]["transkun"] == "2" and after["tools"]["mt3lite"].startswith(mt3lite.__version__)
    assert (results / "times.json").read_text() == "what was measured"
    assert "| band | 1.00 / 1.00 | 1.00 / 1.00 |" in peer_scores.README.read_text()
    monkeypatch.setattr(sys, "argv", [*command[:1], str(tmp_path / "nothing"), *command[2:]])
    assert peers.main() == 1
