"""How an instrument's sound is changed on its way from a soundfont.

Some changes are offsets to generators of all its notes, the others are made voice by voice. Generators and their units
are those of SoundFont 2.04, section 8.1.3.
"""

import math
from collections.abc import Callable
from dataclasses import astuple, dataclass

import numpy as np

from mt3lite.errors import InputError

_ATTACK, _CUTOFF, _TREMOLO_DELAY, _TREMOLO_RATE, _VIBRATO_DELAY, _VIBRATO_RATE = 34, 8, 21, 22, 23, 24
_HZ_OF_0_CENTS = 8.176  # of cutoffs and rates; those of keys are a hundred times their number
_DELAY_CENTS = -2786.0  # 0.2 s, from a note's onset to its vibrato's
_LOWEST_CUTOFF_CENTS = 8000.0  # 830 Hz; the filter is brought no lower, nor than an octave above a note's pitch
_VIBRATO_DEPTH, _FILTER_Q, _TREMOLO_DEPTH = 6, 9, 13
_DECAY, _RELEASE, _COARSE_TUNE, _FINE_TUNE = 36, 38, 51, 52


@dataclass(frozen=True)
class Timbre:
    """What is changed of an instrument; the defaults change nothing."""

    # Semitones. Every key plays the sample of the key that lies so far above, tuned back, so that body and formants of
    # the instrument move down; nothing changes where both keys share a sample. Drums keep their keys, and are tuned up.
    displaced: int = 0
    fine_tune_cents: float = 0.0
    filter_cents: float = 0.0  # shift of the low-pass filter's cutoff, as far as the note stays audible; 0 or below
    filter_q_db: float = 0.0  # added to the filter's resonance; 0 or above
    attack_seconds: float = 0.0  # notes that swell faster take so long; slower ones are left alone
    decay_cents: float = 0.0  # timecents: 1200 is twice as long
    release_cents: float = 0.0  # as decay_cents
    vibrato_cents: float = 0.0  # added to what the soundfont has, up and down from the pitch
    tremolo_db: float = 0.0  # as vibrato_cents, of loudness
    sway_hz: float = 6.0  # rate of vibrato and tremolo; without these nothing

    def __post_init__(self):
        if not np.isfinite(astuple(self)).all():
            raise InputError(f"{self}: wanted finite numbers")
        if self.filter_cents > 0 or self.filter_q_db < 0 or self.attack_seconds < 0 or self.sway_hz <= 0:
            raise InputError(
                f"{self}: filter_cents must be 0 or below, filter_q_db and attack_seconds 0 or above, sway_hz above 0"
            )

    def generators(self, *, is_drum: bool) -> dict[int, float]:
        """Return what is added to a generator, by its number; the rest is `of_voice`'s."""
        offsets = {
            _COARSE_TUNE: float(self.displaced if is_drum else -self.displaced),
            _FINE_TUNE: self.fine_tune_cents,
            _FILTER_Q: 10.0 * self.filter_q_db,
            _DECAY: self.decay_cents,
            _RELEASE: self.release_cents,
            _VIBRATO_DEPTH: self.vibrato_cents,
            _TREMOLO_DEPTH: 10.0 * self.tremolo_db,
        }
        return {generator: offset for generator, offset in offsets.items() if offset}

    @property
    def shapes_voices(self) -> bool:
        """Whether `of_voice` changes anything."""
        return any((self.attack_seconds, self.filter_cents, self.vibrato_cents, self.tremolo_db))

    def of_voice(self, key: int, own: Callable[[int], float]) -> dict[int, float]:
        """Return what becomes of generators of a voice, by their numbers.

        What soundfonts have lies between 1 ms and seconds, 100 Hz and 20 kHz, 0.1 and 10 Hz, within an instrument, too:
        an offset that all of them bear would be little for most.

        Args:
            key: what is played.
            own: gives what the voice has from its soundfont, by the generator's number.
        """
        changed = {}
        if self.attack_seconds:
            changed[_ATTACK] = max(own(_ATTACK), 1200.0 * math.log2(self.attack_seconds))
        if self.filter_cents:
            audible = max(_LOWEST_CUTOFF_CENTS, 100.0 * key + 1200.0)
            changed[_CUTOFF] = max(own(_CUTOFF) + self.filter_cents, min(own(_CUTOFF), audible))
        if self.vibrato_cents:
            changed |= {_VIBRATO_RATE: self._sway_cents, _VIBRATO_DELAY: _DELAY_CENTS}
        if self.tremolo_db:
            changed |= {_TREMOLO_RATE: self._sway_cents, _TREMOLO_DELAY: _DELAY_CENTS}
        return changed

    @property
    def _sway_cents(self) -> float:
        return 1200.0 * math.log2(self.sway_hz / _HZ_OF_0_CENTS)
