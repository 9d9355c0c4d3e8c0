"""Which instrument family plays each note of a piece, chosen for all of its notes together.

The network names notes as it hears them, two seconds at a time, so that the line of a violin may come out as those of
five instruments. A piece has few instruments, and a line stays with one: what is heard of a note is weighed with what
is heard of those around it, and with how often each family is heard at all.

Axes: N notes, F families.
"""

import bisect
from collections.abc import Collection

import numpy as np
from scipy import ndimage

from mt3lite import hearing

_STEP_SECONDS = 0.5  # of the grid on which notes hear each other
_NEAR_SECONDS, _NEAR_SEMITONES = 3.0, 2.0  # standard deviations: how far
_OTHERS = 0.5  # weight of what is heard of the notes around one, beside what is heard of itself
_PRIOR = 0.7  # exponent of how often a family is heard in the piece
_SMALLEST = 1e-3  # share of a family that is not heard at all
_ROUNDS = 30  # of expectation maximisation


class Opinions:
    """What was heard of a piece's notes, to be added segment by segment in their order."""

    def __init__(self, shift_positions: tuple[float, float]):
        """Take where steps lie in a segment, see `network.NetworkConfig`."""
        self._offset, self._scale = shift_positions
        self._start_steps: list[int] = []
        self._begun: list[dict[tuple[int, int], np.ndarray]] = []  # log chances by position and pitch

    def add(self, start_step: int, begun: hearing.Begun | None) -> None:
        """Add what was heard of a segment that begins at a step; None where nothing was."""
        self._start_steps.append(start_step)
        places = zip(begun.position.tolist(), begun.pitch.tolist(), strict=True) if begun else ()
        self._begun.append(dict(zip(places, begun.family if begun else (), strict=True)))

    def of(self, onset_steps: np.ndarray, pitches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return which of some notes were heard to begin, int64 [H], and the log chances of those, float32 [H, F]."""
        heard, log_chances = [], []
        for note, (step, pitch) in enumerate(zip(onset_steps.tolist(), pitches.tolist(), strict=True)):
            segment = bisect.bisect(self._start_steps, step) - 1
            position = int(self._offset + self._scale * (step - self._start_steps[segment]))
            if (position, pitch) in self._begun[segment]:
                heard.append(note)
                log_chances.append(self._begun[segment][position, pitch])
        return np.array(heard, np.int64), np.array(log_chances, np.float32).reshape(-1, hearing.NUM_FAMILIES)


def choose(
    onsets_seconds: np.ndarray, pitches: np.ndarray, log_chances: np.ndarray, among: Collection[int] | None = None
) -> np.ndarray:
    """Return the family of each note, int64 [N].

    Families' shares are found as by Saerens et al., "Adjusting the Outputs of a Classifier to New a Priori
    Probabilities: A Simple Procedure", 2002, but count for less than they would if notes were heard independently.

    Args:
        onsets_seconds: float [N].
        pitches: int [N], 0 to 127.
        log_chances: float [N, F], up to a constant for each note.
        among: the families that may be chosen; None for all.
    """
    if not len(onsets_seconds):
        return np.zeros(0, np.int64)
    own = log_chances - _log_sum(log_chances)
    scores = own + _OTHERS * _around(onsets_seconds, pitches, own)
    if among is not None:
        scores[:, [family for family in range(scores.shape[1]) if family not in among]] = -np.inf
    shares = np.full(scores.shape[1], 1 / scores.shape[1])
    for _ in range(_ROUNDS):
        weighed = scores + _PRIOR * np.log(shares + _SMALLEST)
        shares = np.exp(weighed - _log_sum(weighed)).mean(axis=0)
    return weighed.argmax(axis=1)


def _log_sum(scores: np.ndarray) -> np.ndarray:
    """Return the log of the sum of exponentials over families, [N, 1]."""
    return np.logaddexp.reduce(scores, axis=1, keepdims=True)


def _around(onsets_seconds: np.ndarray, pitches: np.ndarray, log_chances: np.ndarray) -> np.ndarray:
    """Return the mean log chances of the notes around each and of itself, nearer ones weighing more, [N, F]."""
    places = np.floor(onsets_seconds / _STEP_SECONDS).astype(np.int64), np.asarray(pitches, np.int64)
    near = _NEAR_SECONDS / _STEP_SECONDS, _NEAR_SEMITONES

    def smooth(values: np.ndarray) -> np.ndarray:
        grid = np.zeros((places[0].max() + 1, 128), np.float32)
        np.add.at(grid, places, values)
        return ndimage.gaussian_filter(grid, near, mode="constant", truncate=3.0)[places]

    counts = smooth(np.ones(len(log_chances), np.float32))
    return np.stack([smooth(column) for column in log_chances.T], axis=1) / counts[:, None]
