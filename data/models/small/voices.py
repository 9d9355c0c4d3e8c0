"""Makes instruments by synthesis: a folder for each, with one FLAC file a note, as recorded.py reads them.

    data/models/small/voices.py OUT --seed N [--rate 22050]

Each seed draws other parameters for every instrument: a bank whose organs, pads, reeds and guitars differ from those of
other seeds as makes of an instrument do. Notes are 4 semitones apart and begin at the beginning of their file;
sustained ones last 5 seconds, others as long as they ring, 6 at most.
"""

import argparse
import dataclasses
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import soundfile
from scipy import signal

_SUSTAINED_SECONDS, _RINGING_SECONDS = 5.0, 6.0
_STEP = 4  # semitones between notes
_PEAK = 0.9
_INAUDIBLE = 0.002  # of the peak: what rings on more softly is cut off
_MIDDLE_C_HZ = 440 * 2 ** (-9 / 12)
_HIGHEST = 0.45  # of the rate: no partial lies above
_FOLDED_HZ = 5900  # ranks and tonewheels above sound an octave lower, as in organs
_TABLE, _SHAPES = 8192, 12  # samples of a period; periods between the darkest and the brightest


class OneOf(tuple):
    """Alternatives, one of which an instrument has."""

    def __new__(cls, *alternatives: Any) -> "OneOf":
        """Take the alternatives one by one, as print() does."""
        return super().__new__(cls, alternatives)


# What instruments are drawn from: a pair is a range, of which one value is drawn, evenly by its logarithm where both
# ends are positive; of OneOf, one alternative is; lists, dicts and instruments have their contents drawn.
Drawn = Any


def _drawn(value: Drawn, rng: np.random.Generator) -> Any:
    match value:
        case OneOf():
            return _drawn(value[rng.integers(len(value))], rng)
        case (low, high) if isinstance(value, tuple):
            return float(np.exp(rng.uniform(*np.log(value)))) if low > 0 else float(rng.uniform(low, high))
        case list():
            return [_drawn(part, rng) for part in value]
        case dict():
            return {key: _drawn(part, rng) for key, part in value.items()}
        case Sustained() | Drawbars() | Modulated() | Struck() | Plucked():
            fields = [part.name for part in dataclasses.fields(value)]
            return dataclasses.replace(value, **{name: _drawn(getattr(value, name), rng) for name in fields})
    return value


