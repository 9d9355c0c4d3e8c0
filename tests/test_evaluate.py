"""``mt3lite evaluate``: files, folders and datasets, with scores that are known by hand."""

import csv
import json
import re
from pathlib import Path
from types import SimpleNamespace

import jax
import mido
import numpy as np
import pytest
import soundfile

from mt3lite import cli, config, metrics, notes, outputs, scoring, weights
from mt3lite.errors import InputError
from mt3lite.training import datasets, evaluation
from mt3lite.transcriber import Transcriber

# Four notes of a piano and two drums. A transcription that finds three of the piano's notes, one of them with a wrong
# end, and one drum, and that invents a bass note.
PLAYED = notes.from_rows(
    [
        (0.0, 1.0, 60, 80, 0, False),
        (1.0, 2.0, 62, 80, 0, False),
        (2.0, 3.0, 64, 80, 0, False),
        (3.0, 4.0, 65, 80, 0, False),
        (0.0, 0.1, 36, 80, 0, True),
        (1.0, 1.1, 38, 80, 0, True),
    ]
)
FOUND = notes.from_rows(
    [
        (0.01, 1.0, 60, 80, 0, False),
        (1.0, 2.0, 62, 80, 0, False),
        (2.0, 2.3, 64, 80, 0, False),
        (0.0, 4.0, 30, 80, 33, False),
        (0.0, 0.1, 35, 80, 0, True),
        (1.0, 1.1, 38, 80, 0, True),
    ]
)


@pytest.fixture
def run(capfd):
    """Return a function that runs ``mt3lite evaluate``: (exit code, stdout, stderr)."""

    def run(*arguments) -> tuple[int, str, str]:
        try:
            code = cli.main(["evaluate", *map(str, arguments)])
        except SystemExit as stop:
            code = stop.code
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run


def folders(tmp_path, **pieces):
    """Write reference and estimate of each piece to the folders ``played`` and ``found``."""
    for side in ("played", "found"):
        (tmp_path / side / "sub").mkdir(parents=True, exist_ok=True)
    for name, (reference, estimate) in pieces.items():
        notes.write_midi(reference, tmp_path / "played" / "sub" / f"{name}.mid")
        outputs.write_json(estimate, tmp_path / "found" / "sub" / f"{name}.json", granularity="full", about={})
    return tmp_path / "played", tmp_path / "found"


def line_of(out, start):
    return next(line for line in out.splitlines() if line.startswith(start)).removeprefix(start).split()


def test_two_files(run, tmp_path):
    notes.write_midi(PLAYED, tmp_path / "played.mid")
    outputs.write_csv(FOUND, tmp_path / "found.csv", granularity="full")
    code, out, err = run(tmp_path / "played.mid", tmp_path / "found.csv", "--json", tmp_path / "scores.json")
    assert (code, err) == (0, "")
    assert line_of(out, "Onset  ") == ["0.750", "0.750", "0.750"]
    assert line_of(out, "Onset + offset  ") == ["0.500", "0.500", "0.500"]
    assert line_of(out, "Onset + offset + program (midi_class)") == ["0.500"] * 3  # 2 piano notes, 1 drum, of 6
    assert line_of(out, "Drum onset (full)") == ["0.500", "0.500", "0.500"]  # 35 is not 36, but a kick as well:
    assert line_of(out, "Drum class onset") == ["1.000", "1.000", "1.000"]
    assert line_of(out, "Kick") == ["1", "1", "1.000", "1.000", "1.000", "-"]
    assert line_of(out, "Bass") == ["0", "1", "0.000", "0.000", "0.000", "0.000"]
    told = json.loads((tmp_path / "scores.json").read_text())
    assert told["pooled"]["Onset + offset F1"] == {"value": 0.5, "low": 0.5, "high": 0.5}
    assert told["confusion"] == {
        "Piano": {"Piano": 3, "(nothing)": 1},
        "Drums": {"Drums": 1, "(nothing)": 1},
        "(nothing)": {"Bass": 1, "Drums": 1},
    }
    assert told["pieces"][0]["invalid_events"] is None
    assert told["velocity_correlation"]["value"] is None  # one velocity throughout


