"""How much each moment of a piece is like a beat, and like the first of a bar: a small network that reads notes.

A temporal convolutional network, as beat trackers have (Davies and Böck, "Temporal convolutional networks for musical
audio beat tracking", EUSIPCO 2019), over onsets in place of a spectrogram: it knows of notes only, not of their sound.

Axes: T frames of 20 ms, F features, C channels, K taps of a filter, B blocks.
"""

import functools
from pathlib import Path
from types import ModuleType

import numpy as np
import safetensors.numpy

from mt3lite import instruments

FRAMES_PER_SECOND = 50
WEIGHTS = Path(__file__).parent / "assets" / "beats" / "weights.safetensors"

_LOWEST_PITCH, _PITCHES_PER_BAND, _NUM_BANDS = 24, 8, 10
_LONGEST_SECONDS = 2.0  # that a note counts for
_DRUMS = tuple(instruments.DRUM_CLASSES.values())
NUM_FEATURES = _NUM_BANDS + len(_DRUMS) + 2  # bands of pitches, classes of drums, other drums, lengths
_EPSILON = 1e-5


def features(notes: np.ndarray, num_frames: int) -> np.ndarray:
    """Return what begins in each frame, float32 [T, F]: how many notes of each band or class, and how long they last.

    Args:
        notes: of `notes.NOTE_DTYPE`; what begins before 0 s or after the last frame does not count.
        num_frames: T.
    """
    kind = np.clip((notes["pitch"] - _LOWEST_PITCH) // _PITCHES_PER_BAND, 0, _NUM_BANDS - 1)
    kind[notes["is_drum"]] = _NUM_BANDS + len(_DRUMS)
    for index, pitches in enumerate(_DRUMS):
        kind[notes["is_drum"] & np.isin(notes["pitch"], pitches)] = _NUM_BANDS + index
    lengths = np.minimum(notes["offset"] - notes["onset"], _LONGEST_SECONDS) * ~notes["is_drum"]
    position = notes["onset"] * FRAMES_PER_SECOND
    frame = np.floor(position).astype(np.int64)
    counted = np.zeros((num_frames + 1, NUM_FEATURES), np.float32)
    inside = (frame >= 0) & (frame < num_frames)
    # An onset counts for both frames that it lies between, more for the nearer one.
    for frames, weights in ((frame, frame + 1 - position), (frame + 1, position - frame)):
        np.add.at(counted, (frames[inside], kind[inside]), weights[inside])
        np.add.at(counted, (frames[inside], NUM_FEATURES - 1), (weights * lengths)[inside])
    return np.log1p(counted[:num_frames])


def logits(weights: dict, features: np.ndarray, xp: ModuleType = np) -> np.ndarray:
    """Return the log odds of a beat and of a bar's first beat in each frame, float32 [..., T, 2].

    Args:
        weights: of the network: "first" [K, F, C] and "first_bias" [C]; for each block "taps" [B, K, C, C],
            "taps_bias" [B, C], "mix" [B, C, C] and "mix_bias" [B, C]; "last" [C, 2] and "last_bias" [2].
        features: float32 [..., T, F].
        xp: `numpy`, or `jax.numpy` where it is trained.
    """
    hidden = _convolved(features, weights["first"], 1, xp) + weights["first_bias"]
    for block in range(len(weights["taps"])):
        found = _convolved(_normalised(hidden, xp), weights["taps"][block], 2**block, xp) + weights["taps_bias"][block]
        hidden = hidden + _elu(found, xp) @ weights["mix"][block] + weights["mix_bias"][block]
    return _elu(_normalised(hidden, xp), xp) @ weights["last"] + weights["last_bias"]


def _convolved(x: np.ndarray, taps: np.ndarray, dilation: int, xp: ModuleType) -> np.ndarray:
    """Return x [..., T, in] seen through taps [K, in, out] that lie `dilation` frames apart; zeros beyond the ends."""
    reach = len(taps) // 2 * dilation
    padded = xp.pad(x, [(0, 0)] * (x.ndim - 2) + [(reach, reach), (0, 0)])
    seen = [padded[..., index * dilation : index * dilation + x.shape[-2], :] for index in range(len(taps))]
    return xp.concatenate(seen, axis=-1) @ taps.reshape(-1, taps.shape[-1])


def _normalised(x: np.ndarray, xp: ModuleType) -> np.ndarray:
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / xp.sqrt((centred**2).mean(axis=-1, keepdims=True) + _EPSILON)


def _elu(x: np.ndarray, xp: ModuleType) -> np.ndarray:
    return xp.where(x > 0, x, xp.expm1(xp.minimum(x, 0)))


@functools.cache
def weights() -> dict[str, np.ndarray]:
    """Return the bundled weights."""
    return safetensors.numpy.load_file(WEIGHTS)
