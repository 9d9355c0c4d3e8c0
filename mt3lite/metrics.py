"""Two sets of notes -> scores: onset, offset, velocity, frame, program and drum scores, over mir_eval.

``reference`` is what was played, ``estimate`` what was transcribed: arrays of ``notes.NOTE_DTYPE``, in any order, never
changed. Every score comes from three counts: matched, estimated and reference notes (or piano-roll cells). ``counts``
finds them, ``score`` turns one piece's counts into precision, recall and F1, ``mean`` averages pieces (what papers
print), ``pooled`` adds the counts of all pieces and gives confidence intervals.

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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mt3lite import instruments, matching, notes
from mt3lite.errors import InputError

SWEEP_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)  # onset tolerance and least offset tolerance, both
COMPATIBILITIES = ("none", "mt3")

# The five classes of ADTOF (Zehren et al. 2021, arXiv:2111.11737); other General MIDI percussion is ``OTHER_DRUMS``.
DRUM_CLASSES = {
    "Kick": (35, 36),
    "Snare": (37, 38, 40),
    "Tom": (41, 43, 45, 47, 48, 50),
    "Hi-hat": (42, 44, 46),
    "Cymbal": (49, 51, 52, 53, 55, 57, 59),
}
OTHER_DRUMS = "Other"

_F1 = re.compile(r"F1(?=$| \([\w.]+\)$)")  # in the name of a score: at its end, or before a granularity or tolerance


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


@dataclass(frozen=True)
class Interval:
    """A pooled score and its confidence interval."""

    value: float
    low: float
    high: float


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
        for key, value in _three_scores(name, count):
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
    names = (*DRUM_CLASSES, OTHER_DRUMS)
    class_of_pitch = np.full(128, len(DRUM_CLASSES))
    for index, pitches in enumerate(DRUM_CLASSES.values()):
        class_of_pitch[list(pitches)] = index
    drums = reference[reference["is_drum"]], estimate[estimate["is_drum"]]
    classes = [class_of_pitch[side["pitch"]] for side in drums]
    matched = classes[0][matching.match_keys(*drums, *classes)[:, 0]]
    rows = {}
    for index in np.union1d(*classes).tolist():
        sizes = (int(np.count_nonzero(which == index)) for which in (matched, classes[1], classes[0]))
        rows[names[index]] = {"Onset F1": Counts(*sizes)}
    return rows


# --- many pieces ---


def total(pieces: Iterable[Rows]) -> Rows:
    """Return the rows of several pieces (``by_instrument`` or ``by_drum_class``) added up, as they first appear."""
    rows: Rows = {}
    for piece in pieces:
        for row_name, row in piece.items():
            sums = rows.setdefault(row_name, {})
            for name, count in row.items():
                sums[name] = sums.get(name, Counts(0, 0, 0)) + count
    return rows


def mean(pieces: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each score over the pieces where it is defined; nan where it is defined in none."""
    means = {}
    for name in _names(pieces):
        defined = [piece[name] for piece in pieces if name in piece and not math.isnan(piece[name])]
        means[name] = math.fsum(defined) / len(defined) if defined else math.nan
    return means


