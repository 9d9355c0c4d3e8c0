"""Parts of a MIDI file turned into a performance on other instruments.

A piece is a list of parts; a part is an array of ``notes.NOTE_DTYPE`` with one program (or the drums). Every function
takes and gives such lists and draws what it needs from a NumPy generator, so a seed fixes a piece.
"""

import heapq

import numpy as np

# Lowest and highest MIDI pitch that a player of the program writes for: by family, then the programs that differ.
# Outside them soundfonts stretch one sample over many keys, or have none.
_FAMILY_RANGES = (
    (21, 108), (48, 96), (36, 96), (40, 84), (28, 60), (36, 96), (36, 91), (40, 82),
    (48, 84), (60, 96), (36, 96), (36, 91), (36, 91), (48, 84), (55, 88), (48, 72),
)  # fmt: skip
_PROGRAM_RANGES = {
    6: (29, 89), 7: (36, 91), 8: (60, 103), 9: (72, 103), 10: (60, 96), 11: (53, 89), 12: (45, 96), 13: (65, 103),
    14: (60, 79), 21: (53, 91), 22: (60, 86), 40: (55, 98), 41: (48, 88), 42: (36, 79), 43: (28, 60), 46: (28, 100),
    47: (36, 57), 52: (45, 81), 53: (45, 81), 56: (54, 84), 57: (40, 74), 58: (28, 60), 59: (54, 84), 60: (38, 77),
    64: (56, 87), 65: (49, 80), 66: (44, 75), 67: (36, 69), 68: (58, 91), 69: (52, 81), 70: (34, 74), 71: (50, 91),
    72: (74, 103), 77: (55, 86), 110: (55, 96), 105: (48, 84), 108: (48, 84), 114: (55, 88),
}  # fmt: skip

# Programs that sound at the written pitch, one note a key, soon after it is struck. The others (guitar harmonics,
# orchestra hits, fifths, pads that swell for half a second, noises) would teach a wrong transcription.
_MISLEADING_PROGRAMS = frozenset({31, 55, 86, 89, 93, 95, 96, 97, 98, 101, 102, 103, 112, 113, *range(115, 128)})
PITCHED_PROGRAMS = tuple(p for p in range(128) if p not in _MISLEADING_PROGRAMS)
# Bowed strings, ensembles and choirs take so long to speak that shorter notes would be written but not heard; seconds,
# about the time that FluidR3's and MuseScore General's samples take to a third of their peak, doubled.
_SHORTEST_OF_SLOW_PROGRAMS = {
    40: 0.12, 41: 0.12, 42: 0.15, 43: 0.15, 44: 0.12, 48: 0.2, 49: 0.25, 50: 0.15, 51: 0.15, 52: 0.2, 92: 0.2, 110: 0.12
}  # fmt: skip
_COMMON_FAMILIES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)  # drawn three times as often as pads, effects and the rest
_MELODY_FAMILIES = (5, 6, 7, 8, 9, 10)  # what may sing a song in the voice's place
_PIANO_SHARES = (0.55, 0.15, 0.08, 0.06, 0.08, 0.08)  # programs 0 to 5 for performed piano music
_VOICE_PROGRAMS = (52, 53, 54)
ANY_CHANCE = 0.25  # of a part to be played by any instrument; voices and performed pianos have chances of their own
_DRUM_PITCHES = (35, 81)
DRUM_NOTE_SECONDS = 0.05  # whatever a drum's own length, which says nothing
_SHORTEST_NOTE_SECONDS = 0.03


