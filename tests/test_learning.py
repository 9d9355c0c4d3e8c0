"""Trainings that learn something, on two bars which FluidSynth plays, through the command line."""

import csv
import json
from pathlib import Path

import jax
import numpy as np
import pretty_midi
import pytest
import soundfile

from mt3lite import cli, config, network, notes, render, weights

pytest.importorskip("fluidsynth", reason="needs FluidSynth: pip install mt3lite[synth]", exc_type=ImportError)

SOUNDFONT = Path(pretty_midi.__file__).parent / "TimGM6mb.sf2"
BARS = {"first": ([60, 64, 67, 72], 48), "second": ([71, 67, 64, 62], 43)}  # melody and bass of a bar of two seconds


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """A folder with a recording and a MIDI file of each bar, and no manifest."""
    folder = tmp_path_factory.mktemp("pairs")
    for name, (melody, bass) in BARS.items():
        played = [(0.5 * beat, 0.5 * beat + 0.4, pitch, 80, 0, False) for beat, pitch in enumerate(melody)]
        played = notes.from_rows([*played, (0.0, 1.9, bass, 80, 0, False)])
        samples = render.render(played, SOUNDFONT, render.RenderConfig(sample_rate=16000, tail_seconds=0.1))
        soundfile.write(folder / f"{name}.wav", samples, 16000)
        notes.write_midi(played, folder / f"{name}.mid")
    return folder


def test_a_tiny_model_learns_two_bars_by_heart(pairs, tmp_path):
    """From a folder of recordings to exactly their notes; 300 updates of four examples."""
    recipe = ["--preset", "tiny", "--steps", "300", "--batch-size", "4", "--learning-rate", "5e-3"]
    recipe += ["--warmup-steps", "10", "--listening", "0", "--reading", "0", "--no-augmentation"]
    assert cli.main(["train", "--data", str(pairs), "--workdir", str(tmp_path / "run"), *recipe]) == 0
    found = ["--model", str(tmp_path / "run" / "model"), "--output-dir", str(tmp_path / "found")]
    assert cli.main(["transcribe", *(str(pairs / f"{name}.wav") for name in BARS), *found]) == 0
    for name in BARS:
        played, heard = (notes.read_midi(folder / f"{name}.mid") for folder in (pairs, tmp_path / "found"))
        assert len(heard) == len(played)
        for wanted, came in zip(_in_order(played), _in_order(heard), strict=True):
            assert came["pitch"] == wanted["pitch"] and came["program"] == wanted["program"]
            assert came["onset"] == pytest.approx(wanted["onset"], abs=0.011)  # a step of 10 ms, and rounding
            assert came["offset"] == pytest.approx(wanted["offset"], abs=0.006)  # half a step


def test_the_bundled_model_learns_from_a_folder_of_pairs(pairs, tmp_path):
    """In one command, with an encoder that stays as it is: within forty updates the loss falls by half."""
    recipe = ["--init-from", "small", "--freeze-encoder", "--steps", "40", "--batch-size", "2", "--log-every", "1"]
    recipe += ["--warmup-steps", "1", "--learning-rate", "5e-3", "--no-augmentation"]
    assert cli.main(["train", "--data", str(pairs), "--workdir", str(tmp_path / "run"), *recipe]) == 0
    with (tmp_path / "run" / "curve.csv").open() as file:
        curve = [float(row["token_loss"]) for row in csv.DictReader(file)]
    assert len(curve) == 40
    assert np.mean(curve[-5:]) < 0.5 * np.mean(curve[:5])  # it differs from batch to batch
    before, after = weights.load("small").params, weights.load(tmp_path / "run" / "model").params
    jax.tree.map(np.testing.assert_array_equal, before["encoder"], after["encoder"])
    assert not np.array_equal(before["decoder"]["logits_dense"]["kernel"], after["decoder"]["logits_dense"]["kernel"])
    manifest = (tmp_path / "run" / "dataset" / "manifest.jsonl").read_text().splitlines()
    assert {json.loads(line)["split"] for line in manifest} == {"train"}


def test_a_dry_run_tells_the_cost_and_keeps_nothing(pairs, tmp_path, capsys):
    """Of the tiny preset, by its known number of parameters."""
    assert cli.main(["data", "import", "folder", str(pairs), "--out", str(tmp_path / "data"), "--split", "train"]) == 0
    capsys.readouterr()
    recipe = ["--preset", "tiny", "--batch-size", "4", "--no-augmentation", "--dry-run"]
    recipe += ["--listening", "0", "--reading", "0"]  # one program to compile
    assert cli.main(["train", "--data", str(tmp_path / "data"), *recipe]) == 0
    told = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines() if "  " in line)
    assert told["parameters"].strip() == f"{_size('tiny'):,}"
    assert float(told["FLOPs an update"].split()[0]) > 0.01
    assert float(told["speed"].split()[0]) > 0
    assert told["time an update"].endswith("100 % of the run, all") and "10,000 updates" in told["the run"]
    assert cli.main(["train", "--data", str(pairs), *recipe]) == 1
    assert "mt3lite data import folder" in capsys.readouterr().err


def _in_order(played: np.ndarray) -> np.ndarray:
    """Sort by onset, to 10 ms, and pitch."""
    return played[np.lexsort((played["pitch"], played["onset"].round(2)))]


def _size(preset: str) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(network.parameter_shapes(config.preset(preset).network)))
