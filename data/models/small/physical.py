#!/usr/bin/env python3
"""Makes instruments by physical modelling: a folder for each, with one FLAC file a note, as recorded.py reads them.

    data/models/small/physical.py SOURCES OUT [--seed N]

SOURCES/thestk+stk is a clone of the Synthesis ToolKit (https://github.com/thestk/stk, whose licence asks to keep its
notice with copies of it): models of lips, jets, strings and bars by Perry R. Cook and Gary P. Scavone.
physical.cpp plays them; it is compiled by g++ each time. Each seed draws how the instruments are built and played.

Notes are 4 semitones apart and begin at the beginning of their file, at 22050 Hz; sustained ones last 4 seconds, others
as long as they ring, 5 at most. Models take their time to speak, which is cut off, and don't sound where they are asked
to: a note is asked for until it is in tune, played otherwise where it doesn't get there or doesn't speak, and at last
left out.
"""

import argparse
import dataclasses
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import librosa
import numpy as np
import soundfile
from scipy import signal
from synthesis import Drawn, OneOf, body, drawn

_RATE = 22050
_STEP = 4  # semitones between notes
_PEAK = 0.9
_INAUDIBLE = 0.002  # of the peak: what rings on more softly is cut off
_HELD_SECONDS, _LONGEST_SECONDS = 4.0, 5.0
_SPEAKING_SECONDS = 2.5  # that a held note may take until it begins: until this share of its greatest loudness is there
_BEGUN = 0.4
_IN_TUNE, _OUT_OF_TUNE = 0.03, 0.3  # semitones: good enough to stop tuning, too far off to be kept
_SWELLS_SECONDS = 0.25  # from there until it is nearly as loud as ever, at most
_TRIES = 8  # of playing a note
_LASTS = 0.1  # of the greatest loudness of a held note is left at its end, at least
_UNITS = """
    ADSR BeeThree BiQuad BlowBotl Brass Delay DelayA DelayL Envelope FM FMVoices FileLoop FileRead FileWvIn Fir Flute
    FormSwep Modal ModalBar Modulate Moog Noise OnePole OneZero PercFlut Phonemes Plucked PoleZero Rhodey Sampler
    SineWave SingWave StifKarp Stk TubeBell Twang TwoPole TwoZero VoicForm Wurley
""".split()  # of STK: what physical.cpp needs


@dataclass(frozen=True)
class Instrument:
    """A model, what it is played by, and what its sound passes through; see `synthesis.drawn`."""

    lowest: int  # key
    highest: int
    model: str
    controls: dict[int, Drawn]  # by STK's numbers, or those of physical.cpp
    amplitude: Drawn = (0.5, 0.95)
    rings: bool = False  # and isn't held
    model_rate: Drawn = 44100  # Hz; strings lose their high partials faster at lower ones
    period: Drawn = 0  # samples that one has, if not 0: then lips move alike at all pitches
    voices: Drawn = 1
    detune_cents: Drawn = 0.0  # of the outermost voices
    body: Drawn = field(default_factory=list)  # resonances [hz, quality, gain] side by side
    floor: Drawn = 1.0  # what passes by the body
    cutoff_hz: Drawn = 11000  # of a gentle low-pass


def _bar(*modes: Drawn, decay: Drawn, ratio: Drawn = 0.6) -> dict[int, Drawn]:
    """Return controls of a bar: frequencies of its modes, seconds to 1/e of the first; others have less of them."""
    seconds = [decay, *[ratio] * 3]
    return {300 + n: mode for n, mode in enumerate(modes)} | {310 + n: seconds[n] for n in range(4)}


def _picked(soft: Drawn, place: Drawn, gain: Drawn, dark: Drawn, burst: Drawn = (0.002, 0.006)) -> dict[int, Drawn]:
    return {2: soft, 4: place, 11: gain, 1: dark, 3: burst}


