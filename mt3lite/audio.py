"""Audio files: any of them in, as mono samples at one rate, and 16-bit WAV out.

libsndfile reads WAV, FLAC, OGG, Opus, MP3, AIFF and more; what it does not know is left to the `ffmpeg` program, where
there is one. Files are read front to back in blocks, so a recording of any length takes the same memory.
"""

import contextlib
import io
import os
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import soundfile
import soxr

from mt3lite import files, processes, standard_error
from mt3lite.errors import InputError

# What to look for in a folder. A file given by name is judged by its content, whatever its suffix.
SUFFIXES = frozenset(
    ".wav .wave .w64 .rf64 .flac .ogg .oga .opus .mp3 .mp2 .aif .aiff .aifc .au .caf".split()  # libsndfile
    + ".m4a .m4b .aac .wma .mka .weba .ac3 .ape .wv".split()  # ffmpeg
)

BLOCK_SAMPLES = 1 << 16  # decoded at a time, all channels together
MOST_SAMPLES = 1 << 30  # that `load` keeps in memory: 4.3 GB, 18 hours at 16 kHz
LOUDEST = 1e12  # beyond it the arithmetic of resampling overflows; full scale is 1, of odd files 2^31
SAMPLE_RATES = range(1000, 1_000_001)  # Hz; beyond these a header is damaged, and resampling would fill the memory
_UNKNOWN_LENGTH = 2**63 - 1  # libsndfile's SF_COUNT_MAX: a stream whose header does not say
_MP3_END_TAGS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN")  # what may follow the sound: ID3v1, APEv2, Lyrics3


@dataclass(frozen=True)
class AudioInfo:
    """What an audio file holds, as its header tells; of MP3 files without an index the duration is an estimate."""

    duration_seconds: float
    sample_rate: int  # Hz
    channels: int


@dataclass(frozen=True)
class _Source:
    """An open file: float32 blocks [num_frames, channels] as the decoder gives them."""

    sample_rate: int
    channels: int
    num_frames: int | None  # that the header announces; None: it does not
    blocks: Iterator[np.ndarray]


def stream(path: str | os.PathLike, sample_rate: int) -> Iterator[np.ndarray]:
    """Yield an audio file's samples, block by block.

    Channels are averaged. Other sample rates are converted by soxr at its "HQ" quality; the blocks joined are what it
    makes of the whole at once, bit for bit. A file cut short is an error where its format shows it, as FLAC does; of
    a WAV, OGG or MP3 what is there is taken.

    Args:
        path: the file.
        sample_rate: of the samples wanted, Hz.

    Yields:
        float32 [any length above 0], mono. A file of floats may go beyond -1 to 1.

    Raises:
        InputError: on the first block: there is no such file, or it is not audio; on a later one: it is damaged, or
            holds a sample that is not a number; at the end: it holds no samples.
    """
    path = Path(path)
    num_samples = 0
    with _open(path) as source:
        resampler = None
        if source.sample_rate != sample_rate:
            resampler = soxr.ResampleStream(source.sample_rate, sample_rate, 1, dtype="float32", quality="HQ")
        for block in _mono(source, path):
            if resampler:
                block = resampler.resample_chunk(block)
            if len(block):
                num_samples += len(block)
                yield block
        if resampler:
            block = resampler.resample_chunk(np.zeros(0, np.float32), last=True)
            if len(block):
                num_samples += len(block)
                yield block
    if not num_samples:
        raise InputError(f"{path}: 0 samples after decoding; is the recording empty?")


def load(path: str | os.PathLike, sample_rate: int) -> np.ndarray:
    """Return an audio file's samples, float32 [num_samples], mono: the blocks of `stream` joined.

    Raises:
        InputError: as `stream`; or there are more than `MOST_SAMPLES`, which a file of some MB can hold.
    """
    blocks, num_samples = [], 0
    for block in stream(path, sample_rate):
        blocks.append(block)
        num_samples += len(block)
        if num_samples > MOST_SAMPLES:
            hours = MOST_SAMPLES / sample_rate / 3600
            raise InputError(f"{path}: lasts longer than {hours:.1f} hours, which is what fits into memory; cut it")
    return np.concatenate(blocks)


def info(path: str | os.PathLike) -> AudioInfo:
    """Return what an audio file holds. Decodes it only where its header does not tell the length.

    Raises:
        InputError: there is no such file, or it is not audio.
    """
    path = Path(path)
    with _open(path) as source:
        num_frames = source.num_frames
        if num_frames is None:
            num_frames = sum(len(block) for block in source.blocks)
        return AudioInfo(num_frames / source.sample_rate, source.sample_rate, source.channels)


