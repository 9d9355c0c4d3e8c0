"""Seconds to quarter notes: which tempos and bars a MIDI file has, so that its beats are those of the music.

A beat is a quarter note, and a bar begins with each downbeat. What comes before the first downbeat is a bar of its own,
as long as that takes.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mt3lite.beats import Beats

_TICKS_PER_QUARTER = 960  # of a beat, which may last for a second and more
_PARTS = 8  # of a quarter note: as many such as come nearest are before the first beat
_TOLERANCE_SECONDS = 0.025  # by which a beat may be beside the map, as found beats are beside the music's


@dataclass(frozen=True)
class TempoMap:
    """Tempos and bars of a MIDI file.

    Attributes:
        ticks_per_quarter: the resolution.
        ticks: where tempos begin, int64 [tempos], the first at 0.
        seconds: when that is, float64 [tempos].
        microseconds: of a quarter note from there on, int64 [tempos].
        bars: where kinds of bars begin, in ticks, and their time signatures: [(0, 3, 4), ...].
    """

    ticks_per_quarter: int
    ticks: np.ndarray
    seconds: np.ndarray
    microseconds: np.ndarray
    bars: list[tuple[int, int, int]]

    def ticks_at(self, seconds: np.ndarray) -> np.ndarray:
        """Return the nearest ticks, int64 [...], of times from 0 s on."""
        tempo = np.maximum(np.searchsorted(self.seconds, seconds, side="right") - 1, 0)
        per_second = self.ticks_per_quarter * 1e6 / self.microseconds[tempo]
        ticks = self.ticks[tempo] + (seconds - self.seconds[tempo]) * per_second
        return np.maximum(np.round(ticks), 0).astype(np.int64)

    def seconds_at(self, ticks: np.ndarray) -> np.ndarray:
        """Return the times, float64 [...], of ticks from 0 on."""
        tempo = np.searchsorted(self.ticks, ticks, side="right") - 1
        per_tick = self.microseconds[tempo] / (1e6 * self.ticks_per_quarter)
        return self.seconds[tempo] + (ticks - self.ticks[tempo]) * per_tick


STEADY = TempoMap(  # note_seq's standard resolution and tempo
    220, np.zeros(1, np.int64), np.zeros(1), np.array([500_000]), [(0, 4, 4)]
)


def following(beats: Beats) -> TempoMap:
    """Return the map in which beats are quarter notes; `STEADY` for less than two beats."""
    if len(beats.seconds) < 2:
        return STEADY
    downbeats = np.flatnonzero(beats.is_downbeat) if beats.is_downbeat.any() else np.zeros(1, np.int64)
    lengths = np.diff(downbeats).tolist() or [4]
    beat_seconds = np.median(np.diff(beats.seconds[:_PARTS]))
    lead = round(beats.seconds[0] / beat_seconds * _PARTS)  # parts before the first beat
    parts, seconds = lead + _PARTS * np.arange(len(beats.seconds)), beats.seconds
    if lead:
        parts, seconds = np.append(0, parts), np.append(0.0, seconds)
    ticks = parts * (_TICKS_PER_QUARTER // _PARTS)
    bars = list(_bars(lead + _PARTS * int(downbeats[0]), lengths))
    return TempoMap(_TICKS_PER_QUARTER, *_few_tempos(ticks, seconds), bars)


def _few_tempos(ticks: np.ndarray, seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where tempos begin, when, and their microseconds, so that all beats are within the tolerance.

    Each tempo lasts as long as one can: as in the compression of signals by swinging doors (Bristol, US patent
    4,669,097, 1987), it ends when no line through its beginning comes near enough to all beats.
    """
    rows: list[tuple[int, float, int]] = []
    begin, at = 0, 0.0  # the tempo's first beat, and when the map has it
    while begin + 1 < len(ticks):
        stop, slowest, fastest = begin + 1, math.inf, -math.inf  # seconds of a quarter note
        while stop < len(ticks):
            quarters = (ticks[stop] - ticks[begin]) / _TICKS_PER_QUARTER
            upper = min(slowest, (seconds[stop] + _TOLERANCE_SECONDS - at) / quarters)
            lower = max(fastest, (seconds[stop] - _TOLERANCE_SECONDS - at) / quarters)
            if lower > upper:
                break
            slowest, fastest, stop = upper, lower, stop + 1
        microseconds = max(round((slowest + fastest) / 2 * 1e6), 1)
        rows.append((int(ticks[begin]), at, microseconds))
        at += (ticks[stop - 1] - ticks[begin]) / _TICKS_PER_QUARTER * microseconds / 1e6
        begin = stop - 1
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def _bars(lead: int, lengths: list[int]) -> Iterator[tuple[int, int, int]]:
    """Yield where kinds of bars begin, in ticks, and their time signatures.

    Args:
        lead: parts before the first downbeat.
        lengths: quarters of the bars from there on.
    """
    whole, begin = divmod(lead, _PARTS * lengths[0])
    if begin:
        common = math.gcd(begin, _PARTS)
        yield 0, begin // common, 4 * _PARTS // common
    tick, length = begin * (_TICKS_PER_QUARTER // _PARTS), 0
    for next_length in [lengths[0]] * whole + lengths:
        if next_length != length:
            yield tick, next_length, 4
        length = next_length
        tick += length * _TICKS_PER_QUARTER
