import contextlib
import shutil
import subprocess
import tracemalloc

import numpy as np
import pytest
import soundfile

from mt3lite import audio
from mt3lite.errors import InputError

RATE = 16000
needs_ffmpeg = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="the ffmpeg program is not on the PATH")


def sine(seconds, sample_rate, *, frequency_hz=440.0, level=0.5):
    times = np.arange(round(seconds * sample_rate)) / sample_rate
    return (level * np.sin(2 * np.pi * frequency_hz * times)).astype(np.float32)


def noise(num_samples, *channels):
    return (0.1 * np.random.default_rng(0).standard_normal((num_samples, *channels))).astype(np.float32)


def write(path, samples, sample_rate, **options):
    soundfile.write(str(path), samples, sample_rate, **options)
    return path


def damage(path, keep=0.5, length=None):
    """Keep the first part of a file; with a length, go on with the rest after as many altered bytes."""
    content = bytearray(path.read_bytes())
    at = int(len(content) * keep)
    if length is None:
        path.write_bytes(content[:at])
    else:
        content[at : at + length] = bytes((7 * byte + 13) % 256 for byte in content[at : at + length])
        path.write_bytes(content)
    return path


def without_ffmpeg(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path / "no programs here"))


def assert_is_sine(samples, seconds, *, frequency_hz=440.0, level=0.5, tolerance=0.01):
    """Away from its ends the sound equals the sine, so frequency, level and start are right."""
    wanted = sine(seconds, RATE, frequency_hz=frequency_hz, level=level)
    assert samples.dtype == np.float32 and samples.ndim == 1
    assert abs(len(samples) - len(wanted)) <= 1
    np.testing.assert_allclose(samples[500:-500], wanted[500 : len(samples) - 500], rtol=0, atol=tolerance)


@pytest.mark.parametrize("sample_rate", [8000, 11025, 16000, 22050, 44100, 48000, 96000])
def test_a_sine_keeps_frequency_level_and_place(tmp_path, sample_rate):
    path = write(tmp_path / "a.wav", sine(1, sample_rate), sample_rate)
    assert_is_sine(audio.load(path, RATE), 1, tolerance=1e-3)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".aiff", ".opus"])
def test_formats_that_need_no_ffmpeg(tmp_path, monkeypatch, suffix):
    without_ffmpeg(monkeypatch, tmp_path)
    options = {"format": "OGG", "subtype": "OPUS"} if suffix == ".opus" else {}
    path = write(tmp_path / f"a{suffix}", sine(1, 48000), 48000, **options)
    assert suffix in audio.SUFFIXES
    assert_is_sine(audio.load(path, RATE), 1, tolerance=0.03 if suffix in (".ogg", ".mp3", ".opus") else 1e-3)
    assert audio.info(path) == audio.AudioInfo(1.0, 48000, 1)


@needs_ffmpeg
@pytest.mark.parametrize("suffix", [".m4a", ".aac", ".mka", ".wma"])
def test_other_formats_through_ffmpeg(tmp_path, suffix):
    wav = write(tmp_path / "a.wav", np.stack([sine(2, 44100), np.zeros(88200, np.float32)], axis=1), 44100)
    path = tmp_path / f"a{suffix}"
    subprocess.run(["ffmpeg", "-v", "error", "-i", wav, "-b:a", "192k", path], check=True)
    samples = audio.load(path, RATE)
    assert suffix in audio.SUFFIXES
    assert abs(len(samples) / RATE - 2) < 0.1
    spectrum = np.abs(np.fft.rfft(samples[8000:24000]))
    assert spectrum.argmax() == 440
    assert np.abs(samples[8000:24000]).max() == pytest.approx(0.25, abs=0.01), "the mean of sound and silence"
    described = audio.info(path)
    assert (described.sample_rate, described.channels) == (44100, 2)
    assert described.duration_seconds == pytest.approx(2, abs=0.15)


@pytest.mark.parametrize("channels", [2, 8])
def test_channels_are_averaged(tmp_path, channels):
    samples = noise(RATE, channels)
    path = write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    np.testing.assert_allclose(audio.load(path, RATE), samples.mean(axis=1), rtol=0, atol=1e-7)
    assert audio.info(path).channels == channels


