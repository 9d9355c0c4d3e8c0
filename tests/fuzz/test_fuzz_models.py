"""Model folders: settings of other values, hostile JSON, tensors of other names, shapes and types, damaged files."""

import dataclasses
import hashlib
import json
import pickle

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from mutation import DEEP, NUMBERS, changed, damaged
from surviving import fuzz, survive

from mt3lite import config, transcriber, weights
from mt3lite.errors import InputError

TINY = config.preset("tiny")


@pytest.fixture(scope="module")
def parts(tiny_folder):
    """Return the two files of a model folder: JSON's value, and bytes."""
    header = json.loads((tiny_folder / weights.CONFIG_FILE).read_text())
    return header, (tiny_folder / weights.WEIGHTS_FILE).read_bytes()


def write(folder, header, stored: bytes, *, honest: bool = True):
    """Write a model folder, by default with the right checksum: who means harm can compute it, too."""
    folder.mkdir(exist_ok=True)
    if honest:
        header = {**header, "sha256": {weights.WEIGHTS_FILE: hashlib.sha256(stored).hexdigest()}}
    (folder / weights.CONFIG_FILE).write_text(header if isinstance(header, str) else json.dumps(header))
    (folder / weights.WEIGHTS_FILE).write_bytes(stored)
    return folder


def test_settings_of_other_values(tmp_path, parts):
    header, stored = parts

    @fuzz(200)
    @given(changed(header))
    def shown(value):
        honest = isinstance(value, dict) and "sha256" in value
        survive("model folders, other settings", weights.load, write(tmp_path / "m", value, stored, honest=honest))

    shown()


@fuzz(150)
@given(st.data())
def test_sizes_beyond_all_use(data):
    """Every number of a Config, however large, is refused or takes a moment."""
    values = json.loads(config.to_json(TINY))
    for _ in range(data.draw(st.integers(1, 3))):
        section = data.draw(st.sampled_from(["spectrogram", "segments", "vocabulary", "network"]))
        numbers = [key for key, value in values[section].items() if type(value) in (int, float)]
        values[section][data.draw(st.sampled_from(numbers))] = data.draw(
            st.one_of(st.sampled_from(NUMBERS), st.integers(-3, 70_000), st.floats())
        )
    survive("settings, absurd sizes", config.from_json, json.dumps(values), "config.json")


@pytest.mark.parametrize("text", DEEP, ids=range(len(DEEP)))
def test_json_too_deep_or_too_long(tmp_path, parts, text):
    result = survive("model folders, other settings", weights.load, write(tmp_path / "m", text, parts[1], honest=False))
    assert isinstance(result, InputError)


def test_tensors_with_damage(tmp_path, parts):
    header, stored = parts
    length = 8 + int.from_bytes(stored[:8], "little")

    @fuzz(80)
    @given(damaged(stored, header=length))
    def shown(content):
        survive("model folders, damaged tensors", weights.load, write(tmp_path / "m", header, content))

    shown()


DTYPES = st.sampled_from([np.float32, np.float16, np.float64, np.int32, np.uint8, np.bool_])
SHAPES = st.lists(st.integers(0, 6), max_size=4).map(tuple)


def test_other_tensors(tmp_path, parts):
    header, stored = parts
    tensors = safetensors.numpy.load(stored)
    names = st.one_of(st.sampled_from(sorted(tensors)), st.sampled_from(["", "/", "a/", "encoder", "decoder/x", "\0"]))

    @fuzz(60)
    @given(st.lists(st.tuples(names, st.one_of(st.none(), st.tuples(SHAPES, DTYPES))), min_size=1, max_size=3))
    def shown(changes):
        others = dict(tensors)
        for name, kind in changes:
            if kind is None:
                others.pop(name, None)
            else:
                others[name] = np.ones(*kind)
        content = safetensors.numpy.save(others)
        survive("model folders, other tensors", weights.load, write(tmp_path / "m", header, content))

    shown()


class Bomb:
    """What unpickling this does is seen."""

    def __reduce__(self):
        return (open, ("/tmp/mt3lite-was-unpickled", "w"))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_are_not_opened(tmp_path, parts, protocol, monkeypatch):
    monkeypatch.setattr(pickle, "loads", lambda *_: pytest.fail("something was unpickled"))
    monkeypatch.setattr(pickle, "load", lambda *_: pytest.fail("something was unpickled"))
    content = pickle.dumps(Bomb(), protocol)
    result = survive("model folders, pickles", weights.load, write(tmp_path / "m", parts[0], content))
    assert isinstance(result, InputError) and "not a safetensors file" in str(result)


@fuzz(3)
@given(
    st.fixed_dictionaries(
        {}, optional={"max_tokens": st.sampled_from([1, 2, 17]), "num_frames": st.sampled_from([2, 8, 29])}
    ),
    st.sampled_from([0.0, 1e-3, 1.0, 1e3, 1e30]),
)
def test_what_is_taken_transcribes(tiny_folder, segments, factor):
    """Other segments, and weights from nothing to far beyond: notes come of them, and counts."""
    model = weights.load(tiny_folder)
    settings = config.changed(model.config, segments=segments)
    params = {**model.params, "decoder": {**model.params["decoder"]}}
    params["decoder"]["logits_dense"] = {"kernel": params["decoder"]["logits_dense"]["kernel"] * np.float32(factor)}
    loaded = transcriber.Transcriber(dataclasses.replace(model, config=settings, params=params))
    sound = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)
    found = survive("models of other segments and weights, transcribing", loaded.transcribe, sound)
    assert found.num_segments >= 1 and found.duration_seconds == 0.5
