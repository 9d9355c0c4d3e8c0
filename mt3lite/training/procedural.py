"""Invented music for what the scores lack: solos of any instrument in any register, small bands, drum patterns.

A piece is a list of parts as in ``arranging``: arrays of ``notes.NOTE_DTYPE``, one program each. It is made of bars
with one chord each; every part fills each bar with a texture (melody, chords, arpeggio, bass, scale, repeated notes)
chosen anew every few bars. The result is not meant to please: it shall hold every pitch, length and density that an
instrument has.
"""

from dataclasses import dataclass

import numpy as np

from mt3lite import notes
from mt3lite.training import arranging

_SCALES = (
    (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 3, 5, 7, 8, 11), (0, 2, 3, 5, 7, 9, 10),
    (0, 2, 4, 5, 7, 9, 10), (0, 2, 4, 7, 9), (0, 3, 5, 6, 7, 10), (0, 2, 4, 6, 8, 10), tuple(range(12)),
)  # fmt: skip
_MELODIC_TEXTURES = ("melody", "melody", "scale", "arpeggio", "repeat", "leaps", "rest")
_CHORDAL_TEXTURES = ("chords", "chords", "arpeggio", "arpeggio", "melody", "melody_over_chords", "scale", "rest")
_BASS_TEXTURES = ("bass", "bass", "melody", "rest")
_BASS_FAMILY = 4
_CHORDAL_FAMILIES = (0, 1, 2, 3, 6, 11)  # pianos, mallets, organs, guitars, ensembles, pads
_KICK, _SNARE, _CLOSED, _PEDAL, _OPEN, _CRASH, _RIDE = 36, 38, 42, 44, 46, 49, 51
_TOMS = (41, 43, 45, 47, 48, 50)
_EXTRAS = (35, 37, 39, 40, 52, 53, 54, 55, 56, 57, 59, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 75, 76, 77, 80, 81)


@dataclass(frozen=True)
class _Frame:
    """What the parts of a piece share."""

    beat_seconds: float
    beats_per_bar: int
    num_bars: int
    chords: tuple[tuple[int, ...], ...]  # pitch classes of each bar's chord
    scale: tuple[int, ...]  # pitch classes
    swing: float  # how far off-beats are late, in halves of a beat

    def seconds(self, bar: int, beat: np.ndarray | float) -> np.ndarray:
        """Time of a beat (fractions allowed) within a bar, in seconds."""
        late = np.where(np.isclose(np.asarray(beat) % 1.0, 0.5), 0.5 * self.swing, 0.0)
        return (bar * self.beats_per_bar + beat + late) * self.beat_seconds


def compose(duration_seconds: float, rng: np.random.Generator) -> list[np.ndarray]:
    """Make up a piece of one to four parts.

    Args:
        duration_seconds: how long, about; the last bar is cut at it.
        rng: fixes the piece.

    Returns:
        Parts with programs and expressive velocities already chosen; 0.2 to 1 second of silence comes first.
    """
    frame = _make_frame(duration_seconds, rng)
    kind = rng.choice(["solo", "duo", "band", "drums", "ensemble"], p=[0.4, 0.15, 0.25, 0.05, 0.15])
    programs = {
        "solo": [_any_program(rng)],
        "duo": [_any_program(rng), _any_program(rng)],
        "band": [int(rng.integers(32, 38)), arranging.random_program(rng, (0, 2, 3)), arranging.random_program(rng)],
        "drums": [],
        "ensemble": [arranging.random_program(rng, (5, 6, 7, 8, 9)) for _ in range(int(rng.integers(2, 5)))],
    }[str(kind)]
    if kind == "band" and rng.random() < 0.4:
        programs = programs[:2]
    parts = [_pitched_part(frame, program, rng) for program in programs]
    if kind in ("band", "drums"):
        parts.append(_drum_part(frame, rng))
    lead_in = rng.uniform(0.2, 1.0)
    finished = []
    for part in (arranging.jitter(part, rng, rng.uniform(0.0, 0.012)) for part in parts if len(part)):
        part["onset"] += lead_in
        part["offset"] = np.minimum(part["offset"] + lead_in, duration_seconds)
        finished.append(part[part["onset"] < duration_seconds - 0.1])
    return [part for part in finished if len(part)]


def _any_program(rng: np.random.Generator) -> int:
    return arranging.random_program(rng) if rng.random() < 0.85 else int(rng.choice(arranging.PITCHED_PROGRAMS))