def write_wav(path: str | os.PathLike, samples: np.ndarray, sample_rate: int) -> None:
    """Write a 16-bit WAV file: whole, or not at all.

    Args:
        path: the file; replaced when it is there already.
        samples: float32 [num_samples] or [num_samples, channels]; what is beyond -1 to 1 is clipped.
        sample_rate: Hz.

    Raises:
        InputError: the file cannot be written.
    """
    with files.atomic_path(path) as temporary:
        with told_if_unwritten(path):
            soundfile.write(str(temporary), samples, sample_rate, format="WAV", subtype="PCM_16")


@contextlib.contextmanager
def told_if_unwritten(path: str | os.PathLike) -> Iterator[None]:
    """Turn what libsndfile raises where a sound file cannot be written into the error of `path`.

    Raises:
        InputError: the block could not write all.
    """
    try:
        yield
    except soundfile.LibsndfileError as error:
        why = error.error_string.removeprefix("Error : ").rstrip(". ").lower()
        raise InputError(f"{path}: cannot be written: {why}; is the disk full?") from error


def _mono(source: _Source, path: Path) -> Iterator[np.ndarray]:
    """Yield the mean of the channels of each block, float32 [num_frames]; refuse samples that are not numbers."""
    num_frames = 0
    for block in source.blocks:
        processes.stop_if_asked()
        with np.errstate(invalid="ignore", over="ignore"):  # of samples that are no numbers, or near the largest
            mono = block.mean(axis=1)
        possible = np.abs(mono) <= LOUDEST  # False for what is no number
        if not possible.all():
            second = (num_frames + int(np.argmin(possible))) / source.sample_rate
            raise InputError(f"{path}: a sample at {second:.2f} s is not a finite number; is the file damaged?")
        num_frames += len(block)
        yield mono


@contextlib.contextmanager
def _open(path: Path) -> Iterator[_Source]:
    """Open an audio file with whichever decoder knows it.

    Raises:
        InputError: there is no such file, or it is not audio.
    """
    _check_file(path)
    with contextlib.ExitStack() as stack:
        try:
            source = stack.enter_context(_open_libsndfile(path))
        except (soundfile.LibsndfileError, TypeError) as error:  # TypeError: the suffix .raw, taken for headerless
            if not shutil.which("ffmpeg"):
                raise InputError(
                    f"{path}: not an audio file that libsndfile can read; for other formats, such as M4A, "
                    "put the ffmpeg program on the PATH, or convert it to WAV"
                ) from error
            source = stack.enter_context(_open_ffmpeg(path))
        if source.sample_rate not in SAMPLE_RATES:
            raise InputError(f"{path}: a sample rate of {source.sample_rate} Hz; is the header damaged?")
        yield source


def _check_file(path: Path) -> None:
    """Raise InputError unless `path` is a file that can be read and is not empty."""
    if os.path.isdir(path):
        raise InputError(f"{path}: is a folder, not an audio file")
    if os.path.exists(path) and not os.path.isfile(path):
        raise InputError(f"{path}: is not a regular file; save the audio to one first")
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise InputError(f"{path}: the file is empty")
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error


def _stopped(path: Path, num_frames: int, sample_rate: int, reason: str) -> InputError:
    """Return the error of a file that could be decoded only so far."""
    second = num_frames / sample_rate
    return InputError(f"{path}: decoding stopped at {second:.1f} s: {reason}; is the file damaged or cut short?")


class _SequentialFile(soundfile.SoundFile):
    """A file read front to back.

    soundfile otherwise seeks to where it already is after each read, which in an MP3 lands elsewhere: the samples would
    jump at each block without an error. FLACs of unknown length cannot be read that way at all.
    """

    def seekable(self) -> bool:
        """Say no."""
        return False


