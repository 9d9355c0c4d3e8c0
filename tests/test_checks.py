"""What is found out about the files that a manifest names."""

import os
import re

import numpy as np
import pytest
import soundfile

from mt3lite import notes, tuning
from mt3lite.errors import InputError
from mt3lite.training import checks, datasets, examples

SCALE = [(0.1 * i, 0.1 * i + 0.08, 60 + i, 90, 0, False) for i in range(20)]  # 2 s


def sound(path, seconds=2.0, rate=16000, channels=1, **options):
    soundfile.write(path, np.zeros((round(seconds * rate), channels), np.float32), rate, **options)
    return path


def chord(path, cents, seconds=2.0, rate=16000):
    """Write a chord that is so many cents higher than one of an A of 440 Hz."""
    time = np.arange(round(seconds * rate)) / rate
    frequencies = 440 * 2 ** (np.array([-12, 0, 4, 7]) / 12 + cents / 1200)
    soundfile.write(path, 0.2 * np.sin(2 * np.pi * frequencies * time[:, None]).sum(axis=1), rate)
    return path


def track(folder, name="a", rows=SCALE, **changes):
    """Make a track of two seconds with its files, and change what is asked for."""
    if rows is not None:
        notes.write_midi(notes.from_rows(rows), folder / f"{name}.mid")
    audio = folder / f"{name}.flac"
    if not audio.exists():
        sound(audio)
    return datasets.Track(**{"id": name, "split": "train", "audio": audio, "midi": folder / f"{name}.mid"} | changes)


def check(track, **options):
    return checks.check_track(track, sample_rate=16000, **options)


def test_a_good_track(tmp_path):
    found = check(track(tmp_path, duration_seconds=2.0))
    assert (found.faults, found.seconds, found.num_notes) == ((), 2.0, 20)
    assert checks.tell([found], 16000) == []


def not_a_number(path):
    samples = np.zeros(32000, np.float32)
    samples[8000] = np.nan
    soundfile.write(path, samples, 16000, subtype="FLOAT")
    return path


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda f: track(f, audio=f / "lost.wav"), "lost.wav: there is no such file"),
        (lambda f: track(f, audio=f / "a.mid"), "a.mid: .*(not an audio file|cannot be read as audio)"),
        (lambda f: track(f, audio=sound(f / "x.wav", 0)), "x.wav: holds 0 samples"),
        (lambda f: track(f, audio=sound(f / "x.mp3", rate=44100)), "x.mp3: parts of a file of this format .* FLAC or"),
        (lambda f: track(f, audio=not_a_number(f / "x.wav")), "x.wav: a sample at 0.50 s is not a finite number"),
        (lambda f: track(f, duration_seconds=3.0), "'duration' is 3 s, but the recording lasts 2.0 s"),
        (lambda f: track(f, midi=f / "a.flac"), "a.flac: not a readable MIDI file"),
        (lambda f: track(f, rows=[]), "a.mid: there are no notes in this MIDI file"),
        (
            lambda f: track(f, audio=sound(f / "x.wav", 1.0)),
            "a.mid: lasts 2.0 s, the recording 1.0 s, so 10 of 20 notes begin after its end; do the two belong",
        ),
        (
            lambda f: track(f, stems=(datasets.Stem(sound(f / "s.wav", 5.0)),)),
            "s.wav: this stem lasts 5.0 s, the recording 2.0 s",
        ),
        (lambda f: track(f, stems=(datasets.Stem(f / "s.wav"),)), "s.wav: there is no such file"),
        (
            lambda f: track(f, stems=(datasets.Stem(sound(f / "s.wav"), f / "s.wav"),)),
            "s.wav: not a readable MIDI file",
        ),
    ],
)
def test_faults(tmp_path, make, fault):
    (found,) = check(make(tmp_path)).faults
    assert re.search(fault, found), found


def test_what_training_copes_with_is_counted(tmp_path):
    overlapping = [*SCALE[:-1], (0.0, 1.0, 40, 90, 32, False), (0.5, 1.5, 40, 90, 32, False)]
    late = [*SCALE[:-1], (2.5, 2.6, 70, 90, 0, False)]
    drums = [(0.0, 1.0, 38, 90, 0, True), (0.5, 1.0, 38, 90, 0, True)]  # have no length, so they cannot overlap
    found = [
        check(track(tmp_path, "a", overlapping, audio=sound(tmp_path / "a.wav", rate=44100, channels=2))),
        check(track(tmp_path, "b", late)),
        check(track(tmp_path, "c", drums, audio=sound(tmp_path / "c.wav", 40, rate=48000))),
    ]
    assert [each.faults for each in found] == [(), (), ()]
    assert checks.tell(found, 16000) == [
        "files of another rate than 16000 Hz, converted as they are read: 2, in 2 of 3 tracks",
        "notes that begin after their recording ends, left out: 1, in 1 of 3 tracks",
        "notes that last into the next of the same pitch and instrument, ended there: 1, in 1 of 3 tracks",
        "recordings that go on for more than 30 s after their last note: 1, in 1 of 3 tracks",
    ]


