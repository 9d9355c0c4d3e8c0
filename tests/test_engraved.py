"""The script that plays engraved scores, on made-up ones."""

import shutil
import subprocess
import sys
from pathlib import Path

import mido
import pytest

from mt3lite.training import arranging, midi_sources

FOLDER = Path(__file__).parents[1] / "data" / "models" / "small"
sys.path.insert(0, str(FOLDER))
import engraved  # noqa: E402

sys.path.remove(str(FOLDER))

LAYOUT = r"\layout { \context { \Staff \override TimeSignature.style = #'numbered } }"
SCORE = (
    r"""
\version "2.24.0"
\header { mutopiainstrument = "Flute and Guitar" license = "Public Domain" }
\score {
  << \new Staff { c''4\f d''\p } \new Staff { c4 e g2 } >>
"""
    + LAYOUT
    + r"\midi { } }"
)


def write(path, text):
    path.parent.mkdir(parents=True)
    path.write_text(text)


@pytest.mark.parametrize("license", ["Public Domain", "Creative Commons Attribution 4.0"])
def test_scores_that_anybody_may_use_are_taken(tmp_path, license):
    write(tmp_path / "a" / "a.ly", SCORE.replace("Public Domain", license))
    assert engraved._is_open(tmp_path / "a" / "a.ly")


@pytest.mark.parametrize("change", [("Public Domain", "Creative Commons Attribution-ShareAlike 4.0"), (r"\midi", "")])
def test_scores_under_other_terms_and_those_that_do_not_play_are_left_out(tmp_path, change):
    write(tmp_path / "a" / "a.ly", SCORE.replace(*change))
    assert not engraved._is_open(tmp_path / "a" / "a.ly")


def test_a_score_without_its_layout_has_everything_else():
    assert engraved._without_layouts(SCORE) == SCORE.replace(LAYOUT, "")


@pytest.mark.parametrize(
    "names, programs", [("Flute and Guitar", [73, 24]), ("2 Violins, Viola, 'Cello", [40, 41, 42]), ("Theremin", [0])]
)
def test_headers_name_instruments_in_their_order(names, programs):
    assert engraved._programs(names) == programs


@pytest.mark.parametrize("own, expected", [(None, [73, 73, 24]), (19, [19, 19, 19])])
def test_staves_have_programs_of_their_own_or_the_headers(own, expected):
    tracks = [[mido.Message("note_on", note=60, velocity=velocity)] for velocity in (30, 60, 90)]
    if own is not None:
        tracks = [[mido.Message("program_change", program=own), *track] for track in tracks]
    finished = engraved._finished(mido.MidiFile(tracks=list(map(mido.MidiTrack, [[], *tracks]))), [73, 24])
    messages = [message for track in finished.tracks for message in track]
    assert [message.program for message in messages if message.type == "program_change"] == expected
    assert {message.velocity for message in messages if message.type == "note_on"} == {80}


@pytest.mark.skipif(not shutil.which("lilypond"), reason="LilyPond plays the score: apt install lilypond")
def test_a_score_becomes_a_midi_file_that_counts_as_notated(tmp_path):
    write(tmp_path / "mutopia" / "ftp" / "duet" / "duet.ly", SCORE)
    subprocess.run([sys.executable, FOLDER / "engraved.py", tmp_path / "mutopia", tmp_path / "out"], check=True)
    parts = midi_sources.read_parts(tmp_path / "out" / "duet-duet-0.mid")
    assert [list(part["pitch"]) for part in parts] == [[72, 74], [48, 52, 55]]
    assert [part["program"][0] for part in parts] == [73, 24] and arranging.is_notated(parts)


def test_a_folder_without_scores_is_told_in_a_line(tmp_path, monkeypatch):
    monkeypatch.setattr(engraved.shutil, "which", lambda name: name)
    monkeypatch.setattr(sys, "argv", ["engraved.py", str(tmp_path), str(tmp_path / "out")])
    with pytest.raises(SystemExit, match="there are no scores"):
        engraved.main()
