"""The command: what it writes, and the one line that each bad input gets. In process where that shows the same."""

import csv
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile

import mt3lite
from mt3lite import cli, notes
from mt3lite.errors import InputError

SAMPLE_RATE = 16000


def write_noise(path: Path, seconds: float = 1.0, sample_rate: int = SAMPLE_RATE, channels: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(0).normal(0, 0.1, (round(seconds * sample_rate), channels))
    soundfile.write(path, samples, sample_rate)
    return path


@pytest.fixture
def run(tiny_folder, compilation_cache, capfd):
    """Return a function that runs the command with the tiny model: (exit code, lines on stdout, lines on stderr)."""

    def run(*arguments) -> tuple[int, list[str], list[str]]:
        command = [str(argument) for argument in arguments]
        if command[0] == "transcribe" and "--model" not in command:
            command += ["--model", str(tiny_folder)]
        try:
            code = cli.main(command)
        except SystemExit as stop:
            code = stop.code
        captured = capfd.readouterr()
        return code, captured.out.splitlines(), captured.err.splitlines()

    return run


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# --- what it writes ---


def test_the_notes_go_beside_the_recording(run, tmp_path):
    song = write_noise(tmp_path / "my.song.wav", 2.5)
    code, out, err = run("transcribe", song)
    assert (code, err) == (0, [])
    assert names(tmp_path) == ["my.song.mid", "my.song.wav"]
    found = notes.read_midi(tmp_path / "my.song.mid")
    assert len(found)
    assert len(out) == 1 and out[0].startswith(f"{song} -> {tmp_path / 'my.song.mid'}: {len(found)} note")


def test_every_format_says_the_same(run, tmp_path):
    song = write_noise(tmp_path / "song.wav", 2.5)
    target = tmp_path / "here.json"
    code, _, err = run("transcribe", song, "-o", target, "--format", "mid,json,csv", "--quiet")
    assert (code, err, names(tmp_path)) == (0, [], ["here.csv", "here.json", "here.mid", "song.wav"])
    told = json.loads(target.read_text())
    assert {key: told[key] for key in ("recording", "model", "duration_seconds")} == {
        "recording": "song.wav",
        "model": "tiny",
        "duration_seconds": 2.5,
    }
    with (tmp_path / "here.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    in_midi = notes.read_midi(tmp_path / "here.mid")
    assert len(rows) == len(told["notes"]) == len(in_midi)
    for row, note, heard in zip(rows, told["notes"], in_midi, strict=True):
        assert row == {key: str(value) for key, value in note.items()}
        assert note["onset_seconds"] == pytest.approx(heard["onset"], abs=0.003)  # MIDI counts in ticks
        assert (note["pitch"], note["program"], note["is_drum"]) == (heard["pitch"], heard["program"], heard["is_drum"])


def test_the_suffix_of_the_output_is_a_format(run, tmp_path):
    song = write_noise(tmp_path / "song.wav")
    assert run("transcribe", song, "-o", tmp_path / "x.csv")[0] == 0
    assert names(tmp_path) == ["song.wav", "x.csv"]


def test_folders_keep_their_shape(run, tmp_path):
    for name in ("in/a.wav", "in/deep/b.flac", "in/.hidden/c.wav", "in/deep/a.sonified.wav"):
        write_noise(tmp_path / name)
    (tmp_path / "in" / "read.me").write_text("no audio")
    code, out, err = run("transcribe", tmp_path / "in", "--output-dir", tmp_path / "new" / "out")
    assert (code, len(out), err) == (0, 2, [])
    assert names(tmp_path / "new") == ["out/a.mid", "out/deep/b.mid"]


def test_a_file_named_twice_is_done_once(run, tmp_path):
    song = write_noise(tmp_path / "a.wav")
    code, out, _ = run("transcribe", song, tmp_path, song)
    assert (code, len(out)) == (0, 1)


@pytest.mark.parametrize("sample_rate, channels", [(8000, 1), (96000, 2), (44100, 8)])
def test_any_rate_and_number_of_channels(run, tmp_path, sample_rate, channels):
    song = write_noise(tmp_path / "song.wav", 0.5, sample_rate, channels)
    assert run("transcribe", song)[::2] == (0, [])
    assert names(tmp_path) == ["song.mid", "song.wav"]


def test_only_some_instruments(run, tmp_path):
    song = write_noise(tmp_path / "song.wav", 2.5)
    assert run("transcribe", song, "--instruments", "Bass, strings", "--batch-size", "2")[0] == 0
    found = notes.read_midi(tmp_path / "song.mid")
    assert len(found) and not found["is_drum"].any() and set((found["program"] // 8).tolist()) <= {4, 5, 6}


def test_an_ensemble(run, tmp_path):
    song = write_noise(tmp_path / "song.wav", 2.5)
    assert run("transcribe", song, "--ensemble", "cello", "--batch-size", "2")[0] == 0
    found = notes.read_midi(tmp_path / "song.mid")
    assert len(found) and not found["is_drum"].any() and set(found["program"].tolist()) == {42}


def test_beats(run, tmp_path):
    song = write_noise(tmp_path / "song.wav", 6.0)
    code, out, _ = run("transcribe", song, "--beats", "--format", "mid,json", "--verbose")
    assert code == 0 and re.search(r"; \d+ beats a minute, [234] in a bar", out[0])
    assert any(line.startswith("beats ") for line in out)
    told = json.loads((tmp_path / "song.json").read_text())
    assert len(told["beats_seconds"]) > 3 and set(told["downbeats_seconds"]) <= set(told["beats_seconds"])
    assert mido.MidiFile(tmp_path / "song.mid").ticks_per_beat == 960
    in_bars = notes.read_midi(tmp_path / "song.mid")
    _, out, _ = run("transcribe", song, "--bar", "2", "--overwrite")
    assert out[0].endswith(", 2 in a bar")
    signatures = [each for each in mido.MidiFile(tmp_path / "song.mid").tracks[0] if each.type == "time_signature"]
    assert (signatures[-1].numerator, signatures[-1].denominator) == (2, 4)
    assert run("transcribe", song, "--format", "mid,json", "--overwrite")[0] == 0
    assert "beats_seconds" not in json.loads((tmp_path / "song.json").read_text())
    assert mido.MidiFile(tmp_path / "song.mid").ticks_per_beat == 220
    plain = notes.read_midi(tmp_path / "song.mid")
    assert in_bars[["pitch", "program"]].tolist() == plain[["pitch", "program"]].tolist()
    np.testing.assert_allclose(in_bars["onset"], plain["onset"], atol=0.003)


def test_silence_has_no_beats(run, tmp_path):
    soundfile.write(tmp_path / "song.wav", np.zeros(SAMPLE_RATE), SAMPLE_RATE)
    code, out, _ = run("transcribe", tmp_path / "song.wav", "--beats")
    assert code == 0 and out[0].endswith("; no beats found")
    assert len(notes.read_midi(tmp_path / "song.mid")) == 0


def test_a_tuning(run, tmp_path):
    song = write_noise(tmp_path / "song.wav")
    code, out, _ = run("transcribe", song, "--tuning", "415", "-o", tmp_path / "song.json")
    assert code == 0 and out[0].endswith("; its A is at 415 Hz")
    assert json.loads((tmp_path / "song.json").read_text())["tuning_hz"] == 415
    code, out, _ = run("transcribe", song)  # noise has none
    assert code == 0 and "its A" not in out[0]


def test_a_picture(run, tmp_path):
    pytest.importorskip("matplotlib")
    song = write_noise(tmp_path / "song.wav", 2.5)
    assert run("transcribe", song, "--plot", "--output-dir", tmp_path)[0] == 0
    assert (tmp_path / "song.png").read_bytes().startswith(b"\x89PNG")


def test_to_be_heard(run, tmp_path):
    from mt3lite.commands import sonify

    try:
        sonify.check_installed(None)
    except InputError as error:
        pytest.skip(str(error))
    song = write_noise(tmp_path / "song.wav", 2.5)
    assert run("transcribe", song, "--sonify")[::2] == (0, [])
    sound, sample_rate = soundfile.read(tmp_path / "song.sonified.wav")
    assert sound.shape[1] == 2 and len(sound) >= 2.5 * sample_rate
    assert (np.abs(sound).max(axis=0) > 0.5).all()


def test_verbose_tells_where_the_time_went(run, tmp_path):
    song = write_noise(tmp_path / "song.wav")
    code, out, _ = run("transcribe", song, "--verbose")
    stops = [line.split()[0] for line in out[1:]]
    assert re.search(r"\); tokens skipped: \d+ invalid, \d+ dropped$", out[0])
    assert code == 0 and set(stops) >= {"start", "load", "compile", "spectrogram", "encode", "decode", "write", "all"}
    assert all(line.endswith(" s") for line in out[1:])


def test_silence_is_an_empty_midi_file(run, tmp_path):
    soundfile.write(tmp_path / "quiet.wav", np.zeros(3 * SAMPLE_RATE), SAMPLE_RATE)
    code, out, err = run("transcribe", tmp_path / "quiet.wav")
    assert (code, err) == (0, [])
    assert out[0].endswith("quiet.mid: no notes: the recording is silent")
    assert len(notes.read_midi(tmp_path / "quiet.mid")) == 0


def test_one_sample(run, tmp_path):
    soundfile.write(tmp_path / "click.wav", np.ones(1), SAMPLE_RATE)
    assert run("transcribe", tmp_path / "click.wav")[::2] == (0, [])
    notes.read_midi(tmp_path / "click.mid")


def test_compiled_programs_are_kept_in_the_users_cache(run, compilation_cache, tmp_path):
    run("transcribe", write_noise(tmp_path / "song.wav"))
    assert names(compilation_cache / "mt3lite" / "programs")


# --- bad input: one line each ---


def spoil(path: Path, kind: str) -> Path:
    """Make a file that cannot be transcribed."""
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("This is not a sound.\n" * 100)
    elif kind == "no samples":
        soundfile.write(path, np.zeros(0), SAMPLE_RATE)
    elif kind == "nan":
        samples = np.zeros(SAMPLE_RATE, np.float32)
        samples[100] = np.nan
        soundfile.write(path, samples, SAMPLE_RATE, subtype="FLOAT")
    elif kind == "truncated":
        whole = write_noise(path.with_suffix(".flac"), 3.0).read_bytes()
        path.with_suffix(".flac").unlink()
        path.write_bytes(whole[: len(whole) // 2])
    return path  # "missing": not made


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "no samples", "nan", "truncated"])
def test_a_bad_file_gets_one_line_and_the_others_go_on(run, tmp_path, kind):
    bad = spoil(tmp_path / "bad.wav", kind)
    good = write_noise(tmp_path / "good.wav")
    code, out, err = run("transcribe", bad, good)
    assert code == 1
    assert len(err) == 1 and err[0].startswith(f"mt3lite: {bad}: ")
    assert len(out) == 1 and out[0].startswith(f"{good} -> ")
    assert set(names(tmp_path)) - {"bad.wav"} == {"good.mid", "good.wav"}


def test_a_folder_without_audio(run, tmp_path):
    (tmp_path / "notes.txt").touch()
    code, out, err = run("transcribe", tmp_path)
    assert (code, out, len(err)) == (1, [], 1)
    assert err[0].startswith(f"mt3lite: {tmp_path}: no audio file in this folder (looked for .")


def test_existing_outputs_are_kept_unless_told(run, tmp_path):
    song, other = write_noise(tmp_path / "song.wav"), write_noise(tmp_path / "other.wav")
    target = tmp_path / "song.mid"
    target.write_text("precious")
    code, out, err = run("transcribe", other, song)
    assert (code, out) == (1, [])
    assert err == [f"mt3lite: {target}: exists already; give --overwrite to replace"]
    assert names(tmp_path) == ["other.wav", "song.mid", "song.wav"] and target.read_text() == "precious"
    assert run("transcribe", song, "--overwrite")[0] == 0
    assert target.read_bytes().startswith(b"MThd")


def test_two_recordings_with_one_output(run, tmp_path):
    first, second = write_noise(tmp_path / "a.wav"), write_noise(tmp_path / "a.flac")
    code, _, err = run("transcribe", first, second)
    assert (code, err) == (
        1,
        [f"mt3lite: {first} and {second} would both become {tmp_path / 'a.mid'}; name one with -o"],
    )


def test_a_recording_is_never_overwritten(run, tmp_path):
    song, old = write_noise(tmp_path / "a.wav"), write_noise(tmp_path / "a.sonified.wav")
    before = old.read_bytes()
    code, _, err = run("transcribe", song, old, "--sonify", "--overwrite")
    assert (code, err) == (1, [f"mt3lite: {old}: is a recording to transcribe and would be overwritten"])
    assert old.read_bytes() == before


def test_outputs_that_cannot_be_written(run, tmp_path):
    song = write_noise(tmp_path / "song.wav")
    for where, message in (
        (["-o", song / "x.mid"], f"{song / 'x.mid'}: cannot be written: {song} is not a folder"),
        (["-o", "/proc/x.mid"], "/proc/x.mid: cannot be written: "),
        (["-o", tmp_path / "no" / "x.mid"], f"cannot be written: there is no folder {tmp_path / 'no'}"),
        (["--output-dir", song / "x"], f"{song / 'x'}: cannot be made: not a directory"),
    ):
        code, out, err = run("transcribe", song, *where)
        assert (code, out, len(err)) == (1, [], 1)
        assert message in err[0]


def test_a_bad_model(run, tiny_folder, tmp_path):
    song = write_noise(tmp_path / "song.wav")
    code, _, err = run("transcribe", song, "--model", tmp_path)
    assert (code, err) == (1, [f"mt3lite: {tmp_path}: not a model folder: it has no config.json"])
    header = json.loads((tiny_folder / "config.json").read_text())
    header["config"]["network"]["colour"] = "red"
    (tmp_path / "config.json").write_text(json.dumps(header))
    code, _, err = run("transcribe", song, "--model", tmp_path)
    assert code == 1 and len(err) == 1 and "config.json: unknown key config.network.colour" in err[0]


def test_missing_extras_name_the_cure(run, tmp_path, monkeypatch):
    song = write_noise(tmp_path / "song.wav")
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find_spec(name))
    code, _, err = run("transcribe", song, "--plot")
    assert (code, err) == (1, ["mt3lite: a picture needs matplotlib: pip install 'mt3lite[plot]'"])
    monkeypatch.setitem(sys.modules, "fluidsynth", None)
    code, _, err = run("transcribe", song, "--sonify")
    assert code == 1 and len(err) == 1 and "pip install 'mt3lite[synth]'" in err[0]
    assert names(tmp_path) == ["song.wav"]


def test_training_without_its_libraries_names_the_cure(tmp_path):
    script = "import sys; sys.modules['grain'] = None; from mt3lite import cli; sys.exit(cli.main(sys.argv[1:]))"
    command = [sys.executable, "-c", script, "train", "--data", ".", "--workdir", "run"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "mt3lite: train needs grain, which is missing: pip install 'mt3lite[train]'\n"


# --- the rest ---


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"mt3lite {mt3lite.__version__}\n"


def test_evaluate(run, tmp_path):
    played = notes.from_rows([(0.0, 1.0, 60, 90, 0, False), (1.0, 2.0, 64, 90, 40, False), (1.0, 1.1, 38, 90, 0, True)])
    notes.write_midi(played, tmp_path / "ref.mid")
    notes.write_midi(played[[0, 2]], tmp_path / "est.mid")
    code, out, err = run("evaluate", tmp_path / "ref.mid", tmp_path / "est.mid")
    assert (code, err) == (0, [])
    scores = {line.split("  ")[0]: line.split()[-3:] for line in out if line}
    assert scores["Onset"] == ["1.000", "0.500", "0.667"]
    assert {"Piano", "Strings", "Drums"} <= scores.keys()
    code, _, err = run("evaluate", tmp_path / "ref.mid", tmp_path / "none.mid")
    assert (code, err) == (1, [f"mt3lite: {tmp_path / 'none.mid'}: no such file"])


def start_transcribing(*arguments) -> subprocess.Popen:
    """Begin the command as a shell would, which lets it hear Ctrl-C; our own background jobs inherit deaf ears."""
    hear = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{hear}; from mt3lite import cli; sys.exit(cli.main())"
    command = [sys.executable, "-c", program, "transcribe", *map(str, arguments)]
    environment = {**os.environ, "CI": "true"}  # makes pyfluidsynth print, unless we see to it
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.parametrize(
    ("number", "expected"),
    [(signal.SIGINT, (130, "", "mt3lite: interrupted\n")), (signal.SIGTERM, (143, "", "mt3lite: ended by SIGTERM\n"))],
)
def test_an_interrupt_leaves_nothing_half_written(tiny_folder, compilation_cache, tmp_path, number, expected):
    first, second = write_noise(tmp_path / "1.wav"), write_noise(tmp_path / "2.wav", 600.0)
    process = start_transcribing(first, second, "--model", tiny_folder)
    assert process.stdout.readline().startswith(f"{first} -> ")
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == expected
    assert names(tmp_path) == ["1.mid", "1.wav", "2.wav"]


def test_a_reader_who_goes_away_ends_a_folder(tiny_folder, compilation_cache, tmp_path):
    for number in range(300):  # so many that it cannot be done with all before the pipe is closed
        write_noise(tmp_path / f"{number:03}.wav", 1.0)
    process = start_transcribing(tmp_path, "--model", tiny_folder)
    assert process.stdout.readline().startswith(str(tmp_path / "000.wav"))
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=120) == cli.BROKEN_PIPE
    assert "299.mid" not in names(tmp_path)
    assert [name for name in names(tmp_path) if name.startswith(".")] == []


def test_a_folder_is_told_in_the_order_of_its_names(run, tmp_path):
    """Long and short ones, and bad ones between them."""
    recordings = [
        write_noise(tmp_path / f"{name}.wav", seconds) for name, seconds in zip("aceg", (9, 0.1, 4, 0.1), strict=True)
    ]
    bad = [tmp_path / f"{name}.wav" for name in "bdf"]
    for path in bad:
        path.write_bytes(b"no sound")
    code, out, err = run("transcribe", tmp_path, "--jobs", 3, "--format", "mid,json")
    assert code == 1
    assert [line.partition(" -> ")[0] for line in out] == list(map(str, recordings))
    assert [line.split(":")[1].strip() for line in err] == list(map(str, bad))
    written = [f"{path.stem}.{kind}" for path in recordings for kind in ("json", "mid")]
    assert names(tmp_path) == sorted([*written, *(path.name for path in [*recordings, *bad])])


def test_a_reader_who_goes_away_is_no_error(tmp_path, monkeypatch, capfd):
    notes.write_midi(notes.from_rows([(0.0, 1.0, 60, 90, 0, False)]), tmp_path / "a.mid")
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        code = cli.main(["evaluate", str(tmp_path / "a.mid"), str(tmp_path / "a.mid")])
    assert code == cli.BROKEN_PIPE
    assert capfd.readouterr().err == ""


def test_data_synthesize_names_a_missing_soundfont(tmp_path, capsys):
    cure = "pip install mt3lite[synth], and the system library libfluidsynth3"
    pytest.importorskip("fluidsynth", reason=cure, exc_type=ImportError)
    soundfont = tmp_path / "none.sf2"
    arguments = ["data", "synthesize", str(tmp_path / "out"), "--soundfont", str(soundfont), "--hours", "0.01"]
    assert cli.main(arguments) == 1
    assert f"mt3lite: {soundfont}: " in capsys.readouterr().err


def test_any_name_can_be_told(run, tmp_path):
    for name in (os.fsdecode(b"not-\xff-text.wav"), "\x1b[31mred.wav"):
        write_noise(tmp_path / "a.wav").rename(tmp_path / name)
        code, out, err = run("transcribe", tmp_path / name)
        assert (code, err, len(out)) == (0, [], 1)
        assert "\x1b" not in out[0] and ("\\udcff" in out[0] or "\\x1b[31mred" in out[0])
    code, _, err = run("transcribe", tmp_path / ("x" * 300), "-o", tmp_path / "a.mid")
    assert (code, err) == (1, [f"mt3lite: {tmp_path / ('x' * 300)}: no such file"])


def test_what_the_machine_says_is_one_line(monkeypatch, capsys):
    def fail(error):
        monkeypatch.setattr("mt3lite.commands.pairs.find", lambda *_: (_ for _ in ()).throw(error))
        return cli.main(["evaluate", "a.mid", "b.mid"]), capsys.readouterr().err

    assert fail(OSError(24, "Too many open files", "a.mid")) == (1, "mt3lite: a.mid: too many open files\n")
    assert fail(MemoryError()) == (1, "mt3lite: not enough memory\n")
