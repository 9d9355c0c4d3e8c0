"""Makes a soundfont of recorded notes: one WAV, FLAC or MP3 file a note, in a folder for each instrument.

    data/models/small/recorded.py FOLDER OUT.sf2 [--displaced SEMITONES] [--rate HZ] [--longest SECONDS]

FOLDER holds folders named as the instruments below, with a file for each note that was recorded, named after it
(C4.mp3, As3.wav, D#1v10.mp3); those that are missing are left out. A `drums` folder holds the strokes named below.
The soundfont has the programs of those instruments alone: play it over one that has all, as
`--soundfont OUT.sf2:FluidR3_GM.sf2`.

`--displaced 3` plays each key with the note recorded three semitones above, so that body and room sound as of a smaller
instrument; -3 as of a larger one.

`--rate` and `--longest` say what is kept of each sample. For the ears of a model that hears 16 kHz, `--rate 22050
--longest 8` make a soundfont of half the size; below twice the highest frequency it hears, notes that are played with
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

from mt3lite import files

# What plays General MIDI programs: instruments and the lowest key of each, so that two may share a keyboard.
_PIANO, _STRINGS = [("piano", 0)], [("contrabass", 0), ("cello", 40), ("violin", 60)]
PROGRAMS = {
    0: _PIANO, 1: _PIANO, 2: _PIANO, 13: [("xylophone", 0)], 19: [("organ", 0)], 20: [("harmonium", 0)],
    24: [("guitar-nylon", 0)], 25: [("guitar-acoustic", 0)], 26: [("guitar-electric", 0)], 27: [("guitar-electric", 0)],
    33: [("bass-electric", 0)], 34: [("bass-electric", 0)],
    40: [("violin", 0)], 41: [("cello", 0), ("violin", 57)], 42: [("cello", 0)], 43: [("contrabass", 0)],
    46: [("harp", 0)], 48: _STRINGS, 49: _STRINGS, 56: [("trumpet", 0)], 57: [("trombone", 0)], 58: [("tuba", 0)],
    60: [("french-horn", 0)], 61: [("tuba", 0), ("trombone", 40), ("trumpet", 62)], 64: [("saxophone", 0)],
    65: [("saxophone", 0)], 66: [("saxophone", 0)], 70: [("bassoon", 0)], 71: [("clarinet", 0)], 72: [("flute", 0)],
    73: [("flute", 0)],
}  # fmt: skip
ENSEMBLES = {48: (-9, 0, 8), 49: (-14, 3, 13), 61: (-7, 0, 9)}  # players, by what they are out of tune, cents
# Kits of bank 128: strokes by General MIDI key.
_ACOUSTIC = {
    35: "drum_bass_soft", 36: "drum_bass_hard", 38: "drum_snare_hard", 40: "drum_snare_soft", 41: "drum_tom_lo_soft",
    42: "drum_cymbal_closed", 43: "drum_tom_lo_hard", 44: "drum_cymbal_pedal", 45: "drum_tom_mid_soft",
    46: "drum_cymbal_open", 47: "drum_tom_mid_hard", 48: "drum_tom_hi_soft", 49: "drum_cymbal_hard",
    50: "drum_tom_hi_hard", 51: "drum_cymbal_soft", 55: "drum_splash_hard", 56: "drum_cowbell", 57: "drum_cymbal_hard",
    59: "drum_cymbal_soft",
}  # fmt: skip
_ANALOG = {
    **_ACOUSTIC, 35: "beats_06-46", 36: "beats_06-38", 37: "beats_09-12", 38: "beats_01-21", 39: "beats_01-26",
    40: "beats_06-25", 42: "beats_09-10", 44: "beats_06-28",
}  # fmt: skip
KITS = {
    0: _ACOUSTIC,
    8: {**_ACOUSTIC, 35: "bd_boom", 36: "drum_heavy_kick", 38: "sn_generic", 40: "sn_dolf"},
    16: _ANALOG,
    24: {**_ACOUSTIC, 35: "bd_fat", 36: "bd_haus", 38: "elec_hi_snare", 40: "elec_snare"},
    25: {**_ACOUSTIC, 35: "bd_808", 36: "bd_808", 38: "sn_zome", 40: "elec_lo_snare", 49: "elec_cymbal"},
}
_RELEASE_SECONDS = {"piano": 0.3, "harp": 1.5, "xylophone": 1.0, "organ": 0.4}
_OTHER_RELEASE_SECONDS = 0.2
_PLUCKED = ("piano", "harp", "xylophone", "guitar", "bass")
_LOUD, _LOUD_PLUCKED = 0.2, 0.14  # root mean square of each note's loudest half second
_DRUM_PEAKS = {  # others 0.95
    "cymbal_closed": 0.25, "beats_09-10": 0.25, "beats_06-28": 0.25, "cymbal": 0.4, "splash": 0.4, "tom": 0.7,
    "cowbell": 0.4,
}  # fmt: skip
_FADE_SECONDS = 0.004
_CUT_FADE_SECONDS = 1.0  # where the longest sample ends before the recording does
_NAME = re.compile(r"([A-G])([s#b]?)(-?\d)")

# Generators of the SoundFont Technical Specification 2.04, section 8.1.2.
_PAN, _RELEASE, _INSTRUMENT, _KEYS, _FINE_TUNE, _SAMPLE, _ROOT, _SOFTER = 17, 38, 41, 43, 52, 53, 58, 48


@dataclass(frozen=True)
class Kept:
    """What is kept of each recording."""

    rate: int = 32000  # Hz
    longest_seconds: float = 12.0


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
    names = sorted({name for players in PROGRAMS.values() for name, _ in players})
    recorded = {name: _recorded(arguments.folder / name) for name in names}
    for program, players in PROGRAMS.items():
        if all(recorded[name] for name, _ in players):
            zones = _pitched_zones(bank, recorded, players, ENSEMBLES.get(program, (0,)), arguments.displaced)
            bank.add_preset(f"{players[-1][0]} {program}", 0, program, zones)
    for kit, strokes in KITS.items():
        zones = _drum_zones(bank, arguments.folder / "drums", strokes)
        if zones:
            bank.add_preset(f"kit {kit}", 128, kit, zones)
    if not bank.presets:
        sys.exit(f"{arguments.folder}: no notes in folders named as instruments: {', '.join(names)}")
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
            read = functools.partial(_note, plucked=name.startswith(_PLUCKED), kept=bank.kept)
            sample = bank.sample(roots[root], read)
            for index, out_of_tune in enumerate(cents):
                pan = 0 if len(cents) == 1 else (-300, 0, 300)[index]
                softer = 0 if len(cents) == 1 else 80
                zones.append({
                    _KEYS: own[0] | own[-1] << 8, _PAN: pan, _RELEASE: release, _SOFTER: softer,
                    _FINE_TUNE: out_of_tune, _ROOT: root, _SAMPLE: sample,
                })  # fmt: skip
    return zones


def _drum_zones(bank: "Bank", folder: Path, strokes: dict[int, str]) -> list[dict]:
    zones = []
    for key, name in strokes.items():
        path = next(folder.glob(f"{name}.*"), None)
        if path is None:
            continue
        peak = next((peak for part, peak in _DRUM_PEAKS.items() if part in name), 0.95)
        sample = bank.sample(path, functools.partial(_stroke, peak=peak, kept=bank.kept))
        zones.append({_KEYS: key | key << 8, _RELEASE: _timecents(0.5), _ROOT: key, _SAMPLE: sample})
    return zones


def _timecents(seconds: float) -> int:
    return round(1200 * np.log2(seconds))


def _stroke(path: Path, peak: float, kept: Kept) -> np.ndarray:
    """Read a recorded stroke: int16 at `kept.rate`, from where it begins, as loud as its peak is to be."""
    samples = _trimmed(path, 0.05, kept)
    return _to_int16(samples * (peak / np.abs(samples).max()))


def _note(path: Path, plucked: bool, kept: Kept) -> np.ndarray:
    """Read a recorded note: int16 at `kept.rate`, from where it begins, as loud as the others."""
    # Where it is heard to begin: bows and reeds take their time to speak, hammers and picks do not.
    samples = _trimmed(path, 0.05 if plucked else 0.15, kept)
    energy = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])
    half = kept.rate // 2  # a second
    energy = np.pad(energy, (0, half), mode="edge")
    half_second = np.sqrt(np.max(energy[half:] - energy[:-half]) / half)
    return _to_int16(samples * min((_LOUD_PLUCKED if plucked else _LOUD) / half_second, 0.95 / np.abs(samples).max()))


def _trimmed(path: Path, share: float, kept: Kept) -> np.ndarray:
    """Read samples from just before they are a share as loud as at their loudest."""
    samples, _ = librosa.load(path, sr=kept.rate)
    loudness = librosa.feature.rms(y=samples, frame_length=256, hop_length=64)[0]
    begins = int(np.argmax(loudness > share * loudness.max())) * 64
    fade, longest = int(_FADE_SECONDS * kept.rate), int(kept.longest_seconds * kept.rate)
    samples = samples[max(0, begins - fade) :]
    end_fade = int(_CUT_FADE_SECONDS * kept.rate) if len(samples) > longest else fade
    samples = samples[:longest].copy()
    samples[:fade] *= np.linspace(0, 1, fade)
    samples[-end_fade:] *= np.linspace(1, 0, end_fade)
    return samples


def _to_int16(samples: np.ndarray) -> np.ndarray:
    return np.round(samples * 32767).astype("<i2")


class Bank:
    """What a SoundFont 2 file holds; each preset has an instrument of its own."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self.samples: dict[Path, np.ndarray] = {}
        self.presets: list[tuple[str, int, int, list[dict]]] = []  # name, bank, program, zones

    def sample(self, path: Path, read: Callable[[Path], np.ndarray]) -> int:
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
        for path, samples in self.samples.items():
            end = start + len(samples)
            fields = (path.stem.encode()[:19], start, end, start, end, self.kept.rate, 60, 0, 0, 1)
            headers.append(struct.pack("<20sIIIIIBbHH", *fields))
            sound += [samples.tobytes(), bytes(2 * 46)]  # section 7.10: 46 zeros behind each
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