def test_folders_pair_by_name(run, tmp_path):
    played, found = folders(tmp_path, a=(PLAYED, FOUND), b=(PLAYED, PLAYED))
    code, out, err = run(played, found, "--json", tmp_path / "s.json", "--csv", tmp_path / "s.csv")
    assert (code, err) == (0, "")
    assert "2 pieces, pooled" in out
    assert line_of(out, "Onset  ")[0] == "0.875"  # 7 of 8
    told = json.loads((tmp_path / "s.json").read_text())
    assert [piece["id"] for piece in told["pieces"]] == ["sub/a", "sub/b"]
    assert told["pooled"]["Onset F1"] == {"value": 0.875, "low": 0.75, "high": 1.0}
    assert told["pooled"]["Onset + offset F1"]["value"] == 0.75
    with (tmp_path / "s.csv").open() as stream:
        rows = {row["id"]: row for row in csv.DictReader(stream)}
    assert list(rows) == [
        "sub/a", "sub/b", "(pooled)", "(pooled, low)", "(pooled, high)", "(mean)", "(mean, low)", "(mean, high)"
    ]  # fmt: skip
    assert float(rows["sub/a"]["Onset F1"]) == 0.75
    assert float(rows["(pooled)"]["Drum onset F1 (full)"]) == 0.75
    assert rows["sub/a"]["invalid_events"] == ""


def test_processes_change_nothing(run, tmp_path, monkeypatch):
    played, found = folders(tmp_path, a=(PLAYED, FOUND), b=(PLAYED, PLAYED))
    _, alone, _ = run(played, found, "--jobs", 1)
    monkeypatch.setattr("mt3lite.commands.evaluate.FEWEST_PIECES_A_PROCESS", 1)
    code, together, err = run(played, found, "--jobs", 2)
    assert (code, together, err) == (0, alone, "")


def test_names_that_do_not_pair_are_told_in_a_line(run, tmp_path):
    played, found = folders(tmp_path, a=(PLAYED, FOUND))
    for index in range(7):
        notes.write_midi(PLAYED, played / f"{index}.mid")
    notes.write_midi(PLAYED, found / "a.mid")  # "sub/a" is another name
    (found / "readme.txt").write_text("not notes")
    code, out, err = run(played, found)
    assert code == 1
    assert line_of(out, "Onset  ") == ["0.750"] * 3
    assert err.splitlines() == [
        f"mt3lite: {played}: not scored, without a partner: 0.mid, 1.mid, 2.mid, 3.mid, 4.mid and 2 more",
        f"mt3lite: {found}: not scored, without a partner: a.mid",
    ]


def test_of_two_formats_the_first_is_taken(run, tmp_path):
    played, found = folders(tmp_path, a=(PLAYED, FOUND))
    notes.write_midi(PLAYED, found / "sub" / "a.mid")
    _, out, _ = run(played, found)
    assert line_of(out, "Onset  ") == ["1.000"] * 3


def test_a_bad_file_in_a_folder_does_not_stop_the_others(run, tmp_path):
    played, found = folders(tmp_path, a=(PLAYED, FOUND), b=(PLAYED, FOUND))
    (found / "sub" / "b.json").write_text("{")
    code, out, err = run(played, found)
    assert code == 1
    assert line_of(out, "Onset  ") == ["0.750"] * 3
    assert len(err.splitlines()) == 1 and "left out: " in err and "b.json: cannot be read as JSON" in err
    (found / "sub" / "a.json").write_text("{")
    code, out, err = run(played, found)
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == "mt3lite: nothing could be scored"


