"""The trainer, on a corpus of sine tones that the tests make themselves."""

import csv
import dataclasses
import importlib.util
import json
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tones

from mt3lite import cli, config
from mt3lite.errors import InputError
from mt3lite.training import datasets, examples, sharding, trainer, update, validation

pytestmark = pytest.mark.usefixtures("compiled_once")
TINY = config.preset("tiny")
# All that learns learns from the start: one program to compile.
QUICK = trainer.TrainConfig(
    num_steps=6, batch_size=2, log_every=2, warmup_steps=2, listening_fraction=0.0, reading_fraction=0.0
)


def losses_of(run: Path) -> list[tuple[str, ...]]:
    """Return what the curve of a run says but for the times, as it is written."""
    with (run / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [tuple(value for name, value in row.items() if "second" not in name) for row in rows]


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    """Two tracks: one of piano notes and a drum, one with a note held for seconds."""
    return tones.two_tracks(tmp_path_factory.mktemp("corpus"))


def test_training_goes_on_where_it_stopped(tracks, tmp_path):
    """Six steps in a row, and three and then three from the checkpoint, end in the same parameters and losses."""
    whole = trainer.fit(tmp_path / "whole", tracks, TINY, QUICK, report=lambda line: None)

    class Interrupted(Exception):
        pass

    def stop(line: str) -> None:
        if line.startswith("step 2"):
            raise Interrupted

    # Lines come some updates later than what they tell, so that the last checkpoint lies between two lines.
    every_step = dataclasses.replace(QUICK, checkpoint_minutes=0.0)
    with pytest.raises(Interrupted):
        trainer.fit(tmp_path / "parts", tracks, TINY, every_step, report=stop)
    lines = []
    parts = trainer.fit(tmp_path / "parts", tracks, TINY, every_step, report=lines.append)
    assert lines[0] == "going on from step 1"
    jax.tree.map(np.testing.assert_array_equal, whole, parts)
    assert losses_of(tmp_path / "whole") == losses_of(tmp_path / "parts")


def test_a_run_refuses_other_settings(tracks, tmp_path):
    """The folder remembers how it was begun."""
    short = dataclasses.replace(QUICK, num_steps=1)
    trainer.fit(tmp_path, tracks, TINY, short, report=lambda line: None)
    with pytest.raises(InputError, match=r"begun with other settings \(seed\)"):
        trainer.fit(tmp_path, tracks, TINY, dataclasses.replace(short, seed=1), report=lambda line: None)
    with pytest.raises(InputError, match=r"begun with other settings \(tracks\)"):
        trainer.fit(tmp_path, tracks[:1], TINY, short, report=lambda line: None)
    with pytest.raises(InputError, match=r"begun with other settings \(augmentation\)"):
        trainer.fit(tmp_path, tracks, TINY, short, augmentation=examples.AugmentConfig(), report=lambda line: None)


def test_a_setting_that_is_younger_than_the_run_is_not_held_against_it(tracks, tmp_path):
    """As when the library has learnt one since; but one that it has no more is."""
    begun = dataclasses.asdict(QUICK)
    (tmp_path / "train.json").write_text(json.dumps({key: value for key, value in begun.items() if key != "z_loss"}))
    with trainer._claimed(tmp_path, tracks, TINY, QUICK, None):
        assert json.loads((tmp_path / "train.json").read_text())["z_loss"] == QUICK.z_loss
    (tmp_path / "train.json").write_text(json.dumps(begun | {"forgotten": 1}))
    with (
        pytest.raises(InputError, match=r"other settings \(forgotten\)"),
        trainer._claimed(tmp_path, tracks, TINY, QUICK, None),
    ):
        pass


def test_a_validation_track_that_cannot_be_read_is_told_before_anything_is_learnt(tracks, tmp_path):
    (tmp_path / "bad.mid").write_bytes(b"no MIDI")
    bad = dataclasses.replace(tracks[0], midi=tmp_path / "bad.mid")
    settings = dataclasses.replace(QUICK, evaluate_every=1000)
    with pytest.raises(InputError, match=r"bad\.mid: "):
        trainer.fit(tmp_path / "run", tracks, TINY, settings, validation_tracks=[bad], report=lambda line: None)
    assert not (tmp_path / "run").exists()


def test_the_loss_of_validation_is_that_of_training_on_other_tracks(tracks, tmp_path):
    """The same examples as a loader of the held-out tracks makes, without dropout; no tracks to score, no scores."""
    settings = dataclasses.replace(QUICK, evaluate_every=1, evaluate_tracks=0)
    augmentation = examples.AugmentConfig()
    state = update.initial_state(TINY, settings, sharding.make_mesh())
    validator = validation.Validator(tracks, TINY, settings, augmentation)
    scores, picture = validator(state.params, "encoder", tmp_path / "none.png")
    made = [examples.at(i, tracks, TINY, augmentation, seed=settings.seed) for i in range(validation.NUM_EXAMPLES)]
    batch = {name: np.stack([getattr(example, name) for example in made]) for name in ("samples", "notes")}
    sober = dataclasses.replace(TINY, network=dataclasses.replace(TINY.network, dropout_rate=0.0))
    told = {"phase": "encoder", "config": sober, "train": settings}
    expected, _ = update.loss_and_metrics(state.params, batch, jnp.float32(0), jax.random.key(1), **told)
    np.testing.assert_allclose(scores.pop("loss"), expected, rtol=1e-4)
    assert np.isnan(list(scores.values())).all() and picture is None
    with pytest.raises(InputError, match="evaluate_every: there are no tracks to evaluate"):
        validation.Validator([], TINY, settings, augmentation)


def test_a_folder_of_pairs_without_one_to_validate_on(tracks, tmp_path, capsys):
    """Two pairs, which both fall to training; the split is told before anything is compiled."""
    pairs = str(tracks[0].midi.parent)
    arguments = ["--data", pairs, "--preset", "tiny", "--evaluate-every", "5"]
    assert cli.main(["train", "--workdir", str(tmp_path), *arguments]) == 1
    assert "--evaluate-every needs tracks of the split 'validation', and there are none" in capsys.readouterr().err


def test_a_loss_that_is_no_number_stops_the_run(tracks, tmp_path):
    """The steps are named, and what to do."""
    wild = dataclasses.replace(QUICK, learning_rate=1e30, warmup_steps=1)
    with pytest.raises(InputError, match="loss is .* within steps 1 to 2: lower .*; there is no checkpoint yet"):
        trainer.fit(tmp_path, tracks, TINY, wild, report=lambda line: None)


def test_the_phases_of_a_run():
    """By hand: a fifth listening, three tenths reading, the rest both."""
    settings = trainer.TrainConfig(listening_fraction=0.2, reading_fraction=0.3)
    phases = [trainer.phase_of(settings, progress) for progress in (0.0, 0.19, 0.2, 0.49, 0.5, 1.0)]
    assert phases == ["encoder", "encoder", "decoder", "decoder", "both", "both"]
    assert settings.phases() == [("encoder", 0.2), ("decoder", 0.3), ("both", 0.5)]
    listening = dataclasses.replace(settings, listening_fraction=1.0, reading_fraction=0.0)
    assert listening.phases() == [("encoder", 1.0)] and trainer.phase_of(listening, 0.999) == "encoder"
    assert dataclasses.replace(settings, freeze_encoder=True).phases() == [("decoder", 1.0)]
    with pytest.raises(InputError, match="listening_fraction and reading_fraction: 0.8 and 0.3 are more than"):
        dataclasses.replace(settings, listening_fraction=0.8)


def test_reading_leaves_the_encoder_as_it_is(tracks, tmp_path):
    """The decoder's parameters change, the encoder's do not at all, weight decay or not."""
    reading = dataclasses.replace(QUICK, num_steps=2, listening_fraction=0.0, reading_fraction=1.0)
    before = update.initial_state(TINY, reading, sharding.make_mesh()).params["network"]
    after = trainer.fit(tmp_path, tracks, TINY, reading, report=lambda line: None)
    jax.tree.map(np.testing.assert_array_equal, before["encoder"], after["encoder"])
    assert not np.array_equal(before["decoder"]["logits_dense"]["kernel"], after["decoder"]["logits_dense"]["kernel"])


def test_from_a_folder_to_a_scored_model_by_commands(tracks, tmp_path, capsys, monkeypatch):
    """Train on a dataset folder, go on from the model, and evaluate it on the same folder."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "cache"))
    held_out = dataclasses.replace(tracks[1], id="v", split="validation")
    datasets.write_manifest([*tracks, held_out], tmp_path / datasets.MANIFEST_NAME)
    common = ["--data", str(tmp_path), "--steps", "2", "--batch-size", "2"]
    assert cli.main(["train", *common, "--workdir", str(tmp_path / "run"), "--preset", "tiny"]) == 0
    model = str(tmp_path / "run" / "model")
    more = ["--workdir", str(tmp_path / "more"), "--init-from", model, "--evaluate-every", "2"]
    assert cli.main(["train", *common, *more]) == 0
    said = capsys.readouterr().out
    assert "tiny learns from 2 tracks; " in said and re.search(r"step 2  validation: loss \d+\.\d+, Onset F1 0\.", said)
    (row,) = csv.DictReader((tmp_path / "more" / "validation.csv").read_text().splitlines())
    assert row["step"] == "2" and 0 <= float(row["Onset F1"]) <= 1 and float(row["loss"]) > 0
    if importlib.util.find_spec("matplotlib"):
        assert (tmp_path / "more" / "pictures" / "step-00000002.png").read_bytes().startswith(b"\x89PNG")
    scores = tmp_path / "scores.json"
    assert cli.main(["evaluate", str(tmp_path), "--split", "train", "--model", model, "--json", str(scores)]) == 0
    assert "2 pieces, pooled" in capsys.readouterr().out
    written = json.loads(scores.read_text())
    assert written["model"] == "tiny" and [piece["id"] for piece in written["pieces"]] == ["a", "b"]
    assert written["pooled"]["Onset F1"].keys() == {"value", "low", "high"}
    assert cli.main(["evaluate", str(tmp_path), "--split", "test", "--model", model]) == 1
    assert "no track of the split 'test'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "tiny", "--gin_file=gin/tiny.gin"], "--preset and --gin_file both say the model"),
        (["--coordinator", "127.0.0.1:1"], "--coordinator, --processes and --process go together"),
        (["--coordinator", "h:1", "--processes", "2", "--process", "2"], "--process 2 is not one of 0 to 1"),
        (["--freeze-encoder"], "--freeze-encoder needs an encoder that has learnt: --init-from"),
        (["--listening", "1.5"], "'1.5' is not a number from 0 to 1"),
    ],
)
def test_wrong_usage(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["train", "--data", "x", "--workdir", "y", *arguments])
    assert message in capsys.readouterr().err


def test_a_processor_that_jax_has_found_whole_is_not_divided(tmp_path, capsys):
    assert jax.device_count()
    more = ["--workdir", str(tmp_path / "run"), "--cpu-devices", "3"]
    assert cli.main(["train", "--data", str(tmp_path), *more]) == 1
    assert capsys.readouterr().err == "mt3lite: --cpu-devices 3: JAX has its devices already in this process\n"


def test_gin_files_and_options_fill_the_same_settings(monkeypatch, tmp_path, tracks, tiny_folder, capsys):
    """A file, a change of it, and an option over both; a model of other settings is refused."""
    pytest.importorskip("gin", reason="pip install mt3lite[train]", exc_type=ImportError)
    datasets.write_manifest(tracks, tmp_path / datasets.MANIFEST_NAME)
    seen = {}

    def fit(folder, tracks, config, train, **others):
        seen.update(config=config, train=train, initial_params=others["initial_params"])
        raise trainer.Terminated("enough seen")

    monkeypatch.setattr(trainer, "fit", fit)
    given = ["--data", str(tmp_path), "--workdir", str(tmp_path / "run"), "--gin_file=gin/tiny.gin"]
    changes = ["--gin.BATCH_SIZE=6", "--gin.gin_config.train.rematerialise=True", "--steps", "9"]
    assert cli.main(["train", *given, *changes]) == 143
    assert seen["config"] == TINY
    assert (seen["train"].batch_size, seen["train"].num_steps, seen["train"].rematerialise) == (6, 9, True)
    adafactor = ["--optimizer", "adafactor", "--learning-rate", "0.01"]
    assert cli.main(["train", *given, *adafactor]) == 143
    assert (seen["train"].optimizer, seen["train"].learning_rate) == ("adafactor", 0.01)
    assert seen["train"].max_gradient_norm == 0.0
    assert cli.main(["train", *given, "--init-from", "small"]) == 1
    refusal = "gin/tiny.gin: the model's settings are not those of small, nor of a larger one: "
    assert refusal in capsys.readouterr().err
    larger = [
        *given,
        "--gin.gin_config.segments.max_tokens=64",
        "--gin.gin_config.network.num_encoder_layers=2",
        "--init-from",
        str(tiny_folder),
    ]
    assert cli.main(["train", *larger]) == 143
    assert "layers_1" in seen["initial_params"]["encoder"]


@pytest.mark.parametrize("content", ["{", "[1]", "[" * 100_000])
def test_a_run_whose_settings_are_damaged_is_not_gone_on_with(tracks, tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match=r"config\.json: cannot be gone on from: "):
        trainer.fit(tmp_path, tracks, TINY, QUICK, report=lambda line: None)
