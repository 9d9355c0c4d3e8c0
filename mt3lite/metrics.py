"""Two sets of notes -> scores: onset, offset, velocity, frame, program and drum scores, over mir_eval.

``reference`` is what was played, ``estimate`` what was transcribed: arrays of ``notes.NOTE_DTYPE``, in any order, never
changed. Every score comes from three counts: matched, estimated and reference notes (or piano-roll cells). ``counts``
finds them, ``score`` turns one piece's counts into precision, recall and F1, ``mean`` averages pieces (what papers
print); ``pooling`` adds up the counts of many pieces and gives confidence intervals.

The rules are mir_eval's defaults (see ``matching``) and MT3's choices (Gardner et al. 2022, arXiv:2111.03017):

* Scores without "program" or "drum" in the name take all pitched notes as one instrument and leave drums out.
* Scores with "program" match inside one program, MIDI class, or anything (the granularity). Drum notes match by pitch
  and onset, and all drum notes are one kit, whatever program the file gives it.
* Frame scores compare the cells of two piano rolls (``matching.count_cells``).
* With nothing on one side a score is 0. With nothing on both sides it is undefined: nan, which ``mean`` leaves out. So
  a piece without drums, transcribed without drums, neither raises nor lowers the drum score.

``compatibility="mt3"`` gives what magenta/mt3 prints, for comparison with published numbers: drum kits with different
programs never match; the tolerance sweep sees the notes already lengthened for the frame score; a score is 0, not nan,
where both sides are empty (except the frame score, at which magenta/mt3 stops); and where the arrays have a further
field "instrument" (NoteSequence's number), the frame score sees only one program of those that share number 0.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from mt3lite import instruments, matching, notes
from mt3lite.errors import InputError

SWEEP_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)  # onset tolerance and least offset tolerance, both
COMPATIBILITIES = ("none", "mt3")

OTHER_DRUMS = "Other"  # than those of ``instruments.DRUM_CLASSES``

F1_NAME = re.compile(
    r"F1(?=$| \([\w.]+\)$)"
)  # in the name of a score: at its end, or before a granularity or tolerance


@dataclass(frozen=True)
class Counts:
    """What one score is made of: numbers of notes, or of (pitch, frame) cells of a piano roll."""

    matched: int
    estimated: int
    reference: int

    def __add__(self, other: "Counts") -> "Counts":
        """Return the counts of both together."""
        return Counts(self.matched + other.matched, self.estimated + other.estimated, self.reference + other.reference)

    @property
    def precision(self) -> float:
        """Matched share of the estimate, 0 to 1; nan when both sides are empty."""
        return self._share(self.matched, self.estimated)

    @property
    def recall(self) -> float:
        """Matched share of the reference, 0 to 1; nan when both sides are empty."""
        return self._share(self.matched, self.reference)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, 0 to 1; nan when both sides are empty."""
        return self._share(2 * self.matched, self.estimated + self.reference)

    def _share(self, part: int, whole: int) -> float:
        if self.estimated + self.reference == 0:
            return math.nan
        return part / whole if whole else 0.0


Rows = dict[str, dict[str, Counts]]  # instrument or drum class -> name of the F1 score -> counts
Confusion = dict[str, dict[str, int]]  # instrument in the reference -> in the estimate -> number of notes
NOTHING = "(nothing)"  # a confusion's row of notes that were not played, and column of notes that were not found


@dataclass(frozen=True)
class Moments:
    """Sums over matched notes of what their velocities' correlation is made of; whole numbers, so they add up."""

    num: int = 0
    reference: int = 0
    estimate: int = 0
    reference_squared: int = 0
    estimate_squared: int = 0
    product: int = 0

    def __add__(self, other: "Moments") -> "Moments":
        """Return the sums over both together."""
        return Moments(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))

    @property
    def correlation(self) -> float:
        """Pearson's correlation coefficient, -1 to 1; nan where either side has one velocity throughout."""
        spread_of_reference = self.num * self.reference_squared - self.reference**2
        spread_of_estimate = self.num * self.estimate_squared - self.estimate**2
        if not spread_of_reference or not spread_of_estimate:
            return math.nan
        together = self.num * self.product - self.reference * self.estimate
        return together / math.sqrt(spread_of_reference) / math.sqrt(spread_of_estimate)


@dataclass(frozen=True)
class Track:
    """One instrument to score alone, where a data set fixes them (URMP, Cerberus4)."""

    name: str  # the scores' names begin with it: "bass/Onset F1"
    program: int
    is_drum: bool = False  # then the program does not matter, except to magenta/mt3


