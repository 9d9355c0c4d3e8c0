"""Makes a soundfont of recorded notes: one WAV, FLAC or MP3 file a note, in a folder for each instrument.

    data/models/small/recorded.py FOLDER OUT.sf2 [--displaced SEMITONES] [--rate HZ] [--longest SECONDS]

FOLDER holds folders named as the instruments below, with a file for each note that was recorded, named after it
(C4.mp3, As3.wav, D#1v10.mp3); those that are missing are left out. `kit-NUMBER` folders hold the strokes of a drum kit
as kits.py lays them out. The soundfont has the programs of those instruments alone: play it over one that has all, as
`--soundfont OUT.sf2:FluidR3_GM.sf2`. A folder `program-NUMBER` is what plays that General MIDI program alone.

`--displaced 3` plays each key with the note recorded three semitones above, so that body and room sound as of a smaller
instrument; -3 as of a larger one.

Notes that are blown, bowed, sung or held by a key go on in a loop, for as long as they are played.

`--rate` and `--longest` say what is kept of each sample. For the ears of a model that hears 16 kHz, `--rate 22050
--longest 6` make a soundfont of half the size; below twice the highest frequency it hears, notes that are played with
one recorded above would lack their top.
"""

import argparse
import functools
import re
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import librosa
import numpy as np
from scipy import signal

from mt3lite import files

# What plays General MIDI programs: instruments and the lowest key of each, so that two may share a keyboard. Of several
# choices, the first is taken whose instruments are all there.
_STRINGS = [
    [("contrabass", 0), ("cello", 40), ("viola", 52), ("violin", 64)],
    [("contrabass", 0), ("cello", 40), ("violin", 60)],
    [("strings-section", 0)],
]  # fmt: skip
_BRASS = [[("tuba", 0), ("trombone", 40), ("trumpet", 62)], [("brass-section", 0)]]


def _one_of(*names: str) -> list[list[tuple[str, int]]]:
    return [[(name, 0)] for name in names]