def _make_frame(duration_seconds: float, rng: np.random.Generator) -> _Frame:
    beat_seconds = 60.0 / float(np.exp(rng.uniform(np.log(55), np.log(190))))
    beats_per_bar = int(rng.choice([3, 4, 4, 4, 5, 6]))
    num_bars = max(1, round(duration_seconds / (beat_seconds * beats_per_bar)))
    root = int(rng.integers(12))
    scale = _SCALES[int(rng.integers(len(_SCALES)))]
    progression = []
    for _ in range(int(rng.choice([2, 4, 4, 8]))):
        degree, size = int(rng.integers(len(scale))), int(rng.choice([3, 3, 4, 5, 2]))
        progression.append(tuple((root + scale[(degree + 2 * i) % len(scale)]) % 12 for i in range(size)))
    chords = tuple(progression[bar % len(progression)] for bar in range(num_bars))
    swing = float(rng.uniform(0.2, 0.4)) if rng.random() < 0.2 else 0.0
    return _Frame(beat_seconds, beats_per_bar, num_bars, chords, tuple((root + s) % 12 for s in scale), swing)


def _pitched_part(frame: _Frame, program: int, rng: np.random.Generator) -> np.ndarray:
    chordal = program // 8 in _CHORDAL_FAMILIES
    textures = _CHORDAL_TEXTURES if chordal else _MELODIC_TEXTURES
    if program // 8 == _BASS_FAMILY:
        textures = _BASS_TEXTURES
    low, high = arranging.pitch_range(program)
    part, section = _Player(frame, program, rng), 0
    for bar in range(frame.num_bars):
        if bar >= section:
            section = bar + int(rng.integers(1, 5))
            texture = str(rng.choice(textures))
            width = int(min(high - low, rng.integers(10, 30)))
            bottom = int(rng.integers(low, high - width + 1))
            part.new_section((bottom, bottom + width))
        part.play(texture, bar)
    return part.notes()