@pytest.mark.parametrize("sample_rate", [RATE, 44100])
@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_blocks_make_no_difference(tmp_path, monkeypatch, suffix, sample_rate):
    path = write(tmp_path / f"a{suffix}", noise(3 * sample_rate, 2), sample_rate)
    monkeypatch.setattr(audio, "BLOCK_SAMPLES", 1 << 20)
    whole = list(audio.stream(path, RATE))
    monkeypatch.setattr(audio, "BLOCK_SAMPLES", 9999)
    blocks = list(audio.stream(path, RATE))
    assert len(blocks) > 3 * len(whole) and all(len(block) for block in blocks)
    # mpg123 rounds differently where a block ends within its frame.
    tolerance = 1e-6 if suffix == ".mp3" else 0
    np.testing.assert_allclose(np.concatenate(blocks), np.concatenate(whole), rtol=0, atol=tolerance)
    np.testing.assert_array_equal(audio.load(path, RATE), np.concatenate(blocks))


def test_an_mp3_does_not_jump_between_blocks(tmp_path):
    """Seeking in this one is inexact; soundfile seeks after every read of a file that says it can be sought in."""
    path = write(tmp_path / "a.mp3", sine(20, 44100, level=0.9), 44100)
    assert len(list(audio.stream(path, 44100))) > 10
    np.testing.assert_allclose(audio.load(path, 44100)[1000:-1000], sine(20, 44100, level=0.9)[1000:-1000], atol=0.03)


def test_memory_does_not_grow_with_the_recording(tmp_path):
    path = tmp_path / "a.flac"
    with soundfile.SoundFile(str(path), "w", 22050, 2, format="FLAC") as file:
        for _ in range(120):
            file.write(np.zeros((22050, 2), np.float32))
    tracemalloc.start()
    num_samples = sum(len(block) for block in audio.stream(path, RATE))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert num_samples == 120 * RATE
    assert peak < 2_000_000 < 120 * 22050 * 2 * 4 / 10


@needs_ffmpeg
@pytest.mark.parametrize("format_name", ["flac", "wav", "mp3"])
def test_a_stream_whose_header_does_not_tell_the_length(tmp_path, format_name):
    wav = write(tmp_path / "a.wav", sine(2, RATE), RATE)
    command = ["ffmpeg", "-v", "error", "-i", wav, "-f", format_name, "-b:a", "64k", "pipe:1"]
    path = tmp_path / f"piped.{format_name}"
    path.write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    samples = audio.load(path, RATE)
    assert np.abs(np.fft.rfft(samples[8000:24000])).argmax() == 440
    assert len(samples) / RATE == pytest.approx(2, abs=0.15)
    assert audio.info(path).duration_seconds == pytest.approx(2, abs=0.3)


@needs_ffmpeg
def test_an_mp3_of_which_libsndfile_reads_only_a_part_is_refused(tmp_path):
    """Of variable bit rate and without an index: its length is guessed by the first frames, and reading ends there."""
    loud_first = np.concatenate([noise(44100), np.zeros(20 * 44100, np.float32), noise(10 * 44100)])
    wav = write(tmp_path / "a.wav", loud_first, 44100)
    path = tmp_path / "a.mp3"
    subprocess.run(["ffmpeg", "-v", "error", "-i", wav, "-q:a", "4", "-write_xing", "0", path], check=True)
    with pytest.raises(InputError, match=r"a\.mp3: decoding stopped at \d+\.\d s: the rest of the file is not unders"):
        audio.load(path, RATE)


@pytest.mark.parametrize("tag", [b"TAG" + b" " * 125, b"APETAGEX" + bytes(range(1, 256)) * 100, b"\0" * 9999])
def test_what_follows_the_sound_of_an_mp3_is_passed_over(tmp_path, tag):
    path = write(tmp_path / "a.mp3", sine(2, RATE), RATE)
    before = audio.load(path, RATE)
    path.write_bytes(path.read_bytes() + tag)
    np.testing.assert_array_equal(audio.load(path, RATE), before)


@pytest.mark.parametrize("name", ["-i.wav", "-", "a b 'c' \"d\" $HOME; e.wav", "50%03d [x].flac", "none", "日本.wav"])
def test_any_file_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    audio_format = "FLAC" if name.endswith("flac") else "WAV"
    write(tmp_path / "plain", sine(0.2, RATE), RATE, format=audio_format)
    (tmp_path / "plain").rename(tmp_path / name)
    assert len(audio.load(name, RATE)) == 3200
    assert audio.info(name).duration_seconds == pytest.approx(0.2)


