"""Random timbres for the instruments of a piece, so that a few soundfonts sound like many.

Ranges are such that the notes stay true: onsets are heard within about 20 ms, pitches to a fifth of a semitone, ends as
the soundfont has them or half as long again.
"""

import numpy as np

from mt3lite import timbre
from mt3lite.training import arranging

_MOST_DISPLACED = 5  # semitones
_PIECE_TUNING_CENTS, _PART_TUNING_CENTS = 12.0, 8.0  # up and down
_DULLEST_CENTS, _DULLEST_DRUMS_CENTS, _MOST_RESONANCE_DB = -4000.0, -2500.0, 6.0
_STRUCK = frozenset({*range(16), *range(24, 40), 45, 46, 47, *range(104, 109), 114})  # or plucked: they die away
_ORGANS = range(16, 24)
# What comes to a fifth of its peak by less than 20 ms later for nine in ten instruments of FluidR3, TimGM6mb and
# MuseScore General; of the solo strings and the ocarina, these would take away how they begin.
_STRUCK_ATTACK_SECONDS, _BLOWN_ATTACK_SECONDS, _WITHOUT_ATTACK = 0.03, 0.045, (40, 41, 42, 43, 79)
_VIBRATO_CENTS, _TREMOLO_DB, _SWAY_HZ = (4.0, 25.0), (0.5, 3.0), (4.5, 7.0)


def draw(played: np.ndarray, chance: float, rng: np.random.Generator) -> dict[int, timbre.Timbre]:
    """Draw timbres for a piece.

    Args:
        played: array of ``notes.NOTE_DTYPE``.
        chance: of each instrument to get one, 0 to 1; the others are but tuned as the piece is.
        rng: draws all choices.

    Returns:
        Timbres by program, -1 for the drums, as `render.render` takes them.
    """
    tuning_cents = rng.uniform(-_PIECE_TUNING_CENTS, _PIECE_TUNING_CENTS)
    pitched = played[~played["is_drum"]]
    timbres = {}
    for program in np.unique(pitched["program"]).tolist():
        if rng.random() < chance:
            timbres[program] = _pitched(program, pitched["pitch"][pitched["program"] == program], tuning_cents, rng)
        else:
            timbres[program] = timbre.Timbre(fine_tune_cents=tuning_cents)
    if played["is_drum"].any() and rng.random() < chance:
        timbres[-1] = _drums(rng)
    return timbres


def _pitched(program: int, pitches: np.ndarray, tuning_cents: float, rng: np.random.Generator) -> timbre.Timbre:
    # Beyond an instrument's range soundfonts may have no sample.
    lowest, highest = arranging.pitch_range(program)
    down = max(-_MOST_DISPLACED, min(0, lowest - int(pitches.min())))
    up = min(_MOST_DISPLACED, max(0, highest - int(pitches.max())))
    struck, organ = program in _STRUCK, program in _ORGANS
    slowest = _STRUCK_ATTACK_SECONDS if struck else 0.0 if program in _WITHOUT_ATTACK else _BLOWN_ATTACK_SECONDS
    return timbre.Timbre(
        displaced=int(rng.integers(down, up + 1)) if rng.random() < 0.7 else 0,
        fine_tune_cents=tuning_cents + rng.uniform(-_PART_TUNING_CENTS, _PART_TUNING_CENTS),
        filter_cents=_sometimes(0.5, _DULLEST_CENTS, 0.0, rng),
        filter_q_db=_sometimes(0.4, 0.0, _MOST_RESONANCE_DB, rng),
        attack_seconds=_sometimes(0.4, 0.0, slowest, rng),
        decay_cents=_sometimes(0.6, -1200.0, 1200.0, rng) if struck else 0.0,
        release_cents=_sometimes(0.6, -1200.0, 700.0, rng),
        vibrato_cents=0.0 if struck or organ else _sometimes(0.35, *_VIBRATO_CENTS, rng),
        tremolo_db=_sometimes(0.1, *_TREMOLO_DB, rng),
        sway_hz=float(rng.uniform(*_SWAY_HZ)),
    )


def _drums(rng: np.random.Generator) -> timbre.Timbre:
    return timbre.Timbre(
        displaced=int(rng.integers(-_MOST_DISPLACED, _MOST_DISPLACED + 1)) if rng.random() < 0.7 else 0,
        filter_cents=_sometimes(0.4, _DULLEST_DRUMS_CENTS, 0.0, rng),
        filter_q_db=_sometimes(0.3, 0.0, _MOST_RESONANCE_DB, rng),
        decay_cents=_sometimes(0.5, -1200.0, 1200.0, rng),
    )


def _sometimes(chance: float, low: float, high: float, rng: np.random.Generator) -> float:
    """Draw a number between two with a chance, 0 otherwise."""
    return float(rng.uniform(low, high)) if rng.random() < chance else 0.0