# --- one piece ---


def score(
    reference: np.ndarray,
    estimate: np.ndarray,
    *,
    granularities: Sequence[str] = instruments.GRANULARITIES,
    tracks: Sequence[Track] = (),
    onsets_only: bool = False,
    compatibility: str = "none",
) -> dict[str, float]:
    """Return the scores of one piece: name -> value from 0 to 1, or nan where neither side has anything to score.

    The names are magenta/mt3's: "Onset F1", "Onset + offset precision", "Frame Recall", "Drum onset F1 (full)",
    "Onset + offset + program F1 (midi_class)", "Onset + offset F1 (0.01)", "bass/Onset F1" (a track), ...
    Arguments and errors are those of ``counts``.

    >>> played = notes.from_rows([(0.0, 1.0, 60, 90, 0, False), (1.0, 2.0, 64, 90, 0, False)])
    >>> score(played, played[:1])["Onset + offset recall"]
    0.5
    """
    found = counts(
        reference,
        estimate,
        granularities=granularities,
        tracks=tracks,
        onsets_only=onsets_only,
        compatibility=compatibility,
    )
    return from_counts(found, compatibility=compatibility)


def counts(
    reference: np.ndarray,
    estimate: np.ndarray,
    *,
    granularities: Sequence[str] = instruments.GRANULARITIES,
    tracks: Sequence[Track] = (),
    onsets_only: bool = False,
    compatibility: str = "none",
) -> dict[str, Counts]:
    """Return what the scores of one piece are made of: name of the F1 score -> counts.

    Args:
        reference: NOTE_DTYPE [num_reference].
        estimate: NOTE_DTYPE [num_estimated].
        granularities: of the scores with "program" and "drum" in the name, from ``instruments.GRANULARITIES``.
        tracks: instruments that are scored alone as well.
        onsets_only: the estimate has no meaningful velocities and offsets: leave out the plain scores of them.
        compatibility: "none", or "mt3" for magenta/mt3's numbers (see the head of this file).

    Raises:
        InputError: a note is impossible (``notes.validate``), or a setting is unknown.
    """
    _check_compatibility(compatibility)
    notes.validate(reference)
    notes.validate(estimate)
    ancestor = compatibility == "mt3"
    pitched = [side[~side["is_drum"]] for side in (reference, estimate)]

    found = _plain_counts(*pitched, onsets_only=onsets_only)
    if ancestor:
        found["Frame F1"] = Counts(*matching.count_cells(*map(_without_overwritten, pitched)))
    for track in tracks:
        alone = [side[_is_on_track(side, track, one_kit=not ancestor)] for side in (reference, estimate)]
        of_track = _plain_counts(*alone, offsets=not track.is_drum, onsets_only=onsets_only)
        found |= {f"{track.name}/{name}": count for name, count in of_track.items()}
    for granularity in granularities:
        found |= _program_counts(reference, estimate, granularity, one_kit=not ancestor)
    swept = [matching.lengthen(side) for side in pitched] if ancestor else pitched
    return found | _sweep_counts(*swept)


def from_counts(found: dict[str, Counts], *, compatibility: str = "none") -> dict[str, float]:
    """Return precision, recall and F1 of each of the ``counts``, as ``score`` does."""
    _check_compatibility(compatibility)
    scores = {}
    for name, count in found.items():
        undefined_is_zero = compatibility == "mt3" and not name.endswith("Frame F1")
        for key, value in three_scores(name, count):
            scores[key] = 0.0 if undefined_is_zero and math.isnan(value) else value
    return scores


def by_instrument(reference: np.ndarray, estimate: np.ndarray, *, granularity: str = "full") -> Rows:
    """Return a row for each instrument that either side has: its name -> {"Onset F1": ..., "Onset + offset F1": ...}.

    Rows are in program order; the last is "Drums", without an offset score. With "flat" all others are "Pitched".

    Raises:
        InputError: a note is impossible, or the granularity is unknown.
    """
    notes.validate(reference)
    notes.validate(estimate)
    groups = [matching.groups(side, granularity) for side in (reference, estimate)]
    rows = {}
    for group in np.union1d(*groups).tolist():
        alone = reference[groups[0] == group], estimate[groups[1] == group]
        sizes = len(alone[1]), len(alone[0])
        row = {"Onset F1": Counts(len(_match_pitches(*alone, offsets=False)), *sizes)}
        if group != matching.DRUM_GROUP:
            row["Onset + offset F1"] = Counts(len(_match_pitches(*alone, offsets=True)), *sizes)
        rows[_group_name(group, granularity)] = row
    return rows


