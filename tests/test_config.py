"""One settings value: JSON and back, and pairs that do not fit are refused."""

import dataclasses
import json
import re
import shutil

import pytest

from mt3lite import config, vocabulary, weights
from mt3lite.errors import InputError


@pytest.mark.parametrize("name", config.PRESETS)
def test_json_round_trip(name):
    preset = config.preset(name)
    assert config.from_json(config.to_json(preset), "here") == preset
    assert preset.name == name


def test_the_ancestors_sizes():
    mt3, ismir = config.preset("mt3"), config.preset("ismir2021")
    assert (mt3.network.vocab_size, ismir.network.vocab_size) == (1536, 1664)
    assert (mt3.segments.num_frames, ismir.segments.num_frames) == (256, 512)
    assert (mt3.segment_steps, ismir.segment_steps) == (205, 410)  # 2.048 s and 4.096 s, rounded up
    assert config.preset("small").segment_steps == 200


def test_unknown_preset_lists_the_known():
    with pytest.raises(InputError, match="medium: no such preset; there are tiny, small, mt3, ismir2021"):
        config.preset("medium")


def test_whole_numbers_do_for_floats():
    values = json.loads(config.to_json(config.preset("mt3")))
    values["network"]["dropout_rate"] = 0
    assert config.from_json(json.dumps(values), "here").network.dropout_rate == 0.0


def edited(part: str, **changes) -> str:
    values = json.loads(config.to_json(config.preset("tiny")))
    (values[part] if part else values).update(changes)
    return json.dumps(values)


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "here: not JSON"),
        ("[]", r"here: config: \[\] is not an object"),
        (edited("", speed=1), "here: unknown key speed; the keys here are name, spectrogram"),
        (edited("", network=3), "here: network: 3 is not an object"),
        (edited("codec", ties=True), "unknown key codec.ties"),
        (edited("codec", events="notes"), "codec.events: 'notes' has no tie sections, which a network with network.h"),
        (edited("codec", events="onsets"), "codec.events: 'onsets' has no tie sections"),
        (edited("network", num_heads=2.5), "network.num_heads: 2.5 is not of type int"),
        (edited("network", num_heads=True), "network.num_heads: True is not of type int"),
        (edited("network", shift_positions=[1.0]), "network.shift_positions: .* is not of type tuple"),
        (edited("network", carried_ranges=[[3, "x"]]), r"network.carried_ranges\[0\]\[1\]: 'x' is not of type int"),
        (edited("network", carried_ranges=[[4, 7]] * 4), r"carried_ranges: \(4, 7\) is not the range of an event type"),
        (edited("network", vocab_size=640), "network.vocab_size: is 640, but the vocabulary's embeddings is"),
        (edited("network", input_depth=512), "network.input_depth: is 512, but spectrogram.num_bins is 294"),
        (edited("network", max_positions=100), "network.max_positions: 100 is less than the 512"),
        (edited("network", frames_per_position=1000), "frames_per_position: 1000 does not divide the"),
        (edited("network", frames_per_position=0), "network.frames_per_position: 0 is not from 1 to 1024"),
        (edited("network", emb_dim=33), "network.emb_dim: 33 is not an even number of at least 4"),
        (edited("network", bins_per_semitone=4), "network.bins_per_semitone: is 4, but"),
        (edited("network", front_end="square"), "network.front_end: 'square' is not one of linear, harmonic"),
        ("[" * 100_000, "here: .*nested too deeply"),
        (edited("", name="a\x1b[31m"), "here: name: 'a.x1b.31m' is not a name"),
        (edited("network", num_encoder_layers=10**9), "network.num_encoder_layers: 1000000000 is not from 0 to 128"),
        (edited("network", max_positions=1 << 17, emb_dim=1 << 14), "max_positions: 131072 of 16384 numbers"),
        (edited("network", dropout_rate=1.0), "network.dropout_rate: 1.0 is not from 0 to 1"),
        (edited("network", shift_positions=[float("nan"), 1.0]), "network.shift_positions: .* not finite"),
        (edited("segments", max_tokens=10**12), "segments.max_tokens: 1000000000000 is not from 1 to 65536"),
        (edited("spectrogram", fft_size=1 << 17, num_bins=1 << 13), "spectrogram.num_bins: 8192 filters of 131072"),
        (edited("spectrogram", min_frequency_hz=10**400), "spectrogram.min_frequency_hz: .* is too large"),
        (edited("vocabulary", max_shift_steps=10**12), "max_shift_steps must be .* at most 100000"),
        (edited("vocabulary", num_velocity_bins=0), "num_velocity_bins must be at least 1"),
    ],
)
def test_bad_settings_are_named(text, message):
    with pytest.raises(InputError, match=message):
        config.from_json(text, "here")


