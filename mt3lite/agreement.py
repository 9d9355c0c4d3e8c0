"""What the notes of a piece say of each other: which instrument family plays each, and which drums there are.

The network tells notes as it hears them, two seconds at a time, so that the line of a violin may come out as those of
five instruments, and a stroke here and there as one of a drum that nobody has. A piece has few instruments, and a line
stays with one: what is heard of a note is weighed with what is heard of those around it, and with how often each family
is heard at all. Where two families are heard to play the same note, the two likeliest do. A drum that is there is heard
for sure now and then. When a note ends is told from all that is heard after it, see `offsets.py`. And when it begins,
and how loudly, was heard more finely than tokens say it.

Axes: N notes, S strokes, F families.
"""

import bisect
from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from mt3lite import hearing, instruments, note_heads, notes, offsets
from mt3lite.frontend import LOWEST_PITCH, NUM_PITCHES

# These were found on held-out pieces with training's sounds.
_STEP_SECONDS = 1.0  # of the grid on which notes hear each other
_NEAR_SECONDS, _NEAR_SEMITONES = 3.0, 2.0  # standard deviations: how far
_OTHERS = 0.5  # weight of what is heard of the notes around one, beside what is heard of itself
_PRIOR = 0.7  # exponent of how often a family is heard in the piece
_SMALLEST = 1e-3  # share of a family that is not heard at all
_ROUNDS = 20  # of expectation maximisation
_UNISON_FROM = 0.5  # logit from which on a second family plays a note, too
_SUREST = 0.9  # quantile of a drum's logits in the piece that tells how surely it is there
_THERE = 2.0  # weight of that, beside the logit of a stroke
_STRUCK_FROM = -3.0  # sum of both from which on a stroke counts
_PARTS = 10  # of a step, to which onsets are told
_SILENT = -1000.0  # taken for the log chance that a note stays where nothing sounds at all


class HeardNotes(NamedTuple):
    """What was heard of some notes."""

    which: np.ndarray  # int64 [N]: indices of those that were heard among those that were asked for
    family: np.ndarray  # float32 [N, F]: log chances
    unison: np.ndarray  # float32 [N]: logits that two families play the note
    velocity: np.ndarray  # float32 [N]: 0 to 1
    onset: np.ndarray  # float64 [N]: in steps, and parts of them


class HeardStrokes(NamedTuple):
    """What was heard of some strokes."""

    which: np.ndarray  # int64 [S], as of `HeardNotes`
    logit: np.ndarray  # float32 [S]
    velocity: np.ndarray  # float32 [S]: 0 to 1
    onset: np.ndarray  # float64 [S]: as of `HeardNotes`