def by_drum_class(reference: np.ndarray, estimate: np.ndarray) -> Rows:
    """Return a row for each class of drum that either side has: "Kick", "Snare", ... -> {"Onset F1": counts}.

    The class has to be right, not the pitch: an open hi-hat written as a closed one is no error here.

    Raises:
        InputError: a note is impossible.
    """
    notes.validate(reference)
    notes.validate(estimate)
    names = (*instruments.DRUM_CLASSES, OTHER_DRUMS)
    class_of_pitch = np.full(128, len(instruments.DRUM_CLASSES))
    for index, pitches in enumerate(instruments.DRUM_CLASSES.values()):
        class_of_pitch[list(pitches)] = index
    drums = reference[reference["is_drum"]], estimate[estimate["is_drum"]]
    classes = [class_of_pitch[side["pitch"]] for side in drums]
    matched = classes[0][matching.match_keys(*drums, *classes)[:, 0]]
    rows = {}
    for index in np.union1d(*classes).tolist():
        sizes = (int(np.count_nonzero(which == index)) for which in (matched, classes[1], classes[0]))
        rows[names[index]] = {"Onset F1": Counts(*sizes)}
    return rows


def confusion(reference: np.ndarray, estimate: np.ndarray, *, granularity: str = "midi_class") -> Confusion:
    """Return which instruments the notes were given to: name in the reference -> name in the estimate -> number.

    Notes are matched by pitch and onset, first those of the same instrument, then what is left over with any other;
    drum notes with drum notes only. What has no partner then is in the column or the row ``NOTHING``.

    Raises:
        InputError: a note is impossible, or the granularity is unknown.
    """
    notes.validate(reference)
    notes.validate(estimate)
    sides = reference, estimate
    names = [[_group_name(group, granularity) for group in matching.groups(side, granularity)] for side in sides]
    left = [np.arange(len(side)) for side in sides]
    table: Confusion = {}
    for each in (granularity, "flat"):
        rest = [side[indices] for side, indices in zip(sides, left, strict=True)]
        pairs = matching.match_keys(*rest, *(matching.keys(side, each) for side in rest), offsets=False)
        for row, column in pairs.tolist():
            _add_to(table, names[0][left[0][row]], names[1][left[1][column]])
        left = [np.delete(indices, pairs[:, number]) for number, indices in enumerate(left)]
    for index in left[0].tolist():
        _add_to(table, names[0][index], NOTHING)
    for index in left[1].tolist():
        _add_to(table, NOTHING, names[1][index])
    return table


def velocity_moments(reference: np.ndarray, estimate: np.ndarray) -> Moments:
    """Return what the correlation of the velocities of matched notes is made of.

    Notes are matched by pitch and onset, pitched notes with pitched notes of any instrument, drums with drums.

    Raises:
        InputError: a note is impossible.
    """
    notes.validate(reference)
    notes.validate(estimate)
    pairs = matching.match_keys(reference, estimate, *map(_flat_keys, (reference, estimate)), offsets=False)
    played = reference["velocity"][pairs[:, 0]].astype(np.int64)
    found = estimate["velocity"][pairs[:, 1]].astype(np.int64)
    sums = (played, found, played * played, found * found, played * found)
    return Moments(len(pairs), *(int(each.sum()) for each in sums))