PROGRAMS = {
    0: _one_of("piano"), 1: _one_of("piano"), 2: _one_of("piano-electric-grand", "piano"),
    4: _one_of("e-piano", "e-piano-tine"), 5: _one_of("e-piano-fm", "e-piano"), 6: _one_of("harpsichord"),
    7: _one_of("clavinet"), 8: _one_of("celesta"), 9: _one_of("glockenspiel"), 11: _one_of("vibraphone"),
    12: _one_of("marimba"), 13: _one_of("xylophone"), 14: _one_of("tubular-bells"), 16: _one_of("organ-drawbar"),
    17: _one_of("organ-percussive"), 18: _one_of("organ-rock"), 19: _one_of("organ", "organ-church"),
    20: _one_of("harmonium", "reed-organ"), 21: _one_of("reed-organ"), 24: _one_of("guitar-nylon"),
    25: _one_of("guitar-acoustic", "guitar-steel"), 26: _one_of("guitar-electric", "guitar-clean"),
    27: _one_of("guitar-electric", "guitar-clean"), 28: _one_of("guitar-muted"), 29: _one_of("guitar-overdriven"),
    30: _one_of("guitar-distorted"), 32: _one_of("contrabass-pizzicato"), 33: _one_of("bass-electric", "bass-finger"),
    34: _one_of("bass-electric", "bass-pick"), 36: _one_of("bass-slap"), 37: _one_of("bass-slap"),
    38: _one_of("synth-bass"), 39: _one_of("synth-bass"), 40: _one_of("violin", "strings-bowed"),
    41: [[("viola", 0)], [("cello", 0), ("violin", 57)], [("strings-bowed", 0)]], 42: _one_of("cello", "strings-bowed"),
    43: _one_of("contrabass", "strings-bowed"), 44: _one_of("strings-tremolo"), 45: _one_of("pizzicato"),
    46: _one_of("harp"), 48: _STRINGS, 49: _STRINGS, 50: _one_of("synth-strings"), 51: _one_of("synth-strings"),
    52: _one_of("choir-aah"), 53: _one_of("choir-ooh"), 54: _one_of("synth-voice"),
    56: _one_of("trumpet", "trumpet-like"), 57: _one_of("trombone", "horn-like"), 58: _one_of("tuba", "horn-like"),
    60: _one_of("french-horn", "horn-like"), 61: _BRASS, 62: _one_of("synth-brass"), 63: _one_of("synth-brass"),
    64: _one_of("saxophone-soprano", "saxophone", "reed-sax"), 65: _one_of("saxophone", "reed-sax"),
    66: _one_of("saxophone", "reed-sax"), 67: _one_of("saxophone-baritone", "saxophone", "reed-sax"),
    68: _one_of("oboe", "reed-double"), 69: _one_of("oboe", "reed-double"), 70: _one_of("bassoon", "reed-double"),
    71: _one_of("clarinet", "reed-clarinet"), 72: _one_of("flute", "flute-breathy"),
    73: _one_of("flute", "flute-breathy"), 74: _one_of("flute-breathy"), 75: _one_of("flute-breathy"),
    80: _one_of("lead-square"), 81: _one_of("lead-saw"), 82: _one_of("lead-calliope"), 83: _one_of("lead-chiff"),
    86: _one_of("lead-fifth"), 88: _one_of("pad-metallic"),
    89: _one_of("pad-warm"), 90: _one_of("pad-poly"), 91: _one_of("pad-choir"), 92: _one_of("pad-bowed"),
    93: _one_of("pad-metallic"), 95: _one_of("pad-sweep"), 105: _one_of("banjo"), 108: _one_of("kalimba"),
    114: _one_of("steel-drums"),
}  # fmt: skip
# Players of ensembles, by what they are out of tune, cents, where soloists were recorded.
ENSEMBLES = {48: (-9, 0, 8), 49: (-14, 3, 13), 61: (-7, 0, 9)}
# General MIDI kits that the strokes of another may play, and that their programs are of, where they have no own.
OTHER_KITS = {0: (8, 16, 32, 40)}
_HIHATS = (42, 44, 46)  # each ends the others
# Highest velocities of the strokes of a key, by how many there are.
_LAYERS = {1: (127,), 2: (79, 127), 3: (63, 99, 127)}
_RELEASE_SECONDS = {"piano": 0.3, "harp": 1.5, "organ": 0.4, **dict.fromkeys(
    ("xylophone", "glockenspiel", "vibraphone", "marimba", "tubular-bells", "celesta", "kalimba", "steel-drums"), 1.0
), **dict.fromkeys(("pad-warm", "pad-poly", "pad-choir", "pad-bowed", "pad-metallic", "pad-sweep"), 0.4)}  # fmt: skip
_OTHER_RELEASE_SECONDS = 0.2
_PLUCKED = (
    "piano", "e-piano", "harp", "clavinet", "celesta", "glockenspiel", "vibraphone", "marimba", "xylophone", "tubular",
    "guitar", "bass-", "synth-bass", "contrabass-pizzicato", "pizzicato", "banjo", "kalimba", "steel-drums",
)  # fmt: skip
_LOUD, _LOUD_PLUCKED = 0.2, 0.14  # root mean square of each note's loudest half second
_OUT_OF_TUNE = 2.2  # semitones, at most: singers, and files whose rate is not what they say
_TOLD_PITCHES = (33, 93)  # that `librosa.yin` finds for sure
_FADE_SECONDS = 0.004
_CUT_FADE_SECONDS = 1.0  # where the longest sample ends before the recording does, and is not looped
_LOOP_SECONDS, _LOOP_SHARE = 1.2, 0.3  # at most, in time and of the sample; the fewer of these
_BLENDED = 0.25  # of the loop: its end becomes what is before its beginning
_STEADY = 0.7  # of the loudest, or of the level a loop before: what is softer than that is let go, or rings off
_BEHIND = 16  # samples, of which 8 are wanted behind a loop: section 7.10
_NAME = re.compile(r"([A-G])([s#b]?)(-?\d)")

# Generators of the SoundFont Technical Specification 2.04, section 8.1.2.
_PAN, _RELEASE, _INSTRUMENT, _KEYS, _VELOCITIES, _SOFTER = 17, 38, 41, 43, 44, 48
_FINE_TUNE, _SAMPLE, _MODES, _EXCLUSIVE, _ROOT = 52, 53, 54, 57, 58


@dataclass(frozen=True)
class Kept:
    """What is kept of each recording."""

    rate: int = 32000  # Hz
    longest_seconds: float = 12.0


@dataclass(frozen=True)
class Sample:
    """What is heard once or, from `loop` up to `_BEHIND` before its end, again and again."""

    values: np.ndarray  # int16
    loop: int | None = None  # index of the first value that comes again


