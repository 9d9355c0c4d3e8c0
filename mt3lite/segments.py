"""Cutting a recording into segments of a fixed number of frames, each knowing its first frame as an integer."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from mt3lite import spectrogram
from mt3lite.errors import InputError
from mt3lite.spectrogram import SpectrogramConfig

EDGES = ("zeros", "audio")
MOST = 1 << 16  # frames or tokens of a segment: minutes


@dataclasses.dataclass(frozen=True)
class SegmentConfig:
    """How a recording is cut. The defaults are the ancestor's mt3.

    Raises:
        InputError: a value cannot be used, with the name of its field.
    """

    num_frames: int = 256  # new frames of a segment: from its first frame to the next segment's
    context_frames: int = 0  # frames shown to the network besides, before the new ones and again after them
    # What a window sees where it reaches beyond its segment: "zeros" (the ancestor), or the "audio" that is there.
    edges: str = "zeros"
    max_tokens: int = 1024  # of a segment's target, with its EOS

    def __post_init__(self) -> None:
        for field, least in (("num_frames", 1), ("context_frames", 0), ("max_tokens", 1)):
            if not least <= getattr(self, field) <= MOST:
                raise InputError(f"segments.{field}: {getattr(self, field)} is not from {least} to {MOST}")
        if self.edges not in EDGES:
            raise InputError(f"segments.edges: {self.edges!r} is not one of {', '.join(EDGES)}")
        if self.edges == "zeros" and self.context_frames:
            raise InputError(f'segments.context_frames: {self.context_frames} frames of context need edges "audio"')

    @property
    def input_frames(self) -> int:
        """Frames that the network sees of a segment."""
        return self.num_frames + 2 * self.context_frames


@dataclasses.dataclass(frozen=True)
class Segments:
    """Consecutive segments of a recording: a batch for the network."""

    frames: np.ndarray  # float32 [num_segments, input_frames, num_bins]
    first_frame: np.ndarray  # int64 [num_segments]: of the new frames, counted from the recording's first
    num_valid: np.ndarray  # int32 [num_segments]: new frames within the recording; the others are padding


def sample_span(first_frame: int, spectrogram_config: SpectrogramConfig, config: SegmentConfig) -> tuple[int, int]:
    """Return (start, stop) of the samples that a segment's frames are computed from.

    They may lie before the recording (start < 0) or after its end: zeros stand for the samples that are not there.
    The length is the same for every segment.

    Args:
        first_frame: the segment's first new frame.
        spectrogram_config: what a frame is.
        config: what a segment is.

    >>> sample_span(256, SpectrogramConfig(), SegmentConfig())
    (32768, 65536)
    >>> sample_span(256, SpectrogramConfig(), SegmentConfig(context_frames=1, edges="audio"))
    (32640, 67456)
    """
    hop = spectrogram_config.hop_samples
    if config.edges == "zeros":
        return first_frame * hop, (first_frame + config.num_frames) * hop
    start = (first_frame - config.context_frames) * hop + spectrogram_config.first_sample
    return start, start + (config.input_frames - 1) * hop + spectrogram_config.fft_size


def compute_frames(samples: Any, spectrogram_config: SpectrogramConfig, config: SegmentConfig, xp: Any = np) -> Any:
    """Return the frames of whole segments, cut as `sample_span` says.

    Args:
        samples: float32 [..., span], mono, -1 to 1, with the length of a `sample_span`.
        spectrogram_config: what a frame is.
        config: what a segment is.
        xp: `numpy`, or `jax.numpy` to compute on its device; then the function can be traced.

    Returns:
        float32 [..., input_frames, num_bins].
    """
    if config.edges == "zeros":
        fft_size = spectrogram_config.fft_size
        length = (config.num_frames - 1) * spectrogram_config.hop_samples + fft_size
        around = (-spectrogram_config.first_sample, fft_size)
        samples = xp.pad(samples, [(0, 0)] * (samples.ndim - 1) + [around])[..., :length]
    return spectrogram.compute(samples, spectrogram_config, xp)


def num_recording_frames(num_samples: int, spectrogram_config: SpectrogramConfig, config: SegmentConfig) -> int:
    """Return how many frames a recording has: those that begin in it, and with edges "zeros" one more at a full hop.

    The ancestor pads to whole hops by 1 to hop_samples zeros, never by none.
    """
    whole_hops, rest = divmod(num_samples, spectrogram_config.hop_samples)
    return whole_hops + 1 if rest or config.edges == "zeros" else whole_hops


def iter_segments(
    blocks: Iterable[np.ndarray],
    spectrogram_config: SpectrogramConfig,
    config: SegmentConfig,
    *,
    batch_segments: int,
) -> Iterator[Segments]:
    """Cut a recording, given block by block, into batches of segments; holds a block and a batch at a time.

    How the recording is divided into blocks makes no difference. Frames after its end are of silence with edges
    "audio", and 0.0 in every bin with edges "zeros", as in the ancestor.

    Args:
        blocks: float32 [any length] each, mono, -1 to 1, in order: one recording.
        spectrogram_config: what a frame is.
        config: what a segment is.
        batch_segments: segments a batch; the last batch may have fewer.

    Yields:
        at least one batch with edges "zeros"; with "audio" none for a recording without samples.
    """
    stride = config.num_frames * spectrogram_config.hop_samples
    first_start, first_stop = sample_span(0, spectrogram_config, config)
    batch_samples = first_stop - first_start + (batch_segments - 1) * stride
    # From the first sample that the next segment needs; before the recording there are zeros.
    pending = [np.zeros(-first_start, np.float32)]
    num_pending, num_samples, next_segment = -first_start, 0, 0

    for block in blocks:
        pending.append(block)
        num_pending += len(block)
        num_samples += len(block)
        if num_pending < batch_samples:
            continue
        samples = np.concatenate(pending)
        while len(samples) >= batch_samples:
            yield _batch(samples[:batch_samples], next_segment, batch_segments, spectrogram_config, config)
            next_segment += batch_segments
            samples = samples[batch_segments * stride :]
        pending, num_pending = [samples.copy()], len(samples)  # a copy, lest the rest keep the whole block alive

    num_frames = num_recording_frames(num_samples, spectrogram_config, config)
    num_segments = -(-num_frames // config.num_frames)
    samples = np.concatenate([*pending, np.zeros(batch_samples, np.float32)])
    while next_segment < num_segments:
        count = min(batch_segments, num_segments - next_segment)
        span = samples[: first_stop - first_start + (count - 1) * stride]
        yield _batch(span, next_segment, count, spectrogram_config, config, num_frames)
        next_segment += count
        samples = np.concatenate([samples[count * stride :], np.zeros(count * stride, np.float32)])


def _batch(
    samples: np.ndarray,
    first_segment: int,
    count: int,
    spectrogram_config: SpectrogramConfig,
    config: SegmentConfig,
    num_frames: int | None = None,
) -> Segments:
    """Return `count` segments of the samples from the first one's span to the last one's.

    Frames from number `num_frames` on are padding; None: there are none of those.
    """
    first_frame = np.arange(first_segment, first_segment + count, dtype=np.int64) * config.num_frames
    num_valid = np.full(count, config.num_frames, np.int32)
    if num_frames is not None:
        num_valid = np.minimum(num_frames - first_frame, config.num_frames).astype(np.int32)
    if config.edges == "zeros":
        frames = compute_frames(samples.reshape(count, -1), spectrogram_config, config)
        frames[np.arange(config.num_frames) >= num_valid[:, None]] = 0.0
    else:  # one long spectrogram, for neighbours show the same frames as their context
        joined = spectrogram.compute(samples, spectrogram_config)
        windows = np.lib.stride_tricks.sliding_window_view(joined, config.input_frames, axis=0)
        frames = np.ascontiguousarray(windows[:: config.num_frames].swapaxes(1, 2))
    return Segments(frames, first_frame, num_valid)