class Opinions:
    """What was heard of a piece's notes, to be added segment by segment in their order."""

    def __init__(self, shift_positions: tuple[float, float]):
        """Take where steps lie in a segment, see `network.NetworkConfig`."""
        self._offset, self._scale = shift_positions
        self._start_steps: list[int] = []
        # By position and pitch or drum, as in `HeardNotes` and `HeardStrokes`: float64 [F + 3] and [3].
        self._notes: list[dict[tuple[int, int], np.ndarray]] = []
        self._strokes: list[dict[tuple[int, int], np.ndarray]] = []
        self._log_stays: list[np.ndarray | None] = []  # float16 [P, 88]
        self._end_step = 0

    def add(self, start_step: int, end_step: int, begun: hearing.Begun | None) -> None:
        """Add what was heard of a segment from one step to another, the first from 0 on; None where nothing was."""
        self._start_steps.append(start_step)
        self._end_step = end_step
        told = begun is not None and begun.log_stays is not None
        self._log_stays.append(begun.log_stays.astype(np.float16) if told else None)
        if begun is None:
            self._notes.append({})
            self._strokes.append({})
        else:
            # The step of a note is the one nearest to it, so the steps of a position are of times half a step earlier.
            begins = start_step - self._offset / self._scale - 0.5
            of_notes = [begun.family, begun.unison, begun.velocity, begins + begun.moment / self._scale]
            of_strokes = [begun.drum_logit, begun.drum_velocity, begins + begun.drum_moment / self._scale]
            self._notes.append(_by_place(begun.note_position, begun.pitch, np.column_stack(of_notes)))
            self._strokes.append(_by_place(begun.stroke_position, begun.drum, np.column_stack(of_strokes)))

    @property
    def nearest_steps(self) -> int:
        """How far apart one onset may be heard at different positions."""
        return int(1.5 / self._scale)

    def segments(self, steps: np.ndarray) -> np.ndarray:
        """Return which segments steps are in, int64 [any]."""
        return np.searchsorted(self._start_steps, steps, side="right") - 1

    def notes(self, onset_steps: np.ndarray, pitches: np.ndarray) -> HeardNotes:
        """Return what was heard of those of some notes that were heard to begin."""
        which, told = self._heard(self._notes, onset_steps, pitches)
        told = np.array(told).reshape(-1, note_heads.NUM_FAMILIES + 3)
        return HeardNotes(which, told[:, :-3].astype(np.float32), *told[:, -3:].T)

    def strokes(self, onset_steps: np.ndarray, drums: np.ndarray) -> HeardStrokes:
        """Return what was heard of those of some strokes that were heard."""
        which, told = self._heard(self._strokes, onset_steps, drums)
        return HeardStrokes(which, *np.array(told).reshape(-1, 3).T)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was heard, as of all networks without heads."""
        return not any(map(len, (*self._notes, *self._strokes)))

    @property
    def tell_offsets(self) -> bool:
        """Whether `offsets` can be asked: not all networks hear what it is told from."""
        return any(each is not None for each in self._log_stays)

    def offsets(self, onset_steps: np.ndarray, pitches: np.ndarray, steps_per_second: int) -> np.ndarray:
        """Return the likeliest step at which each of some notes ends, int64 [N]; their pitches are those of heads."""
        num_positions = next(len(each) for each in self._log_stays if each is not None)
        silence = np.full((num_positions, NUM_PITCHES), _SILENT, np.float16)
        log_stays = np.concatenate([silence if each is None else each for each in self._log_stays])
        lengths = np.diff(self._start_steps, append=self._end_step)
        segment = np.repeat(np.arange(len(lengths)), lengths)
        middle = np.arange(self._end_step) - np.array(self._start_steps)[segment] + 0.5
        position = np.minimum((self._offset + self._scale * middle).astype(np.int64), num_positions - 1)
        place = segment * num_positions + position  # of each step, among all positions
        ends = np.zeros(len(pitches), np.int64)
        for pitch in np.unique(pitches):
            (of_pitch,) = np.nonzero(pitches == pitch)
            of_pitch = of_pitch[np.argsort(onset_steps[of_pitch], kind="stable")]
            ends[of_pitch] = offsets.likeliest(
                self._scale * log_stays[place, pitch - LOWEST_PITCH].astype(np.float32),
                onset_steps[of_pitch],
                steps_per_second,
                shortest=round(1 / self._scale),
            )
        return ends

    def _heard(self, segments: list[dict], onset_steps: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, list]:
        heard, opinions = [], []
        for index, (step, key) in enumerate(zip(onset_steps.tolist(), keys.tolist(), strict=True)):
            segment = bisect.bisect(self._start_steps, step) - 1
            position = int(self._offset + self._scale * (step - self._start_steps[segment]))
            for place in ((position, key), (position - 1, key), (position + 1, key)):  # it may be written beside
                if place in segments[segment]:
                    heard.append(index)
                    opinions.append(segments[segment][place])
                    break
        return np.array(heard, np.int64), opinions


def _by_place(positions: np.ndarray, keys: np.ndarray, opinions: np.ndarray) -> dict:
    return dict(zip(zip(positions.tolist(), keys.tolist(), strict=True), opinions, strict=True))


def agreed(
    found: np.ndarray,
    opinions: Opinions,
    steps_per_second: int,
    *,
    families_told: bool,
    among: Collection[int] | None = None,
) -> np.ndarray:
    """Return the notes of a piece as they fit what was heard of all of it; those that were not heard to begin stay.

    Args:
        found: notes.NOTE_DTYPE [any].
        opinions: of the whole piece.
        steps_per_second: of the opinions' steps.
        families_told: whether programs stand for families, so that another may be chosen: the family's first.
        among: as for `families`.
    """
    if opinions.is_empty:
        return found
    found = _once(found, _steps(found, steps_per_second), opinions)
    found = _ended(found, _steps(found, steps_per_second), opinions, steps_per_second)
    found = _struck(found, _steps(found, steps_per_second), opinions)
    if families_told:
        found = _named(found, _steps(found, steps_per_second), opinions, among)
    found = _fine(found, _steps(found, steps_per_second), opinions, steps_per_second)
    return notes.trim_overlaps(found)


def _steps(found: np.ndarray, steps_per_second: int) -> np.ndarray:
    return np.rint(found["onset"] * steps_per_second).astype(np.int64)


def _once(found: np.ndarray, steps: np.ndarray, opinions: Opinions) -> np.ndarray:
    """Return the notes without those that two segments heard to begin at their edge, less the second of each pair."""
    order = np.lexsort((steps, found["pitch"], found["is_drum"]))
    key = np.where(found["is_drum"], -1, 1)[order] * (1 + found["pitch"][order])
    later_segment = np.diff(opinions.segments(steps[order])) > 0
    again = (np.diff(key) == 0) & later_segment & (np.diff(steps[order]) <= opinions.nearest_steps)
    return np.delete(found, order[1:][again])


def _ended(found: np.ndarray, steps: np.ndarray, opinions: Opinions, steps_per_second: int) -> np.ndarray:
    """Return the notes with their likeliest offsets, as far as the heads have their pitches."""
    if not opinions.tell_offsets:
        return found
    found = found.copy()
    heads = np.arange(LOWEST_PITCH, LOWEST_PITCH + NUM_PITCHES)
    pitched = np.flatnonzero(~found["is_drum"] & np.isin(found["pitch"], heads))
    found["offset"][pitched] = (
        opinions.offsets(steps[pitched], found["pitch"][pitched], steps_per_second) / steps_per_second
    )
    return found


def _struck(found: np.ndarray, steps: np.ndarray, opinions: Opinions) -> np.ndarray:
    """Return the notes without strokes that are not believed."""
    strokes = np.flatnonzero(found["is_drum"])
    heard = opinions.strokes(steps[strokes], found["pitch"][strokes])
    strokes = strokes[heard.which]
    struck = are_struck(steps[strokes], found["pitch"][strokes], heard.logit, opinions.nearest_steps)
    return np.delete(found, strokes[~struck])


def _named(found: np.ndarray, steps: np.ndarray, opinions: Opinions, among: Collection[int] | None) -> np.ndarray:
    """Return the notes with the families that play them, and once more those that a second one plays, too."""
    found = found.copy()
    pitched = np.flatnonzero(~found["is_drum"])
    heard = opinions.notes(steps[pitched], found["pitch"][pitched])
    named = pitched[heard.which]
    chosen, second = families(found["onset"][named], found["pitch"][named], heard.family, among)
    found["program"][named] = chosen * instruments.PROGRAMS_PER_FAMILY
    doubled = (heard.unison >= _UNISON_FROM) & (second >= 0)
    doubles = found[named[doubled]]
    doubles["program"] = second[doubled] * instruments.PROGRAMS_PER_FAMILY
    return np.concatenate([found, doubles])


def _fine(found: np.ndarray, steps: np.ndarray, opinions: Opinions, steps_per_second: int) -> np.ndarray:
    """Return the notes with onsets and velocities as they were heard, each for itself: finer than tokens tell them."""
    fine = found.copy()
    for is_drum, ask in ((False, opinions.notes), (True, opinions.strokes)):
        (asked,) = np.nonzero(found["is_drum"] == is_drum)
        heard = ask(steps[asked], found["pitch"][asked])
        # To a tenth of a step: the last digits are another computer's, or another batch's.
        onset_steps = np.rint(heard.onset * _PARTS) / _PARTS
        fine["onset"][asked[heard.which]] = np.maximum(onset_steps, 0) / steps_per_second
        fine["velocity"][asked[heard.which]] = np.clip(np.rint(127 * heard.velocity), 1, 127)
    lasting = np.where(found["is_drum"], fine["onset"] + found["offset"] - found["onset"], found["offset"])
    fine["offset"] = np.maximum(lasting, fine["onset"] + 1 / steps_per_second)
    return fine


def are_struck(onset_steps: np.ndarray, drums: np.ndarray, logits: np.ndarray, nearest_steps: int) -> np.ndarray:
    """Return which strokes are believed, bool [S]: those heard for sure, and others of drums that are so elsewhere.

    Of strokes of one class at once, such as of two snares, the likeliest is: it is one that sounds like both.

    Args:
        onset_steps: int [S].
        drums: int [S], keys.
        logits: float [S], that they are struck.
        nearest_steps: how far apart strokes are at once.
    """
    surest = np.zeros(len(drums))
    for drum in np.unique(drums):
        surest[drums == drum] = np.quantile(logits[drums == drum], _SUREST)
    sure = logits + _THERE * surest
    struck = sure >= _STRUCK_FROM
    for keys in instruments.DRUM_CLASSES.values():
        (of_class,) = np.nonzero(np.isin(drums, keys))
        steps = onset_steps[of_class]
        likeliest = np.full(steps.max(initial=0) + 2 * nearest_steps + 1, -np.inf)  # around each step, beginning early
        for distance in range(2 * nearest_steps + 1):
            np.maximum.at(likeliest, steps + distance, sure[of_class])
        struck[of_class] &= sure[of_class] == likeliest[steps + nearest_steps]
    return struck


def families(
    onsets_seconds: np.ndarray, pitches: np.ndarray, log_chances: np.ndarray, among: Collection[int] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the likeliest family of each note and the second likeliest, int64 [N], -1 where no other may be chosen.

    Families' shares are found as by Saerens et al., "Adjusting the Outputs of a Classifier to New a Priori
    Probabilities: A Simple Procedure", 2002, but count for less than they would if notes were heard independently.

    Args:
        onsets_seconds: float [N].
        pitches: int [N], 0 to 127.
        log_chances: float [N, F], up to a constant for each note.
        among: the families that may be chosen; None for all.
    """
    if not len(onsets_seconds):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    own = np.log(_normalised(log_chances))
    scores = own + _OTHERS * _around(onsets_seconds, pitches, own)
    if among is not None:
        scores[:, [family for family in range(scores.shape[1]) if family not in among]] = -np.inf
    shares = np.full(scores.shape[1], 1 / scores.shape[1], np.float32)
    for _ in range(_ROUNDS):
        weighed = scores + _PRIOR * np.log(shares + _SMALLEST)
        shares = _normalised(weighed).mean(axis=0)
    chosen = weighed.argmax(axis=1)
    np.put_along_axis(weighed, chosen[:, None], -np.inf, axis=1)
    return chosen, np.where(np.isfinite(weighed.max(axis=1)), weighed.argmax(axis=1), -1)