@pytest.mark.parametrize(
    ("reference", "estimate", "message"),
    [
        ("played/sub/a.mid", "none.mid", "none.mid: no such file"),
        ("played", "found/sub/a.json", "played is a folder and .*a.json is a file; name two files or two folders"),
        ("played/sub/a.mid", "found", "found is a folder and .*a.mid is a file"),
        ("played", "empty", "none of their 1 and 0 files of notes have the same name"),
        ("played/sub/a.mid", "text.txt", "text.txt: notes are read from files that end with"),
    ],
)
def test_what_cannot_be_compared_is_refused(run, tmp_path, reference, estimate, message):
    folders(tmp_path, a=(PLAYED, FOUND))
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("")
    code, out, err = run(tmp_path / reference, tmp_path / estimate)
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert re.search(message, err)


def test_a_reference_without_notes(run, tmp_path):
    played, found = folders(tmp_path, a=(PLAYED, PLAYED), silence=(notes.empty(), FOUND))
    code, out, err = run(played, found)
    assert code == 0
    assert err == "mt3lite: sub/silence: the reference has no notes, so whatever the estimate has is wrong\n"
    # 4 of the 4 notes that were played are found; 8 are written
    assert re.match(r"0\.500 .* 1\.000 .* 0\.667 ", " ".join(line_of(out, "Onset  ")))


def test_nothing_on_both_sides_is_undefined(run, tmp_path):
    played, found = folders(tmp_path, silence=(notes.empty(), notes.empty()))
    code, out, _ = run(played, found, "--json", tmp_path / "s.json", "--html", tmp_path / "s.html")
    assert code == 0
    assert line_of(out, "Onset  ") == ["-", "-", "-"]
    assert json.loads((tmp_path / "s.json").read_text())["pieces"][0]["scores"]["Onset F1"] is None
    assert "no notes" in (tmp_path / "s.html").read_text()


def test_midi_whose_tracks_lean_on_each_other(run, tmp_path):
    """Tempo, program and pedal stand in a track of their own, and two hands share a channel."""
    midi = mido.MidiFile(type=1, ticks_per_beat=480)
    conductor, right, left = mido.MidiTrack(), mido.MidiTrack(), mido.MidiTrack()
    conductor.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(60)))  # a beat takes a second
    conductor.append(mido.Message("program_change", program=33))
    conductor.append(mido.Message("control_change", control=64, value=127))
    conductor.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(120), time=960))  # half of one
    conductor.append(mido.Message("control_change", control=64, value=0))
    for track, pitch in ((right, 52), (left, 40)):
        for waits, offset in ((0, 0), (960, 2)):  # a beat long at 0 s, and from beat 3, which is 2.5 s
            track.append(mido.Message("note_on", note=pitch + offset, velocity=80, time=waits))
            track.append(mido.Message("note_on", note=pitch + offset, velocity=0, time=480))
    midi.tracks += [conductor, right, left]
    midi.save(tmp_path / "played.mid")
    rows = [(0, 2, 52, 33), (2.5, 3, 54, 33), (0, 2, 40, 33), (2.5, 3, 42, 0)]  # the last is given to a piano
    lines = ["onset_seconds,offset_seconds,pitch,program", *(",".join(map(str, row)) for row in rows)]
    (tmp_path / "found.csv").write_text("\n".join(lines))
    code, out, err = run(tmp_path / "played.mid", tmp_path / "found.csv")
    assert (code, err) == (0, "")
    assert line_of(out, "Onset  ") == line_of(out, "Onset + offset  ") == ["1.000"] * 3
    assert line_of(out, "Frame  ") == ["1.000"] * 3
    assert line_of(out, "Onset + offset + program (midi_class)") == ["0.750"] * 3


def test_an_estimate_beyond_the_reference_is_extra():
    beyond = np.concatenate([PLAYED, notes.from_rows([(100.0, 101.0, 60, 80, 0, False)])])
    score = scoring.score_piece("a", PLAYED, beyond)
    assert score.counts["Onset F1"] == metrics.Counts(4, 5, 4)
    # At 62.5 frames a second the four notes fill 62 or 63 cells each, to which the extra second adds as many.
    assert score.scores["Frame Recall"] == 1
    assert score.scores["Frame Precision"] == pytest.approx(4 / 5, abs=0.01)