def pitch_range(program: int) -> tuple[int, int]:
    """Lowest and highest sensible MIDI pitch of a General MIDI program."""
    return _PROGRAM_RANGES.get(program, _FAMILY_RANGES[program // 8])


def random_program(rng: np.random.Generator, families: tuple[int, ...] | None = None) -> int:
    """A pitched General MIDI program from one of the families (indices 0 to 15; all when None)."""
    available = sorted({p // 8 for p in PITCHED_PROGRAMS} & set(families or range(16)))
    weights = np.array([3.0 if family in _COMMON_FAMILIES else 1.0 for family in available])
    family = rng.choice(available, p=weights / weights.sum())
    return int(rng.choice([p for p in PITCHED_PROGRAMS if p // 8 == family]))


def is_notated(parts: list[np.ndarray]) -> bool:
    """Tell whether the parts come from a score: one velocity throughout, so nobody has played them."""
    velocities = {int(v) for part in parts for v in np.unique(part["velocity"])}
    return len(velocities) <= 1


def is_piano(parts: list[np.ndarray]) -> bool:
    """Tell whether all parts are for pianos (programs 0 to 7)."""
    return all(len(part) == 0 or (not part["is_drum"][0] and part["program"][0] < 8) for part in parts)


def excerpt(parts: list[np.ndarray], duration_seconds: float, rng: np.random.Generator) -> list[np.ndarray]:
    """The notes of a window of the piece that begins just before one of its notes; times relative to the window.

    Notes begun before the window are left out; those that outlast it are cut at its end. Parts may come out empty and
    are then dropped.
    """
    onsets = np.sort(np.concatenate([part["onset"] for part in parts]))
    latest = max(onsets[0], onsets[-1] - duration_seconds)
    start = float(rng.choice(onsets[onsets <= latest])) - rng.uniform(0.05, 1.0)
    cut = []
    for part in parts:
        part = part[(part["onset"] >= start) & (part["onset"] < start + duration_seconds)].copy()
        part["onset"] -= start
        part["offset"] = np.minimum(part["offset"] - start, duration_seconds)
        cut.append(part)
    return [part for part in cut if len(part)]


def humanise(parts: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """Play a score: drifting tempo, unequal onsets, phrases, accents, articulation, sometimes a pedal."""
    warp = tempo_drift(parts, rng)
    played = []
    for part in parts:
        part = part.copy()
        articulation = np.clip(rng.uniform(0.5, 1.05) + rng.normal(0, 0.08, len(part)), 0.3, 1.05)
        lengths = (part["offset"] - part["onset"]) * articulation
        part["offset"] = warp(part["onset"] + lengths)
        part["onset"] = warp(part["onset"])
        part["velocity"] = _dynamics(part["onset"], rng)
        played.append(jitter(part, rng, 0.008))
        if part["program"][0] < 8 and not part["is_drum"][0] and rng.random() < 0.4:
            played[-1] = _pedal(played[-1], rng)
    return played


def tempo_drift(parts: list[np.ndarray], rng: np.random.Generator):
    """A smooth increasing map of written to played seconds; the tempo wanders by about a tenth."""
    end = max(float(part["offset"].max()) for part in parts) + 4.0
    knots = np.arange(0.0, end + 0.25, 0.25)
    anchors = np.arange(0.0, end + 8.0, 4.0)
    slowness = np.exp(np.interp(knots, anchors, rng.normal(0, 0.09, len(anchors))))
    played = np.concatenate([[0.0], np.cumsum(slowness[:-1] * np.diff(knots))])
    return lambda seconds: np.interp(seconds, knots, played)


def _dynamics(onsets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Velocities 1 to 127: a level, phrases of about five seconds around it, noise by note."""
    anchors = np.arange(0.0, float(onsets.max()) + 10.0, 5.0)
    phrase = np.interp(onsets, anchors, rng.normal(0, 10, len(anchors)))
    velocities = rng.uniform(50, 100) + phrase + rng.normal(0, 6, len(onsets))
    return np.clip(np.rint(velocities), 15, 127).astype(np.int32)


def jitter(part: np.ndarray, rng: np.random.Generator, deviation_seconds: float) -> np.ndarray:
    """Move every onset (and its offset along) by a normal deviate; onsets stay at or after 0."""
    part = part.copy()
    moved = np.maximum(0.0, part["onset"] + rng.normal(0, deviation_seconds, len(part)))
    part["offset"] += moved - part["onset"]
    part["onset"] = moved
    return part


def _pedal(part: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Hold the notes to the next change of a pedal that is renewed every one or two seconds, with some gaps."""
    part = part.copy()
    period = rng.uniform(0.8, 2.5)
    changes = np.arange(period, float(part["offset"].max()) + 2 * period, period)
    release = changes[np.searchsorted(changes, part["offset"])]
    held = rng.random(len(changes))[np.searchsorted(changes, part["onset"])] < 0.8
    part["offset"] = np.where(held, release, part["offset"])
    return part


def stretch(parts: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """Change the tempo by 0.8 to 1.25 and the key by -5 to 6 semitones; the drums keep their pitches."""
    slowness, semitones = float(np.exp(rng.uniform(np.log(0.8), np.log(1.25)))), int(rng.integers(-5, 7))
    stretched = []
    for part in parts:
        part = part.copy()
        part["onset"] *= slowness
        part["offset"] *= slowness
        part["pitch"] += np.where(part["is_drum"], 0, semitones)
        stretched.append(part)
    return stretched


def thin_out(parts: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """Sometimes keep only one to three parts, or leave out the drums; big ensembles lose parts more often."""
    order = rng.permutation(len(parts))
    keep = len(parts)
    if len(parts) > 1 and rng.random() < 0.35:
        keep = int(rng.integers(1, min(3, len(parts)) + 1))
    elif len(parts) > 6 and rng.random() < 0.85:
        keep = int(rng.integers(4, min(10, len(parts))))
    kept = [parts[i] for i in sorted(order[:keep])]
    without_drums = [part for part in kept if not part["is_drum"][0]]
    return without_drums if without_drums and rng.random() < 0.2 else kept


def reassign(
    parts: list[np.ndarray], rng: np.random.Generator, *, keep_pianos: bool, any_chance: float = ANY_CHANCE
) -> list[np.ndarray]:
    """Give each part another program, of its family or, by a chance, any; pianos may stay pianos.

    Who knows the music knows the families of what stays in them, without hearing them. Parts move by octaves into the
    range of their new instrument, and notes still outside are folded in.
    """
    shared_piano = int(rng.choice(6, p=_PIANO_SHARES)) if rng.random() < 0.92 else random_program(rng, (0, 1, 2, 3))
    changed = []
    for part in parts:
        if part["is_drum"][0]:
            changed.append(part[(part["pitch"] >= _DRUM_PITCHES[0]) & (part["pitch"] <= _DRUM_PITCHES[1])].copy())
            continue
        program = shared_piano if keep_pianos else _new_program(int(part["program"][0]), rng, any_chance)
        part = into_range(part, pitch_range(program))
        part["program"] = program
        changed.append(part)
    return [part for part in changed if len(part)]


def _new_program(program: int, rng: np.random.Generator, any_chance: float) -> int:
    if program in _VOICE_PROGRAMS:
        return random_program(rng, _MELODY_FAMILIES) if rng.random() < 0.8 else int(rng.choice(_VOICE_PROGRAMS))
    draw, stays = rng.random(), 1 - any_chance
    if draw < stays / 3 and program in PITCHED_PROGRAMS:
        return program
    if draw < stays and program < 112:
        return random_program(rng, (program // 8,))
    return random_program(rng)


def into_range(part: np.ndarray, limits: tuple[int, int]) -> np.ndarray:
    """Move a part by whole octaves so that most of it lies in the limits, then fold the rest in by octaves."""
    part = part.copy()
    low, high = limits
    shifts = 12 * np.arange(-5, 6)
    inside = [np.count_nonzero((part["pitch"] + s >= low) & (part["pitch"] + s <= high)) - abs(s) / 1e6 for s in shifts]
    part["pitch"] += shifts[int(np.argmax(inside))]
    below, above = np.maximum(0, low - part["pitch"]), np.maximum(0, part["pitch"] - high)
    part["pitch"] += 12 * (-(-below // 12)) - 12 * (-(-above // 12))
    # Folding overshoots where the range is narrower than an octave.
    return part[(part["pitch"] >= low) & (part["pitch"] <= high)]


def playable(parts: list[np.ndarray], most_sounding: int) -> np.ndarray:
    """Join parts into the notes that can be played, sorted by onset.

    Of a pitch struck twice at once by one program one note stays; a note ends where its key is struck again; drums get
    a short length; notes beyond ``most_sounding`` at a time are left out.
    """
    joined = np.concatenate(parts)
    joined["velocity"] = np.clip(joined["velocity"], 1, 127)
    drum = joined["is_drum"]
    joined["program"][drum] = 0
    joined["offset"][drum] = joined["onset"][drum] + DRUM_NOTE_SECONDS
    shortest = np.full(len(joined), _SHORTEST_NOTE_SECONDS)
    for program, seconds in _SHORTEST_OF_SLOW_PROGRAMS.items():
        shortest[(joined["program"] == program) & ~drum] = seconds
    joined["offset"] = np.maximum(joined["offset"], joined["onset"] + shortest)
    joined = joined[np.lexsort((-joined["velocity"], joined["pitch"], joined["program"], joined["onset"]))]
    return _cap(_without_overlaps(joined), most_sounding)


def _without_overlaps(sorted_notes: np.ndarray) -> np.ndarray:
    keep = np.ones(len(sorted_notes), bool)
    last: dict[tuple, int] = {}
    for i, note in enumerate(sorted_notes):
        key = (bool(note["is_drum"]), int(note["program"]), int(note["pitch"]))
        j = last.get(key)
        if j is not None and note["onset"] - sorted_notes["onset"][j] < _SHORTEST_NOTE_SECONDS:
            keep[i] = False
            continue
        if j is not None:
            sorted_notes["offset"][j] = min(sorted_notes["offset"][j], note["onset"])
        last[key] = i
    return sorted_notes[keep]


def _cap(sorted_notes: np.ndarray, most_sounding: int) -> np.ndarray:
    keep = np.ones(len(sorted_notes), bool)
    sounding: list[float] = []  # offsets, a heap
    for i, note in enumerate(sorted_notes):
        while sounding and sounding[0] <= note["onset"]:
            heapq.heappop(sounding)
        if len(sounding) >= most_sounding:
            keep[i] = False
        else:
            heapq.heappush(sounding, float(note["offset"]))
    return sorted_notes[keep]