def test_recordings_that_are_out_of_tune_are_named_the_furthest_off_first(tmp_path):
    cents = {"in-tune": 0, "a": -20, "b": 15, "c": 40, "d": -15, "e": -30, "f": 25, "g": 45, "h": 20}
    tracks = [track(tmp_path, name, audio=chord(tmp_path / f"{name}.wav", off)) for name, off in cents.items()]
    datasets.write_manifest(tracks, tmp_path)
    report = checks.check_manifest(tmp_path)
    assert report.faults == []
    assert report.remarks == [
        "recordings whose A is 20 cents or more from 440 Hz, heard as they are: 6, in 6 of 9 tracks: "
        "'g' (452 Hz), 'c' (450 Hz), 'e' (432 Hz), 'f' (446 Hz), 'a' (435 Hz) and 1 more"
    ]
    assert checks.check_manifest(tmp_path, headers_only=True).remarks == []


def test_what_training_does_on_purpose_is_not_remarked_on():
    assert examples.AugmentConfig().detune_semitones * 100 == checks.OUT_OF_TUNE_CENTS


def test_whatever_the_rate_the_tuning_is_heard(tmp_path):
    found = checks.check_track(track(tmp_path, audio=chord(tmp_path / "x.wav", -30, rate=44100)), sample_rate=8000)
    assert (found.faults, found.cents_off) == ((), -30)


def test_stems_are_listened_to_together_without_the_drums(tmp_path):
    silent = datasets.Stem(sound(tmp_path / "silent.wav", 1.0))
    low = datasets.Stem(chord(tmp_path / "low.wav", -30))
    drums = datasets.Stem(chord(tmp_path / "drums.wav", 40), is_drum=True)
    for stems, cents in (((low, silent), -30), ((silent, low), -30), ((drums, low), -30), ((silent, drums), 0)):
        assert check(track(tmp_path, audio=None, stems=stems)).cents_off == cents


def test_drums_alone_have_no_tuning(tmp_path):
    drums = [(0.0, 1.0, 38, 90, 0, True)]
    assert check(track(tmp_path, rows=drums, audio=chord(tmp_path / "x.wav", -30))).cents_off == 0


def test_the_beginning_is_listened_to(tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "LISTENED_SECONDS", 2)
    first, last = (soundfile.read(chord(tmp_path / "x.wav", off, 20))[0] for off in (-30, 30))
    soundfile.write(tmp_path / "x.wav", np.concatenate([first[:32000], last]), 16000)
    assert check(track(tmp_path, audio=tmp_path / "x.wav")).cents_off == -30


def test_a_track_of_stems_is_as_long_as_the_longest(tmp_path):
    stems = (datasets.Stem(sound(tmp_path / "s.wav", 2.0)), datasets.Stem(sound(tmp_path / "t.wav", 3.0)))
    found = check(track(tmp_path, audio=None, stems=stems, duration_seconds=3.0))
    assert (found.faults, found.seconds) == ((), 3.0)


def test_all_faults_are_told_by_line(tmp_path):
    tracks = [track(tmp_path, "a"), track(tmp_path, "b", rows=[]), track(tmp_path, "c", duration_seconds=9.0)]
    datasets.write_manifest([*tracks, track(tmp_path, "d", split="test")], tmp_path)
    report = checks.check_manifest(tmp_path)
    assert len(report.faults) == 2
    assert report.faults[0].startswith("line 2: ") and "there are no notes" in report.faults[0]
    assert report.faults[1].startswith("line 3: 'duration' is 9 s")
    assert report.table().split("\n")[1].split() == ["train", "3", "0.00", "40"]
    assert checks.check_manifest(tmp_path, split="test").faults == []


def test_before_training_the_headers_alone_are_read(tmp_path):
    tracks = [track(tmp_path, "a", audio=not_a_number(tmp_path / "a.wav")), track(tmp_path, "b", rows=[])]
    datasets.write_manifest(tracks, tmp_path)
    assert checks.require(tmp_path, split="train", sample_rate=16000).faults == []
    (tmp_path / "b.flac").write_bytes(b"fLaC, cut short")
    with pytest.raises(InputError, match=r"manifest\.jsonl: 1 fault\n  line 2: .*b\.flac"):
        checks.require(tmp_path, split="train", sample_rate=16000)


def test_two_processes_find_the_same(tmp_path):
    datasets.write_manifest([track(tmp_path, "a"), track(tmp_path, "b", rows=[])], tmp_path)
    one, two = checks.check_manifest(tmp_path), checks.check_manifest(tmp_path, jobs=2)
    assert one.findings == two.findings and len(one.faults) == 1


def end_abruptly(number):
    if number == 3:
        os._exit(1)
    return number


def test_a_killed_worker_is_told_in_a_line():
    with pytest.raises(InputError, match="a worker process was ended from outside.* with fewer --jobs"):
        list(checks.in_processes(end_abruptly, list(range(8)), jobs=2))
