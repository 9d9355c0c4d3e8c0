"""Log-magnitude spectrograms: samples to frames, the same numbers from NumPy and from JAX.

Two scales of frequency. "mel" is the ancestor's (magenta/mt3): 512 HTK mel filters. "semitone" spaces its filters
evenly in pitch, so that a note has the same shape at every pitch, which the harmonic front end builds on.
"""

import dataclasses
import functools
from fractions import Fraction
from typing import Any

import numpy as np
import scipy.fft

from mt3lite.errors import InputError

SCALES = ("mel", "semitone")
# Far beyond what is of use. A config.json comes with a model that somebody made; it must not fill the memory.
_MOST = {
    "sample_rate": 1_000_000,
    "hop_samples": 1 << 17,
    "fft_size": 1 << 17,
    "num_bins": 1 << 13,
    "bins_per_semitone": 100,
}
_MOST_WEIGHTS = 1 << 26  # of the filterbank
FRAMES_PER_CHUNK = 64  # NumPy: frames transformed together; 64 x 2048 float32 stay in a 1 MB cache
# NumPy: neighbouring filters are multiplied together, over the FFT bins they reach and no others. With no more weights
# than this OpenBLAS keeps to one thread; its threads would wait for each other longer than they work.
WEIGHTS_PER_BAND = 4096


