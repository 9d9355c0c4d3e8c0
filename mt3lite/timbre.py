"""How an instrument's sound is changed on its way from a soundfont.

Most of it are offsets to generators of all its notes; attack and filter are seen to voice by voice. Generators and
their units are those of SoundFont 2.04, section 8.1.3.
"""

import math
from dataclasses import dataclass

import numpy as np

from mt3lite.errors import InputError

ATTACK, CUTOFF = 34, 8  # of voices: attackVolEnv in timecents, initialFilterFc in cents above 8.176 Hz, as pitches are
_LOWEST_CUTOFF_CENTS = 8000.0  # 830 Hz; the filter is brought no lower, nor than an octave above a note's pitch
_VIBRATO_DEPTH, _FILTER_Q, _TREMOLO_DEPTH = 6, 9, 13
_TREMOLO_RATE, _VIBRATO_RATE, _DECAY, _RELEASE, _COARSE_TUNE, _FINE_TUNE = 22, 24, 36, 38, 51, 52
_RATE_CENTS = -500.0  # 6.1 Hz, where the soundfont has the default of 8.2 Hz


@dataclass(frozen=True)
class Timbre:
    """What is changed of an instrument; the defaults change nothing."""

    # Semitones. Every key plays the sample of the key that lies so far above, tuned back, so that body and formants of
    # the instrument move by as much the other way. Drums keep their keys, and are tuned up by as much.
    displaced: int = 0
    fine_tune_cents: float = 0.0
    filter_cents: float = 0.0  # shift of the low-pass filter's cutoff, as far as the note stays audible; 0 or below
    filter_q_db: float = 0.0  # added to the filter's resonance; 0 or above
    attack_seconds: float = 0.0  # notes that swell faster take so long; slower ones are left alone
    decay_cents: float = 0.0  # timecents: 1200 is twice as long
    release_cents: float = 0.0  # as decay_cents
    vibrato_cents: float = 0.0  # added to what the soundfont has, up and down from the pitch
    tremolo_db: float = 0.0  # as vibrato_cents, of loudness

    def __post_init__(self):
        numbers = (self.fine_tune_cents, self.filter_cents, self.filter_q_db, self.attack_seconds, self.decay_cents)
        if not np.isfinite([*numbers, self.release_cents, self.vibrato_cents, self.tremolo_db]).all():
            raise InputError(f"{self}: wanted finite numbers")
        if self.filter_cents > 0 or self.filter_q_db < 0 or self.attack_seconds < 0:
            raise InputError(
                f"filter_cents {self.filter_cents}, filter_q_db {self.filter_q_db}, attack_seconds "
                f"{self.attack_seconds}: the first must not be above 0, the others not below"
            )

    def generators(self, *, is_drum: bool) -> dict[int, float]:
        """Return what is added to a generator, by its number; attack and filter are `of_voice`'s."""
        offsets = {
            _COARSE_TUNE: float(self.displaced if is_drum else -self.displaced),
            _FINE_TUNE: self.fine_tune_cents,
            _FILTER_Q: 10.0 * self.filter_q_db,
            _DECAY: self.decay_cents,
            _RELEASE: self.release_cents,
            _VIBRATO_DEPTH: self.vibrato_cents,
            _VIBRATO_RATE: _RATE_CENTS if self.vibrato_cents else 0.0,
            _TREMOLO_DEPTH: 10.0 * self.tremolo_db,
            _TREMOLO_RATE: _RATE_CENTS if self.tremolo_db else 0.0,
        }
        return {generator: offset for generator, offset in offsets.items() if offset}

    @property
    def shapes_voices(self) -> bool:
        """Whether `of_voice` changes anything."""
        return bool(self.attack_seconds or self.filter_cents)

    def of_voice(self, key: int, attack_cents: float, cutoff_cents: float) -> tuple[float, float]:
        """Return attack and cutoff of a voice of the note that a key plays, from its soundfont's.

        Soundfonts' own lie between 1 ms and seconds, and between 100 Hz and 20 kHz, those of one instrument, too: a
        factor that all of them bear would be little for most.
        """
        if self.attack_seconds:
            attack_cents = max(attack_cents, 1200.0 * math.log2(self.attack_seconds))
        audible = max(_LOWEST_CUTOFF_CENTS, 100.0 * key + 1200.0)
        return attack_cents, max(cutoff_cents + self.filter_cents, min(cutoff_cents, audible))
