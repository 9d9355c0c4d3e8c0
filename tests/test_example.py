"""The example that comes along."""

import numpy as np
import pytest

import mt3lite
from mt3lite import audio, example


def test_the_clip_can_be_read():
    samples = audio.load(mt3lite.example_clip(), 16000)
    assert len(samples) == 31 * 16000 and np.abs(samples).max() > 0.5


def test_its_absence_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(example, "_FOLDERS", (tmp_path / "a", tmp_path / "b"))
    with pytest.raises(mt3lite.InputError, match="the example clip is neither in .*a nor in .*b"):
        mt3lite.example_clip()
