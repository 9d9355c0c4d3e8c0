"""The script that fits the constants by which what is heard becomes notes."""

import dataclasses
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mt3lite import hearing, notes, offsets
from mt3lite.training import datasets

SCRIPT = Path(__file__).parents[1] / "data" / "models" / "small" / "fit.py"


@pytest.fixture(scope="module")
def fit():
    spec = importlib.util.spec_from_file_location("fit", SCRIPT)
    module = sys.modules["fit"] = importlib.util.module_from_spec(spec)  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["fit"]


def test_a_model_is_recorded_and_its_constants_are_fitted(fit, tiny_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(offsets, "_MARGIN", offsets._MARGIN)
    monkeypatch.setattr(hearing, "ONSET_FROM", hearing.ONSET_FROM)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["fit.py", *map(str, arguments)])
        fit.main()
        return [line.split() for line in capsys.readouterr().out.splitlines()]

    noise = np.random.default_rng(0).normal(0, 0.1, 5 * 16000).astype(np.float32)
    noise[2 * 16000 - 4000 : 5 * 16000 - 8000] = 0  # a segment of silence with what is around it
    soundfile.write(tmp_path / "noise.wav", noise, 16000)
    notes.write_midi(
        notes.from_rows([(1.0, 1.5, 60, 90, 0, False), (1.2, 1.4, 38, 90, 0, True)]), tmp_path / "noise.mid"
    )
    track = datasets.Track(id="noise", split="validation", audio=tmp_path / "noise.wav", midi=tmp_path / "noise.mid")
    datasets.write_manifest([track], tmp_path / "manifest.jsonl")
    assert run("record", tiny_folder, tmp_path, tmp_path / "out") == [["1", "of", "1:", "noise"]]

    piece = fit.Piece.read(tmp_path / "out" / "00000.npz")
    assert piece.edges.tolist()[-1] == 500 and len(piece.heads["onset"]) == len(piece.is_silent)
    np.testing.assert_array_equal(piece.reference, notes.read_midi(track.midi))
    ((segments,), few) = list(fit.begun([piece])), []
    for hearing.ONSET_FROM in (-1.2, 0.5):
        few.append(len(fit.transcribed(piece, *fit.begun([piece]))[0]))
    assert few[0] > few[1]
    assert [heard is None for heard in segments] == piece.is_silent.tolist()

    heading, now, *others = run(
        "sweep", tmp_path / "out", "--constant", "_MARGIN", "--values", f"{offsets._MARGIN},0.3"
    )
    assert heading[:2] == ["_MARGIN", "onset"]
    assert now[1:2] + now[3:] == others[0][1:]
    assert offsets._MARGIN == 0.3

    lasting, _ = fit.transcribed(piece, segments)
    lasting["offset"] = lasting["onset"] + 0.5
    heads = piece.heads | {"end": piece.heads["onset"]}
    (tmp_path / "ending").mkdir()
    dataclasses.replace(piece, heads=heads, reference=lasting).save(tmp_path / "ending" / "00000.npz")
    heading, (_, count, *weights), _ = run("ends", tmp_path / "ending")
    assert heading == ["positions", "_END_WEIGHT", "_FRAME_WEIGHT", "_ENDS"]
    assert int(count) > 10 and len(weights) == 3
    for arguments, message in (
        (("ends", tmp_path / "out"), "does not hear when notes end"),
        (("ends", tmp_path / "none"), "nothing is recorded there"),
        (("sweep", tmp_path / "out", "--constant", "_NONE", "--values", "1"), "no such constant"),
    ):
        with pytest.raises(SystemExit, match=message):
            run(*arguments)


def test_a_regression_finds_the_weights(fit):
    rng, wanted = np.random.default_rng(0), np.array([1.0, -0.2, 1.2])
    features = np.column_stack([rng.normal(-3, 3, (100_000, 2)), np.ones(100_000)])
    ends = rng.uniform(size=100_000) < 1 / (1 + np.exp(-features @ wanted))
    np.testing.assert_allclose(fit.regression(np.column_stack([features, ends])), wanted, atol=0.05)


def test_elements_of_an_array_are_set(fit, monkeypatch):
    was = hearing.DRUM_FROM.copy()
    monkeypatch.setattr(hearing, "DRUM_FROM", hearing.DRUM_FROM)
    assert fit.set_constant("DRUM_FROM[35,36]", -0.5) == was[35]
    assert set(hearing.DRUM_FROM[[35, 36]].tolist()) == {-0.5}
    fit.set_constant("DRUM_FROM[~35,36]", -3.0)
    assert np.flatnonzero(hearing.DRUM_FROM == -0.5).tolist() == [35, 36]
    assert set(np.delete(hearing.DRUM_FROM, [35, 36]).tolist()) == {-3.0}
