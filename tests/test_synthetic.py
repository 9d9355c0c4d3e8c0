import dataclasses
import json
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pretty_midi
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from mt3lite import cli, notes, soundfonts
from mt3lite.errors import InputError
from mt3lite.training import arranging, datasets, midi_sources, procedural, synthetic

SOUNDFONT = str(Path(pretty_midi.__file__).parent / "TimGM6mb.sf2")
SEEDS = st.integers(0, 10**6)


def needs_fluidsynth():
    pytest.importorskip(
        "fluidsynth",
        reason="install libfluidsynth3 and pyfluidsynth (pip install mt3lite[synth])",
        exc_type=ImportError,
    )


def score(num_notes=60, programs=(40, 52, 0), velocity=80):
    """A part a program, all of them on a grid of quarter seconds."""
    return [
        notes.from_rows((0.25 * i, 0.25 * i + 0.25, 60 + 5 * i % 13, velocity, p, False) for i in range(num_notes))
        for p in programs
    ]


@pytest.fixture
def midi_folder(tmp_path):
    folder = tmp_path / "midi"
    folder.mkdir()
    for i in range(12):
        notes.write_midi(np.concatenate(score(40 + i)), folder / f"song-{i}.mid")
    (folder / "broken.mid").write_text("no MIDI")
    (folder / "readme.txt").write_text("no MIDI either")
    return folder


def small_config(midi_folder, **changes):
    source = midi_sources.MidiSource("songs", str(midi_folder), 1.0, "CC0-1.0")
    config = synthetic.SynthesisConfig(
        sources=(source,),
        soundfonts=(SOUNDFONT,),
        hours={"train": 20 / 3600, "validation": 6 / 3600},
        procedural_weight=1.0,
        shortest_seconds=3.0,
        longest_seconds=5.0,
        held_out_fraction=0.5,
    )
    return dataclasses.replace(config, **changes)


