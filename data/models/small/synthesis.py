"""Families of synthesised instruments, from which voices.py draws its own: how each plays a note."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import signal

SUSTAINED_SECONDS, _RINGING_SECONDS = 5.0, 6.0
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


def drawn(value: Drawn, rng: np.random.Generator) -> Any:
    """Return a value with all ranges and alternatives in it drawn."""
    match value:
        case OneOf():
            return drawn(value[rng.integers(len(value))], rng)
        case (low, high) if isinstance(value, tuple):
            return float(np.exp(rng.uniform(*np.log(value)))) if low > 0 else float(rng.uniform(low, high))
        case list():
            return [drawn(part, rng) for part in value]
        case dict():
            return {key: drawn(part, rng) for key, part in value.items()}
        case Sustained() | Drawbars() | Modulated() | Struck() | Plucked():
            fields = [part.name for part in dataclasses.fields(value)]
            return dataclasses.replace(value, **{name: drawn(getattr(value, name), rng) for name in fields})
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


def body(count: int, low_hz: float, high_hz: float, gain: Drawn = (0.3, 1.5), quality: Drawn = (4, 15)) -> list:
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

    seconds = SUSTAINED_SECONDS

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

    seconds = SUSTAINED_SECONDS

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
    body: list = field(default_factory=lambda: body(6, 90, 4000))
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
