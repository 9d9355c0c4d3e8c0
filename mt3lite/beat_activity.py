"""How much each moment of a piece is like a beat, and each beat like the first of a bar: two small networks.

Temporal convolutional networks, as beat trackers have (Davies and Böck, "Temporal convolutional networks for musical
audio beat tracking", EUSIPCO 2019), over onsets in place of a spectrogram: they know of notes only, not of their sound.
One looks at frames of a fiftieth of a second. The other looks at the beats that were found, each in quarters, so that a
bar has the same shape at every tempo (Krebs, Böck, Dorfer and Widmer, "Downbeat tracking using beat-synchronous
features and recurrent neural networks", ISMIR 2016).

Axes: T frames of any length, N beats, F features of a frame, C channels, K taps of a filter, B blocks.
"""

import functools
from pathlib import Path
from types import ModuleType

import numpy as np
import safetensors.numpy

from mt3lite import instruments

FRAMES_PER_SECOND = 50
FRAMES_PER_BEAT = 4
WEIGHTS = Path(__file__).parent / "assets" / "beats" / "weights.safetensors"

_LOWEST_PITCH, _PITCHES_PER_BAND, _NUM_BANDS = 24, 8, 10
_LONGEST_SECONDS = 2.0  # that a note counts for
_DRUMS = tuple(instruments.DRUM_CLASSES.values())
# Columns: notes by bands of pitches, drums by class, other drums; lengths of notes, of all and by pitch class.
_FIRST_DRUM = _NUM_BANDS
_LENGTH = _FIRST_DRUM + len(_DRUMS) + 1
_FIRST_PITCH_CLASS = _LENGTH + 1
NUM_FEATURES = _FIRST_PITCH_CLASS + 12
_EPSILON = 1e-5


def of_frames(notes: np.ndarray, num_frames: int) -> np.ndarray:
    """Return what begins in each frame of a fiftieth of a second, from 0 s on: float32 [T, F].

    Args:
        notes: of `notes.NOTE_DTYPE`; what begins before 0 s or after the last frame does not count.
        num_frames: T.
    """
    return _begun(notes, notes["onset"] * FRAMES_PER_SECOND, num_frames)


def of_beats(notes: np.ndarray, beat_seconds: np.ndarray) -> np.ndarray:
    """Return what begins in each beat, quarter by quarter: float32 [N, 4 F]. Arguments as for `of_frames`.

    The first beat and the last one are as long as those beside them, and what begins before or after does not count.
    """
    first, last = 2 * beat_seconds[0] - beat_seconds[1], 2 * beat_seconds[-1] - beat_seconds[-2]
    inside = notes[(notes["onset"] >= first) & (notes["onset"] < last)]
    edges = np.concatenate([[first], beat_seconds, [last]])
    position = np.interp(inside["onset"], edges, np.arange(-1, len(beat_seconds) + 1))
    begun = _begun(inside, FRAMES_PER_BEAT * position, FRAMES_PER_BEAT * len(beat_seconds))
    return begun.reshape(len(beat_seconds), -1)


def _begun(notes: np.ndarray, position: np.ndarray, num_frames: int) -> np.ndarray:
    """Return how many notes of each kind begin in each frame, and how long they last, by their positions in frames."""
    kind = np.clip((notes["pitch"] - _LOWEST_PITCH) // _PITCHES_PER_BAND, 0, _NUM_BANDS - 1)
    kind[notes["is_drum"]] = _FIRST_DRUM + len(_DRUMS)
    for index, pitches in enumerate(_DRUMS):
        kind[notes["is_drum"] & np.isin(notes["pitch"], pitches)] = _FIRST_DRUM + index
    lengths = np.minimum(notes["offset"] - notes["onset"], _LONGEST_SECONDS) * ~notes["is_drum"]
    pitch_class = _FIRST_PITCH_CLASS + notes["pitch"] % 12
    frame = np.floor(position).astype(np.int64)
    counted = np.zeros((num_frames + 1, NUM_FEATURES), np.float32)
    inside = (frame >= 0) & (frame < num_frames)
    # An onset counts for both frames that it lies between, more for the nearer one.
    for frames, weights in ((frame, frame + 1 - position), (frame + 1, position - frame)):
        for columns, amounts in ((kind, weights), (_LENGTH, weights * lengths), (pitch_class, weights * lengths)):
            where = (frames[inside], np.broadcast_to(columns, len(notes))[inside])
            np.add.at(counted, where, amounts[inside])
    return np.log1p(counted[:num_frames])


def logits(weights: dict, features: np.ndarray, xp: ModuleType = np) -> np.ndarray:
    """Return the log odds of a beat in each frame, or of a bar's first in each beat: float32 [..., T].

    Args:
        weights: of a network: "first" [K, F, C] and "first_bias" [C]; for each block "taps" [B, K, C, C],
            "taps_bias" [B, C], "mix" [B, C, C] and "mix_bias" [B, C]; "last" [C, 1] and "last_bias" [1].
        features: float32 [..., T, F] of frames, [..., N, 4 F] of beats.
        xp: `numpy`, or `jax.numpy` where it is trained.
    """
    hidden = _convolved(features, weights["first"], 1, xp) + weights["first_bias"]
    for block in range(len(weights["taps"])):
        found = _convolved(_normalised(hidden, xp), weights["taps"][block], 2**block, xp) + weights["taps_bias"][block]
        hidden = hidden + _elu(found, xp) @ weights["mix"][block] + weights["mix_bias"][block]
    return (_elu(_normalised(hidden, xp), xp) @ weights["last"] + weights["last_bias"])[..., 0]


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
def weights() -> dict[str, dict[str, np.ndarray]]:
    """Return the bundled weights, of the networks "beats" and "bars"."""
    networks: dict[str, dict[str, np.ndarray]] = {}
    for path, array in safetensors.numpy.load_file(WEIGHTS).items():
        network, _, name = path.partition("/")
        networks.setdefault(network, {})[name] = array
    return networks