def contents(folder):
    """Return what the files hold, but for hidden ones: a killed process cannot take its temporary file away."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder): path.read_bytes() for path in paths}


def assert_playable(played):
    notes.validate(played)
    np.testing.assert_array_equal(played["onset"], np.sort(played["onset"]))
    assert (played["onset"] >= 0).all()
    # Nothing of the same drum or pitch and program overlaps: trimming changes nothing.
    np.testing.assert_array_equal(notes.trim_overlaps(played), played)
    drums = played[played["is_drum"]]
    assert ((drums["pitch"] >= 35) & (drums["pitch"] <= 81) & (drums["program"] == 0)).all()
    for note in played[~played["is_drum"]]:
        low, high = arranging.pitch_range(int(note["program"]))
        assert low <= note["pitch"] <= high


@settings(max_examples=25)
@given(SEEDS)
def test_invented_pieces_are_playable(seed):
    played = synthetic.procedural_notes(20.0, np.random.default_rng(seed), 32)
    assert_playable(played)
    assert played["onset"].max(initial=0) < 21.0


@settings(max_examples=25)
@given(SEEDS, st.sampled_from([80, None]))
def test_arranged_pieces_are_playable(seed, velocity):
    rng = np.random.default_rng(seed)
    parts = score()
    if velocity is None:
        for part in parts:
            part["velocity"] = rng.integers(1, 128, len(part))
    parts.append(notes.from_rows((0.5 * i, 0.5 * i + 0.5, 30 + i, 80, 0, True) for i in range(30)))
    assert_playable(synthetic.arranged_notes(parts, 10.0, rng, 32))


def test_invented_pieces_use_all_families_and_registers():
    pieces = [synthetic.procedural_notes(10.0, np.random.default_rng(seed), 32) for seed in range(100)]
    joined = np.concatenate(pieces)
    pitched = joined[~joined["is_drum"]]
    assert set(np.unique(pitched["program"] // 8)) >= set(range(12))
    assert set(np.unique(pitched["pitch"])) >= set(range(30, 99))
    assert len(np.unique(joined["pitch"][joined["is_drum"]])) > 30
    notes_per_second = [len(piece) / 10 for piece in pieces]
    assert np.quantile(notes_per_second, 0.1) < 3 and np.quantile(notes_per_second, 0.9) > 8


def test_a_score_is_played_with_expression_and_a_performance_left_alone():
    rng = np.random.default_rng(0)
    (played,) = arranging.humanise(score(programs=(73,)), rng)
    assert played["velocity"].std() > 3
    gaps = np.diff(played["onset"])
    assert 0.005 < gaps.std() < 0.1 and gaps.mean() == pytest.approx(0.25, rel=0.2)

    performance = score(programs=(0,))
    performance[0]["velocity"] = np.arange(60) + 20
    performed = synthetic.arranged_notes(performance, 100.0, rng, 32)
    np.testing.assert_array_equal(performed["velocity"], performance[0]["velocity"])
    assert np.diff(performed["onset"]).std() < 1e-9


def test_the_command_s_chance_of_any_instrument_is_the_library_s():
    arguments = cli.make_parser().parse_args("data synthesize out --midi in --soundfont a.sf2 --hours 1".split())
    assert arguments.any_instrument == arranging.ANY_CHANCE


@pytest.mark.parametrize("any_chance, families", [(0.0, {5}), (1.0, set(range(13)))])
def test_parts_keep_their_family_but_for_a_chance(any_chance, families):
    rng = np.random.default_rng(0)
    played = [
        arranging.reassign(score(programs=(40,)), rng, keep_pianos=False, any_chance=any_chance) for _ in range(200)
    ]
    found = {int(part["program"][0]) // 8 for parts in played for part in parts}
    assert found >= families and (any_chance or found == families)


def test_excerpt_is_cut_and_starts_at_a_note():
    for seed in range(20):
        cut = np.concatenate(arranging.excerpt(score(), 4.0, np.random.default_rng(seed)))
        assert 0.0 <= cut["onset"].min() <= 1.0
        assert 3.0 < cut["onset"].max() < 4.0 and cut["offset"].max() <= 4.0


@pytest.mark.parametrize(
    ("pitches", "limits", "moved"),
    [
        ([60, 64, 67], (28, 60), [48, 52, 55]),
        ([30, 34], (60, 96), [66, 70]),
        ([60, 61, 62, 90], (55, 75), [60, 61, 62, 66]),
        ([60, 66], (60, 64), [60]),
    ],
)
def test_into_range(pitches, limits, moved):
    part = notes.from_rows((i, i + 1, pitch, 80, 0, False) for i, pitch in enumerate(pitches))
    assert arranging.into_range(part, limits)["pitch"].tolist() == moved


def test_playable_cuts_overlaps_drops_doubles_and_caps():
    rows = [
        (0.0, 2.0, 60, 50, 0, False),
        (0.01, 2.0, 60, 90, 0, False),  # as good as together with the first
        (1.0, 3.0, 60, 80, 0, False),
        (1.0, 3.0, 60, 80, 16, False),
        (1.5, 3.0, 72, 80, 16, False),  # the third at a time
    ]
    played = arranging.playable([notes.from_rows(rows)], 2)
    assert played[["onset", "offset", "program"]].tolist() == [(0.0, 1.0, 0), (1.0, 3.0, 0), (1.0, 3.0, 16)]


def test_short_notes_of_slow_instruments_are_lengthened():
    strings, piano = (
        arranging.playable([notes.from_rows([(1.0, 1.05, 60, 80, program, False)])], 9) for program in (49, 0)
    )
    assert strings["offset"][0] == pytest.approx(1.25)
    assert piano["offset"][0] == pytest.approx(1.05)


def test_read_parts_keeps_parts_apart_and_holds_the_pedal(tmp_path):
    midi = pretty_midi.PrettyMIDI()
    for program in (40, 40, 122):
        midi.instruments.append(pretty_midi.Instrument(program))
        midi.instruments[-1].notes.append(pretty_midi.Note(80, 60, 0.0, 1.0))
    midi.instruments[0].control_changes = [pretty_midi.ControlChange(64, v, t) for v, t in ((127, 0.5), (0, 2.0))]
    midi.write(str(tmp_path / "a.mid"))
    parts = midi_sources.read_parts(tmp_path / "a.mid")
    assert [part["offset"].round(2).tolist() for part in parts] == [[2.0], [1.0]]


def test_read_parts_of_a_file_without_notes(tmp_path):
    pretty_midi.PrettyMIDI().write(str(tmp_path / "empty.mid"))
    with pytest.raises(InputError, match=r"empty\.mid: no usable notes"):
        midi_sources.read_parts(tmp_path / "empty.mid")


def test_held_out_files_are_shared_with_no_other_split(midi_folder):
    source = midi_sources.MidiSource("songs", str(midi_folder), 1.0)
    split_files = [set(midi_sources.source_files(source, split, 0.5)) for split in datasets.SPLITS]
    assert len(set.union(*split_files)) == sum(map(len, split_files)) == 13
    assert all(split_files)


def test_the_folder_is_the_same_for_the_same_seed_whatever_the_jobs(midi_folder, tmp_path):
    needs_fluidsynth()
    config = small_config(midi_folder)
    count = synthetic.synthesize(tmp_path / "one", config)
    synthetic.synthesize(tmp_path / "two", config, jobs=2)
    one = contents(tmp_path / "one")
    assert one == contents(tmp_path / "two")

    tracks = datasets.read_manifest(tmp_path / "one")
    assert len(tracks) == count >= 6
    assert {track.split for track in tracks} == {"train", "validation"}
    for track in tracks:
        samples, rate = soundfile.read(track.audio)
        assert rate == 16000 and samples.ndim == 1
        assert len(samples) / rate == pytest.approx(track.duration_seconds, abs=1e-3)
        assert 0.15 < np.abs(samples).max() <= 1.0
        played = notes.read_midi(track.midi)
        assert len(played) >= 8 and played["offset"].max() < track.duration_seconds
        assert track.license == "CC0-1.0"

    other_seed = contents_of_train(tmp_path / "other", dataclasses.replace(config, seed=1))
    assert other_seed != {key: value for key, value in one.items() if key.parts[0] == "train"}


def contents_of_train(folder, config):
    synthetic.synthesize(folder, dataclasses.replace(config, hours={"train": 4 / 3600}))
    return {key: value for key, value in contents(folder).items() if key.parts[0] == "train"}


def test_a_second_run_makes_only_what_is_missing(midi_folder, tmp_path):
    needs_fluidsynth()
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    config = small_config(midi_folder)
    synthetic.synthesize(stopped, dataclasses.replace(config, hours={"train": 8 / 3600}))
    kept = stopped / "train" / "00000.wav"
    kept_since = kept.stat().st_mtime_ns
    synthetic.synthesize(stopped, config)
    synthetic.synthesize(whole, config)
    assert kept.stat().st_mtime_ns == kept_since
    assert contents(stopped) == contents(whole)


def test_broken_midi_files_are_listed_and_passed_over(midi_folder, tmp_path):
    needs_fluidsynth()
    for path in midi_folder.glob("song-[0-9]*.mid"):
        path.write_text("also broken") if path.stem != "song-3" else None
    config = small_config(midi_folder, procedural_weight=0.0, held_out_fraction=0.0, hours={"train": 8 / 3600})
    synthetic.synthesize(tmp_path / "out", config)
    assert {track.source for track in datasets.read_manifest(tmp_path / "out")} == {"songs/song-3.mid, TimGM6mb.sf2"}
    skipped = (tmp_path / "out" / "skipped.txt").read_text().splitlines()
    assert skipped and all("cannot be read as MIDI" in line for line in skipped)
    assert skipped == sorted(set(skipped))


def test_a_folder_made_otherwise_is_refused(midi_folder, tmp_path):
    (tmp_path / "synthesis.json").write_text(json.dumps({**dataclasses.asdict(small_config(midi_folder)), "seed": 5}))
    with pytest.raises(InputError, match="made with another seed"):
        synthetic.synthesize(tmp_path, small_config(midi_folder))


def test_stems_are_the_mix_taken_apart(midi_folder, tmp_path):
    needs_fluidsynth()
    config = small_config(midi_folder, stems=True, hours={"train": 12 / 3600})
    synthetic.synthesize(tmp_path / "one", config)
    synthetic.synthesize(tmp_path / "two", config, jobs=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    tracks = datasets.read_manifest(tmp_path / "one")
    assert max(len(track.stems) for track in tracks) > 1
    for track in tracks:
        mix = datasets.load_samples(track, 16000)
        apart = sum(datasets.load_samples(dataclasses.replace(track, audio=stem.audio), 16000) for stem in track.stems)
        np.testing.assert_allclose(apart, mix, atol=len(track.stems) / 2**15)
        stem_notes = notes.sort(np.concatenate([datasets.stem_notes(stem) for stem in track.stems]))
        np.testing.assert_array_equal(stem_notes[["pitch", "program", "is_drum"]], played_fields(track))
        for stem in track.stems:
            assert np.abs(soundfile.read(stem.audio)[0]).max() > 1e-3


def test_timbres_change_the_sound_and_nothing_else(midi_folder, tmp_path, monkeypatch):
    needs_fluidsynth()
    config = small_config(midi_folder, stems=True, hours={"train": 12 / 3600}, timbre_chance=1.0)
    synthetic.synthesize(tmp_path / "one", config)
    synthetic.synthesize(tmp_path / "two", config, jobs=2)
    changed = contents(tmp_path / "one")
    assert changed == contents(tmp_path / "two")
    assert json.loads(changed[Path("synthesis.json")])["timbre_chance"] == 1.0

    monkeypatch.setattr(synthetic.voicing, "draw", None)  # which is not asked
    synthetic.synthesize(tmp_path / "plain", dataclasses.replace(config, timbre_chance=0.0))
    plain = contents(tmp_path / "plain")
    assert changed.keys() == plain.keys()
    assert {path.suffix for path in plain if plain[path] != changed[path]} <= {".wav", ".json"}
    assert all(plain[path] != changed[path] for path in plain if path.parent.name == "train" and path.suffix == ".wav")
    for path in (path for path in plain if path.suffix == ".wav"):
        assert len(plain[path]) == len(changed[path])
        assert np.abs(soundfile.read(tmp_path / "one" / path)[0]).max() > 1e-3


def played_fields(track):
    return notes.read_midi(track.midi)[["pitch", "program", "is_drum"]]


def test_a_killed_worker_is_told_and_what_was_made_stays(midi_folder, tmp_path):
    needs_fluidsynth()
    config = small_config(midi_folder, hours={"train": 60 / 3600}, seed=2)
    manifest = tmp_path / "out" / "manifest.jsonl"

    def kill_one_worker():
        while not manifest.exists() or not manifest.read_text():
            time.sleep(0.01)
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_one_worker, daemon=True)
    killer.start()
    with pytest.raises(InputError, match=r"out: a worker process was ended from outside; .* (\d+) pieces are finished"):
        synthetic.synthesize(tmp_path / "out", config, jobs=2)
    killer.join()
    finished = datasets.read_manifest(tmp_path / "out")  # which looks for all files
    assert 1 <= len(finished) < 15
    assert all(len(notes.read_midi(track.midi)) >= 8 for track in finished)
    count = synthetic.synthesize(tmp_path / "out", config)
    synthetic.synthesize(tmp_path / "whole", config)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert count > len(finished)


def test_a_manifest_cut_short_loses_its_last_piece_only(midi_folder, tmp_path):
    needs_fluidsynth()
    config = small_config(midi_folder, hours={"train": 12 / 3600})
    synthetic.synthesize(tmp_path / "out", config)
    whole = contents(tmp_path / "out")
    manifest = tmp_path / "out" / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes()[:-20])
    synthetic.synthesize(tmp_path / "out", config)
    assert contents(tmp_path / "out") == whole


def test_a_folder_made_before_a_setting_existed_goes_on(midi_folder, tmp_path):
    needs_fluidsynth()
    config = small_config(midi_folder, hours={"train": 4 / 3600})
    synthetic.synthesize(tmp_path / "out", config)
    settings_path = tmp_path / "out" / "synthesis.json"
    older = json.loads(settings_path.read_text())
    del older["stems"]
    settings_path.write_text(json.dumps(older))
    synthetic.synthesize(tmp_path / "out", config)
    with pytest.raises(InputError, match="made with another stems"):
        synthetic.synthesize(tmp_path / "out", dataclasses.replace(config, stems=True))


def test_bad_soundfonts_are_told_before_anything_is_made(midi_folder, tmp_path):
    needs_fluidsynth()
    bad = tmp_path / "text.sf2"
    bad.write_text("no soundfont")
    with pytest.raises(InputError, match=r"text\.sf2: FluidSynth cannot read this soundfont"):
        synthetic.synthesize(tmp_path / "out", small_config(midi_folder, soundfonts=(SOUNDFONT, str(bad))))
    assert not (tmp_path / "out").exists()


def test_a_soundfont_that_plays_noise_is_refused(midi_folder, tmp_path):
    """As one whose compressed samples were compressed again does: the samples are random, the presets right."""
    needs_fluidsynth()
    intact = bytearray(Path(SOUNDFONT).read_bytes())
    at = intact.index(b"smpl") + 8  # behind the chunk's name and length
    size = int.from_bytes(intact[at - 4 : at], "little")
    noise = np.random.default_rng(0).integers(-8000, 8000, size // 2).astype("<i2").tobytes()
    damaged = tmp_path / "noise.sf2"
    damaged.write_bytes(intact[:at] + noise + intact[at + len(noise) :])
    with pytest.raises(InputError, match=r"noise\.sf2: program 0 plays noise in place of notes"):
        synthetic.synthesize(tmp_path / "out", small_config(midi_folder, soundfonts=(SOUNDFONT, str(damaged))))
    assert not (tmp_path / "out").exists()
    layered = f"{SOUNDFONT}{os.pathsep}{damaged}"  # nothing of the lower one is heard
    soundfonts.check_sound(layered, range(128))


def test_the_command_makes_a_dataset_with_stems_and_licences(midi_folder, tmp_path, capsys):
    needs_fluidsynth()
    out = tmp_path / "out"
    common = ["data", "synthesize", str(out), "--midi", str(midi_folder), "--soundfont", SOUNDFONT, "--hours", "0.01"]
    options = "--invented 0.001 --stems --timbres 0.5 --any-instrument 0.75".split()
    assert cli.main([*common, *options, "--license", "CC BY 4.0"]) == 0
    tracks = datasets.read_manifest(out)
    assert {track.license for track in tracks} == {"CC BY 4.0"} and all(track.stems for track in tracks)
    said = capsys.readouterr().out
    assert f"{out}: 1 pieces" in said
    made = json.loads((out / "synthesis.json").read_text())
    assert (made["timbre_chance"], made["any_chance"]) == (0.5, 0.75)
    with pytest.raises(SystemExit, match="2"):
        cli.main([*common, "--license", "a", "--license", "b"])
    assert "--license 2 times for --midi 1 times" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"soundfonts": ()}, "no soundfont given"),
        ({"hours": {"dev": 1.0}}, "hours by split"),
        ({"hours": {"train": 0.0}}, "hours by split"),
        ({"procedural_weight": -1.0}, "weights must be 0 or more"),
        ({"shortest_seconds": 9.0}, "lengths of 9.0 to 5.0 seconds"),
        ({"timbre_chance": 1.5}, "timbre_chance must be 0 to 1, not 1.5"),
        ({"any_chance": -0.5}, "any_chance must be 0 to 1, not -0.5"),
    ],
)
def test_bad_settings(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        small_config(tmp_path, **changes)


def test_missing_and_empty_source_folders(tmp_path):
    with pytest.raises(InputError, match="no such folder of MIDI files"):
        synthetic.synthesize(tmp_path / "out", small_config(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="none of its 0 MIDI files falls into the split"):
        synthetic.synthesize(tmp_path / "out-2", small_config(tmp_path / "empty"))


def test_compose_gives_one_program_a_part():
    for seed in range(30):
        for part in procedural.compose(10.0, np.random.default_rng(seed)):
            assert len(np.unique(part["program"])) == 1 and len(np.unique(part["is_drum"])) == 1
