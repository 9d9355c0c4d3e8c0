"""Audio files: formats, rates, channels, samples that are no numbers, and files with damage."""

import io

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from mutation import damaged
from surviving import fuzz, survive

from mt3lite import audio
from mt3lite.errors import InputError
from mt3lite.training import checks

FORMATS = (
    ("WAV", "PCM_16"),
    ("WAV", "PCM_U8"),
    ("WAV", "PCM_24"),
    ("WAV", "FLOAT"),
    ("WAV", "DOUBLE"),
    ("WAV", "ULAW"),
    ("WAV", "IMA_ADPCM"),
    ("WAV", "MS_ADPCM"),
    ("WAVEX", "PCM_16"),
    ("RF64", "PCM_16"),
    ("W64", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("FLAC", "PCM_24"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
    ("AIFF", "PCM_16"),
    ("AU", "PCM_16"),
    ("CAF", "PCM_16"),
)
RATE = 16000


def sound(form: str, subtype: str, samples: np.ndarray, rate: int) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format=form, subtype=subtype)
    return stream.getvalue()


def noise(num_samples: int, channels: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.2, (num_samples, channels)).astype(np.float32)


def read(path) -> int:
    """Read a file in every way that there is; return the number of samples."""
    audio.info(path)
    count = 0
    for block in audio.stream(path, RATE):
        assert block.dtype == np.float32 and block.ndim == 1 and len(block) and np.isfinite(block).all()
        count += len(block)
        if count > 60 * RATE:  # a header may truthfully say that there is more; enough is enough
            break
    return count


@pytest.mark.parametrize(("form", "subtype"), FORMATS, ids=lambda value: value)
def test_damaged_files(tmp_path, form, subtype):
    whole = sound(form, subtype, noise(3000, 2), 48000)
    path = tmp_path / "damaged.wav"

    @fuzz(25)
    @given(damaged(whole))
    def shown(content):
        path.write_bytes(content)
        result = survive(f"audio files, damaged: {form}", read, path)
        if isinstance(result, InputError):
            assert str(result).startswith(f"{path}: ")
        checks._check_recording(path, RATE, [], checks.Counter())

    shown()


@fuzz(60)
@given(
    st.sampled_from([("WAV", "FLOAT"), ("WAV", "DOUBLE"), ("AU", "FLOAT"), ("CAF", "FLOAT")]),
    st.lists(st.floats(width=32), min_size=1, max_size=50),
    st.sampled_from([1, 2, 3, 7, 64, 1023, 1024]),
    st.sampled_from([1, 999, 1000, 7350, 8000, 16000, 44100, 96000, 192000, 999_999, 10**6, 10**6 + 1, 2**31 - 1]),
)
def test_any_samples_rates_and_channels(tmp_path_factory, kind, values, channels, rate):
    path = tmp_path_factory.getbasetemp() / "values.wav"
    samples = np.resize(np.array(values, np.float32), (len(values), channels))
    path.write_bytes(sound(*kind, samples, rate))
    result = survive("audio files, any samples, rates and channels", read, path)
    average = samples.astype(np.float32).mean(axis=1)
    if not np.isfinite(average).all():
        assert isinstance(result, InputError)


@fuzz(60)
@given(st.binary(max_size=300), st.sampled_from(["wav", "mp3", "flac", "raw", "m4a", "ogg", "x", "aif"]))
def test_any_bytes(tmp_path_factory, content, suffix):
    path = tmp_path_factory.getbasetemp() / f"bytes.{suffix}"
    path.write_bytes(content)
    survive("audio files, any bytes", read, path)