def pooled(
    pieces: Sequence[dict[str, Counts]], *, num_resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> dict[str, Interval]:
    """Return scores over the notes of all pieces, with percentile bootstrap intervals over the pieces.

    Args:
        pieces: the ``counts`` of each piece. A piece weighs as many notes as it has; in ``mean`` all weigh the same.
        num_resamples: how often as many pieces as there are get drawn, with replacement.
        confidence: share of the resampled values between low and high, 0 to 1.
        seed: of the draws; equal seeds give equal intervals.

    Raises:
        InputError: there is no piece.
    """
    if not pieces:
        raise InputError("there is no piece to score")
    chances = np.full(len(pieces), 1 / len(pieces))
    times_drawn = np.random.default_rng(seed).multinomial(len(pieces), chances, size=num_resamples)
    nothing = Counts(0, 0, 0)
    intervals = {}
    for name in _names(pieces):
        of_pieces = [piece.get(name, nothing) for piece in pieces]
        sizes = np.array([(count.matched, count.estimated, count.reference) for count in of_pieces])
        resampled = [dict(_three_scores(name, Counts(*row))) for row in (times_drawn @ sizes).tolist()]
        for key, value in _three_scores(name, sum(of_pieces, nothing)):
            defined = [scores[key] for scores in resampled if not math.isnan(scores[key])]
            ends = np.quantile(defined, ((1 - confidence) / 2, (1 + confidence) / 2)) if defined else (np.nan, np.nan)
            intervals[key] = Interval(value, float(ends[0]), float(ends[1]))
    return intervals


# --- counting ---


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
    if "instrument" not in note_array.dtype.names:
        return note_array
    first = note_array["instrument"] == 0
    return note_array[~first | (note_array["program"] == note_array["program"][first].max(initial=0))]


def _match_pitches(reference: np.ndarray, estimate: np.ndarray, **tolerances) -> np.ndarray:
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


# --- text ---


def table(scores: dict[str, float] | dict[str, Interval]) -> str:
    """Return the main scores of ``score``, ``mean`` or ``pooled`` as lines of text; "-" where one is undefined.

    The tolerance sweep is left out.
    """
    lines = [["", "precision", "recall", "F1"]]
    for name in scores:
        if _F1.search(name) and not name.endswith(tuple(f"({seconds})" for seconds in SWEEP_SECONDS)):
            cells = [_cell(scores[_renamed(name, part)]) for part in ("precision", "recall", "F1")]
            lines.append([" ".join(_renamed(name, "").split()), *cells])
    return _aligned(lines)


def row_table(rows: Rows) -> str:
    """Return the rows of ``by_instrument``, ``by_drum_class`` or ``total`` as lines of text."""
    lines = [["", "reference", "estimated", "onset precision", "onset recall", "onset F1", "onset + offset F1"]]
    for name, row in rows.items():
        onset = row["Onset F1"]
        offset_f1 = row["Onset + offset F1"].f1 if "Onset + offset F1" in row else math.nan
        cells = map(_cell, (onset.precision, onset.recall, onset.f1, offset_f1))
        lines.append([name, str(onset.reference), str(onset.estimated), *cells])
    return _aligned(lines)


def _cell(value: float | Interval) -> str:
    if isinstance(value, Interval):
        return f"{_cell(value.value)} [{_cell(value.low)}, {_cell(value.high)}]"
    return "-" if math.isnan(value) else f"{value:.3f}"


def _aligned(lines: list[list[str]]) -> str:
    """Return the cells in columns: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = []
    for first, *others in lines:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        texts.append("  ".join(cells).rstrip())
    return "\n".join(texts)


# --- names ---


def _names(pieces: Sequence[dict]) -> list[str]:
    """Return the names of all pieces' scores, each once, as they first appear."""
    return list(dict.fromkeys(name for piece in pieces for name in piece))


def _three_scores(name: str, count: Counts) -> Iterator[tuple[str, float]]:
    """Yield names and values of precision, recall and F1, from the name of the F1 score."""
    yield _renamed(name, "precision"), count.precision
    yield _renamed(name, "recall"), count.recall
    yield name, count.f1


def _renamed(name: str, part: str) -> str:
    """Return the name of an F1 score with ``part`` in place of "F1"; magenta/mt3 has capitals in the frame scores."""
    return _F1.sub(part.capitalize() if name.endswith("Frame F1") else part, name)


def _group_name(group: int, granularity: str) -> str:
    """Return what a row of ``by_instrument`` is called."""
    if group == matching.DRUM_GROUP:
        return instruments.name(0, is_drum=True)
    if granularity == "flat":
        return "Pitched"
    if granularity == "midi_class":
        return instruments.FAMILY_NAMES[group // instruments.PROGRAMS_PER_FAMILY]
    return instruments.name(group)
