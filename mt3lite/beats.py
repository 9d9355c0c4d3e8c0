"""Where the beats of a piece are, and its bars, found in its notes.

What a network of `beat_activity` says of each frame is not a row of beats yet: those follow each other at a tempo
that changes little from one to the next. The likeliest such row is found by a hidden Markov model whose states are
tempo and position within a beat (Krebs, Böck and Widmer, "An efficient state-space model for joint tempo and meter
tracking", ISMIR 2015). Of these beats another network says how much each is like a bar's first, and of bars of two,
three or four beats the likeliest row is taken.

Axes: T frames, N beats, P tempos, each as a whole number of frames between beats; S states: positions of all tempos.
"""

from dataclasses import dataclass

import numpy as np
import scipy.special

from mt3lite import beat_activity
from mt3lite.beat_activity import FRAMES_PER_SECOND
from mt3lite.errors import InputError

SLOWEST, FASTEST = 40, 220  # beats a minute, where no tempo is told
TEMPOS_TOLD = 20, 300  # beats a minute that may be told
AROUND = 1.2  # by which the tempo may be faster or slower than the one that is told
BARS = (2, 3, 4)  # beats in a bar, where that is not told
BARS_TOLD = 2, 16  # beats in a bar that may be told

_TEMPO_CHANGE = 60.0  # log chance of a tempo falls by this for each change by its whole
_MORE_BEATS = 2.5  # log odds that a beat gets on top: without, rows with fewer beats than the music are chosen
_BAR_CHANGE = 1e-3  # chance of another kind of bar at the end of one
_LEAST_ACTIVITY = 1e-3  # nothing is impossible
_AFTER_SECONDS = 0.5  # of the last onset, in which beats are looked for


@dataclass(frozen=True)
class Beats:
    """The beats of a piece.

    Attributes:
        seconds: when each is, float64 [N], ascending.
        is_downbeat: whether a bar begins with it, bool [N].
    """

    seconds: np.ndarray
    is_downbeat: np.ndarray

    @property
    def downbeat_seconds(self) -> np.ndarray:
        """When bars begin, float64 [bars]."""
        return self.seconds[self.is_downbeat]

    @property
    def per_bar(self) -> int:
        """How many beats most bars have; 0 where not even one is whole."""
        return int(np.bincount(np.diff(np.flatnonzero(self.is_downbeat)), minlength=1).argmax())

    @property
    def per_minute(self) -> float:
        """The tempo, as the median over the piece; nan for less than two beats."""
        return 60 / float(np.median(np.diff(self.seconds))) if len(self.seconds) > 1 else float("nan")


def track(notes: np.ndarray, *, per_minute: float | None = None, per_bar: int | None = None) -> Beats:
    """Return the beats of a piece, by the onsets of its notes; none if there are no notes.

    Args:
        notes: of `notes.NOTE_DTYPE`.
        per_minute: about how many beats a minute there are, 20 to 300; None if that is not known. It settles whether
            what is counted in quarters or in halves is wanted.
        per_bar: how many beats each bar has, 2 to 16; None: two, three or four, and that may change.

    Raises:
        InputError: no such tempo, no such bars.
    """
    if per_minute is not None and not TEMPOS_TOLD[0] <= per_minute <= TEMPOS_TOLD[1]:
        raise InputError(f"{per_minute:g} beats a minute: {TEMPOS_TOLD[0]} to {TEMPOS_TOLD[1]} are wanted")
    if per_bar is not None and not BARS_TOLD[0] <= per_bar <= BARS_TOLD[1]:
        raise InputError(f"bars of {per_bar} beats: {BARS_TOLD[0]} to {BARS_TOLD[1]} are wanted")
    slowest, fastest = (SLOWEST, FASTEST) if per_minute is None else (per_minute / AROUND, per_minute * AROUND)
    num_frames = int((notes["onset"].max(initial=-_AFTER_SECONDS) + _AFTER_SECONDS) * FRAMES_PER_SECOND)
    if num_frames == 0:
        return Beats(np.zeros(0), np.zeros(0, bool))
    frames = _likeliest_beats(_activity("beats", beat_activity.of_frames(notes, num_frames)), slowest, fastest)
    seconds = frames / FRAMES_PER_SECOND
    if len(seconds) < 2:
        return Beats(seconds, np.ones(len(seconds), bool))
    activity = _activity("bars", beat_activity.of_beats(notes, seconds))
    return Beats(seconds, _likeliest_downbeats(activity, (per_bar,) if per_bar else BARS))