def test_compatibility_is_chosen_by_name(run, tmp_path):
    kit = PLAYED.copy()
    kit["program"][kit["is_drum"]] = 25
    outputs.write_csv(kit, tmp_path / "played.csv", granularity="full")
    outputs.write_csv(PLAYED, tmp_path / "found.csv", granularity="full")
    _, ours, _ = run(tmp_path / "played.csv", tmp_path / "found.csv")
    _, theirs, _ = run(tmp_path / "played.csv", tmp_path / "found.csv", "--compatibility", "mt3")
    assert line_of(ours, "Drum onset (full)") == ["1.000"] * 3
    assert line_of(theirs, "Drum onset (full)") == ["0.000"] * 3


def test_granularity_of_the_tables(run, tmp_path):
    outputs.write_csv(PLAYED, tmp_path / "a.csv", granularity="full")
    _, out, _ = run(tmp_path / "a.csv", tmp_path / "a.csv", "--granularity", "full")
    assert "Acoustic Grand Piano" in out
    _, out, _ = run(tmp_path / "a.csv", tmp_path / "a.csv", "--granularity", "flat")
    assert "Pitched" in out


@pytest.mark.parametrize(
    "option",
    [("--model", "small"), ("--split", "test"), ("--workdir", "x"), ("--precision", "int8"), ("--tuning", "415")],
)
def test_options_of_datasets_are_refused_for_files(run, tmp_path, option):
    code, _, err = run("a.mid", "b.mid", *option)
    assert code == 2 and f"{option[0]}: for scoring a model on a dataset" in err


def test_jobs_are_refused_for_datasets(run):
    code, _, err = run("dataset", "--jobs", 2)
    assert code == 2 and "--jobs is for two folders" in err


def test_an_output_in_no_folder_is_refused_before_the_work(run, tmp_path):
    outputs.write_csv(PLAYED, tmp_path / "a.csv", granularity="full")
    code, out, err = run(tmp_path / "a.csv", tmp_path / "a.csv", "--html", tmp_path / "none" / "page.html")
    assert (code, out) == (1, "") and "there is no folder" in err


# --- datasets ---


@pytest.fixture
def dataset(tmp_path):
    """Make a dataset of three one-second noises."""
    folder = tmp_path / "dataset"
    folder.mkdir()
    tracks = []
    for name in ("a", "b/1", "c"):
        stem = folder / name.replace("/", "-")
        soundfile.write(f"{stem}.wav", np.random.default_rng(len(tracks)).normal(0, 0.1, 16000), 16000)
        notes.write_midi(PLAYED[PLAYED["onset"] < 1], f"{stem}.mid")
        tracks.append(datasets.Track(name, "test", stem.with_suffix(".wav"), stem.with_suffix(".mid")))
    datasets.write_manifest(tracks, folder)
    return folder


@pytest.fixture
def transcribed(monkeypatch):
    """Count which recordings are transcribed."""
    names = []
    original = Transcriber.transcribe

    def transcribe(self, recording, **settings):
        names.append(recording.stem)
        return original(self, recording, **settings)

    monkeypatch.setattr(Transcriber, "transcribe", transcribe)
    return names


def test_a_dataset_run_goes_on_where_it_was(run, dataset, tiny_folder, compilation_cache, transcribed, tmp_path):
    target = tmp_path / "scores.json"
    code, first, err = run(dataset, "--model", tiny_folder, "--json", target)
    assert (code, err, transcribed) == (0, "", ["a", "b-1", "c"])
    assert "3 pieces, pooled" in first and "tokens skipped: " in first
    before = target.read_text()
    kept = sorted(path.name for path in (tmp_path / "scores.json.work").rglob("*.json"))
    assert kept == ["a.json", "b%2F1.json", "c.json"]

    # Interrupted before the last piece: only that is done again, and the scores are the same.
    next((tmp_path / "scores.json.work").rglob("c.json")).unlink()
    code, second, _ = run(dataset, "--model", tiny_folder, "--json", target)
    assert (code, second, transcribed) == (0, first, ["a", "b-1", "c", "c"])
    assert target.read_text() == before

    # Another recording under the same name is transcribed anew.
    soundfile.write(dataset / "a.wav", np.random.default_rng(9).normal(0, 0.1, 16000), 16000)
    run(dataset, "--model", tiny_folder, "--json", target)
    assert transcribed == ["a", "b-1", "c", "c", "a"]