_VIBRATO = OneOf(0, (1, 6))  # of FM
_STRINGS = body(6, 250, 4500, gain=(0.2, 1.2), quality=(3, 10))
_CABINET = body(4, 90, 3500, quality=(1, 3))
_HORN = [[(350, 600), (1.5, 3), (0.5, 2)]]
_TRUMPET = [[(900, 1700), (1.5, 3), (0.5, 2)], [(2200, 3500), (2, 4), (0.2, 1)]]
_LIPS: dict = {"controls": {11: (48, 64), 1: OneOf(0, (1, 8))}, "amplitude": (0.5, 0.9), "period": (68, 84)}
_VOICES: dict = {"voices": (3, 6), "detune_cents": (6, 16), "cutoff_hz": (4000, 9000)}
INSTRUMENTS = {
    "flute": Instrument(59, 95, "Flute", {2: (58, 70), 4: (8, 50), 11: (48, 64), 1: (0, 16)}),
    "flute-breathy": Instrument(55, 91, "BlowBotl", {4: (10, 60), 11: (48, 64), 1: (0, 20)}),
    "trumpet": Instrument(54, 86, "Brass", **_LIPS, body=_TRUMPET),
    "trombone": Instrument(40, 72, "Brass", **_LIPS, body=_HORN, cutoff_hz=(3000, 7000)),
    "french-horn": Instrument(38, 78, "Brass", **_LIPS, body=_HORN, cutoff_hz=(800, 2000)),
    "tuba": Instrument(28, 60, "Brass", **_LIPS, body=_HORN, cutoff_hz=(600, 1800)),
    "pizzicato": Instrument(
        28, 92, "Picked", _picked((0.5, 0.9), (0.2, 0.45), (0.94, 0.98), (0.3, 0.5)), rings=True, body=_STRINGS
    ),
    "contrabass-pizzicato": Instrument(
        28, 60, "Picked", _picked((0.8, 0.95), (0.3, 0.6), (0.975, 0.99), (0.3, 0.5)), rings=True,
        body=body(5, 80, 2000), cutoff_hz=(1500, 5000),
    ),
    "bass-finger": Instrument(
        28, 64, "StifKarp", {4: (20, 70), 11: (104, 116), 1: (0, 2)}, rings=True, model_rate=22050, body=_CABINET,
        floor=0.5, cutoff_hz=(500, 1500),
    ),
    "bass-pick": Instrument(
        28, 64, "StifKarp", {4: (8, 40), 11: (106, 118), 1: (0, 2)}, rings=True, model_rate=22050, body=_CABINET,
        cutoff_hz=(1500, 4000),
    ),
    "harp": Instrument(
        28, 96, "Plucked", {}, amplitude=(0.3, 0.95), rings=True, model_rate=OneOf(22050, 32000, 44100)
    ),
    "banjo": Instrument(
        48, 88, "Picked", _picked((0.0, 0.5), (0.08, 0.25), (0.975, 0.988), (0.1, 0.4)), rings=True,
        body=body(5, 300, 3500, gain=(0.5, 2.0)), floor=(0.2, 0.5),
    ),
    "harpsichord": Instrument(
        30, 88, "Picked", _picked((0.0, 0.4), (0.1, 0.3), (0.992, 0.997), (0.05, 0.25)), rings=True,
        body=body(6, 150, 4000, gain=(0.1, 0.7)),
    ),
    "clavinet": Instrument(
        32, 88, "StifKarp", {4: (6, 24), 11: (100, 116), 1: (0, 2)}, rings=True, model_rate=(22050, 32000),
        body=_CABINET, cutoff_hz=(2500, 6000),
    ),
    "organ-drawbar": Instrument(28, 96, "BeeThree", {2: (60, 128), 4: (20, 128), 11: (50, 72), 1: OneOf(0, (2, 8))}),
    "organ-percussive": Instrument(28, 96, "PercFlut", {2: (30, 128), 4: (20, 110), 11: (50, 72), 1: _VIBRATO}),
    "e-piano": Instrument(28, 96, "Rhodey", {2: (20, 110), 4: (20, 110), 11: (30, 64), 1: OneOf(0, (10, 50))},
                          rings=True),
    "e-piano-tine": Instrument(28, 96, "Wurley", {2: (20, 110), 4: (20, 110), 11: (40, 72), 1: OneOf(0, (10, 50))},
                               rings=True),
    "tubular-bells": Instrument(55, 83, "TubeBell", {2: (30, 110), 4: (30, 110), 11: 40, 1: OneOf(0, (2, 20))},
                                rings=True),
    "marimba": Instrument(
        36, 96, "Bar", {2: (10, 60), 4: (50, 72), 8: (0, 20)}
        | _bar(1, (3.9, 4.05), (9.2, 10.7), (15, 19), decay=(0.12, 0.4), ratio=(0.02, 0.08)), rings=True,
    ),
    "xylophone": Instrument(
        60, 96, "Bar", {2: (60, 115), 4: (50, 72), 8: (2, 25)}
        | _bar(1, (2.95, 3.05), (5.9, 6.4), (9.5, 11), decay=(0.08, 0.2), ratio=(0.02, 0.08)), rings=True,
    ),
    "vibraphone": Instrument(
        52, 92, "Bar", {2: (20, 80), 4: (50, 72), 8: (0, 12), 11: (30, 64), 1: OneOf(0, (20, 90))}
        | _bar(1, (3.95, 4.02), (9.2, 10.4), (15, 19), decay=(0.7, 1.8), ratio=(0.1, 0.6)), rings=True,
    ),
    "glockenspiel": Instrument(
        72, 96, "Bar", {2: (60, 115), 4: (50, 72), 8: (2, 15)}
        | _bar(1, (2.7, 2.8), (5.2, 5.5), (8.5, 9.1), decay=(0.5, 1.3), ratio=(0.2, 0.6)), rings=True,
    ),
    "celesta": Instrument(
        56, 96, "Bar", {2: (20, 70), 4: (50, 72), 8: (0, 8)}
        | _bar(1, (2.6, 4.1), (5.2, 7), (9, 12), decay=(0.3, 0.8), ratio=(0.05, 0.2)), rings=True,
    ),
    "kalimba": Instrument(
        52, 92, "Bar", {2: (20, 70), 4: (50, 72), 8: (4, 20)}
        | _bar(1, (2.0, 3.2), (5.3, 6.4), (13, 17.5), decay=(0.2, 0.6), ratio=(0.05, 0.3)), rings=True,
        body=body(3, 150, 1200),
    ),
    "choir-aah": Instrument(40, 84, "VoicForm", {4: OneOf(3, 4, 35, 36, 67, 68), 11: (50, 64), 1: (0.5, 6)}, **_VOICES),
    "choir-ooh": Instrument(40, 84, "VoicForm", {4: OneOf(8, 9, 40, 41, 72, 73), 11: (50, 64), 1: (0.5, 6)}, **_VOICES),
    "synth-voice": Instrument(40, 84, "FMVoices", {2: (0, 127), 4: (0, 127), 11: (48, 64), 1: (0, 8)}),
    "lead-saw": Instrument(28, 96, "Moog", {2: (20, 110), 4: (30, 128), 11: (48, 64), 1: OneOf(0, (1, 8))}),
}  # fmt: skip