def _activity(network: str, features: np.ndarray) -> np.ndarray:
    """Return how much each frame is like a beat, or each beat like a bar's first, by a network: float [T], 0 to 1."""
    logits = beat_activity.logits(beat_activity.weights()[network], features)
    return np.clip(scipy.special.expit(logits), _LEAST_ACTIVITY, 1 - _LEAST_ACTIVITY)


def _likeliest_beats(activity: np.ndarray, slowest: float = SLOWEST, fastest: float = FASTEST) -> np.ndarray:
    """Return the frames of the likeliest row of beats, int64 [N], by how much each is like one, float [T]."""
    periods = np.arange(round(60 * FRAMES_PER_SECOND / fastest), round(60 * FRAMES_PER_SECOND / slowest) + 1)
    stops = np.cumsum(periods)
    firsts, lasts = stops - periods, stops - 1  # states
    # Halves of a beat that are seen in a state: the network was taught to see one in the frames around a beat.
    halves = np.zeros(stops[-1], np.int64)
    halves[firsts + 1] = halves[lasts] = 1
    halves[firsts] = 2
    changes = -_TEMPO_CHANGE * np.abs(periods[None, :] / periods[:, None] - 1)  # [P, P]
    changes -= scipy.special.logsumexp(changes, axis=1, keepdims=True)
    seen = np.array([0, 0.5, 1])
    fits = np.log(activity)[:, None] * seen + np.log(1 - activity)[:, None] * (1 - seen)  # [T, 3]
    fits += [0, np.log(2), _MORE_BEATS]

    score = np.full(stops[-1], -np.log(stops[-1]))
    before = np.empty((len(activity), len(periods)), np.uint8)  # [T, P] tempo before a beat
    for frame in range(len(activity)):
        ended = score[lasts][:, None] + changes
        before[frame] = ended.argmax(axis=0)
        score[1:] = score[:-1].copy()
        score[firsts] = ended.max(axis=0)
        score += fits[frame, halves]

    state = int(score.argmax())
    tempo = int(np.searchsorted(stops, state, side="right"))
    frame, frames = len(activity) - 1 - (state - firsts[tempo]), []
    while frame >= 0:
        frames.append(frame)
        tempo = int(before[frame, tempo])
        frame -= periods[tempo]
    return np.array(frames[::-1], np.int64)


def _likeliest_downbeats(activity: np.ndarray, bars: tuple[int, ...] = BARS) -> np.ndarray:
    """Return the beats with which bars begin, bool [N], by how much each is like one, float [N].

    A bar has as many beats as one of `bars` says.
    """
    states = [(beats, position) for beats in bars for position in range(beats)]
    begins = np.array([position == 0 for _, position in states])
    with np.errstate(divide="ignore"):
        changes = np.log([[_bar_chance(*one, *other, len(bars)) for other in states] for one in states])
    score = np.full(len(states), -np.log(len(states)))
    before = np.empty((len(activity), len(states)), np.int64)
    for beat, chance in enumerate(activity):
        if beat:
            reached = score[:, None] + changes
            before[beat] = reached.argmax(axis=0)
            score = reached.max(axis=0)
        score = score + np.where(begins, np.log(chance), np.log(1 - chance))
    path = [int(score.argmax())] if len(activity) else []
    for beat in range(len(activity) - 1, 0, -1):
        path.append(int(before[beat, path[-1]]))
    return begins[np.array(path[::-1], np.int64)]


def _bar_chance(beats: int, position: int, next_beats: int, next_position: int, num_kinds: int) -> float:
    """Return the chance that a beat in a bar is followed by another, where there are so many kinds of bars."""
    if position + 1 < beats:
        return float((next_beats, next_position) == (beats, position + 1))
    if next_position:
        return 0.0
    return 1 - _BAR_CHANGE * (num_kinds - 1) if next_beats == beats else _BAR_CHANGE