def test_another_model_is_not_mistaken_for_the_first(
    run, dataset, tiny_folder, compilation_cache, transcribed, tmp_path
):
    model = weights.load(tiny_folder)
    other = tmp_path / "tiny"  # the same name and settings, other weights
    weights.save(
        other, model.config, jax.tree.map(lambda leaf: leaf * 1.5, model.params), origin="x", license="CC0-1.0"
    )
    for folder in (tiny_folder, other, tiny_folder):
        assert run(dataset, "--model", folder, "--workdir", tmp_path / "kept")[0] == 0
    assert transcribed == ["a", "b-1", "c"] * 2
    assert len(list((tmp_path / "kept").iterdir())) == 2
    # Nor is the first one in int8.
    assert run(dataset, "--model", tiny_folder, "--precision", "int8", "--workdir", tmp_path / "kept")[0] == 0
    assert transcribed == ["a", "b-1", "c"] * 3


def test_recordings_are_tuned_as_is_told(run, dataset, tiny_folder, compilation_cache, monkeypatch, tmp_path):
    tunings, original = [], Transcriber.transcribe

    def transcribe(self, recording, *, tuning_hz):
        tunings.append(tuning_hz)
        return original(self, recording, tuning_hz=tuning_hz)

    monkeypatch.setattr(Transcriber, "transcribe", transcribe)
    target = tmp_path / "scores.json"
    for told in ((), ("--tuning", "415"), ("--tuning", "440"), ("--tuning", "415")):
        assert run(dataset, "--model", tiny_folder, "--json", target, *told)[0] == 0
        assert json.loads(target.read_text())["tuning_hz"] == (float(told[1]) if told else None)
    # What is kept of one tuning is not mistaken for another's, and is taken when that is asked for again.
    assert tunings == [None] * 3 + [415.0] * 3 + [440.0] * 3


def test_a_tuning_that_the_model_cannot_have_is_told_once():
    transcriber = SimpleNamespace(model=SimpleNamespace(config=config.preset("mt3")))
    track, complaints = datasets.Track("a", "test", Path("none.wav"), Path("none.mid")), []
    with pytest.raises(InputError, match="a tuning of 415 Hz: this model's filters, in mel, stay"):
        list(evaluation.evaluate(transcriber, [track], tuning_hz=415.0, complain=complaints.append))
    assert complaints == []


def test_a_damaged_kept_transcription_is_told(run, dataset, tiny_folder, compilation_cache, tmp_path):
    run(dataset, "--model", tiny_folder, "--workdir", tmp_path / "kept")
    next((tmp_path / "kept").rglob("a.json")).write_text("{}")
    code, out, err = run(dataset, "--model", tiny_folder, "--workdir", tmp_path / "kept")
    assert code == 1 and "2 pieces, pooled" in out
    assert "a is left out: " in err and "delete it" in err


def test_a_bad_recording_is_left_out(run, dataset, tiny_folder, compilation_cache):
    (dataset / "a.wav").write_bytes(b"no sound")
    late = notes.from_rows([(0.5, 0.9, 60, 80, 0, False), (5.0, 6.0, 60, 80, 0, False)])
    notes.write_midi(late, dataset / "c.mid")
    code, out, err = run(dataset, "--model", tiny_folder)
    assert code == 1 and "2 pieces, pooled" in out
    lines = err.splitlines()
    assert lines[0].startswith("mt3lite: a is left out: ") and "a.wav" in lines[0]
    assert lines[1:] == ["mt3lite: c: 1 notes of c.mid begin after the recording has ended; they count"]


def test_no_such_split(run, dataset, tiny_folder):
    code, _, err = run(dataset, "--model", tiny_folder, "--split", "train")
    assert code == 1 and "no track of the split 'train'" in err