def main() -> None:
    """Read the command line, write the notes of all instruments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="0 or more (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.seed < 0:
        parser.error(f"--seed {arguments.seed}: 0 or more is wanted")
    toolkit = arguments.sources / "thestk+stk"
    if not (toolkit / "rawwaves").is_dir():
        parser.error(f"{toolkit}: no clone of the Synthesis ToolKit")
    left_out = 0
    with _player(toolkit) as play:
        for name, family in INSTRUMENTS.items():
            rng = np.random.default_rng([arguments.seed, zlib.crc32(name.encode())])
            instrument = dataclasses.replace(family, **drawn(vars(family), rng))
            others = [
                {key: drawn(getattr(family, key), rng) for key in ("controls", "amplitude")} for _ in range(_TRIES)
            ]
            playings = [instrument, *[dataclasses.replace(instrument, **other) for other in others]]
            folder = arguments.out / name
            folder.mkdir(parents=True, exist_ok=True)
            for pitch in range(family.lowest, family.highest + 1, _STEP):
                note = librosa.midi_to_note(pitch, unicode=False).replace("#", "s")
                samples, fault = _in_tune(playings, pitch, play)
                if fault:
                    print(f"{name} {note}: left out: {fault}")
                    left_out += 1
                else:
                    soundfile.write(folder / f"{note}.flac", samples, _RATE)
    print(f"{arguments.out}: {len(INSTRUMENTS)} instruments, {left_out} notes left out")


@contextmanager
def _player(toolkit: Path) -> Iterator[Callable[[list[str | float], int], np.ndarray]]:
    """Compile physical.cpp; give what sends it a request and reads as many samples."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "physical"
        own = Path(__file__).with_suffix(".cpp")
        units = [toolkit / "src" / f"{unit}.cpp" for unit in _UNITS]
        flags = ["-O2", "-std=c++17", "-D__LITTLE_ENDIAN__", "-I", toolkit / "include"]
        subprocess.run(["g++", *flags, "-o", program, own, *units], check=True)
        command = [program, f"{toolkit / 'rawwaves'}/"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            requests, answers = process.stdin, process.stdout
            assert requests and answers

            def play(request: list[str | float], count: int) -> np.ndarray:
                requests.write((" ".join(map(str, request)) + "\n").encode())
                requests.flush()
                return np.frombuffer(answers.read(4 * count), "<f4").astype(np.float64)

            yield play


def _in_tune(playings: list[Instrument], pitch: int, play: Callable) -> tuple[np.ndarray, str]:
    """Return a note as it is kept, by the first way of playing that does; and what is wrong with it, or nothing."""
    samples, faults = np.zeros(0), []
    for instrument in playings:
        asked = float(pitch)
        for _ in range(5):
            samples = _finished(_played(instrument, asked, play), instrument.rings)
            fault, sharp = _heard(samples, pitch, instrument)
            if fault or abs(sharp) < _IN_TUNE:
                break
            asked -= sharp
        if not fault and abs(sharp) <= _OUT_OF_TUNE:
            return samples, ""
        faults.append(fault or f"{sharp:+.2f} semitones out of tune")
    return samples, faults[0]


def _played(instrument: Instrument, pitch: float, play: Callable) -> np.ndarray:
    """Play a note, its voices and its body: float64 at _RATE."""
    rate, count = round(instrument.model_rate), round(instrument.voices)
    if instrument.period:
        rate = round(instrument.period * 440 * 2 ** ((pitch - 69) / 12))
    seconds = _LONGEST_SECONDS if instrument.rings else _SPEAKING_SECONDS + _HELD_SECONDS
    voices = []
    for voice, place in enumerate(np.linspace(-1, 1, count) if count > 1 else [0.0]):
        hz = 440 * 2 ** ((pitch + place * instrument.detune_cents / 100 - 69) / 12)
        controls = [word for control in instrument.controls.items() for word in control]
        seed = 1000 + round(10 * pitch) + voice
        request = [instrument.model, rate, hz, instrument.amplitude, seconds, seed, *controls]
        voices.append(play(request, int(rate * seconds)))
    samples = librosa.resample(np.sum(voices, axis=0), orig_sr=rate, target_sr=_RATE)
    if not np.isfinite(samples).all():
        return samples
    through = instrument.floor * samples
    for hz, quality, gain in instrument.body:
        through = through + gain * signal.lfilter(*signal.iirpeak(hz, quality, _RATE), samples)
    return signal.sosfilt(signal.butter(1, min(instrument.cutoff_hz, 10900), fs=_RATE, output="sos"), through)


def _finished(samples: np.ndarray, rings: bool) -> np.ndarray:
    """Return samples as they are kept: nothing below what is heard, no silence at their end, the usual peak."""
    if not np.isfinite(samples).all() or not 1e-4 < np.abs(samples - samples.mean()).max() < 1e3:
        return np.zeros(0)
    samples = signal.sosfilt(signal.butter(2, 20, "highpass", fs=_RATE, output="sos"), samples)
    if not rings:
        level = librosa.feature.rms(y=samples, frame_length=512, hop_length=128)[0]
        begins = int(np.argmax(level > _BEGUN * level.max())) * 128
        samples = samples[begins : begins + int(_HELD_SECONDS * _RATE)]
        samples[: _RATE // 100] *= np.linspace(0, 1, _RATE // 100)
    audible = np.flatnonzero(np.abs(samples) > _INAUDIBLE * np.abs(samples).max())
    samples = samples[: audible[-1] + 1]
    fade = min(len(samples), _RATE // 20)
    samples[-fade:] *= np.linspace(1, 0, fade)
    return (samples * (_PEAK / np.abs(samples).max())).astype(np.float32)


def _heard(samples: np.ndarray, pitch: int, instrument: Instrument) -> tuple[str, float]:
    """Return what is wrong with a note, and how many semitones above its pitch it sounds."""
    if len(samples) < _RATE // 10:
        return "silent, or too loud to be true", 0.0
    level = librosa.feature.rms(y=samples, frame_length=1024, hop_length=256)[0]
    if np.argmax(level > 0.75 * level.max()) * 256 > _SWELLS_SECONDS * _RATE:
        return "slow to speak", 0.0
    if not instrument.rings and (len(samples) < 3 * _RATE or np.median(level[-40:-20]) < _LASTS * level.max()):
        return "does not last", 0.0
    if instrument.model in ("Bar", "TubeBell"):  # no harmonics: the strongest partial nearby
        spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 2**18))
        semitones = librosa.hz_to_midi(np.maximum(1, np.fft.rfftfreq(2**18, 1 / _RATE))) - pitch
        nearby = np.abs(semitones) < 1
        if spectrum[nearby].max() < 0.1 * spectrum.max():
            return "its pitch is not heard", 0.0
        return "", float(semitones[nearby][np.argmax(spectrum[nearby])])
    low, high = librosa.midi_to_hz([pitch - 14, min(pitch + 14, 124)])
    ends = int(np.flatnonzero(level > 0.1 * level.max())[-1]) * 256
    steady = samples[min(ends // 8, _RATE // 4) : min(ends, 2 * _RATE)]
    steady = np.pad(steady, (0, max(0, 4096 - len(steady))))
    found = librosa.yin(steady, fmin=max(low, 14), fmax=high, sr=_RATE, frame_length=4096, center=False)
    quarter, middle, upper = np.percentile(librosa.hz_to_midi(found) - pitch, (25, 50, 75))
    return ("unsteady" if upper - quarter > 0.5 else ""), float(middle)


if __name__ == "__main__":
    main()