@dataclasses.dataclass(frozen=True)
class SpectrogramConfig:
    """What a frame is. The defaults are the ancestor's, of mt3 and ismir2021 alike.

    Raises:
        InputError: a value cannot be used, with the name of its field.
    """

    sample_rate: int = 16000  # Hz
    hop_samples: int = 128  # from one frame to the next
    fft_size: int = 2048  # samples of a window, which is a periodic Hann window
    num_bins: int = 512  # filters, so values of a frame
    min_frequency_hz: float = 20.0  # mel: lower edge of the first filter; semitone: centre of the first filter
    max_frequency_hz: float = 7600.0  # mel: upper edge of the last filter; semitone: not used, num_bins decides
    scale: str = "mel"  # one of SCALES
    bins_per_semitone: int = 3  # semitone only
    # Stands for silence: mel: in place of magnitude 0 alone, as in the ancestor; semitone: the least magnitude.
    log_floor: float = 1e-5
    centered: bool = False  # frame i's window: its middle at sample i * hop_samples, or else its beginning

    def __post_init__(self) -> None:
        for field, most in _MOST.items():
            if not 1 <= getattr(self, field) <= most:
                raise InputError(f"spectrogram.{field}: {getattr(self, field)} is not from 1 to {most}")
        if self.fft_size * self.num_bins > _MOST_WEIGHTS:
            raise InputError(
                f"spectrogram.num_bins: {self.num_bins} filters of {self.fft_size} samples do not fit into memory"
            )
        if self.scale not in SCALES:
            raise InputError(f"spectrogram.scale: {self.scale!r} is not one of {', '.join(SCALES)}")
        if self.hop_samples > self.fft_size:
            raise InputError(
                f"spectrogram.hop_samples: {self.hop_samples} is more than fft_size {self.fft_size}, "
                "so some samples would be in no frame"
            )
        if not 0 < self.log_floor <= 1:
            raise InputError(f"spectrogram.log_floor: {self.log_floor} is not above 0, or more than 1, full scale")
        if not 0 < self.min_frequency_hz < self.highest_frequency_hz <= self.sample_rate / 2:
            raise InputError(
                f"spectrogram.min_frequency_hz: filters from {self.min_frequency_hz} to "
                f"{self.highest_frequency_hz:.1f} Hz do not rise between 0 and half the sample rate {self.sample_rate}"
            )

    @property
    def frames_per_second(self) -> Fraction:
        """Frames a second of audio, exactly."""
        return Fraction(self.sample_rate, self.hop_samples)

    @property
    def first_sample(self) -> int:
        """Where frame 0's window begins: 0, or half a window before sample 0."""
        return -(self.fft_size // 2) if self.centered else 0

    @property
    def highest_frequency_hz(self) -> float:
        """Upper edge of the last mel filter, or the frequency one bin above the last semitone filter's centre."""
        if self.scale == "mel":
            return self.max_frequency_hz
        return self.min_frequency_hz * 2 ** (self.num_bins / (12 * self.bins_per_semitone))


@functools.lru_cache
def filterbank(config: SpectrogramConfig) -> np.ndarray:
    """Return the weights of the FFT bins in each filter, float32 [fft_size // 2 + 1, num_bins], 0 to 1; read-only.

    mel: triangles in mel, of peak 1, their edges evenly spaced between the two frequencies. The FFT bin of 0 Hz is in
    none. A low filter may hold no FFT bin at all; it is always silent. The ancestor has the same weights to 2e-4, which
    is how far its float32 arithmetic is off.

    semitone: filter k is a triangle in Hz with peak 1 at min_frequency_hz * 2^(k / (12 * bins_per_semitone)) that
    reaches to the next filter's centre, or to one FFT bin's distance where filters lie closer than FFT bins.
    """
    fft_frequencies = np.arange(config.fft_size // 2 + 1) * (config.sample_rate / config.fft_size)
    if config.scale == "mel":
        edges = np.linspace(_mel(config.min_frequency_hz), _mel(config.max_frequency_hz), config.num_bins + 2)
        lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
        position = _mel(fft_frequencies)[:, None]
    else:
        bins_per_octave = 12 * config.bins_per_semitone
        centre = config.min_frequency_hz * 2 ** (np.arange(config.num_bins) / bins_per_octave)
        half_width = np.maximum(fft_frequencies[1], centre * (2 ** (1 / bins_per_octave) - 1))
        lower, upper = centre - half_width, centre + half_width
        position = fft_frequencies[:, None]
    weights = np.minimum((position - lower) / (centre - lower), (upper - position) / (upper - centre))
    if config.scale == "mel":
        weights[0] = 0.0
    weights = np.maximum(weights, 0.0).astype(np.float32)
    weights.flags.writeable = False  # the cache hands the same array to every caller
    return weights


def bin_frequencies(config: SpectrogramConfig) -> np.ndarray:
    """Return the frequency in Hz at which each bin's filter peaks: float64 [num_bins], ascending."""
    if config.scale == "mel":
        edges = np.linspace(_mel(config.min_frequency_hz), _mel(config.max_frequency_hz), config.num_bins + 2)
        return 700.0 * np.expm1(edges[1:-1] / 1127.0)
    return config.min_frequency_hz * 2 ** (np.arange(config.num_bins) / (12 * config.bins_per_semitone))


def compute(samples: Any, config: SpectrogramConfig, xp: Any = np) -> Any:
    """Return the natural log of the filtered magnitude spectrum, frame by frame.

    Nothing is padded: frame i is of the samples [i * hop_samples, i * hop_samples + fft_size). Which samples to bring,
    and zeros where there are none, is for `segments` to say.

    Args:
        samples: float32 [..., num_samples], mono, -1 to 1.
        config: the frames wanted.
        xp: `numpy`, or `jax.numpy`; then the function can be traced, with `config` static.

    Returns:
        float32 [..., num_frames, num_bins] with num_frames = (num_samples - fft_size) // hop_samples + 1, or 0 where
        the samples do not fill a window.
    """
    num_frames = max(0, (samples.shape[-1] - config.fft_size) // config.hop_samples + 1)
    if xp is not np:
        return _compute_traced(samples, num_frames, config, xp)
    magnitudes = np.empty((*samples.shape[:-1], num_frames, config.num_bins), np.float32)
    if magnitudes.size:
        for row in np.ndindex(samples.shape[:-1]):
            _fill_magnitudes(samples[row], magnitudes[row], config)
    return _log(magnitudes, config, np)


def _mel(frequency_hz: float | np.ndarray) -> np.ndarray:
    """Hertz to HTK mel (Young et al., "The HTK Book")."""
    return 1127.0 * np.log1p(np.asarray(frequency_hz) / 700.0)


@functools.lru_cache
def hann(fft_size: int) -> np.ndarray:
    """Return the periodic Hann window, float32 [fft_size]."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(fft_size) / fft_size)).astype(np.float32)


@functools.lru_cache
def _bands(config: SpectrogramConfig) -> list[tuple[slice, slice, np.ndarray]]:
    """Cut the filterbank into (filters, FFT bins they reach, weights), leaving out most of its zeros."""
    weights = filterbank(config)
    bands, first = [], 0
    while first < config.num_bins:
        stop = first + 1
        while stop < config.num_bins and _reached(weights, first, stop + 1)[1].size <= WEIGHTS_PER_BAND:
            stop += 1
        bands.append((slice(first, stop), *_reached(weights, first, stop)))
        first = stop
    return bands


def _reached(weights: np.ndarray, first: int, stop: int) -> tuple[slice, np.ndarray]:
    """Return the FFT bins that the filters from `first` to `stop` reach, and their weights."""
    reached = np.flatnonzero(weights[:, first:stop].any(axis=1))
    fft_bins = slice(reached[0], reached[-1] + 1) if len(reached) else slice(0, 0)
    return fft_bins, np.ascontiguousarray(weights[fft_bins, first:stop])


def _fill_magnitudes(samples: np.ndarray, magnitudes: np.ndarray, config: SpectrogramConfig) -> None:
    """Write the filtered magnitudes of samples [num_samples] into `magnitudes` [num_frames, num_bins], on the CPU."""
    windows = np.lib.stride_tricks.sliding_window_view(samples, config.fft_size)[:: config.hop_samples]
    for start in range(0, len(magnitudes), FRAMES_PER_CHUNK):
        rows = slice(start, start + FRAMES_PER_CHUNK)
        # scipy's transform stays in float32 with every NumPy, and is twice as fast.
        spectrum = np.abs(scipy.fft.rfft(windows[rows] * hann(config.fft_size)))
        for filters, fft_bins, weights in _bands(config):
            magnitudes[rows, filters] = spectrum[:, fft_bins] @ weights


def _compute_traced(samples: Any, num_frames: int, config: SpectrogramConfig, jnp: Any) -> Any:
    """Compute as `compute` does, with the operations of jax.numpy, for all rows and frames at once."""
    # A window is the join of neighbouring blocks of one hop: shifted copies, which need no gather.
    hops_per_window = -(-config.fft_size // config.hop_samples)
    num_blocks = max(0, num_frames - 1 + hops_per_window)
    missing = max(0, num_blocks * config.hop_samples - samples.shape[-1])
    padded = jnp.pad(samples, [(0, 0)] * (samples.ndim - 1) + [(0, missing)])[..., : num_blocks * config.hop_samples]
    blocks = padded.reshape(*samples.shape[:-1], num_blocks, config.hop_samples)
    shifted = [blocks[..., i : i + num_frames, :] for i in range(hops_per_window)]
    windows = jnp.concatenate(shifted, axis=-1)[..., : config.fft_size]  # [..., F, fft_size]
    spectrum = jnp.abs(jnp.fft.rfft(windows * hann(config.fft_size)))  # [..., F, fft_size // 2 + 1]
    # Accelerators round the factors of a product to fewer bits unless told otherwise.
    return _log(jnp.matmul(spectrum, filterbank(config), precision="highest"), config, jnp)


def _log(magnitudes: Any, config: SpectrogramConfig, xp: Any) -> Any:
    """Return the natural log, with `log_floor` for silence."""
    if config.scale == "mel":  # the ancestor's rule: what is above zero, however little, stays as it is
        return xp.log(xp.where(magnitudes <= 0, np.float32(config.log_floor), magnitudes))
    return xp.log(xp.maximum(magnitudes, np.float32(config.log_floor)))
