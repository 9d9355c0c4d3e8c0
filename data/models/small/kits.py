"""Makes drum kits of recorded strokes: a WAV file for each key and loudness, in a folder for each kit.

    data/models/small/kits.py SOURCES OUT

SOURCES holds clones of the repositories below, with their work trees, in folders named OWNER+NAME; files that are
missing are left out. OUT, which is made, gets OUT/BANK/kit-NUMBER/KEYvLAYER.wav: NUMBER is the General MIDI program
of the kit, KEY the General MIDI percussion key, LAYER counts from 1, the softest. All are mono, 22050 Hz, 16 bit.

Whose strokes they are, and on what terms:
- freepats/muldjordkit: Lars Muldjord, CC BY 4.0. "Drum samples provided by DrumGizmo.org", assembled by FreePats.
- sfzinstruments/karoryfer.gogodze-phu-vol-ii: Karoryfer Lecolds, CC0.
- oramics/sampled: Pearl Master Studio by enoe, CC BY 3.0; CR-78, LM-2, MRK-2 and TR-505, public domain.
- smpldsnds/drum-machines: TR-808 by Michael Fischer, free of restrictions; of its others, some have no known origin.
- sonic-pi-samples: those of Sonic Pi, /usr/share/sonic-pi/samples where its Debian package is installed, CC0.
- rumpf_kit_z01_h2: that folder of Debian's hydrogen-drumkits, Emanuel Rumpf, CC BY 3.0.
- sfzinstruments/Discord-SFZ-GM-Bank: only those percussion instruments that are of the Versilian Community Sample
  Library, CC0. Its acoustic drums are of no stated licence.
- sfzinstruments/EthanWiner.Soundfonts: Ethan Winer, public domain.
"""

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path

import librosa
import numpy as np
import soundfile

RATE = 22050  # Hz
LAYERS = 3  # of loudness, at most
_DRUMS = (35, 36, 38, 40)  # kicks and snares: the loudest of them has _LOUD
_HATS_AND_CYMBALS = (42, 44, 46, 49, 51, 52, 53, 55, 57, 59)
_RINGING = (46, 49, 51, 52, 53, 55, 57, 59, 81)  # open hi-hat, cymbals and triangle
_SLOW = (44, 69, 70)  # pedal hi-hat, cabasa and shaker: moved before they are struck
_TOM_KEYS = (41, 43, 45, 47, 48, 50)
_LOUD, _LOUDEST = 0.9, 0.98  # peaks
_LOUD_CYMBAL = 0.08  # peak of the loudest layer, at least
_PEAKS = {  # of the loudest layer, where the recordings do not tell how loud instruments are beside each other
    35: 0.9, 36: 0.9, 37: 0.5, 38: 0.8, 39: 0.6, 40: 0.8, 42: 0.25, 44: 0.2, 46: 0.3, 49: 0.4, 51: 0.3, 54: 0.3,
    55: 0.4, 56: 0.4, 57: 0.4, 59: 0.3, 60: 0.5, 61: 0.5, 62: 0.5, 63: 0.5, 64: 0.5, 67: 0.4, 68: 0.4, 69: 0.25,
    70: 0.25, 75: 0.4, 76: 0.4, 77: 0.4, 80: 0.25, 81: 0.25, **dict.fromkeys(_TOM_KEYS, 0.7),
}  # fmt: skip
_BEGINS, _SLOW_BEGINS = 0.05, 0.4  # shares of the peak at which a stroke begins
_LONGEST_SECONDS, _LONGEST_RINGING_SECONDS = 1.5, 4.0
_FADE_IN_SECONDS, _FADE_OUT_SECONDS, _CUT_FADE_SECONDS = 0.001, 0.004, 0.3


