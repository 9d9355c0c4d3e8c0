"""What two sets of notes have in common: pairs of notes by mir_eval's maximum matching, and cells of their piano rolls.

``reference`` is what was played, ``estimate`` what was transcribed: arrays of ``notes.NOTE_DTYPE``, in any order. Two
notes may be a pair when their keys are equal (pitch, and instrument where that matters), their onsets are at most 50 ms
apart and, with offsets, their offsets are at most max(50 ms, 20 % of the reference note's duration) apart: the defaults
of ``mir_eval.transcription``. A pair of drum notes needs no agreement of offsets, since a drum has no note-off.
"""

from dataclasses import dataclass

import mir_eval.transcription
import numpy as np

from mt3lite import instruments, notes
from mt3lite.notes import OFFSET_RATIO, OFFSET_TOLERANCE_SECONDS, ONSET_TOLERANCE_SECONDS

VELOCITY_TOLERANCE = 0.1  # of the reference's velocity range

FRAMES_PER_SECOND = 62.5
FRAME_NOTE_SECONDS = 0.05  # least length of a note in a piano roll, and the length of every drum note
FRAME_VELOCITY_THRESHOLD = 30

DRUM_GROUP = instruments.NUM_PROGRAMS  # after the programs 0..127
_NUM_PITCHES = 128


@dataclass(frozen=True)
class Matching:
    """Which notes of two arrays belong together, as indices into them."""

    hits: np.ndarray  # int64 [num_hits, 2]: (reference index, estimate index), by reference index
    misses: np.ndarray  # int64 [num_misses]: reference notes without a partner
    extras: np.ndarray  # int64 [num_extras]: estimated notes without a partner


def match(
    reference: np.ndarray,
    estimate: np.ndarray,
    *,
    granularity: str = "flat",
    offsets: bool = True,
    onset_tolerance_seconds: float = ONSET_TOLERANCE_SECONDS,
) -> Matching:
    """Return hits, misses and extras, for pictures and for finding out what goes wrong.

    Args:
        reference: NOTE_DTYPE [num_reference].
        estimate: NOTE_DTYPE [num_estimated].
        granularity: programs must agree after this mapping; with "flat" every pitched note may match every other.
            Drum notes match drum notes only, whatever program the file gives the kit.
        offsets: whether pitched notes must agree in offset too.
        onset_tolerance_seconds: greatest distance of the onsets.

    Raises:
        InputError: a note is impossible (``notes.validate``), or the granularity is unknown.

    >>> played = notes.from_rows([(0.0, 1.0, 60, 90, 0, False), (1.0, 2.0, 64, 90, 0, False)])
    >>> match(played, played[1:]).misses
    array([0])
    """
    notes.validate(reference)
    notes.validate(estimate)
    hits = match_keys(
        reference,
        estimate,
        keys(reference, granularity),
        keys(estimate, granularity),
        offsets=offsets,
        onset_tolerance_seconds=onset_tolerance_seconds,
    )
    return Matching(
        hits=hits,
        misses=np.setdiff1d(np.arange(len(reference)), hits[:, 0]),
        extras=np.setdiff1d(np.arange(len(estimate)), hits[:, 1]),
    )


def groups(note_array: np.ndarray, granularity: str, *, one_kit: bool = True) -> np.ndarray:
    """Return the instrument of each note, int64 [n]: its mapped program, or ``DRUM_GROUP`` for drums.

    With ``one_kit=False`` drum kits of different programs are different instruments (``DRUM_GROUP`` + program).
    """
    programs = note_array["program"].astype(np.int64)
    kits = DRUM_GROUP + (0 if one_kit else programs)
    return np.where(note_array["is_drum"], kits, instruments.map_program(programs, granularity))


def keys(note_array: np.ndarray, granularity: str, *, one_kit: bool = True) -> np.ndarray:
    """Return a number for each note, int64 [n], equal where instrument (see ``groups``) and pitch are equal."""
    return groups(note_array, granularity, one_kit=one_kit) * _NUM_PITCHES + note_array["pitch"]


def match_keys(
    reference: np.ndarray,
    estimate: np.ndarray,
    reference_keys: np.ndarray,
    estimate_keys: np.ndarray,
    *,
    offsets: bool = True,
    onset_tolerance_seconds: float = ONSET_TOLERANCE_SECONDS,
    offset_tolerance_seconds: float = OFFSET_TOLERANCE_SECONDS,
) -> np.ndarray:
    """Return the pairs of a maximum matching of notes with equal keys, int64 [num_hits, 2], by reference index.

    Args:
        reference: NOTE_DTYPE [num_reference], valid.
        estimate: NOTE_DTYPE [num_estimated], valid.
        reference_keys: int [num_reference]; a key is shared by drum notes only or by pitched notes only.
        estimate_keys: int [num_estimated].
        offsets: whether pitched notes must agree in offset too.
        onset_tolerance_seconds: greatest distance of the onsets.
        offset_tolerance_seconds: least tolerance of the offsets; a long note has 20 % of its duration.
    """
    # mir_eval compares every note with every note. Taken key by key its result is the same, as notes of different keys
    # never match, and an hour of music takes seconds and no large matrix.
    estimate_blocks = _blocks(estimate_keys)
    reference_spans, estimate_spans = _spans(reference, estimate)
    pairs = [np.empty((0, 2), np.int64)]
    for key, rows in _blocks(reference_keys).items():
        if key not in estimate_blocks:
            continue
        columns = estimate_blocks[key]
        use_offsets = offsets and not reference["is_drum"][rows[0]]
        found = mir_eval.transcription.match_notes(
            reference_spans[rows],
            np.ones(len(rows)),
            estimate_spans[columns],
            np.ones(len(columns)),
            onset_tolerance=onset_tolerance_seconds,
            offset_ratio=OFFSET_RATIO if use_offsets else None,
            offset_min_tolerance=offset_tolerance_seconds,
        )
        pairs.extend(np.array([[rows[row], columns[column]]]) for row, column in found)
    joined = np.concatenate(pairs)
    return joined[np.argsort(joined[:, 0])]