def _normalised(log_chances: np.ndarray) -> np.ndarray:
    """Return chances of families, float [N, F], of what is known up to a constant for each note."""
    chances = np.exp(log_chances - log_chances.max(axis=1, keepdims=True))
    return chances / chances.sum(axis=1, keepdims=True)


def _around(onsets_seconds: np.ndarray, pitches: np.ndarray, log_chances: np.ndarray) -> np.ndarray:
    """Return the mean log chances of the notes around each and of itself, nearer ones weighing more, [N, F]."""
    places = np.floor(onsets_seconds / _STEP_SECONDS).astype(np.int64), np.asarray(pitches, np.int64)
    keys = np.arange(128)
    by_key = np.exp(-0.5 * ((keys[:, None] - keys) / _NEAR_SEMITONES) ** 2).astype(np.float32)
    reach = round(3 * _NEAR_SECONDS / _STEP_SECONDS)
    by_step = np.exp(-0.5 * (np.arange(-reach, reach + 1) * _STEP_SECONDS / _NEAR_SECONDS) ** 2).astype(np.float32)

    def near(values: np.ndarray) -> np.ndarray:
        grid = np.zeros((reach + places[0].max() + 1 + reach, len(keys)), np.float32)
        np.add.at(grid, (places[0] + reach, places[1]), values)
        grid = grid @ by_key
        return sum(weight * grid[places[0] + i, places[1]] for i, weight in enumerate(by_step))

    counts = near(np.ones(len(log_chances), np.float32))
    return np.stack([near(column) for column in log_chances.T], axis=1) / counts[:, None]