@needs_ffmpeg
@pytest.mark.parametrize("name", ["-i.m4a", "a b 'c' \"d\" %03d.m4a", "pipe:0", "concat:a.m4a|b.m4a"])
def test_any_file_name_through_ffmpeg(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.wav", sine(0.5, RATE), RATE)
    subprocess.run(["ffmpeg", "-v", "error", "-i", "a.wav", "plain.m4a"], check=True)
    (tmp_path / "plain.m4a").rename(tmp_path / name)
    assert abs(len(audio.load(name, RATE)) - 8000) < 1500


def make_bad_file(kind, folder):
    """Make a file that cannot be transcribed; return its path."""
    path = folder / f"{kind}.wav"
    if kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.touch()
    elif kind == "no samples":
        write(path, np.zeros(0, np.float32), RATE)
    elif kind in ("nan", "inf"):
        samples = sine(3, RATE)
        samples[RATE * 2] = float(kind)
        write(path, samples, RATE, subtype="FLOAT")
    elif kind == "slow":
        content = bytearray(write(path, sine(1, RATE), RATE).read_bytes())
        content[24:28] = (1).to_bytes(4, "little")  # the header's sample rate
        path.write_bytes(content)
    elif kind == "short":
        write(path, np.ones(1, np.float32), 96000)
    elif kind == "flac cut short":
        path = damage(write(folder / "cut.flac", noise(10 * RATE), RATE))
    elif kind == "damaged ogg":
        path = damage(write(folder / "damaged.ogg", noise(10 * RATE), RATE), length=3000)
    elif kind == "damaged mp3":
        path = damage(write(folder / "damaged.mp3", noise(10 * RATE), RATE), length=5000)
    return path


@pytest.mark.parametrize(
    "kind, message",
    [
        ("missing", r"missing\.wav: there is no such file$"),
        ("folder", r"folder\.wav: is a folder, not an audio file$"),
        ("empty", r"empty\.wav: the file is empty$"),
        ("no samples", r"no samples\.wav: 0 samples after decoding; is the recording empty\?$"),
        ("short", r"short\.wav: 0 samples after decoding"),
        ("nan", r"nan\.wav: a sample at 2\.00 s is not a finite number; is the file damaged\?$"),
        ("inf", r"inf\.wav: a sample at 2\.00 s is not a finite number"),
        ("slow", r"slow\.wav: a sample rate of 1 Hz; is the header damaged\?$"),
        ("flac cut short", r"cut\.flac: decoding stopped at [45]\.\d s: flac decoder lost sync; is the file damaged"),
        ("damaged ogg", r"damaged\.ogg: only [5-9]\.\d of 10\.0 s can be decoded; is the file damaged\?$"),
        ("damaged mp3", r"damaged\.mp3: decoding stopped at [3-5]\.\d s: .*; is the file damaged or cut short\?$"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path, capfd, kind, message):
    path = make_bad_file(kind, tmp_path)
    with pytest.raises(InputError, match=message) as refusal:
        audio.load(path, RATE)
    assert str(refusal.value).startswith(f"{path}: ") and "\n" not in str(refusal.value)
    assert capfd.readouterr() == ("", ""), "the decoders' own remarks are kept off the terminal"


@pytest.mark.parametrize("name", ["text.wav", "text.flac", "text.mp3", "text.raw", "text"])
@pytest.mark.parametrize("ffmpeg", [pytest.param(True, marks=needs_ffmpeg), False])
def test_text_is_not_audio(tmp_path, monkeypatch, capfd, name, ffmpeg):
    path = tmp_path / name
    path.write_text("Notes of the meeting. " * 200)
    if not ffmpeg:
        without_ffmpeg(monkeypatch, tmp_path)
    wanted = r"cannot be read as audio: .+$" if ffmpeg else r"not an audio file that libsndfile can read; .* ffmpeg"
    for function in (lambda: audio.load(path, RATE), lambda: audio.info(path)):
        with pytest.raises(InputError, match=wanted) as refusal:
            function()
        assert "\n" not in str(refusal.value)
    assert capfd.readouterr() == ("", "")


def test_what_cannot_be_opened_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"null: is not a regular file"):
        audio.load("/dev/null", RATE)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"a\.wav: cannot be read: not a directory"):
        audio.load(tmp_path / "file" / "a.wav", RATE)


@needs_ffmpeg
def test_bad_files_through_ffmpeg(tmp_path, capfd):
    write(tmp_path / "a.wav", noise(10 * RATE), RATE)
    encode = ["ffmpeg", "-v", "error", "-i", tmp_path / "a.wav"]
    subprocess.run([*encode, tmp_path / "cut.m4a"], check=True)
    with pytest.raises(InputError, match=r"cut\.m4a: cannot be read as audio: moov atom not found$"):
        audio.load(damage(tmp_path / "cut.m4a"), RATE)
    subprocess.run([*encode, tmp_path / "hurt.m4a"], check=True)
    with pytest.raises(InputError, match=r"hurt\.m4a: decoding stopped at [3-6]\.\d s: .+; is the file damaged"):
        audio.load(damage(tmp_path / "hurt.m4a", length=3000), RATE)
    silent = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=red:s=32x32:d=1", tmp_path / "film.mkv"]
    subprocess.run(silent, check=True)
    with pytest.raises(InputError, match=r"film\.mkv: cannot be read as audio: there is no sound in it$"):
        audio.load(tmp_path / "film.mkv", RATE)
    assert capfd.readouterr() == ("", "")


@needs_ffmpeg
def test_a_playlist_opens_no_address(tmp_path):
    path = tmp_path / "list.m3u8"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(InputError, match=r"list\.m3u8: cannot be read as audio: "):
        audio.load(path, RATE)


@needs_ffmpeg
def test_leaving_early_ends_ffmpeg(tmp_path, monkeypatch):
    write(tmp_path / "a.wav", noise(60 * RATE), RATE)
    subprocess.run(["ffmpeg", "-v", "error", "-i", tmp_path / "a.wav", tmp_path / "a.m4a"], check=True)
    started = []
    popen = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda *args, **options: started.append(popen(*args, **options)) or started[0]
    )
    blocks = audio.stream(tmp_path / "a.m4a", RATE)
    next(blocks)
    assert started[0].poll() is None
    blocks.close()
    assert started[0].poll() is not None


