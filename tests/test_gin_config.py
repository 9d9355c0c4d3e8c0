"""gin files to settings, and what a mistake in one is told."""

import dataclasses
import re
from pathlib import Path

import pytest

from mt3lite import config
from mt3lite.errors import InputError
from mt3lite.training import examples, trainer

pytest.importorskip("gin", reason="pip install 'mt3lite[train]'", exc_type=ImportError)

from mt3lite.adapters import gin_config  # noqa: E402  it cannot be imported without gin

GIN = Path(__file__).parent.parent / "gin"
FOR_BOTH = ("base", "tiny", "small", "mt3", "ismir2021", "finetune")
FOR_T5X = ("train", "eval", "infer")


def test_base_says_what_the_defaults_are():
    settings = gin_config.read(["gin/base.gin"])
    assert settings.model == config.preset("small")
    assert trainer.TrainConfig(**settings.train) == trainer.TrainConfig()
    assert settings.augmentation == examples.AugmentConfig()


@pytest.mark.parametrize(
    ("name", "preset"),
    [("tiny", "tiny"), ("small", "small"), ("mt3", "mt3"), ("ismir2021", "ismir2021"), ("finetune", "small")],
)
def test_each_file_is_of_its_preset(name, preset):
    settings = gin_config.read([GIN / f"{name}.gin"])
    assert settings.model == config.preset(preset)
    trainer.TrainConfig(**settings.train)  # its fields are known


def test_the_ancestors_files_train_as_the_ancestor():
    mt3, ismir2021 = (
        trainer.TrainConfig(**gin_config.read([f"gin/{name}.gin"]).train) for name in ("mt3", "ismir2021")
    )
    assert (mt3.optimizer, mt3.schedule, mt3.learning_rate, mt3.batch_size) == ("adafactor", "constant", 1e-3, 256)
    assert (mt3.weight_decay, mt3.max_gradient_norm, mt3.auxiliary_weight) == (0.0, 0.0, 0.0)
    assert (mt3.num_steps, dataclasses.replace(mt3, num_steps=400_000)) == (1_000_000, ismir2021)
    assert gin_config.read(["gin/ismir2021.gin"]).augmentation is None


def test_every_file_is_one_of_those_tested():
    assert {path.stem for path in GIN.glob("*.gin")} == {*FOR_BOTH, *FOR_T5X, "t5x"}


@pytest.mark.parametrize("name", [*FOR_BOTH, *FOR_T5X])
def test_each_file_opens_with_its_command_cost_and_result(name):
    opening = "".join(line for line in (GIN / f"{name}.gin").open() if line.startswith("#"))
    launcher = "python -m t5x.main --run_mode=" if name in FOR_T5X else "mt3lite train --gin_file="
    assert re.search(rf"^#   {launcher}", opening, re.MULTILINE)
    assert f"gin/{name}.gin" in opening
    assert re.search(r"^# Cost.*: ", opening, re.MULTILINE)
    assert re.search(r"^# (Cost and r|R)esult: ", opening, re.MULTILINE)


def test_bindings_come_last_and_what_follows_from_them_follows():
    bindings = ["TRAIN_STEPS=7", "gin_config.vocabulary.num_velocity_bins=127", "gin_config.network.dropout_rate=0"]
    settings = gin_config.read(["gin/tiny.gin"], bindings)
    assert settings.train["num_steps"] == 7
    assert settings.model.vocabulary.num_velocity_bins == 127
    assert settings.model.network.vocab_size == 896  # 3 + 201 + 128 + 128 + 1 + 128 + 128 + 100, up to the next 128
    assert settings.model.network.dropout_rate == 0.0
    assert gin_config.read(["gin/tiny.gin"]).model == config.preset("tiny")  # and the next reading knows none of it


def test_augmentation_is_a_setting():
    """Its fields, one by one, and whether there is any."""
    bindings = ["gin_config.augmentation.mix_chance=1", "gin_config.augmentation.level_db=(-6, 0.0)"]
    told = gin_config.read(["gin/tiny.gin"], bindings).augmentation
    assert told == examples.AugmentConfig(mix_chance=1.0, level_db=(-6.0, 0.0)) and type(told.level_db[0]) is float
    assert gin_config.read(["gin/tiny.gin"], ["AUGMENTATION=None"]).augmentation is None


def test_files_are_found_from_anywhere_and_one_may_change_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "from __gin__ import dynamic_registration\nfrom mt3lite.adapters import gin_config\n"
    (tmp_path / "mine.gin").write_text(
        text + "include 'gin/mt3.gin'\nNAME = 'mine'\ngin_config.codec.granularity = 'flat'\n"
    )
    settings = gin_config.read(["mine.gin"])
    assert (settings.model.name, settings.model.codec.granularity) == ("mine", "flat")
    assert settings.model.network == config.preset("mt3").network


@pytest.mark.parametrize(
    ("files", "bindings", "said"),
    [
        ([], ["TRAIN_STEPS=1"], "give one by --gin_file"),
        (["gin/none.gin"], [], "gin/none.gin: no such gin file, neither here nor in "),
        (["gin/tiny.gin"], ["TRAIN_STEP=1"], "TRAIN_STEP: the gin files have no such name"),
        (["gin/tiny.gin"], ["TRAIN_STEPS="], "gin/tiny.gin: Unable to parse value"),
        (["gin/tiny.gin"], ["PRESET='medium'"], "gin/tiny.gin: medium: no such preset; there are tiny, small"),
        (["gin/tiny.gin"], ["gin_config.network.width=3"], "gin/tiny.gin: unknown key network.width; the keys here"),
        (["gin/tiny.gin"], ["gin_config.network.emb_dim=3.5"], "network.emb_dim: 3.5 is not of type int"),
        (["gin/tiny.gin"], ["gin_config.network.vocab_size=9"], "network.vocab_size: follows from the other settings"),
        (["gin/tiny.gin"], ["gin_config.augmentation.echo=1"], "unknown key augmentation.echo; the keys here are mix_"),
        (["gin/tiny.gin"], ["gin_config.augmentation.mix_chance=2"], "augmentation.mix_chance: 2.0 is not from 0 to 1"),
        (["gin/tiny.gin"], ["gin_config.augmentation.level_db=(1, 0)"], "level_db: (1.0, 0.0) does not ascend"),
        (["gin/tiny.gin"], ["gin_config.augmentation.level_db=3"], "augmentation.level_db: 3 is not of type tuple"),
        (["gin/tiny.gin"], ["gin_config.augmentation.most_mixed=0"], "augmentation.most_mixed: 0 is less than 1"),
        (["gin/tiny.gin"], ["gin_config.nothing.x=3"], "No configurable matching 'gin_config.nothing'"),
        (["gin/tiny.gin"], ["gin_config.segments.context_frames=13"], "does not divide the 226 frames"),
    ],
)
def test_mistakes_get_one_line(files, bindings, said):
    with pytest.raises(InputError) as caught:
        gin_config.read(files, bindings)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["PRESET 'small'", "import no.such.module", "include 'no.gin'"])
def test_malformed_files_get_one_line(tmp_path, text):
    (tmp_path / "bad.gin").write_text(f"{text}\n")
    with pytest.raises(InputError, match=r"bad\.gin: ") as caught:
        gin_config.read([tmp_path / "bad.gin"])
    assert "\n" not in str(caught.value)


def test_a_file_without_a_model_is_told(tmp_path):
    (tmp_path / "other.gin").write_text("STEPS = 3\n")
    with pytest.raises(InputError, match=r"other\.gin: .*preset"):
        gin_config.read([tmp_path / "other.gin"])