def main() -> None:
    """Read the command line, write the soundfont."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--displaced", type=int, default=0, metavar="SEMITONES")
    parser.add_argument("--rate", type=int, default=Kept.rate, metavar="HZ", help="(default: %(default)s)")
    parser.add_argument(
        "--longest", type=float, default=Kept.longest_seconds, metavar="SECONDS", help="(default: %(default)g)"
    )
    arguments = parser.parse_args()
    if not 8000 <= arguments.rate <= 50000:  # what SoundFonts may have: section 7.10 says 400 to 50000
        parser.error(f"--rate {arguments.rate}: 8000 to 50000 Hz are wanted")
    if not arguments.longest >= 1:
        parser.error(f"--longest {arguments.longest:g}: at least one second is wanted")
    bank = Bank(Kept(arguments.rate, arguments.longest))
    programs = {program: [*_one_of(f"program-{program}"), *PROGRAMS.get(program, [])] for program in range(128)}
    names = sorted({name for choices in programs.values() for players in choices for name, _ in players})
    recorded = {name: _recorded(arguments.folder / name) for name in names}
    for program, choices in programs.items():
        for players in choices:
            if all(recorded[name] for name, _ in players):
                cents = ENSEMBLES.get(program, (0,)) if len(players) > 1 else (0,)
                zones = _pitched_zones(bank, recorded, players, cents, arguments.displaced)
                bank.add_preset(f"{players[-1][0]} {program}", 0, program, zones)
                break
    kits = {int(folder.name.removeprefix("kit-")): folder for folder in arguments.folder.glob("kit-*")}
    for kit, others in OTHER_KITS.items():
        kits = {**{other: kits[kit] for other in others if kit in kits}, **kits}
    for kit, folder in sorted(kits.items()):
        bank.add_preset(f"kit {kit}", 128, kit, _drum_zones(bank, folder))
    if not bank.presets:
        named = ", ".join(name for name in names if not name.startswith("program-"))
        sys.exit(f"{arguments.folder}: no notes in folders named as instruments: {named}")
    data = bank.to_bytes()
    with files.atomic_path(arguments.out) as temporary:
        temporary.write_bytes(data)
    print(f"{arguments.out}: {len(bank.presets)} presets, {len(bank.samples)} samples, {len(data) / 1e6:.0f} MB")


def _recorded(folder: Path) -> dict[int, Path]:
    """Return the files of an instrument by their MIDI pitches; none where there is no such folder."""
    roots: dict[int, Path] = {}
    for path in sorted(folder.rglob("*.*")):
        found = _NAME.match(path.name)
        if found and path.suffix in (".mp3", ".wav", ".flac"):
            letter, sign, octave = found.groups()
            roots.setdefault(librosa.note_to_midi(letter + sign.replace("s", "#") + octave), path)
    return roots


def _pitched_zones(
    bank: "Bank", recorded: dict[str, dict[int, Path]], players: list, cents: tuple[int, ...], displaced: int
) -> list[dict]:
    """Return zones for all keys: each key plays the recorded note nearest to it, or to where it is displaced to."""
    zones = []
    for (name, low), (_, high) in zip(players, [*players[1:], ("", 128)], strict=True):
        roots = recorded[name]
        keys = np.arange(low, high)
        pitches = np.array(sorted(roots))
        nearest = pitches[np.abs(keys[:, None] + displaced - pitches).argmin(axis=1)]
        release = _timecents(_RELEASE_SECONDS.get(name, _OTHER_RELEASE_SECONDS))
        for root in np.unique(nearest).tolist():
            own = keys[nearest == root]
            plucked, let_go = name.startswith(_PLUCKED), not name.startswith("program-")
            read = functools.partial(_note, pitch=root, plucked=plucked, let_go=let_go, kept=bank.kept)
            sample = bank.sample(roots[root], read)
            looped = int(bank.samples[roots[root]].loop is not None)
            for index, out_of_tune in enumerate(cents):
                pan = 0 if len(cents) == 1 else (-300, 0, 300)[index]
                softer = 0 if len(cents) == 1 else 80
                zones.append({
                    _KEYS: own[0] | own[-1] << 8, _PAN: pan, _RELEASE: release, _SOFTER: softer,
                    _FINE_TUNE: out_of_tune, _ROOT: root, _MODES: looped, _SAMPLE: sample,
                })  # fmt: skip
    return zones


def _drum_zones(bank: "Bank", folder: Path) -> list[dict]:
    """Return zones of the strokes of a kit, each for its key and velocities."""
    zones = []
    strokes: dict[int, list[Path]] = {}
    for path in sorted(folder.glob("*v*.wav")):
        strokes.setdefault(int(path.name.partition("v")[0]), []).append(path)
    for key, layers in strokes.items():
        lowest = 0
        for path, highest in zip(layers, _LAYERS[len(layers)], strict=True):
            read = functools.partial(_stroke, loudest=layers[-1], kept=bank.kept)
            zone = {_KEYS: key | key << 8, _VELOCITIES: lowest | highest << 8, _RELEASE: _timecents(0.5)}
            zone |= {_EXCLUSIVE: 1} if key in _HIHATS else {}
            zones.append({**zone, _ROOT: key, _SAMPLE: bank.sample(path, read)})
            lowest = highest + 1
    return zones


def _timecents(seconds: float) -> int:
    return round(1200 * np.log2(seconds))


def _stroke(path: Path, loudest: Path, kept: Kept) -> Sample:
    """Read a recorded stroke at `kept.rate`, half as much softer than the loudest as it was.

    The other half comes from the velocity that it is played with.
    """
    samples, peak = (librosa.load(each, sr=kept.rate)[0] for each in (path, loudest))
    own, peak = np.abs(samples).max(), np.abs(peak).max()
    return Sample(_to_int16(np.clip(samples * np.sqrt(peak / own), -1, 1)))


def _note(path: Path, pitch: int, plucked: bool, let_go: bool, kept: Kept) -> Sample:
    """Read a recorded note at `kept.rate`, from where it begins, in tune, as loud as the others."""
    # Where it is heard to begin: bows and reeds take their time to speak, hammers and picks do not.
    samples = _trimmed(path, 0.05 if plucked else 0.15, kept)
    sharp = 2 ** (_semitones_sharp(samples, pitch, kept.rate) / 12)
    samples = librosa.resample(samples, orig_sr=kept.rate / sharp, target_sr=kept.rate)
    samples, loop = _ended(samples, plucked, let_go, kept)
    energy = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])
    half = kept.rate // 2  # a second
    energy = np.pad(energy, (0, half), mode="edge")
    half_second = np.sqrt(np.max(energy[half:] - energy[:-half]) / half)
    louder = min((_LOUD_PLUCKED if plucked else _LOUD) / half_second, 0.95 / np.abs(samples).max())
    return Sample(_to_int16(samples * louder), loop)


def _semitones_sharp(samples: np.ndarray, pitch: int, rate: int) -> float:
    """Return how much higher a note sounds than its name says; 0 where that can't be told, or can't be true."""
    steady = samples[rate // 10 : rate]  # behind the attack
    nearby = librosa.midi_to_hz([pitch - _OUT_OF_TUNE - 1, pitch + _OUT_OF_TUNE + 1])
    if len(steady) < rate // 5 or not _TOLD_PITCHES[0] <= pitch <= _TOLD_PITCHES[1]:
        return 0.0
    found = librosa.hz_to_midi(librosa.yin(steady, fmin=nearby[0], fmax=nearby[1], sr=rate, frame_length=4096)) - pitch
    low, middle, high = np.percentile(found, (25, 50, 75))
    return float(middle) if high - low < 0.5 and abs(middle) <= _OUT_OF_TUNE else 0.0


def _trimmed(path: Path, share: float, kept: Kept) -> np.ndarray:
    """Read samples from just before they are a share as loud as at their loudest."""
    samples, _ = librosa.load(path, sr=kept.rate)
    loudness = librosa.feature.rms(y=samples, frame_length=256, hop_length=64)[0]
    begins = int(np.argmax(loudness > share * loudness.max())) * 64
    fade = int(_FADE_SECONDS * kept.rate)
    samples = samples[max(0, begins - fade) :].copy()
    samples[:fade] *= np.linspace(0, 1, fade)
    return samples


def _ended(samples: np.ndarray, plucked: bool, let_go: bool, kept: Kept) -> tuple[np.ndarray, int | None]:
    """Return the samples that are kept, and where a loop begins in them, or None where they were faded out instead."""
    longest = int(kept.longest_seconds * kept.rate)
    if not plucked:
        steady = samples[:longest].copy()
        if let_go:
            level = librosa.feature.rms(y=samples, frame_length=2048, hop_length=512)[0]
            steady = steady[: (np.flatnonzero(level >= _STEADY * level.max())[-1] + 1) * 512]
        loop = min(int(_LOOP_SECONDS * kept.rate), int(_LOOP_SHARE * len(steady)))
        if np.sum(steady[-loop:] ** 2) > _STEADY**2 * np.sum(steady[-2 * loop : -loop] ** 2):
            return _looped(steady, loop)
    cut, samples = len(samples) > longest, samples[:longest].copy()
    fade = int((_CUT_FADE_SECONDS if cut else _FADE_SECONDS) * kept.rate)
    samples[-fade:] *= np.linspace(1, 0, fade)
    return samples, None


def _looped(samples: np.ndarray, loop: int) -> tuple[np.ndarray, int]:
    """Return samples that go on behind their last `_BEHIND` from an index again, which is about `loop` before those."""
    blend = int(_BLENDED * loop)
    end, before = samples[-blend:], samples[-loop - 2 * blend : -loop]
    # From there on, where what precedes it is most like the end, so that nothing in the blend is out of phase.
    alike = signal.correlate(before, end, mode="valid")
    begins = len(samples) - loop - blend + int(np.argmax(alike))
    rising = np.linspace(0, 1, blend)
    samples[-blend:] = end * rising[::-1] + samples[begins - blend : begins] * rising
    return np.append(samples, samples[begins : begins + _BEHIND]), begins


def _to_int16(samples: np.ndarray) -> np.ndarray:
    return np.round(samples * 32767).astype("<i2")


class Bank:
    """What a SoundFont 2 file holds; each preset has an instrument of its own."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self.samples: dict[Path, Sample] = {}
        self.presets: list[tuple[str, int, int, list[dict]]] = []  # name, bank, program, zones

    def sample(self, path: Path, read: Callable[[Path], Sample]) -> int:
        """Return the number of a sample, read when it is first asked for."""
        if path not in self.samples:
            self.samples[path] = read(path)
        return list(self.samples).index(path)

    def add_preset(self, name: str, bank: int, program: int, zones: list[dict]) -> None:
        """Add what plays a program; a zone is generators and their amounts."""
        self.presets.append((name, bank, program, zones))

    def to_bytes(self) -> bytes:
        """Return the file: SoundFont Technical Specification 2.04, sections 4 to 7."""
        presets = sorted(self.presets, key=lambda preset: preset[1:3])
        preset_headers, preset_zones, preset_generators = [], [], []
        instruments, zones, generators = [], [], []
        for number, (name, bank, program, own) in enumerate(presets):
            preset_headers.append(struct.pack("<20sHHHIII", name.encode()[:19], program, bank, number, 0, 0, 0))
            preset_zones.append(struct.pack("<HH", number, 0))
            preset_generators.append(struct.pack("<Hh", _INSTRUMENT, number))
            instruments.append(struct.pack("<20sH", name.encode()[:19], len(zones)))
            for zone in own:
                zones.append(struct.pack("<HH", len(generators), 0))
                generators += [struct.pack("<Hh", kind, amount) for kind, amount in zone.items()]
        preset_headers.append(struct.pack("<20sHHHIII", b"EOP", 0, 0, len(presets), 0, 0, 0))
        preset_zones.append(struct.pack("<HH", len(presets), 0))
        instruments.append(struct.pack("<20sH", b"EOI", len(zones)))
        zones.append(struct.pack("<HH", len(generators), 0))
        headers, sound, start = [], [], 0
        for path, sample in self.samples.items():
            end = start + len(sample.values)
            loop = (start, end) if sample.loop is None else (start + sample.loop, end - _BEHIND)
            headers.append(
                struct.pack("<20sIIIIIBbHH", path.stem.encode()[:19], start, end, *loop, self.kept.rate, 60, 0, 0, 1)
            )
            sound += [sample.values.tobytes(), bytes(2 * 46)]  # section 7.10: 46 zeros behind each
            start = end + 46
        headers.append(struct.pack("<20sIIIIIBbHH", b"EOS", *[0] * 9))
        ended = [bytes(4)]
        return _chunk(b"RIFF", b"sfbk" + _list(
            b"INFO", ifil=struct.pack("<HH", 2, 4), isng=b"EMU8000\0", INAM=b"Recorded notes\0\0"
        ) + _list(b"sdta", smpl=b"".join(sound)) + _list(
            b"pdta", phdr=b"".join(preset_headers), pbag=b"".join(preset_zones), pmod=bytes(10),
            pgen=b"".join(preset_generators + ended), inst=b"".join(instruments), ibag=b"".join(zones), imod=bytes(10),
            igen=b"".join(generators + ended), shdr=b"".join(headers),
        ))  # fmt: skip


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def _list(kind: bytes, **chunks: bytes) -> bytes:
    return _chunk(b"LIST", kind + b"".join(_chunk(name.encode(), data) for name, data in chunks.items()))


if __name__ == "__main__":
    main()