def test_write_wav(tmp_path):
    samples = sine(0.5, RATE, level=0.9)
    audio.write_wav(tmp_path / "a.wav", samples, RATE)
    np.testing.assert_allclose(audio.load(tmp_path / "a.wav", RATE), samples, rtol=0, atol=1e-4)
    described = soundfile.info(str(tmp_path / "a.wav"))
    assert (described.format, described.subtype, described.samplerate) == ("WAV", "PCM_16", RATE)
    audio.write_wav(tmp_path / "a.wav", np.array([[2.0, -2.0]] * 100, np.float32), 8000)
    clipped, _ = soundfile.read(str(tmp_path / "a.wav"))
    np.testing.assert_allclose(clipped, [[1, -1]] * 100, atol=1e-4)
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_write_wav_without_its_folder(tmp_path):
    with pytest.raises(InputError, match=r"a\.wav: cannot be written: there is no folder"):
        audio.write_wav(tmp_path / "none" / "a.wav", sine(0.1, RATE), RATE)


def test_a_header_that_points_nowhere_is_refused_in_one_line(tmp_path, capfd):
    """soundfile would print a traceback of its callback."""
    whole = write(tmp_path / "a.aiff", noise(3000, 2), 16000)
    content = bytearray(whole.read_bytes())
    for place in range(12, 60):
        spoilt = content.copy()
        spoilt[place : place + 4] = b"\xff\xff\xff\xf0"
        whole.write_bytes(spoilt)
        with contextlib.suppress(InputError):
            audio.load(whole, 16000)
    assert capfd.readouterr().err == ""


def test_what_would_fill_the_memory_is_not_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(audio, "MOST_SAMPLES", 1000)
    path = write(tmp_path / "a.wav", noise(1001), 16000)
    with pytest.raises(InputError, match=r"a\.wav: lasts longer than 0\.0 hours"):
        audio.load(path, 16000)
    assert sum(map(len, audio.stream(path, 16000))) == 1001


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("samples", [(np.inf, -np.inf), (3e38, -3e38), (3e38, 3e38)])
def test_samples_that_are_no_numbers_are_told_without_a_warning(tmp_path, samples):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.array([(0, 0), samples] * 100, np.float32), 44100, subtype="FLOAT")
    if sum(samples) == 0:
        assert np.isfinite(audio.load(path, 16000)).all()
        return
    with pytest.raises(InputError, match="not a finite number"):
        audio.load(path, 16000)