class _Player:
    """Fills bars with notes of one program; keeps the register, level and position of the section."""

    def __init__(self, frame: _Frame, program: int, rng: np.random.Generator):
        self._frame, self._program, self._rng = frame, program, rng
        self._rows: list[tuple] = []
        self._level = float(rng.uniform(45, 105))

    def new_section(self, register: tuple[int, int]) -> None:
        rng = self._rng
        self._register = register
        self._pitch = int(rng.integers(register[0], register[1] + 1))
        self._step = float(rng.choice([0.25, 0.5, 0.5, 0.5, 1 / 3, 1.0, 1.0, 2.0]))
        # Faster than about twelve notes a second nobody plays.
        while self._step * self._frame.beat_seconds < 0.08:
            self._step *= 2
        self._length = float(np.clip(rng.normal(0.85, 0.25), 0.2, 1.3))
        self._density = float(rng.uniform(0.5, 1.0))
        self._section_level = float(np.clip(self._level + rng.normal(0, 12), 25, 118))
        self._chord_size = int(rng.integers(2, 6))

    def play(self, texture: str, bar: int) -> None:
        if texture == "rest":
            return
        if texture == "chords" or texture == "melody_over_chords":
            self._chords(bar)
        if texture == "melody_over_chords":
            texture = "melody"
        if texture != "chords":
            self._line(texture, bar)

    def notes(self) -> np.ndarray:
        return notes.from_rows(self._rows)

    def _line(self, texture: str, bar: int) -> None:
        beat, beats = 0.0, self._frame.beats_per_bar
        while beat < beats - 1e-6:
            step = self._step
            if texture in ("melody", "bass"):
                step *= float(self._rng.choice([1, 1, 1, 2, 2, 3, 0.5 if self._step >= 0.5 else 1]))
                # A half step of a quick section would be too fast again.
                step = max(step, 0.08 / self._frame.beat_seconds)
            step = min(step, beats - beat)
            if self._rng.random() < self._density:
                self._pitch = self._next_pitch(texture, bar)
                self._add(bar, beat, step * self._length, self._pitch)
            beat += step

    def _next_pitch(self, texture: str, bar: int) -> int:
        rng, (low, high) = self._rng, self._register
        pool = self._frame.chords[bar] if texture in ("arpeggio", "bass") else self._frame.scale
        ladder = [p for p in range(low, high + 1) if p % 12 in pool] or [self._pitch]
        here = int(np.argmin(np.abs(np.array(ladder) - self._pitch)))
        if texture == "repeat" and rng.random() < 0.85:
            return ladder[here]
        if texture in ("scale", "arpeggio"):
            # Up and down between the ends of the register.
            direction = 1 if (len(self._rows) // max(1, len(ladder))) % 2 == 0 else -1
            return ladder[(here + direction) % len(ladder)]
        spread = {"leaps": 6.0, "bass": 3.0}.get(texture, 1.6)
        return ladder[int(np.clip(here + np.rint(rng.normal(0, spread)), 0, len(ladder) - 1))]

    def _chords(self, bar: int) -> None:
        rng, (low, high) = self._rng, self._register
        ladder = [p for p in range(low, high + 1) if p % 12 in self._frame.chords[bar]]
        if not ladder:
            return
        size = min(self._chord_size, len(ladder))
        bottom = int(rng.integers(0, len(ladder) - size + 1))
        step = max(self._step, 0.5) if rng.random() < 0.5 else float(self._frame.beats_per_bar)
        strum = float(rng.uniform(0, 0.03)) if self._program // 8 == 3 or rng.random() < 0.1 else 0.0
        beat = 0.0
        while beat < self._frame.beats_per_bar - 1e-6:
            if rng.random() < self._density:
                for i in range(size):
                    late = i * strum / self._frame.beat_seconds
                    self._add(bar, beat + late, step * self._length, ladder[bottom + i])
            beat += step

    def _add(self, bar: int, beat: float, num_beats: float, pitch: int) -> None:
        onset = float(self._frame.seconds(bar, beat))
        accent = 6.0 if abs(beat - round(beat)) < 1e-6 else 0.0
        velocity = int(np.clip(self._section_level + accent + self._rng.normal(0, 7), 12, 127))
        offset = onset + max(0.05, num_beats * self._frame.beat_seconds)
        self._rows.append((onset, offset, pitch, velocity, self._program, False))


def _drum_part(frame: _Frame, rng: np.random.Generator) -> np.ndarray:
    """A pattern on a grid of quarter beats that changes every few bars, with fills and ghost notes."""
    slots = 4 * frame.beats_per_bar
    while slots > frame.beats_per_bar and frame.beat_seconds * frame.beats_per_bar / slots < 0.09:
        slots //= 2
    level, rows, change = float(rng.uniform(60, 110)), [], 0
    for bar in range(frame.num_bars):
        if bar >= change:
            change, pattern = bar + int(rng.integers(2, 9)), _drum_pattern(slots, rng)
            rows.append((frame.seconds(bar, 0.0), _CRASH if rng.random() < 0.5 else _KICK, level + 10))
        hits = list(pattern)
        if bar + 1 == change and rng.random() < 0.7:
            start = slots - slots // int(rng.choice([2, 4]))
            toms = sorted(rng.choice([*_TOMS, _SNARE], slots - start), reverse=True)
            hits = [h for h in hits if h[0] < start] + [(start + i, int(t), 8.0) for i, t in enumerate(toms)]
        for slot, pitch, accent in hits:
            beat = slot * frame.beats_per_bar / slots
            rows.append((frame.seconds(bar, beat), pitch, level + accent))
    velocities = np.clip([row[2] + rng.normal(0, 7) for row in rows], 10, 127)
    return notes.from_rows(
        (float(s), float(s) + 0.05, pitch, int(v), 0, True) for (s, pitch, _), v in zip(rows, velocities, strict=True)
    )


def _drum_pattern(slots: int, rng: np.random.Generator) -> list[tuple[int, int, float]]:
    """Hits of one bar: (slot, pitch, accent)."""
    beat = max(1, slots // 4)
    time_keeper = int(rng.choice([_CLOSED, _CLOSED, _RIDE, _OPEN, _PEDAL, 70, 54]))
    spacing = int(rng.choice([1, 2, 2, beat]))
    hits = [(s, time_keeper, 0.0 if s % beat == 0 else -15.0) for s in range(0, slots, spacing) if rng.random() < 0.95]
    hits += [(s, int(rng.choice([_KICK, 35])), 8.0) for s in range(slots) if s == 0 or rng.random() < 0.15]
    backbeat = int(rng.choice([_SNARE, _SNARE, 40, 37, 39]))
    hits += [(s, backbeat, 10.0) for s in range(beat, slots, 2 * beat)]
    hits += [(s, _SNARE, -35.0) for s in range(slots) if rng.random() < 0.06]
    for extra in rng.choice(_EXTRAS, int(rng.integers(0, 3)), replace=False):
        hits += [(s, int(extra), -5.0) for s in range(slots) if rng.random() < 0.15]
    return sorted(set(hits))
