"""Recordings as they come in: from files or arrays to the segments that the network is shown, beside its work."""

import concurrent.futures
import itertools
import os
from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np

from mt3lite import audio, segments, spectrogram, stopwatch, tuning
from mt3lite.config import Config
from mt3lite.errors import InputError

T = TypeVar("T")

READ_SEGMENTS = 8  # of a recording that become frames together

Recording = str | os.PathLike | np.ndarray


class Sound:
    """A recording, block by block, whether file or array; counts the samples that have gone by."""

    def __init__(self, recording: Recording, sample_rate: int):
        """Take a recording; its samples, at `sample_rate` Hz, are read as they are asked for."""
        self.num_samples = 0
        self.tuning_hz = tuning.A4_HZ  # A4, once there are frames
        self._recording = recording
        self._sample_rate = sample_rate

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield float32 [any length above 0]; raise InputError for what cannot be read."""
        recording = self._recording
        if isinstance(recording, np.ndarray):
            blocks = iter([_checked(recording)])
        else:
            blocks = audio.stream(recording, self._sample_rate)
        for block in blocks:
            self.num_samples += len(block)
            yield block

    @property
    def seconds(self) -> float:
        """How much has gone by."""
        return self.num_samples / self._sample_rate


def segments_ahead(
    sound: Sound, config: Config, watch: stopwatch.Stopwatch, tuning_hz: float | None = None
) -> Iterator[tuple[np.ndarray, bool]]:
    """Yield the frames of each segment, float32 [num_frames, bins], and whether it is silent.

    They are of the recording as if its A4 were at 440 Hz; it is at `tuning_hz`, or None: where the sound tells.

    A thread begins at once to read some, and stays ahead by as many; `watch` is its alone until the end, and counts
    "read" and "spectrogram".

    Raises:
        InputError: when it is the turn of what cannot be read; the model's spectrogram cannot be tuned so.
    """
    batches = _cut(sound, watch.measure_each("read", sound), config, tuning_hz)
    return _one_by_one(_ahead(watch.measure_each("spectrogram", batches)), config)


def _cut(
    sound: Sound, blocks: Iterator[np.ndarray], config: Config, tuning_hz: float | None
) -> Iterator[segments.Segments]:
    """Yield batches of segments, as `segments_ahead` wants them, and tell the sound how it is tuned."""
    if tuning_hz is None:
        tuning_hz, blocks = _listened(blocks, config.spectrogram)
    sound.tuning_hz = tuning_hz
    tuned = tuning.tuned(config.spectrogram, tuning_hz)
    yield from segments.iter_segments(blocks, tuned, config.segments, batch_segments=READ_SEGMENTS)


def _listened(
    blocks: Iterator[np.ndarray], config: spectrogram.SpectrogramConfig
) -> tuple[float, Iterator[np.ndarray]]:
    """Return how a recording is tuned by its beginning, as far as these filters can be moved; and all of its blocks."""
    if config.scale != "semitone":
        return tuning.A4_HZ, blocks
    samples, taken = tuning.beginning(blocks, config.sample_rate)
    a4_hz = tuning.estimate(samples, config.sample_rate)
    can_be_moved = config.highest_frequency_hz * a4_hz / tuning.A4_HZ <= config.sample_rate / 2
    return a4_hz if can_be_moved else tuning.A4_HZ, itertools.chain(taken, blocks)


def _one_by_one(batches: Iterator[segments.Segments], config: Config) -> Iterator[tuple[np.ndarray, bool]]:
    for batch in batches:
        yield from zip(batch.frames, _silent_rows(batch, config).tolist(), strict=True)


def _ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield items that a thread gets, one of them ahead. It begins at once, and errors come out where they belong."""
    worker, end, iterator = concurrent.futures.ThreadPoolExecutor(1, "read"), object(), iter(items)

    def submit() -> concurrent.futures.Future:
        return worker.submit(next, iterator, end)

    def take(coming: concurrent.futures.Future) -> Iterator[T]:
        try:
            while (item := coming.result()) is not end:
                coming = submit()
                yield item
        finally:
            worker.shutdown(wait=False, cancel_futures=True)

    return take(submit())


def _silent_rows(batch: segments.Segments, config: Config) -> np.ndarray:
    """Return which segments are digital silence, bool [n]: every frame within the recording is at the log's floor."""
    num_frames = batch.num_valid + 2 * config.segments.context_frames
    inside = np.arange(config.segments.input_frames) < num_frames[:, None]
    loudest = batch.frames.max(axis=2, where=inside[:, :, None], initial=-np.inf).max(axis=1)
    return loudest <= np.log(np.float32(config.spectrogram.log_floor))


def _checked(samples: np.ndarray) -> np.ndarray:
    """Return samples given as an array, refusing what a file could not have been decoded to."""
    if samples.dtype != np.float32 or samples.ndim != 1:
        raise InputError(f"samples: {samples.dtype} {list(samples.shape)}; wanted float32 [num_samples], mono")
    if not len(samples):
        raise InputError("samples: there are none")
    if not np.isfinite(samples).all():
        raise InputError("samples: some are not finite numbers")
    return samples


def expected_seconds(recording: Recording, sample_rate: int) -> float:
    """Return how long a recording is, as far as a file's header tells."""
    if isinstance(recording, np.ndarray):
        return len(recording) / sample_rate
    return audio.info(recording).duration_seconds
