"""When notes end: of all offsets, the one that would most likely be taken for right.

An offset counts as right within 50 ms or a fifth of the note's length, as in `mir_eval.transcription`. So a note that
dies away for a second ends not where its end is heard best, but in the middle of where most of it is heard; though not
where it is still heard for sure. How surely a note still sounds follows from the chances that it ends at each moment,
as in survival analysis (Cox and Oakes, "Analysis of Survival Data", 1984, section 2.4).

Axes: T steps of a piece, N notes of one pitch, L lengths that a note may have.
"""

import numpy as np

from mt3lite.notes import OFFSET_RATIO, OFFSET_TOLERANCE_SECONDS

_MARGIN = 0.8  # of the tolerances, since ends are not heard to the step; found on held-out pieces
_SOUNDS = 0.75  # chance of sounding on above which no note is ended
_GONE = 1e-3  # and below which each is
_LEVEL = 1e-6  # chances that differ by less are alike


def likeliest(log_stays: np.ndarray, onset_steps: np.ndarray, steps_per_second: int, shortest: int) -> np.ndarray:
    """Return the steps at which notes of one pitch end, int64 [N]: at the next note's onset at the latest.

    Args:
        log_stays: float [T], log chance that a note which sounds when a step begins still does when it ends.
        onset_steps: int64 [N], 0 to T, ascending.
        steps_per_second: of all these steps.
        shortest: steps from its onset on in which a note does not end, if no other begins.
    """
    end = len(log_stays)
    staying = np.concatenate([[0.0], np.cumsum(log_stays, dtype=np.float64)])
    # When the next note begins; those that begin together end at the latest with the one after them.
    limits = np.append(onset_steps, end)[np.searchsorted(onset_steps, onset_steps, side="right")]
    first = np.minimum(onset_steps + shortest, limits)

    def still(chance: float) -> np.ndarray:
        """Return until when notes sound with more than a chance, [N]."""
        return np.minimum(np.searchsorted(-staying, -np.log(chance) - staying[first]), limits)

    tolerance, ratio = _MARGIN * OFFSET_TOLERANCE_SECONDS * steps_per_second, _MARGIN * OFFSET_RATIO
    # Also lengths beyond the next note, so that there is a middle of those that all mean it.
    lengths = _lengths(((still(_GONE) - onset_steps).max(initial=0) + tolerance) / (1 - ratio))
    # The shortest and the longest note that each of them would be right for.
    shorter = np.minimum(lengths - tolerance, lengths / (1 + ratio))
    longer = np.maximum(lengths + tolerance, lengths / (1 - ratio))

    def sounds_for(after: np.ndarray) -> np.ndarray:
        """Return the chances that a note sounds for longer than some steps, [N, L]."""
        steps = onset_steps[:, None] + np.rint(after).astype(np.int64)
        chances = np.exp(staying[np.clip(steps, first[:, None], end)] - staying[first][:, None])
        return np.where(steps < limits[:, None], chances, 0.0)

    right = sounds_for(shorter) - sounds_for(longer)
    best = right >= right.max(axis=1, keepdims=True) - _LEVEL
    middle = (best.argmax(axis=1) + best.shape[1] - 1 - best[:, ::-1].argmax(axis=1)) // 2
    ends = np.minimum(onset_steps + lengths[middle], limits)
    return np.maximum(np.maximum(ends, still(_SOUNDS)), onset_steps + 1)


def _lengths(longest: float) -> np.ndarray:
    """Return lengths from 1 step on, the longer ones 1 % apart, the last of them at least the longest: int64 [L]."""
    dense = np.arange(1, 101)
    sparse = 100 * np.exp(np.arange(0.01, np.log(max(longest, 100) / 100) + 0.02, 0.01))
    return np.concatenate([dense, np.ceil(sparse).astype(np.int64)])