def mean(pieces: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each score over the pieces where it is defined; nan where it is defined in none."""
    means = {}
    for name in names_of(pieces):
        defined = [piece[name] for piece in pieces if name in piece and not math.isnan(piece[name])]
        means[name] = math.fsum(defined) / len(defined) if defined else math.nan
    return means


# --- counting ---


def _flat_keys(note_array: np.ndarray) -> np.ndarray:
    return matching.keys(note_array, "flat")


def _add_to(table: Confusion, row: str, column: str) -> None:
    columns = table.setdefault(row, {})
    columns[column] = columns.get(column, 0) + 1


def _check_compatibility(compatibility: str) -> None:
    if compatibility not in COMPATIBILITIES:
        raise InputError(f"unknown compatibility {compatibility!r}; choose one of: {', '.join(COMPATIBILITIES)}")


def _is_on_track(note_array: np.ndarray, track: Track, *, one_kit: bool) -> np.ndarray:
    """Return which notes a track holds, bool [n]."""
    same_program = note_array["program"] == track.program
    return (note_array["is_drum"] == track.is_drum) & (same_program | (track.is_drum and one_kit))


def _without_overwritten(note_array: np.ndarray) -> np.ndarray:
    """Return the pitched notes that reach magenta/mt3's frame score: of instrument number 0 one program only.

    Its way to a piano roll (``note_seq.note_sequence_to_pretty_midi``) takes a NoteSequence's instrument number 0 for
    one instrument, whose notes the next program overwrites. The number comes in a further field "instrument".
    """
    if "instrument" not in (note_array.dtype.names or ()):
        return note_array
    first = note_array["instrument"] == 0
    return note_array[~first | (note_array["program"] == note_array["program"][first].max(initial=0))]


def _match_pitches(reference: np.ndarray, estimate: np.ndarray, **tolerances: Any) -> np.ndarray:
    """Return ``matching.match_keys`` of notes of one instrument."""
    return matching.match_keys(reference, estimate, reference["pitch"], estimate["pitch"], **tolerances)


def _plain_counts(
    reference: np.ndarray, estimate: np.ndarray, *, onsets_only: bool, offsets: bool = True
) -> dict[str, Counts]:
    """Return onset, offset, velocity and frame counts of notes that are taken as one instrument."""
    sizes = len(estimate), len(reference)
    found = {}
    for name, use_offsets in (("Onset", False), ("Onset + offset", True)):
        if use_offsets and (onsets_only or not offsets):
            continue
        pairs = _match_pitches(reference, estimate, offsets=use_offsets)
        found[f"{name} F1"] = Counts(len(pairs), *sizes)
        if not onsets_only:
            agreeing = matching.match_velocities(reference, estimate, pairs)
            found[f"{name} + velocity F1"] = Counts(len(agreeing), *sizes)
    return found | {"Frame F1": Counts(*matching.count_cells(reference, estimate))}


def _program_counts(
    reference: np.ndarray, estimate: np.ndarray, granularity: str, *, one_kit: bool
) -> dict[str, Counts]:
    """Return the counts of notes that match inside one instrument: of all notes, drum notes and other notes."""
    keys = (matching.keys(side, granularity, one_kit=one_kit) for side in (reference, estimate))
    pairs = matching.match_keys(reference, estimate, *keys)
    drum_flags = reference["is_drum"][pairs[:, 0]], estimate["is_drum"], reference["is_drum"]
    drums = Counts(*(int(np.count_nonzero(flags)) for flags in drum_flags))
    others = Counts(*(int(np.count_nonzero(~flags)) for flags in drum_flags))
    return {
        f"Onset + offset + program F1 ({granularity})": drums + others,
        f"Drum onset F1 ({granularity})": drums,
        f"Nondrum onset + offset + program F1 ({granularity})": others,
    }


def _sweep_counts(reference: np.ndarray, estimate: np.ndarray) -> dict[str, Counts]:
    """Return the onset + offset counts of pitched notes at each tolerance of the sweep."""
    found = {}
    for seconds in SWEEP_SECONDS:
        pairs = _match_pitches(reference, estimate, onset_tolerance_seconds=seconds, offset_tolerance_seconds=seconds)
        found[f"Onset + offset F1 ({seconds})"] = Counts(len(pairs), len(estimate), len(reference))
    return found


# --- names ---


def names_of(pieces: Sequence[dict]) -> list[str]:
    """Return the names of all pieces' scores, each once, as they first appear."""
    return list(dict.fromkeys(name for piece in pieces for name in piece))


def three_scores(name: str, count: Counts) -> Iterator[tuple[str, float]]:
    """Yield names and values of precision, recall and F1, from the name of the F1 score."""
    yield renamed(name, "precision"), count.precision
    yield renamed(name, "recall"), count.recall
    yield name, count.f1


def renamed(name: str, part: str) -> str:
    """Return the name of an F1 score with ``part`` in place of "F1"; magenta/mt3 has capitals in the frame scores."""
    return F1_NAME.sub(part.capitalize() if name.endswith("Frame F1") else part, name)


def _group_name(group: int, granularity: str) -> str:
    """Return what a row of ``by_instrument`` is called."""
    if group == matching.DRUM_GROUP:
        return instruments.name(0, is_drum=True)
    if granularity == "flat":
        return "Pitched"
    if granularity == "midi_class":
        return instruments.FAMILY_NAMES[group // instruments.PROGRAMS_PER_FAMILY]
    return instruments.name(group)