class _PatientFile(io.FileIO):
    """A file in which a place that cannot be is not gone to.

    A damaged header sends libsndfile there. soundfile seeks for it in a callback, where an exception would be printed
    as a traceback and be lost; libsndfile itself looks at where it has come to.
    """

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, or stay."""
        try:
            return super().seek(offset, whence)
        except (OSError, OverflowError):
            return self.tell()


@contextlib.contextmanager
def _open_libsndfile(path: Path) -> Iterator[_Source]:
    """Open a file that libsndfile knows.

    Raises:
        soundfile.LibsndfileError, TypeError: it does not know it.
    """
    with io.BufferedReader(_PatientFile(path)) as file:
        with standard_error.muted():  # mpg123, which decodes MP3 for libsndfile, remarks on damaged files
            decoder = _SequentialFile(file)
        with decoder:
            num_frames = None if decoder.frames == _UNKNOWN_LENGTH else decoder.frames
            yield _Source(decoder.samplerate, decoder.channels, num_frames, _libsndfile_blocks(decoder, file, path))


def _libsndfile_blocks(decoder: _SequentialFile, file: IO[bytes], path: Path) -> Iterator[np.ndarray]:
    """Yield float32 [num_frames, channels] until the end; raise InputError where decoding fails or ends too early."""
    block_frames = max(1, BLOCK_SAMPLES // decoder.channels)
    muted = standard_error.muted if decoder.format == "MP3" else contextlib.nullcontext
    num_frames = 0
    while True:
        try:
            with muted():
                block = decoder.read(block_frames, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            reason = error.error_string.removeprefix("Error : ").rstrip(". ")
            raise _stopped(path, num_frames, decoder.samplerate, reason) from error
        if not len(block):
            break
        num_frames += len(block)
        yield block
    if decoder.format == "MP3":
        # Its length may be an estimate, and there libsndfile ends; or it has lost its way. Either way without an error.
        rest = file.read(1 << 16).lstrip(b"\0")
        if len(rest) > 4096 and not rest.startswith(_MP3_END_TAGS):
            reason = "the rest of the file is not understood; where it plays well, convert it to WAV"
            raise _stopped(path, num_frames, decoder.samplerate, reason)
    elif decoder.frames != _UNKNOWN_LENGTH and num_frames < decoder.frames:
        announced, decoded = decoder.frames / decoder.samplerate, num_frames / decoder.samplerate
        raise InputError(f"{path}: only {decoded:.1f} of {announced:.1f} s can be decoded; is the file damaged?")


@contextlib.contextmanager
def _open_ffmpeg(path: Path) -> Iterator[_Source]:
    """Open the first sound track of a file that the ffmpeg program knows.

    Raises:
        InputError: it does not know it, or finds no sound track.
    """
    quiet = ["-nostdin", "-hide_banner", "-nostats", "-v", "level+info"]  # "level": each line tells how bad it is
    careful = ["-xerror", "-protocol_whitelist", "file,pipe"]  # stop at damage; a playlist must not open addresses
    # AU is the plainest container: its header tells rate and channels, and it can be written to a pipe.
    output = ["-map", "0:a:0", "-c:a", "pcm_f32be", "-f", "au", "pipe:1"]
    command = ["ffmpeg", *quiet, *careful, "-i", f"file:{path.absolute()}", *output]
    # Its log goes to a file, as nobody would read a pipe meanwhile; "a": it goes on writing where we have read.
    with tempfile.TemporaryFile("a+b") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        assert process.stdout  # it is a pipe
        try:
            header = process.stdout.read(24)
            if len(header) < 24:
                process.wait()
                raise InputError(f"{path}: cannot be read as audio: {_ffmpeg_reason(_ffmpeg_log(log))}")
            _, offset, _, _, sample_rate, channels = struct.unpack(">4s5I", header)
            process.stdout.read(offset - len(header))
            num_frames = _ffmpeg_num_frames(_ffmpeg_log(log), sample_rate)
            yield _Source(sample_rate, channels, num_frames, _ffmpeg_blocks(process, log, path, sample_rate, channels))
        finally:
            process.kill()  # it may still be decoding, when the caller wants no more
            process.wait()
            process.stdout.close()


def _ffmpeg_blocks(
    process: subprocess.Popen, log: IO[bytes], path: Path, sample_rate: int, channels: int
) -> Iterator[np.ndarray]:
    """Yield float32 [num_frames, channels] until the end; raise InputError where ffmpeg gave up."""
    frame_bytes = 4 * channels
    num_frames = 0
    assert process.stdout  # it is a pipe
    while piece := process.stdout.read(max(1, BLOCK_SAMPLES // channels) * frame_bytes):
        whole = len(piece) - len(piece) % frame_bytes  # part of a frame is left where it gave up
        block = np.frombuffer(piece[:whole], ">f4").reshape(-1, channels).astype(np.float32)
        num_frames += len(block)
        yield block
    if process.wait():
        raise _stopped(path, num_frames, sample_rate, _ffmpeg_reason(_ffmpeg_log(log)))


def _ffmpeg_log(log: IO[bytes]) -> str:
    """Return what ffmpeg has written so far."""
    log.seek(0)
    return log.read().decode(errors="replace")


def _ffmpeg_num_frames(text: str, sample_rate: int) -> int | None:
    """Return how many frames the header announces, to the 10 ms that ffmpeg prints; None: it does not say."""
    found = re.search(r"^\[info\]   Duration: (\d+):(\d\d):(\d\d\.\d+)", text, re.MULTILINE)
    if not found:
        return None
    hours, minutes, seconds = found.groups()
    return round((int(hours) * 3600 + int(minutes) * 60 + float(seconds)) * sample_rate)


def _ffmpeg_reason(text: str) -> str:
    """Return why ffmpeg gave up, in one line: the first fault that it wrote of, as the others follow from it."""
    if "matches no streams" in text:
        return "there is no sound in it"
    found = re.search(r"\[(?:error|fatal)\] (?:file:.*: )?(.+)", text)
    return found[1].rstrip(". ") if found else "ffmpeg gives no reason"