@dataclass(frozen=True)
class Note:
    """A note to be played: what all instruments put theirs together from; arrays are float64 [num_samples]."""

    hz: float
    rate: int
    seconds: np.ndarray  # since it began
    rng: np.random.Generator

    @property
    def octaves(self) -> float:
        """How far it lies above middle C."""
        return float(np.log2(self.hz / _MIDDLE_C_HZ))

    def rank_hz(self, semitones: float) -> float:
        """Return what a rank that is tuned `semitones` higher sounds at this key."""
        hz = self.hz * 2 ** (semitones / 12)
        return hz / 2 ** max(0, np.ceil(np.log2(hz / _FOLDED_HZ)))

    def harmonics(self, hz: float) -> np.ndarray:
        """Number harmonics that may sound: int [num_harmonics]."""
        return np.arange(1, int(_HIGHEST * self.rate / hz) + 1)

    def envelope(self, attack: float, decay: float = 1.0, sustain: float = 1.0) -> np.ndarray:
        """Rise to 1 in `attack` seconds, then fall towards `sustain`."""
        rise = 1 - (1 - np.clip(self.seconds / attack, 0, 1)) ** 2
        return rise * (sustain + (1 - sustain) * np.exp(-np.maximum(self.seconds - attack, 0) / decay))

    def wander(self, hz: float) -> np.ndarray:
        """Return what moves at random `hz` times a second, 0 in the mean, mostly -1 to 1."""
        points = self.rng.standard_normal(int(self.seconds[-1] * hz) + 3) / 1.5
        moved = np.interp(self.seconds * hz + self.rng.random(), np.arange(len(points)), points)
        return moved - moved.mean()

    def sine(self, hz: float) -> np.ndarray:
        """Return a slow sine that starts anywhere."""
        return np.sin(2 * np.pi * (hz * self.seconds + self.rng.random()))

    def noise(self, low_hz: float, high_hz: float) -> np.ndarray:
        """Return noise of a band, root mean square 1."""
        band = np.minimum([low_hz, high_hz], [0.3 * self.rate, _HIGHEST * self.rate])
        sections = signal.butter(2, band, "bandpass", fs=self.rate, output="sos")
        samples = signal.sosfilt(sections, self.rng.standard_normal(len(self.seconds)))
        return samples / samples.std()

    def cycles(self, hz: float, cents: np.ndarray | float) -> np.ndarray:
        """Return how many periods have passed of what is out of tune by `cents`, which may move."""
        # Voices that start nearly together are heard at once, where beats of others could begin in their trough.
        return np.cumsum(np.full(len(self.seconds), hz / self.rate) * 2 ** (cents / 1200)) + self.rng.uniform(0, 0.15)

    def wave(self, hz: float, gains: np.ndarray, cents: np.ndarray | float, bright: np.ndarray | float) -> np.ndarray:
        """Play harmonics by gains [shapes, num_harmonics]; `bright`, 0 to 1, moves from the first shape to the last."""
        spectra = np.zeros((len(gains), _TABLE // 2 + 1), complex)
        spectra[:, 1 : gains.shape[1] + 1] = gains * (-0.5j * _TABLE)
        tables = np.fft.irfft(spectra)
        position = self.cycles(hz, cents) % 1 * _TABLE
        left = np.minimum(position.astype(int), _TABLE - 1)
        right, part = (left + 1) % _TABLE, position % 1
        darker = np.minimum(np.asarray(bright * (len(gains) - 1)).astype(int), max(0, len(gains) - 2))
        brighter, share = np.minimum(darker + 1, len(gains) - 1), bright * (len(gains) - 1) - darker
        dark = tables[darker, left] * (1 - part) + tables[darker, right] * part
        return dark + share * (tables[brighter, left] * (1 - part) + tables[brighter, right] * part - dark)

    def modes(self, hz: np.ndarray, gains: np.ndarray, decays: np.ndarray) -> np.ndarray:
        """Sum sines [num_modes] that begin at once and fall to 1/e in `decays` seconds."""
        samples = np.zeros(len(self.seconds))
        audible = (hz < _HIGHEST * self.rate) & (np.abs(gains) > 1e-4 * np.abs(gains).max())
        angles = 2 * np.pi * hz[audible] / self.rate
        for angle, gain, decay in zip(angles, gains[audible], decays[audible], strict=True):
            pulse = np.zeros(min(len(samples), int(8 * decay * self.rate) + 64))
            pulse[0], radius = gain, np.exp(-1 / (decay * self.rate))
            poles = [1, -2 * radius * np.cos(angle), radius**2]
            samples[: len(pulse)] += signal.lfilter([0, radius * np.sin(angle)], poles, pulse)
        return samples


def _spread(voices: float) -> tuple[np.ndarray, np.ndarray]:
    """Return how far voices are detuned, about -1 to 1, and their levels; together they are in tune."""
    places = np.linspace(-1, 1, round(voices)) if round(voices) > 1 else np.zeros(1)
    levels = np.where(np.arange(len(places)) % 2, 0.6, 1.0)  # voices of one loudness would cancel each other
    return places - np.average(places, weights=levels), levels


def _lowpass(hz: np.ndarray, cutoff_hz: np.ndarray | float, resonance: float = 0.7) -> np.ndarray:
    """Return gains of a low-pass of three poles."""
    x = hz / cutoff_hz
    return 1 / np.sqrt(((1 - x**2) ** 2 + (x / resonance) ** 2) * (1 + x**2))


def _through_body(samples: np.ndarray, rate: int, body: list, floor: float) -> np.ndarray:
    """Pass samples through resonances [hz, quality, gain] side by side, and a share of them past those."""
    passed = floor * samples
    for hz, quality, gain in body:
        passed = passed + gain * signal.lfilter(*signal.iirpeak(min(hz, 0.4 * rate), quality, rate), samples)
    return passed


def _driven(samples: np.ndarray, drive: float) -> np.ndarray:
    """Overdrive samples, by as much as `drive` is above 0; at four times the rate, so that less is folded back."""
    if drive == 0:
        return samples
    loud = signal.resample_poly(samples / np.abs(samples).max(), 4, 1)
    return signal.resample_poly(np.tanh(drive * loud + 0.15) - np.tanh(0.15), 1, 4)


def _body(count: int, low_hz: float, high_hz: float, gain: Drawn = (0.3, 1.5), quality: Drawn = (4, 15)) -> list:
    """Return resonances to be drawn, one in each of `count` bands."""
    edges = np.geomspace(low_hz, high_hz, count + 1).tolist()
    return [[band, quality, gain] for band in zip(edges, edges[1:], strict=False)]


@dataclass(frozen=True)
class Sustained:
    """What is blown, bowed, sung or played by oscillators: a harmonic source, a moving low-pass, a body."""

    layers: dict[int, Drawn] = field(default_factory=lambda: {0: 1.0})  # gains by semitones from the key
    layer_cents: Drawn = 0.0  # layers other than 0 are out of tune by about as much
    voices: Drawn = 1
    detune_cents: Drawn = 0.0  # of the outermost voices
    wander_cents: Drawn = (0.5, 2.0)
    vibrato_hz: Drawn = (4.6, 6.4)
    vibrato_cents: Drawn = 0.0
    vibrato_delay: Drawn = (0.1, 0.5)  # seconds until it is half there
    tremolo: Drawn = 0.0  # with the vibrato
    scoop_cents: Drawn = 0.0  # how far from its pitch a note begins
    pulse: Drawn = 0.0  # 0 sawtooth, 1 pulse
    width: Drawn = (0.08, 0.5)  # of the pulse, in periods
    tilt: Drawn = 0.0  # harmonic n is softer by n ** tilt
    cutoff_hz: Drawn = (2500, 6000)  # at middle C, open
    track: Drawn = 0.4  # how far the low-pass follows the pitch
    closed: Drawn = 0.0  # octaves below, where it starts from
    resonance: Drawn = 0.7
    sweep: Drawn = 0.05  # seconds until it is open
    sweep_decay: Drawn = (0.2, 0.8)
    sweep_sustain: Drawn = 1.0
    motion: Drawn = 0.0  # of the low-pass, at random, later on
    attack: Drawn = (0.01, 0.03)
    decay: Drawn = (0.2, 0.8)
    sustain: Drawn = (0.75, 1.0)
    body: list = field(default_factory=list)
    floor: Drawn = 1.0  # what passes by the body
    breath: Drawn = 0.0
    chiff: Drawn = 0.0  # breath in the attack
    noise_hz: Drawn = (600, 1500)
    drive: Drawn = 0.0

    seconds = _SUSTAINED_SECONDS

    def play(self, note: Note) -> np.ndarray:
        """Return the samples of a note."""
        samples = sum(gain * self._layer(note, semitones) for semitones, gain in self.layers.items() if gain)
        wind = note.noise(max(self.noise_hz, note.hz), 5 * max(self.noise_hz, note.hz)) * samples.std()
        swell = note.envelope(self.attack, self.decay, self.sustain)
        samples += wind * (self.breath * swell + self.chiff * note.envelope(self.attack / 2, 0.04, 0.0))
        return _driven(_through_body(samples, note.rate, self.body, self.floor), self.drive)

    def _layer(self, note: Note, semitones: int) -> np.ndarray:
        hz = note.rank_hz(semitones)
        numbers = note.harmonics(hz)
        pulse = 2 * np.sin(np.pi * numbers * self.width) / numbers
        source = ((1 - self.pulse) / numbers + self.pulse * pulse) * numbers**-self.tilt
        open_hz = max(self.cutoff_hz * 2 ** (self.track * note.octaves), 1.5 * hz)
        cutoffs = np.geomspace(max(open_hz * 2**-self.closed, hz), open_hz, _SHAPES)
        gains = source * _lowpass(hz * numbers, cutoffs[:, None], self.resonance)
        out_of_tune = note.rng.normal(0, self.layer_cents) if semitones else 0.0
        places, levels = _spread(self.voices)
        detune_cents = self.detune_cents * 2 ** (-0.3 * max(0.0, note.octaves))  # or high notes would beat too fast
        samples = np.zeros(len(note.seconds))
        for place, level in zip(places, levels, strict=True):
            apart = note.rng.uniform(0.7, 1.4) if len(places) > 2 else 1.0  # players are not quite together
            shaken = note.sine(self.vibrato_hz * note.rng.uniform(0.95, 1.05))
            shaken *= 1 / (1 + np.exp((self.vibrato_delay * apart - note.seconds) / 0.08))
            cents = out_of_tune + detune_cents * place + self.vibrato_cents * shaken
            cents += self.wander_cents * note.wander(3) + self.scoop_cents * np.exp(-note.seconds / 0.03)
            bright = note.envelope(self.sweep * apart, self.sweep_decay, self.sweep_sustain)
            bright = bright + self.motion * note.wander(1) * (1 - np.exp(-note.seconds)) + self.tremolo * shaken
            swell = note.envelope(self.attack * apart, self.decay, self.sustain) * (1 + self.tremolo * shaken)
            samples += level * swell * note.wave(hz, gains, cents, np.clip(bright, 0, 1))
        return samples


@dataclass(frozen=True)
class Drawbars:
    """A tonewheel organ with its rotating speaker."""

    bars: list  # 0 to 8, of 16', 5 1/3', 8', 4', 2 2/3', 2', 1 3/5', 1 1/3', 1'
    percussion: Drawn = OneOf(0, 0, (0.3, 1.0))
    percussion_semitones: Drawn = OneOf(12, 19)
    percussion_seconds: Drawn = (0.1, 0.5)
    click: Drawn = (0.03, 0.5)
    wheel: Drawn = (0.005, 0.08)  # harmonics of a tonewheel
    rotor_hz: Drawn = OneOf((0.6, 1.0), (5.5, 7.2))
    rotor_cents: Drawn = OneOf(0, (0.7, 3.0))  # for each turn a second
    rotor_tremolo: Drawn = (0.02, 0.3)
    drive: Drawn = (0.2, 1.5)

    seconds = _SUSTAINED_SECONDS

    def play(self, note: Note) -> np.ndarray:
        """Return the samples of a note."""
        turned = 2 * np.pi * (self.rotor_hz * note.seconds + note.rng.random())
        cents = self.rotor_cents * self.rotor_hz * np.sin(turned)
        samples = np.zeros(len(note.seconds))
        percussion = self.percussion * note.envelope(0.003, self.percussion_seconds, 0.0)
        ranks = [(bar and 10 ** (0.15 * (bar - 8))) for bar in self.bars] + [percussion]  # 3 dB a step
        for gain, semitones in zip(ranks, (-12, 7, 0, 12, 19, 24, 28, 31, 36, self.percussion_semitones), strict=True):
            if np.any(gain):
                gains = self.wheel ** (note.harmonics(note.rank_hz(semitones))[None, :3] - 1.0)
                samples += gain * note.wave(note.rank_hz(semitones), gains, cents, 0.0)
        samples += self.click * samples.std() * note.noise(800, 6000) * note.envelope(0.001, 0.004, 0.0)
        turning = 1 + np.sign(self.rotor_cents) * self.rotor_tremolo * np.cos(turned)
        return _driven(samples * note.envelope(0.004), self.drive) * turning


@dataclass(frozen=True)
class Modulated:
    """Frequency modulation: sines whose phase other sines move."""

    pairs: list  # [carrier ratio, gain, modulator ratio, index, seconds in which the index falls]
    hold: Drawn = (0.05, 0.3)  # share of the index that stays
    voices: Drawn = OneOf(1, 2)
    detune_cents: Drawn = (1, 6)  # of the outermost voices
    attack: Drawn = (0.002, 0.004)
    decay: Drawn = (1.0, 3.0)
    sustain: Drawn = 0.0
    tremolo_hz: Drawn = (3.5, 6.5)
    tremolo: Drawn = OneOf(0, (0.1, 0.4))
    seconds: float = _RINGING_SECONDS

    def play(self, note: Note) -> np.ndarray:
        """Return the samples of a note."""
        samples = np.zeros(len(note.seconds))
        for carrier, gain, modulator, index, index_seconds in self.pairs:
            # Carson's rule: index + 1 sidebands on either side.
            room = (_HIGHEST * note.rate / note.hz - carrier) / modulator - 1
            index = max(0, min(index * 2 ** (-0.3 * note.octaves), room))
            moving = index * (self.hold + (1 - self.hold) * np.exp(-note.seconds / index_seconds))
            for place, level in zip(*_spread(self.voices), strict=True):
                angle = 2 * np.pi * note.cycles(note.hz, self.detune_cents * place)
                samples += level * gain * np.sin(carrier * angle + moving * np.sin(modulator * angle))
        samples *= 1 + self.tremolo * note.sine(self.tremolo_hz)
        return samples * note.envelope(self.attack, self.decay * 2 ** (-0.5 * note.octaves), self.sustain)


@dataclass(frozen=True)
class Struck:
    """Bars, tines, tubes and pans: a few modes, each with a twin that beats against it."""

    modes: list  # [ratio, gain]
    decay: Drawn  # seconds in which the first mode of middle C falls to 1/e
    damping: Drawn = (0.8, 1.4)  # modes decay faster by ratio ** damping
    shortening: Drawn = (0.4, 0.8)  # notes decay faster by octaves * shortening, in octaves
    hammer_hz: Drawn = (1500, 6000)
    beat_cents: Drawn = (0.0, 1.5)
    knock: Drawn = (0.01, 0.15)
    tremolo_hz: Drawn = (3.0, 7.0)
    tremolo: Drawn = 0.0
    drive: Drawn = 0.0
    body: list = field(default_factory=list)

    seconds = _RINGING_SECONDS

    def play(self, note: Note) -> np.ndarray:
        """Return the samples of a note."""
        ratios, gains = np.array(self.modes, float).T
        gains = gains * _lowpass(note.hz * ratios, max(self.hammer_hz * 2 ** (0.4 * note.octaves), 1.5 * note.hz))
        decays = self.decay * 2 ** (-self.shortening * note.octaves) * ratios**-self.damping
        apart = 2 ** (self.beat_cents / 1200)  # in tune together: 0.6 * 0.625 = 0.375
        samples = note.modes(note.hz * ratios * apart**0.375, gains, decays)
        samples += note.modes(note.hz * ratios * apart**-0.625, 0.6 * gains, 0.9 * decays)
        samples += 0.3 * self.knock * np.abs(samples).max() * note.noise(300, 4000) * note.envelope(0.001, 0.006, 0.0)
        samples = _through_body(_driven(samples, self.drive), note.rate, self.body, 1.0)
        return samples * (1 + self.tremolo * note.sine(self.tremolo_hz)) * note.envelope(0.002)


@dataclass(frozen=True)
class Plucked:
    """Strings plucked or struck somewhere, heard through pickup, amplifier and body."""

    decay: Drawn  # seconds in which middle C falls to 1/e
    bright_hz: Drawn = (1500, 5000)  # of the pluck, at middle C
    place: Drawn = (0.1, 0.35)  # of the pluck, share of the string
    pickup: Drawn = 0.0  # where it listens; 0 hears all
    tilt: Drawn = (0.6, 1.2)  # harmonic n is softer by n ** tilt
    damping_hz: Drawn = (1000, 4000)  # what decays twice as fast as the lowest
    shortening: Drawn = (0.3, 0.7)  # notes decay faster by octaves * shortening, in octaves
    stiffness: Drawn = (2e-5, 2e-4)  # B in n * sqrt(1 + B n ** 2)
    octave: Drawn = 0.0  # a string an octave above
    click: Drawn = (0.02, 0.2)
    click_hz: Drawn = (500, 2000)
    drive: Drawn = 0.0
    body: list = field(default_factory=lambda: _body(6, 90, 4000))
    floor: Drawn = (0.5, 1.0)

    seconds = _RINGING_SECONDS

    def play(self, note: Note) -> np.ndarray:
        """Return the samples of a note."""
        samples = self._string(note, note.hz)
        if self.octave:
            samples += self.octave * self._string(note, 2 * note.hz)
        click = note.noise(self.click_hz, 4 * self.click_hz) * note.envelope(0.001, 0.005, 0.0)
        samples = _driven(samples + 0.3 * self.click * np.abs(samples).max() * click, self.drive)
        return _through_body(samples, note.rate, self.body, self.floor) * note.envelope(0.002)

    def _string(self, note: Note, hz: float) -> np.ndarray:
        numbers = note.harmonics(hz)
        stretched = numbers * np.sqrt((1 + self.stiffness * numbers**2) / (1 + self.stiffness))
        gains = np.sin(np.pi * numbers * self.place) * numbers**-self.tilt
        gains = gains * _lowpass(hz * numbers, max(self.bright_hz * 2 ** (0.5 * note.octaves), 1.5 * hz))
        if self.pickup:
            gains = gains * np.sin(np.pi * numbers * self.pickup)
        decays = self.decay * 2 ** (-self.shortening * note.octaves) / (1 + hz * numbers / self.damping_hz)
        decays *= 1 + hz / self.damping_hz  # the lowest rings as long as was said
        samples = note.modes(hz * stretched * 2 ** (-0.3 / 1200), gains, decays)
        # It swings in two planes: the weaker one rings longer.
        return samples + 0.3 * note.modes(hz * stretched * 2 ** (0.5 / 1200), gains, 1.6 * decays)


_ON_OR_OFF = OneOf(0, (2.0, 8.0))
_ANY_BARS = [_ON_OR_OFF, _ON_OR_OFF, (5.0, 8.0), *[_ON_OR_OFF] * 6]
_CABINET = _body(4, 90, 3500, quality=(1, 3))
_VIOLINS = _body(9, 250, 6000, gain=(0.3, 2.0), quality=(5, 18))
_AAH = [[(600, 850), 7, 1.0], [(1000, 1300), 8, (0.4, 0.8)], [(2400, 3000), 10, (0.1, 0.5)], [(3300, 4000), 10, 0.2]]
_OOH = [[(280, 420), 5, 1.0], [(600, 900), 7, (0.2, 0.5)], [(2200, 2800), 10, (0.03, 0.15)]]
_VIBRATO = OneOf(0, (4, 25))
_PLUCKED_SWEEP = {"sweep": (0.003, 0.01), "sweep_decay": (0.08, 0.6), "sweep_sustain": (0.0, 0.4)}
# Their lowest and highest keys; the General MIDI programs, from 0, that they are akin to.
INSTRUMENTS = {
    "organ-drawbar": (28, 96, Drawbars(_ANY_BARS)),  # 16
    "organ-percussive": (  # 17
        28, 96, Drawbars([_ON_OR_OFF, 0, (6.0, 8.0), _ON_OR_OFF, *[0] * 5], percussion=(0.7, 1.8), click=(0.1, 0.6))
    ),
    "organ-rock": (  # 18
        28, 96, Drawbars(_ANY_BARS, rotor_hz=(5.8, 7.5), rotor_cents=(1.0, 3.5), rotor_tremolo=(0.1, 0.4), drive=(2, 6))
    ),
    "organ-church": (28, 96, Sustained(  # 19
        {-12: OneOf(0, 0, (0.2, 0.7)), 0: 1, 12: (0.3, 0.9), 19: OneOf(0, (0.1, 0.4)), 24: (0.1, 0.7),
         31: OneOf(0, (0.1, 0.4)), 36: OneOf(0, (0.1, 0.4))},
        layer_cents=(0.4, 2.0), tilt=(0.0, 1.8), cutoff_hz=(1200, 6000), attack=(0.02, 0.08), breath=(0.005, 0.04),
        chiff=(0.02, 0.4), sustain=1.0, wander_cents=(0.2, 0.8),
    )),
    "reed-organ": (28, 96, Sustained(  # 20 to 23
        {-12: OneOf(0, 0, (0.3, 0.8)), 0: 1, 12: OneOf(0, (0.2, 0.7))}, layer_cents=(0.5, 3), voices=OneOf(1, 2, 3),
        detune_cents=(2, 14), pulse=OneOf(0, 1, (0.3, 0.7)), width=(0.08, 0.4), tilt=(0.0, 0.6), attack=(0.02, 0.08),
        body=_body(5, 300, 5000, quality=(2, 6)), floor=(0.3, 1.0), breath=(0.002, 0.02), tremolo=OneOf(0, (0.05, 0.2)),
    )),
    "pad-warm": (28, 96, Sustained(  # 89
        {0: 1, -12: OneOf(0, 0, (0.1, 0.35))}, voices=(2, 6), detune_cents=(4, 16), pulse=OneOf(0, (0.0, 0.6)),
        cutoff_hz=(500, 1800), closed=(0.3, 1.5), sweep=(0.1, 1.0), attack=(0.03, 0.11), motion=(0.05, 0.3),
    )),
    "pad-poly": (28, 96, Sustained(  # 88, 90
        {0: 1, 12: OneOf(0, (0.2, 0.7))}, voices=(2, 6), detune_cents=(5, 20), pulse=OneOf(0, (0.3, 1.0)),
        cutoff_hz=(1500, 6000), closed=(0.5, 3), resonance=(0.7, 2.5), sweep=(0.01, 0.2), sweep_decay=(0.3, 1.5),
        sweep_sustain=(0.3, 0.9), attack=(0.03, 0.1), motion=(0.0, 0.2),
    )),
    "pad-choir": (28, 96, Sustained(  # 91
        voices=(3, 8), detune_cents=(5, 18), pulse=OneOf(0, 1), width=(0.08, 0.3), body=OneOf(_AAH, _OOH),
        floor=(0.05, 0.3), attack=(0.03, 0.11), breath=(0.01, 0.1), vibrato_cents=(0.0, 15), motion=0.1,
    )),
    "pad-bowed": (28, 96, Sustained(  # 92
        {0: 1, 12: OneOf(0, (0.2, 0.8)), 19: OneOf(0, (0.1, 0.5)), 28: OneOf(0, (0.05, 0.3))}, layer_cents=(1, 5),
        voices=(2, 4), detune_cents=(2, 9), tilt=(0.7, 1.8), closed=(0.5, 2), sweep=(0.1, 0.8), attack=(0.04, 0.11),
        breath=(0.01, 0.08), tremolo=(0.0, 0.2), motion=0.2,
    )),
    "pad-metallic": (28, 96, Modulated(  # 93
        [[1, 1.0, OneOf(1.0, 2.0, 3.0), (0.4, 2.0), (0.3, 2.0)], [1, (0.2, 0.6), (2.1, 7.9), (0.2, 1.2), (0.3, 3.0)],
         [2, (0.1, 0.5), (1.3, 4.7), (0.1, 1.0), (0.5, 3.0)]],
        hold=(0.2, 0.8), voices=(2, 4), detune_cents=(3, 9), attack=(0.02, 0.1), sustain=(0.4, 0.9),
        seconds=_SUSTAINED_SECONDS,
    )),
    "pad-sweep": (28, 96, Sustained(  # 95
        voices=(2, 6), detune_cents=(5, 18), pulse=OneOf(0, 1, (0.2, 0.8)), cutoff_hz=(2500, 7000), closed=(2, 4),
        resonance=(1.0, 4.0), sweep=OneOf(0.02, (0.5, 3.0)), sweep_decay=(1.0, 3.0), sweep_sustain=(0.0, 0.7),
        attack=(0.03, 0.1), motion=(0.1, 0.4),
    )),
    "lead-square": (28, 96, Sustained(  # 80
        voices=OneOf(1, 1, 2, 3), detune_cents=(2, 12), pulse=1, width=(0.3, 0.5), cutoff_hz=(1500, 9000),
        attack=(0.002, 0.02), vibrato_cents=_VIBRATO, sweep_sustain=(0.5, 1.0), closed=(0.0, 2.0), sweep=(0.005, 0.05),
        resonance=(0.7, 2), scoop_cents=OneOf(0, 0, (-80, 80)),
    )),
    "lead-saw": (28, 96, Sustained(  # 81
        {0: 1, -12: OneOf(0, 0, (0.1, 0.35)), 12: OneOf(0, 0, (0.2, 0.7))}, voices=OneOf(1, 2, 3, 5, 7),
        detune_cents=(3, 20), cutoff_hz=(2000, 9000), closed=(0.0, 2.5), resonance=(0.7, 3), sweep=(0.003, 0.05),
        sweep_sustain=(0.4, 1.0), attack=(0.002, 0.02), vibrato_cents=_VIBRATO, drive=OneOf(0, 0, (0.5, 2.5)),
    )),
    "lead-calliope": (28, 96, Sustained(  # 82
        {0: 1, 12: OneOf(0, (0.1, 0.5))}, voices=OneOf(1, 2), detune_cents=(2, 9), pulse=1, width=(0.3, 0.5),
        tilt=(0.5, 1.6), breath=(0.02, 0.12), chiff=(0.05, 0.4), attack=(0.01, 0.04), vibrato_cents=_VIBRATO,
    )),
    "lead-chiff": (28, 96, Sustained(  # 83
        {0: 1, 12: OneOf(0, (0.2, 0.7))}, voices=OneOf(1, 2, 3), detune_cents=(2, 12), pulse=OneOf(0, 1),
        tilt=(0.2, 1.2), chiff=(0.4, 1.5), noise_hz=(800, 2500), sustain=(0.3, 0.8), attack=(0.004, 0.02),
    )),
    "lead-fifth": (28, 96, Sustained(  # 86
        {0: 1, 7: (0.5, 1.0), -12: OneOf(0, 0, (0.1, 0.35))}, voices=OneOf(1, 2, 3), detune_cents=(3, 12),
        pulse=OneOf(0, 1), cutoff_hz=(1500, 8000), closed=(0.0, 2), sweep=(0.003, 0.05), attack=(0.003, 0.02),
    )),
    "synth-voice": (28, 96, Sustained(  # 54
        voices=OneOf(1, 2, 3), detune_cents=(3, 14), pulse=OneOf(0, 1), width=(0.05, 0.3), body=OneOf(_AAH, _OOH),
        floor=(0.03, 0.2), attack=(0.02, 0.08), vibrato_cents=_VIBRATO, scoop_cents=OneOf(0, (-60, 0)),
    )),
    "synth-strings": (28, 96, Sustained(  # 50, 51
        {0: 1, 12: OneOf(0, (0.2, 0.7)), -12: OneOf(0, 0, (0.1, 0.35))}, voices=(3, 8), detune_cents=(6, 20),
        cutoff_hz=(1500, 6000), closed=(0.0, 1.0), sweep=(0.05, 0.3), attack=(0.03, 0.12), body=_body(4, 400, 5000),
        floor=(0.5, 1.0), vibrato_cents=(0.0, 8),
    )),
    "synth-brass": (28, 96, Sustained(  # 62, 63
        {0: 1, -12: OneOf(0, 0, (0.1, 0.35))}, voices=OneOf(1, 2, 3, 5), detune_cents=(4, 16), pulse=OneOf(0, 0, 0.5),
        cutoff_hz=(1500, 6000), closed=(1.5, 3.5), resonance=(0.7, 2.5), sweep=(0.03, 0.15), sweep_sustain=(0.3, 0.8),
        attack=(0.01, 0.05), scoop_cents=OneOf(0, (-70, 0)), vibrato_cents=OneOf(0, (2, 10)),
    )),
    "synth-bass": (24, 64, Sustained(  # 38, 39
        {0: 1, -12: OneOf(0, 0, (0.2, 0.7)), 12: OneOf(0, (0.2, 0.6))}, voices=OneOf(1, 1, 2), detune_cents=(3, 12),
        pulse=OneOf(0, 1), cutoff_hz=(1000, 5000), closed=(1.5, 4), resonance=(0.7, 5), **_PLUCKED_SWEEP,
        attack=(0.002, 0.006), decay=(0.3, 1.5), sustain=OneOf(0.0, (0.4, 0.9)), drive=OneOf(0, (0.5, 3)),
    )),
    "e-piano-tine": (28, 96, Struck(  # 4
        [[1, 1], [2, (0.02, 0.2)], [(5.5, 7.5), (0.05, 0.3)], [(15, 19), (0.02, 0.15)]], decay=(0.9, 2.2),
        hammer_hz=(2500, 8000), drive=(0.4, 2.5), tremolo=OneOf(0, (0.1, 0.5)),
    )),
    "e-piano-fm": (28, 96, Modulated([  # 5
        [1, 1, 1, (0.3, 1.5), (0.3, 1.2)], [1, (0.2, 0.8), OneOf(11, 13, 14, 15), (0.1, 0.8), (0.08, 0.4)],
        [OneOf(1, 2, 3), (0.0, 0.4), OneOf(1, 2), (0.1, 1.0), (0.2, 1.0)],
    ])),
    "harpsichord": (28, 92, Plucked(  # 6
        (0.5, 1.3), bright_hz=(4000, 9000), place=(0.07, 0.2), tilt=(0.2, 0.7), octave=OneOf(0, (0.2, 0.8)),
        damping_hz=(2500, 8000), click=(0.05, 0.3), click_hz=(1500, 2400), body=_body(6, 150, 4000, gain=(0.1, 0.7)),
    )),
    "clavinet": (28, 92, Plucked(  # 7
        (0.4, 1.3), bright_hz=(3000, 9000), place=(0.04, 0.15), pickup=(0.06, 0.3), tilt=(0.1, 0.6), body=_CABINET,
        damping_hz=(1500, 6000), stiffness=(5e-5, 4e-4), drive=OneOf(0, (0.3, 2.0)),
    )),
    "celesta": (48, 96, Struck(  # 8
        [[1, 1], [(2.6, 4.1), (0.05, 0.4)], [(5.2, 7), (0.02, 0.2)], [(9, 12), (0.0, 0.1)]], decay=(0.5, 1.1)
    )),
    "glockenspiel": (60, 96, Struck(  # 9
        [[1, 1], [(2.65, 2.8), (0.2, 0.8)], [(5.2, 5.5), (0.1, 0.6)], [(8.5, 9.1), (0.05, 0.4)]], decay=(0.9, 2.4),
        hammer_hz=(4000, 9000), damping=(0.4, 1.0),
    )),
    "vibraphone": (40, 96, Struck(  # 11
        [[1, 1], [(3.9, 4.05), (0.1, 0.5)], [(9.2, 10.8), (0.03, 0.25)]], decay=(1.2, 3.5), damping=(0.9, 1.5),
        tremolo=OneOf(0, (0.15, 0.6)), hammer_hz=(1000, 5000),
    )),
    "marimba": (36, 96, Struck(  # 12
        [[1, 1], [(3.85, 4.1), (0.1, 0.5)], [(9.1, 10.6), (0.05, 0.3)]], decay=(0.15, 0.45), knock=(0.03, 0.3),
        hammer_hz=(800, 4000),
    )),
    "tubular-bells": (48, 84, Struck(  # 14: free bars, whose fourth to sixth modes are heard as 2, 3, 4 of a low tone
        [[0.62, (0.05, 0.3)], [1, (0.2, 0.6)], [1.21, (0.05, 0.2)], [2, 1], [2.99, (0.5, 1)], [4.17, (0.3, 0.9)],
         [5.56, (0.2, 0.6)], [7.14, (0.05, 0.4)]],
        decay=(1.8, 3.5), damping=(0.3, 0.8), hammer_hz=(2000, 7000), shortening=(0.2, 0.5),
    )),
    "kalimba": (40, 92, Struck(  # 108
        [[1, 1], [(2.0, 3.2), (0.0, 0.2)], [(5.3, 6.4), (0.1, 0.5)], [(13, 17.5), (0.0, 0.25)]], decay=(0.3, 0.9),
        knock=(0.05, 0.3), body=_body(3, 150, 1200), drive=OneOf(0, (0.3, 1.0)),
    )),
    "steel-drums": (40, 92, Struck(  # 114
        [[1, 1], [(1.99, 2.02), (0.4, 1.0)], [(2.97, 3.05), (0.1, 0.5)], [(3.9, 4.2), (0.1, 0.5)],
         [(5.0, 6.4), (0.05, 0.3)], [(7.1, 9.3), (0.02, 0.2)]],
        decay=(0.25, 0.8), damping=(0.2, 0.8), beat_cents=(2, 12), drive=OneOf(0, (0.3, 1.2)),
    )),
    "strings-bowed": (28, 96, Sustained(  # 40 to 43
        tilt=(0.0, 0.5), cutoff_hz=(2500, 7000), closed=(0.5, 1.5), sweep=(0.04, 0.12), attack=(0.02, 0.08),
        vibrato_cents=(5, 25), vibrato_delay=(0.15, 0.7), wander_cents=(1, 4), breath=(0.01, 0.06), chiff=(0.05, 0.3),
        noise_hz=(1000, 2500), body=_VIOLINS, floor=(0.1, 0.6), scoop_cents=(-25, 0), tremolo=(0.0, 0.08), motion=0.1,
    )),
    "strings-section": (28, 96, Sustained(  # 48, 49
        {0: 1, -12: OneOf(0, 0, (0.1, 0.35)), 12: OneOf(0, 0, (0.2, 0.5))}, voices=(8, 12), detune_cents=(6, 18),
        tilt=(0.0, 0.6), cutoff_hz=(2000, 6000), closed=(0.5, 1.5), sweep=(0.05, 0.2), attack=(0.03, 0.1),
        vibrato_cents=(5, 18), wander_cents=(2, 6), breath=(0.005, 0.04), body=_VIOLINS, floor=(0.2, 0.7),
    )),
    "choir-aah": (36, 88, Sustained(  # 52
        voices=(4, 10), detune_cents=(6, 20), tilt=(0.2, 0.8), body=_AAH, floor=(0.03, 0.15), attack=(0.03, 0.1),
        breath=(0.01, 0.08), vibrato_cents=(6, 25), wander_cents=(3, 8), scoop_cents=(-50, 0),
    )),
    "choir-ooh": (36, 88, Sustained(  # 53
        voices=(3, 9), detune_cents=(5, 18), tilt=(0.4, 1.0), body=_OOH, floor=(0.03, 0.15), attack=(0.03, 0.1),
        breath=(0.01, 0.1), vibrato_cents=(6, 25), wander_cents=(3, 8), scoop_cents=(-50, 0),
    )),
    "trumpet-like": (44, 92, Sustained(  # 56, 57, 59
        tilt=(0.0, 0.3), cutoff_hz=(2000, 6000), track=0.2, closed=(1.0, 2.5), sweep=(0.03, 0.1), attack=(0.01, 0.04),
        body=[[(900, 1700), (1.5, 3), (0.5, 2)], [(2200, 3500), (2, 4), (0.2, 1)]], floor=(0.3, 0.8),
        scoop_cents=(-40, 10), vibrato_cents=OneOf(0, (3, 18)), sweep_sustain=(0.6, 1.0), breath=(0.002, 0.015),
    )),
    "horn-like": (32, 84, Sustained(  # 58, 60
        tilt=(0.1, 0.7), cutoff_hz=(600, 1600), track=0.3, closed=(1.0, 2.5), sweep=(0.04, 0.12), attack=(0.02, 0.07),
        body=[[(350, 600), (1.5, 3), (0.5, 1.5)]], floor=(0.4, 0.9), scoop_cents=(-40, 0), vibrato_cents=(0.0, 6),
        sweep_sustain=(0.5, 0.9), breath=(0.002, 0.015),
    )),
    "brass-section": (32, 92, Sustained(  # 61
        {0: 1, -12: OneOf(0, 0, (0.1, 0.35))}, voices=(3, 6), detune_cents=(4, 14), tilt=(0.0, 0.4),
        cutoff_hz=(1500, 5000), track=0.25, closed=(1.5, 3), sweep=(0.03, 0.1), sweep_sustain=(0.5, 0.9),
        attack=(0.015, 0.05), body=[[(800, 1600), (1.5, 3), (0.4, 1.5)]], floor=(0.4, 0.9), scoop_cents=(-50, 0),
        vibrato_cents=(0.0, 10), wander_cents=(1, 4),
    )),
    "reed-sax": (36, 88, Sustained(  # 64 to 67
        pulse=OneOf(0, (0.2, 0.7)), width=(0.1, 0.4), tilt=(0.0, 0.5), cutoff_hz=(2000, 5500), track=0.3,
        closed=(0.5, 1.5), sweep=(0.02, 0.08), body=[[(450, 900), (1.5, 3), 1], [(1100, 2200), (2, 4), (0.4, 1)]],
        floor=(0.2, 0.6), breath=(0.01, 0.08), vibrato_cents=(5, 25), tremolo=(0.0, 0.15), scoop_cents=(-60, 0),
    )),
    "reed-double": (32, 92, Sustained(  # 68 to 70
        pulse=OneOf(0, 1), width=(0.05, 0.2), cutoff_hz=(3000, 7000), track=0.2, floor=(0.1, 0.4),
        body=[[(450, 1300), (2, 4), 1], [(1800, 3400), (2, 5), (0.3, 1)]], vibrato_cents=(0.0, 18), tremolo=(0.0, 0.1),
        attack=(0.01, 0.05), breath=(0.002, 0.02),
    )),
    "reed-clarinet": (40, 96, Sustained(  # 71
        pulse=1, width=(0.46, 0.5), tilt=(0.0, 0.4), cutoff_hz=(1300, 4500), track=0.3, closed=(0.3, 1.5),
        attack=(0.015, 0.06), breath=(0.002, 0.03), vibrato_cents=OneOf(0, (2, 10)), body=_body(3, 600, 4000),
    )),
    "flute-breathy": (48, 96, Sustained(  # 72 to 79
        pulse=OneOf(0, 1), width=(0.3, 0.5), tilt=(0.7, 2.2), breath=(0.03, 0.25), chiff=(0.05, 0.5),
        attack=(0.015, 0.07), vibrato_cents=(2, 20), tremolo=(0.02, 0.3), scoop_cents=(-30, 10),
    )),
    "guitar-nylon": (36, 88, Plucked((0.4, 1.1), bright_hz=(900, 2500), damping_hz=(500, 1800))),  # 24
    "guitar-steel": (36, 88, Plucked(  # 25
        (0.7, 1.7), bright_hz=(2500, 7000), tilt=(0.4, 0.9), octave=OneOf(0, 0, (0.2, 0.7)), damping_hz=(1200, 4000)
    )),
    "guitar-clean": (36, 88, Plucked(  # 26, 27
        (0.9, 2.2), pickup=(0.06, 0.3), bright_hz=(1200, 5000), body=_CABINET, drive=OneOf(0, (0.2, 1.0))
    )),
    "guitar-muted": (36, 88, Plucked(  # 28
        (0.07, 0.22), pickup=(0.06, 0.3), bright_hz=(1000, 4000), damping_hz=(500, 2000), body=_CABINET,
        click=(0.05, 0.3), shortening=(0.1, 0.4),
    )),
    "guitar-overdriven": (36, 88, Plucked(  # 29
        (1.2, 2.5), pickup=(0.06, 0.3), bright_hz=(1200, 4000), body=_CABINET, drive=(4, 14), floor=(0.1, 0.5)
    )),
    "guitar-distorted": (36, 88, Plucked(  # 30
        (1.5, 3.0), pickup=(0.06, 0.3), bright_hz=(1500, 5000), body=_CABINET, drive=(20, 80), floor=(0.1, 0.5)
    )),
    "bass-finger": (24, 64, Plucked(  # 33, 32
        (0.4, 1.0), pickup=OneOf(0, (0.08, 0.3)), bright_hz=(800, 3000), damping_hz=(300, 1500), body=_CABINET
    )),
    "bass-pick": (24, 64, Plucked(  # 34
        (0.5, 1.1), pickup=(0.06, 0.25), place=(0.05, 0.15), bright_hz=(2500, 7000), tilt=(0.4, 0.9), body=_CABINET,
        click=(0.1, 0.4),
    )),
    "bass-slap": (24, 64, Plucked(  # 36, 37
        (0.5, 1.1), pickup=(0.06, 0.25), place=(0.03, 0.12), bright_hz=(4000, 9000), tilt=(0.2, 0.7), body=_CABINET,
        click=(0.3, 0.9), click_hz=(1000, 2400), damping_hz=(600, 2500), drive=OneOf(0, (0.3, 1.5)),
    )),
    "pizzicato": (28, 92, Plucked(  # 45
        (0.1, 0.35), bright_hz=(900, 3000), damping_hz=(400, 1500), body=_VIOLINS, click=(0.02, 0.15)
    )),
    "harp": (28, 96, Plucked((0.7, 1.8), place=(0.25, 0.45), bright_hz=(1000, 3500), damping_hz=(800, 3000))),  # 46
    "banjo": (44, 88, Plucked(  # 105
        (0.2, 0.5), place=(0.05, 0.15), bright_hz=(4000, 9000), tilt=(0.2, 0.6), click=(0.1, 0.4),
        body=_body(5, 300, 3500, gain=(0.5, 2.0)), floor=(0.2, 0.5),
    )),
}  # fmt: skip


def main() -> None:
    """Read the command line, write the notes of all instruments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, required=True, metavar="N", help="0 or more")
    parser.add_argument("--rate", type=int, default=22050, metavar="HZ", help="(default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.seed < 0:
        parser.error(f"--seed {arguments.seed}: 0 or more is wanted")
    if not 16000 <= arguments.rate <= 48000:
        parser.error(f"--rate {arguments.rate}: 16000 to 48000 Hz are wanted")
    for name, (lowest, highest, family) in INSTRUMENTS.items():
        own_seed = [arguments.seed, zlib.crc32(name.encode())]
        instrument = _drawn(family, np.random.default_rng(own_seed))
        folder = arguments.out / name
        folder.mkdir(parents=True, exist_ok=True)
        for pitch in range(lowest, highest + 1, _STEP):
            seconds = np.arange(int(instrument.seconds * arguments.rate)) / arguments.rate
            hz = 440 * 2 ** ((pitch - 69) / 12)
            note = Note(hz, arguments.rate, seconds, np.random.default_rng([*own_seed, pitch]))
            file_name = librosa.midi_to_note(pitch, unicode=False).replace("#", "s") + ".flac"
            soundfile.write(folder / file_name, _finished(instrument.play(note), arguments.rate), arguments.rate)
    print(f"{arguments.out}: {len(INSTRUMENTS)} instruments")


def _finished(samples: np.ndarray, rate: int) -> np.ndarray:
    """Return samples as they are kept: nothing below what is heard, no silence at their end, the usual peak."""
    samples = signal.sosfilt(signal.butter(2, 15, "highpass", fs=rate, output="sos"), samples)
    audible = np.flatnonzero(np.abs(samples) > _INAUDIBLE * np.abs(samples).max())
    samples = samples[: audible[-1] + 1]
    fade = min(len(samples), rate // 50)
    samples[-fade:] *= np.linspace(1, 0, fade)
    return (samples * (_PEAK / np.abs(samples).max())).astype(np.float32)


if __name__ == "__main__":
    main()