def _toms(*low_to_high: str) -> dict[int, str]:
    """Spread the toms there are over the six keys of toms."""
    return {key: low_to_high[index * len(low_to_high) // 6] for index, key in enumerate(_TOM_KEYS)}


# Strokes by General MIDI key; | is between the names of more than one file, * and ? are as in file names.
_MULDJORD = {
    35: "KdrumL", 36: "KdrumR", 38: "Snare1", 40: "Snare2", 42: "HihatClosed", 46: "HihatOpen", 49: "CrashL",
    51: "RideR", 52: "China", 53: "RideRBell", 57: "CrashR", 59: "RideL", **_toms("Tom4", "Tom3", "Tom2", "Tom1"),
}  # fmt: skip
_GOGODZE = {
    35: "ks", 36: "ks", 37: "ss", 38: "sc", 40: "se", 42: "ht", 44: "hf", 46: "ho", **_toms("tl", "tm", "th"),
}  # fmt: skip
_PEARL = {
    35: "kick-01", 36: "kick-01", 38: "snare-02", 40: "snare-01", 42: "hihat-closed", 46: "hihat-open",
    49: "crash-01", 51: "ride-01", 55: "splash-01", 57: "crash-02", 59: "ride-02",
    **_toms("tom-03", "tom-02", "tom-01"),
}  # fmt: skip
# A machine's closed hi-hat is its pedal's, too; its only cymbal is a crash.
_LINN = {
    35: "kick-alt", 36: "kick", 37: "stick-m", 38: "snare-m", 39: "clap", 40: "snare-l", 42: "hihat-closed",
    44: "hihat-closed-short", 46: "hihat-open", 49: "crash", 51: "ride", 54: "tamb", 56: "cowb", 57: "crash",
    59: "ride", 62: "conga-hh", 63: "conga-h", 64: "conga-l", 69: "cabasa",
    **_toms("tom-ll", "tom-l", "tom-m", "tom-h", "tom-hh"),
}  # fmt: skip
_505 = {
    35: "kick", 36: "kick", 37: "rim", 38: "snare", 39: "clap", 40: "snare", 42: "hihat-closed", 44: "hihat-closed",
    46: "hihat-open", 49: "crash", 51: "ride", 56: "cowb-l", 57: "crash", 59: "ride", 63: "conga-h", 64: "conga-l",
    **_toms("tom-l", "tom-m", "tom-h"),
}  # fmt: skip
_78 = {
    35: "kick*", 36: "kick*", 37: "rim", 38: "snare*", 40: "snare*", 42: "hihat|hihat-accent",
    44: "hihat|hihat-accent", 49: "cymbal", 54: "tamb-short", 56: "cowbell", 57: "cymbal", 60: "bongo-h",
    61: "bongo-l", 64: "conga-l",
}  # fmt: skip
_MAESTRO = {
    35: "kick", 36: "kick", 38: "snare", 40: "snare", 42: "hihat-closed", 44: "hihat-closed", 46: "hihat-open",
    49: "cymball-long", 57: "cymball-long", 60: "bongo", 75: "clave", 76: "block", **_toms("tom"),
}  # fmt: skip
_SONIC_PI = {
    35: "bass_soft", 36: "bass_hard", 38: "snare_hard", 40: "snare_soft", 41: "tom_lo_soft", 42: "cymbal_closed",
    43: "tom_lo_hard", 44: "cymbal_pedal", 45: "tom_mid_soft", 46: "cymbal_open", 47: "tom_mid_hard", 48: "tom_hi_soft",
    49: "cymbal_hard", 50: "tom_hi_hard", 51: "cymbal_soft", 55: "splash_hard", 56: "cowbell", 57: "cymbal_hard",
    59: "cymbal_soft",
}  # fmt: skip
_SONIC_PI = {key: f"drum_{name}" for key, name in _SONIC_PI.items()}
_RUMPF = {
    35: "beats_06-46", 36: "beats_06-38", 37: "beats_09-12", 38: "beats_01-21", 39: "beats_01-26", 40: "beats_06-25",
    42: "beats_09-10", 44: "beats_06-28",
}  # fmt: skip


def _808(kick: str, snare: str, tuning: str, hat: str, cymbal: str) -> dict[int, str]:
    """Strokes of the TR-808, by where its knobs are: the numbers in the names of the files."""
    return {
        35: f"kick/bd{kick}", 36: f"kick/bd{kick}", 37: "rimshot/rs", 38: f"snare/sd{snare}", 39: "clap/cp",
        40: f"snare/sd{snare}", 42: "hihat-close/ch", 44: "hihat-close/ch", 46: f"hihat-open/oh{hat}",
        49: f"cymbal/cy{cymbal}", 56: "cowbell/cb", 57: f"cymbal/cy{cymbal}", 62: f"conga-hi/hc{tuning}",
        63: f"conga-mid/mc{tuning}", 64: f"conga-low/lc{tuning}", 70: "maraca/ma", 75: "clave/cl",
        **_toms(f"tom-low/lt{tuning}", f"mid-tom/mt{tuning}", f"tom-hi/ht{tuning}"),
    }  # fmt: skip


_VERSILIAN, _WINER = "sfzinstruments+Discord-SFZ-GM-Bank", "sfzinstruments+EthanWiner.Soundfonts"
_PERCUSSION = {
    37: "Snare4_Xstick_v2_rr2_Mid", 39: "Clap_rr1", 54: "Tamb1_Hit_v?_rr1_Mid", 56: "Cowbell1_Hit_v?_rr1_Mid",
    60: "BongoH_Hit1_v?_rr1_Mid", 61: "BongoL_Hit1_v?_rr1_Mid", 64: "Conga_HitN_v?_rr1_Sum",
    67: "Agogo_High_v?_rr1_Mid", 68: "Agogo_Low_v?_rr1_Mid", 69: "Cabasa1_Rub_v?_rr1_Mid", 75: "Claves1_Hit_v?_rr1_Mid",
    76: "wood_click_ff", 77: "wood_click_ff", 81: "Triangle1_Hit_v2_rr2_Mid",
}  # fmt: skip
_OTHER_PERCUSSION = {
    54: "tambourine/Tambourine Hit", 70: "shakers/Small Soft|shakers/Small Loud",
    75: "claves/Clave *", 76: "temple_blocks/Temple Block 5 *", 77: "temple_blocks/Temple Block 1 *",
    81: "triangle/Triangle",
}  # fmt: skip
_DISPLACED = {76: 1.5, 77: -2.5}  # semitones, where the one wood block is two


@dataclass(frozen=True)
class Strokes:
    """Recordings of a kit or of a part of one, in the same room with the same microphones."""

    folder: str  # in SOURCES
    pattern: str  # of the files' paths in it
    names: dict[int, str]  # by key
    microphones: tuple[str, ...] = ("",)  # which are added
    levelled: bool = False  # to be as loud as `_PEAKS` say, for the files do not tell: most are as loud as can be
    displaced: dict[int, float] = field(default_factory=dict)  # semitones by key


_SAMPLED, _MACHINES = "oramics+sampled", "smpldsnds+drum-machines"
_GOGODZE_FOLDER = "sfzinstruments+karoryfer.gogodze-phu-vol-ii"
_GOGODZE_PATTERN = "Samples/{microphone}_mic/{name}_vl*_rr1.wav"
_HANDS = Strokes(
    _VERSILIAN, "Discord GM/Drums/001-Standard Kit/{name}.wav", _PERCUSSION, levelled=True, displaced=_DISPLACED
)
_OTHER_HANDS = Strokes(_WINER, "Ethan Winer Collection/Samples/{name}.flac", _OTHER_PERCUSSION, levelled=True)


def _machine(pattern: str, names: dict[int, str]) -> list[Strokes]:
    return [Strokes(_MACHINES if pattern.endswith(".ogg") else _SAMPLED, pattern, names, levelled=True)]


def _gogodze(*microphones: str) -> Strokes:
    return Strokes(_GOGODZE_FOLDER, _GOGODZE_PATTERN, _GOGODZE, microphones)


def _sonic_pi(others: dict[int, str]) -> Strokes:
    return Strokes("sonic-pi-samples", "{name}.flac", {**_SONIC_PI, **others}, levelled=True)


# Kits by bank and General MIDI program, 25 as the TR-808. A key has the strokes of the first that has any.
KITS: dict[tuple[str, int], list[Strokes]] = {
    ("muldjord", 0): [Strokes("freepats+muldjordkit", "samples/{name}/*.flac", _MULDJORD), _HANDS, _OTHER_HANDS],
    ("gogodze-close", 0): [_gogodze("oh", "kick", "snare"), _OTHER_HANDS, _HANDS],
    ("gogodze-room", 0): [_gogodze("front", "side"), _HANDS, _OTHER_HANDS],
    ("gogodze-retro", 0): [_gogodze("retro"), _OTHER_HANDS, _HANDS],
    ("pearl", 0): [Strokes(_SAMPLED, "DRUMS/pearl-master-studio/samples/{name}.wav", _PEARL), _OTHER_HANDS, _HANDS],
    ("machines-1", 24): _machine("DM/LM-2/samples/{name}.wav", _LINN),
    ("machines-1", 25): _machine("TR-808/{name}.ogg", _808("5050", "5050", "50", "50", "5050")),
    ("machines-2", 24): _machine("DM/TR-505/samples/tr505-{name}.wav", _505),
    ("machines-2", 25): _machine("TR-808/{name}.ogg", _808("2575", "7525", "25", "10", "2575")),
    ("machines-3", 24): _machine("DM/MRK-2/samples/{name}.wav", _MAESTRO),
    ("machines-3", 25): _machine("DM/CR-78/samples/{name}.wav", _78),
    ("sonic-pi", 0): [_sonic_pi({})],
    ("sonic-pi", 8): [_sonic_pi({35: "bd_boom", 36: "drum_heavy_kick", 38: "sn_generic", 40: "sn_dolf"})],
    ("sonic-pi", 16): [Strokes("rumpf_kit_z01_h2", "{name}.flac", _RUMPF, levelled=True), _sonic_pi({})],
    ("sonic-pi", 24): [_sonic_pi({35: "bd_fat", 36: "bd_haus", 38: "elec_hi_snare", 40: "elec_snare"})],
    ("sonic-pi", 25): [_sonic_pi({35: "bd_808", 36: "bd_808", 38: "sn_zome", 40: "elec_lo_snare", 49: "elec_cymbal"})],
}


def main() -> None:
    """Read the command line, write the kits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path, metavar="SOURCES")
    parser.add_argument("out", type=Path, metavar="OUT")
    arguments = parser.parse_args()
    if arguments.out.exists():
        parser.error(f"{arguments.out}: is there already; strokes of other kits would be left among these")
    written = 0
    for (bank, number), parts in KITS.items():
        kit: dict[int, list[np.ndarray]] = {}
        for part in parts:
            kit = {**_played(arguments.sources, part), **kit}
        folder = arguments.out / bank / f"kit-{number}"
        for key, layers in sorted(kit.items()):
            folder.mkdir(parents=True, exist_ok=True)
            for index, samples in enumerate(layers):
                soundfile.write(folder / f"{key}v{index + 1}.wav", samples, RATE, subtype="PCM_16")
        print(f"{bank} {number}: {len(kit)} keys, {sum(map(len, kit.values()))} strokes")
        written += len(kit)
    if not written:
        sys.exit(f"{arguments.sources}: no strokes in folders named as {_SAMPLED}")


def _played(sources: Path, part: Strokes) -> dict[int, list[np.ndarray]]:
    """Return the layers of each key, softest first: float32 at RATE, as loud beside each other as they are to be."""
    strokes = {key: _layers(sources / part.folder, part, key) for key in part.names}
    strokes = {key: layers for key, layers in strokes.items() if layers}
    peaks = {key: max(_peak(samples) for samples in layers) for key, layers in strokes.items()}
    loudest = max((peaks[key] for key in _DRUMS if key in peaks), default=_LOUD)
    gains = {}
    for key, peak in peaks.items():
        heard = _PEAKS[key] if part.levelled else min(peak * _LOUD / loudest, _LOUDEST)
        gains[key] = (max(heard, _LOUD_CYMBAL) if key in _HATS_AND_CYMBALS else heard) / peak
    return {key: [samples * gains[key] for samples in layers] for key, layers in strokes.items()}


def _layers(folder: Path, part: Strokes, key: int) -> list[np.ndarray]:
    """Return up to LAYERS of the recorded strokes, from the middle of as many shares of them by loudness."""
    found = []
    for name in part.names[key].split("|"):
        globs = [part.pattern.format(name=name, microphone=microphone) for microphone in part.microphones]
        found += zip(*(sorted(folder.glob(glob)) for glob in globs), strict=True)
    strokes = sorted((_stroke(paths, key, part.displaced.get(key, 0.0)) for paths in found), key=_loudness)
    count = min(LAYERS, len(strokes))
    return [strokes[len(strokes) * (2 * index + 1) // (2 * count)] for index in range(count)]


def _stroke(paths: tuple[Path, ...], key: int, semitones: float) -> np.ndarray:
    """Read what microphones heard of a stroke, add it, and cut it out: float32 at RATE."""
    heard = [librosa.load(path, sr=None, duration=2 * _LONGEST_RINGING_SECONDS) for path in paths]
    samples = np.sum([own for own, _ in heard], axis=0)
    samples = librosa.resample(samples, orig_sr=heard[0][1] * 2 ** (semitones / 12), target_sr=RATE)
    fade_in = int(_FADE_IN_SECONDS * RATE)
    share = _SLOW_BEGINS if key in _SLOW else _BEGINS
    begins = int(np.argmax(np.abs(samples) > share * _peak(samples)))
    samples = samples[max(0, begins - fade_in) :]
    longest = int((_LONGEST_RINGING_SECONDS if key in _RINGING else _LONGEST_SECONDS) * RATE)
    fade_out = int((_CUT_FADE_SECONDS if len(samples) > longest else _FADE_OUT_SECONDS) * RATE)
    samples = samples[:longest].copy()
    samples[: min(begins, fade_in)] *= np.linspace(0, 1, min(begins, fade_in))
    samples[-fade_out:] *= np.linspace(1, 0, fade_out)
    return samples


def _peak(samples: np.ndarray) -> float:
    return float(np.abs(samples).max())


def _loudness(samples: np.ndarray) -> float:
    return float(np.sum(samples.astype(np.float64) ** 2))


if __name__ == "__main__":
    main()