def match_velocities(reference: np.ndarray, estimate: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Return those of the pairs (int64 [n, 2], from ``match_keys``) whose velocities agree.

    The line that fits the estimated velocities of the pairs best to the reference's takes them to the reference's
    scale, where 0 is its softest note and 1 its loudest; they may then differ by less than 0.1. As
    ``mir_eval.transcription_velocity.match_notes``, after Hawthorne et al. 2018, "Onsets and Frames".
    """
    if not len(pairs):
        return pairs
    lowest, highest = reference["velocity"].min(), reference["velocity"].max()
    wanted = (reference["velocity"][pairs[:, 0]] - lowest) / max(1, highest - lowest)
    given = estimate["velocity"][pairs[:, 1]].astype(np.float64)
    slope, intercept = np.linalg.lstsq(np.stack([given, np.ones_like(given)], axis=1), wanted, rcond=None)[0]
    return pairs[np.abs(slope * given + intercept - wanted) < VELOCITY_TOLERANCE]


def count_cells(reference: np.ndarray, estimate: np.ndarray) -> tuple[int, int, int]:
    """Return how many (pitch, frame) cells of the piano rolls are on in both, in the estimate, in the reference.

    The rolls have 62.5 frames per second. The reference is on where its velocity is above 30, as in Cerberus (Manilow
    et al. 2020), the estimate where it is above 0; notes are lengthened first (see ``lengthen``).
    """
    spans = [_frame_span(lengthen(side)) for side in (reference, estimate)]
    # Between two neighbouring starts or ends nothing changes, so the cells there are counted and not drawn: a note at
    # the end of a week would need a roll of gigabytes.
    places, inverse = np.unique(np.concatenate([each for span in spans for each in span]), return_inverse=True)
    widths = np.diff(places, append=places[-1:])
    played, transcribed = _levels([reference, estimate], inverse, len(places))
    played, transcribed = played > FRAME_VELOCITY_THRESHOLD, transcribed > 0
    both, found, wanted = (int(widths[cells].sum()) for cells in (played & transcribed, transcribed, played))
    return both, found, wanted


def lengthen(note_array: np.ndarray) -> np.ndarray:
    """Return the notes with the durations of the frame score: at least 50 ms, for drums exactly 50 ms."""
    longer = note_array.copy()
    short = note_array["is_drum"] | (note_array["offset"] - note_array["onset"] < FRAME_NOTE_SECONDS)
    longer["offset"][short] = note_array["onset"][short] + FRAME_NOTE_SECONDS
    return longer


def _frame_span(note_array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first frame of each note and that after its last, int64 [n], each pitch in a range of its own.

    Times are cut, not rounded, to frames, as in pretty_midi's ``get_piano_roll``.
    """
    pitch_start = note_array["pitch"].astype(np.int64) << 32
    first, end = (
        np.maximum(note_array[field] * FRAMES_PER_SECOND, 0).astype(np.int64) for field in ("onset", "offset")
    )
    return pitch_start + first, pitch_start + end


def _levels(sides: list[np.ndarray], inverse: np.ndarray, num_places: int) -> list[np.ndarray]:
    """Return the sum of the sounding notes' velocities from each place to the next, int64 [num_places], of each side.

    `inverse` has the places of the first side's starts, its ends, the second's starts, its ends.
    """
    levels, read = [], 0
    for side in sides:
        change = np.zeros(num_places, np.int64)
        for sign in (1, -1):
            np.add.at(change, inverse[read : read + len(side)], sign * side["velocity"].astype(np.int64))
            read += len(side)
        levels.append(np.cumsum(change))
    return levels


def _blocks(note_keys: np.ndarray) -> dict[int, np.ndarray]:
    """Return the indices of the notes of each key, ascending."""
    order = np.argsort(note_keys, kind="stable")
    distinct, starts = np.unique(note_keys[order], return_index=True)
    # Not strict: without any note there is no key, and yet one (empty) block.
    return dict(zip(distinct.tolist(), np.split(order, starts[1:]), strict=False))


def _spans(*sides: np.ndarray) -> list[np.ndarray]:
    """Return onset and offset of the notes of each side, float64 [n, 2], moved so that none is negative.

    mir_eval refuses negative times, which notes have that sound on from before a crop (``notes.crop``).
    """
    earliest = min((float(side["onset"].min(initial=0.0)) for side in sides), default=0.0)
    return [np.stack([side["onset"], side["offset"]], axis=1) - earliest for side in sides]