def test_missing_keys_are_named():
    values = json.loads(config.to_json(config.preset("tiny")))
    del values["segments"]["edges"]
    with pytest.raises(InputError, match="here: missing key segments.edges"):
        config.from_json(json.dumps(values), "here")


LATER = {"note_channels": 48, "note_blocks": 0, "note_ends": False, "note_unisons": False}


def test_a_model_folder_from_before_a_setting_has_its_default(tiny_folder, tmp_path):
    """Such a folder says nothing of them; what every folder has said is still wanted."""
    folder = tmp_path / "older"
    shutil.copytree(tiny_folder, folder)
    header = json.loads((folder / "config.json").read_text())
    for name, value in LATER.items():
        assert header["config"]["network"].pop(name) == value
    (folder / "config.json").write_text(json.dumps(header))
    assert weights.load(folder).config == weights.load(tiny_folder).config
    del header["config"]["network"]["mlp_dim"]
    (folder / "config.json").write_text(json.dumps(header))
    with pytest.raises(InputError, match=r"config\.json: .*missing key .*network\.mlp_dim"):
        weights.load(folder)


def test_settings_that_came_later_are_checked_like_any():
    with pytest.raises(InputError, match="network.note_blocks: 65 is not from 0 to 64"):
        config.from_json(edited("network", note_blocks=65), "here")
    with pytest.raises(InputError, match="network.note_ends: 1 is not of type bool"):
        config.from_json(edited("network", note_ends=1), "here")
    told = config.from_json(edited("network", note_channels=16, note_blocks=2, note_ends=True), "here").network
    assert (told.note_channels, told.note_blocks, told.note_ends) == (16, 2, True)


def test_a_config_is_a_value():
    tiny = config.preset("tiny")
    assert dataclasses.replace(tiny) == tiny and hash(dataclasses.replace(tiny)) == hash(tiny)
    with pytest.raises(dataclasses.FrozenInstanceError):
        tiny.name = "other"


# --- changed ---


@pytest.mark.parametrize("name", config.PRESETS)
def test_a_preset_without_changes_is_itself(name):
    assert config.changed(config.preset(name)) == config.preset(name)


def test_what_follows_from_a_change_follows():
    small = config.preset("small")
    wider = config.changed(
        small,
        name="wider",
        vocabulary={"num_velocity_bins": 127},
        spectrogram={"num_bins": 290},
        segments={"context_frames": 20},
        network={"frames_per_position": 4},
    )
    words = vocabulary.Vocabulary(wider.vocabulary)
    assert wider.name == "wider"
    assert (wider.network.vocab_size, wider.network.input_depth) == (words.num_embeddings, 290)
    ids = [words.token_range(kind) for kind in ("shift", "velocity", "tie", "program", "pitch")]
    told = [(each.start, len(each)) for each in ids]
    assert [*wider.network.carried_ranges, wider.network.pitch_range] == told
    assert wider.network.shift_positions == (5.0, 0.25)
    assert wider.network.emb_dim == small.network.emb_dim


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"net": {}}, "unknown section net; there are spectrogram, segments, vocabulary, codec, network"),
        ({"network": {"width": 3}}, "unknown key network.width; the keys here are "),
        ({"network": {"emb_dim": "wide"}}, "network.emb_dim: 'wide' is not of type int"),
        ({"network": {"input_depth": 3}}, "network.input_depth: follows from the other settings; leave it out"),
        ({"segments": {"max_tokens": 4096}}, "network.max_positions: 2048 is less than the 4096"),
    ],
)
def test_changes_that_do_not_fit_are_refused(changes, said):
    with pytest.raises(InputError, match=re.escape(said)):
        config.changed(config.preset("small"), **changes)
