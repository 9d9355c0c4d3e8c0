"""Lays out notes that others recorded and gave away, as `recorded.py` reads them.

    data/models/small/gather.py SOURCES OUT

SOURCES holds clones of the repositories below, OWNER+NAME each; those that are missing are left out, with a line. OUT
gets a folder for each bank, in it one for each instrument, in it links to a recording of each note. One velocity and
one take of each is enough: levels are evened out anyway.
"""

import argparse
import re
from pathlib import Path

import librosa

_IOWA = "swesterfeld+spectmorph-instruments"  # Iowa's samples are in the public domain, the voices CC0
_GENERAL = "sfzinstruments+Discord-SFZ-GM-Bank"  # CC0, the instruments that are named here
_SAX = "sfzinstruments+MTG.SoloSax"  # CC BY 4.0
_WINER = "sfzinstruments+EthanWiner.Soundfonts"  # public domain
_SULLIVAN = "sfzinstruments+GregSullivan.E-Pianos"  # CC BY 3.0
_HEADROOM = "sfzinstruments+BengtNilsson.HeadroomPiano"  # CC BY 4.0
_SPLENDID = "sfzinstruments+SplendidGrandPiano"  # public domain
_UPRIGHT, _SPANISH = "freepats+upright-piano-KW", "freepats+spanish-classical-guitar"  # CC0, as the next
_PAD, _SYNTH_STRINGS, _BANJO = "freepats+synth-pad-choir", "freepats+synth-strings-1", "sfzinstruments+ganjo"
_GUITARS = "kmturley+karoryfer.black-and-green-guitars"  # CC0, as all those by Karoryfer
_DOUBLE_BASS = "sfzinstruments+dsmolken.double-bass"  # CC0
_CELLO = "sfzinstruments+karoryfer-bigcat.cello"  # CC0


def _karoryfer(name: str) -> str:
    return f"sfzinstruments+karoryfer.{name}"


_N = r"(?P<note>[A-Ga-gHh](?:#|b|is)?\d)"
_M = r"(?P<number>\d+)"
# Bank, instrument, repository, what the path ends with, semitones that its number or name is below the MIDI pitch.
NOTES = [
    ("iowa", "violin", _IOWA, f"violin/.-note-{_M}", 0),
    ("iowa", "viola", _IOWA, f"viola/Vla_ff-{_M}-.*", 0),
    ("iowa", "cello", _IOWA, f"cello/.-note-{_M}", 0),
    ("iowa", "contrabass", _IOWA, f"double-bass/Kb(?:_sul.)?-ff-{_M}-.*", 0),
    ("iowa", "flute", _IOWA, f"alto-flute/note-{_M}", 0),
    ("iowa", "saxophone", _IOWA, f"alto-saxophone/note-{_M}", 0),
    ("iowa", "saxophone-soprano", _IOWA, f"soprano-saxophone/SopRSax-ff-{_M}-.*", 0),
    ("iowa", "oboe", _IOWA, f"oboe/note-{_M}", 0),
    ("iowa", "clarinet", _IOWA, f"clarinet/Cl_ff-{_M}-.*", 0),
    ("iowa", "bassoon", _IOWA, f"bassoon/note-{_M}", 0),
    ("iowa", "trumpet", _IOWA, f"trumpet/trumpet-ff-{_N}", 0),
    ("iowa", "trombone", _IOWA, f"tenor-trombone/TenPos_mf-{_M}-.*", 0),
    ("iowa", "tuba", _IOWA, f"bass-trombone/note-{_M}", 0),
    ("iowa", "french-horn", _IOWA, f"french-horn/note-{_M}", 0),
    ("iowa", "choir-aah", _IOWA, rf"mirko-ah/mirko-ah-{_M}|claudia-ah/claudia-ah-\d-(?P<high>6[6-9]|[7-9]\d)", 0),
    ("iowa", "choir-ooh", _IOWA, rf"mirko-oh/mirko-oh-{_M}|claudia-oh/claudia-oh-\d-(?P<high>6[6-9]|[7-9]\d)", 0),
    ("iowa", "synth-strings", _SYNTH_STRINGS, f"samples/{_N}", 0),
    ("iowa", "pad-choir", _PAD, f"samples/{_N}", 0),
    ("iowa", "strings-tremolo", _GENERAL, f"VS_TremStr_{_N}", 12),
    ("iowa", "pizzicato", _GENERAL, f"VS_PizzStr_{_N}", 12),
    ("iowa", "piano", _UPRIGHT, f"samples/{_N}vH", 0),
    ("iowa", "e-piano", _SULLIVAN, f"Pianet T/Samples/{_M}_.*_FF", 0),
    ("iowa", "guitar-nylon", _SPANISH, f"samples/{_N}", 0),
    ("iowa", "guitar-acoustic", _GENERAL, f"MartinGM2_{_M}_.*", 0),
    ("iowa", "bass-electric", _GENERAL, f"killer_bass_{_N}_vl4", -12),
    ("karoryfer", "saxophone", _karoryfer("weresax"), f"Samples/alto/{_N}_f_rr1_cnd", 12),
    ("karoryfer", "tuba", _karoryfer("war-tuba"), f"Samples/{_N}_sus_cnd", 12),
    ("karoryfer", "cello", _WINER, f"cello_solo/Cello {_N}", -12),
    ("karoryfer", "bassoon", _WINER, f"bassoon/Bassoon mf {_N}", 12),
    ("karoryfer", "glockenspiel", _WINER, f"glockenspiel/EGlock {_N}", 24),
    ("karoryfer", "contrabass", _DOUBLE_BASS, f"arco/arco_{_N}_f_down", 0),
    ("karoryfer", "contrabass-pizzicato", _DOUBLE_BASS, f"pizz/pizz_{_N}_fa", 0),
    ("karoryfer", "flute", _IOWA, f"bass-flute/Bassfl_ff-{_M}-.*", 0),
    ("karoryfer", "clarinet", _IOWA, f"bass-clarinet/BCl_ff-{_M}-.*", 0),
    ("karoryfer", "piano", _SPLENDID, f"Samples/M[fF] {_N}", 12),
    ("karoryfer", "piano-electric-grand", _SULLIVAN, f"CP80/Samples/{_M}-.*-F", 0),
    ("karoryfer", "e-piano", _SULLIVAN, f"Wurlitzer EP200/Samples/{_N}f", 0),
    ("karoryfer", "guitar-acoustic", _karoryfer("shinyguitar"), f"acoustic/{_N}_vl3_rr1_1", 0),
    ("karoryfer", "guitar-electric", _GUITARS, f"black/ord/twang_{_N}_f_rr1", -12),
    ("karoryfer", "guitar-muted", _GUITARS, f"black/stac/staccato_{_N}_rr1", -12),
    ("karoryfer", "bass-electric", _karoryfer("growlybass"), f"sustain/{_N}_f_rr1", -12),
    ("karoryfer", "banjo", _BANJO, f"Banjo_Common - {_N}", -12),
    ("karoryfer-2", "saxophone", _SAX, f"Samples/alt_f_{_M}", 48),
    ("karoryfer-2", "saxophone-soprano", _SAX, f"Samples/sop_f_{_M}", 55),
    ("karoryfer-2", "saxophone-baritone", _karoryfer("bear-sax"), f"Samples/{_N}_vl3_rr1", 12),
    ("karoryfer-2", "contrabass", _karoryfer("meatbass"), f"Samples/arco/{_N}_vl3_down", 0),
    ("karoryfer-2", "contrabass-pizzicato", _karoryfer("meatbass"), f"Samples/pizz/{_N}_vl3_rr1", 0),
    ("karoryfer-2", "piano", _HEADROOM, f"HEADROOM PIANO LEVEL3 CLOSE {_M}", 0),
    ("karoryfer-2", "guitar-acoustic", _karoryfer("emilyguitar"), f"notes/{_N}_f_rr1", 0),
    ("karoryfer-2", "guitar-electric", _karoryfer("shinyguitar"), f"electric/{_N}_vl3_rr1_2", 0),
    ("karoryfer-2", "guitar-muted", _GUITARS, f"green/stac/staccato_{_N}_rr1", -12),
    ("karoryfer-2", "bass-electric", _karoryfer("sneakybass"), f"pluck/sneakybass_{_N}_pluck_rr1", -12),
    ("karoryfer-3", "cello", _karoryfer("string-cyborgs"), f"Samples/blackheart/{_N}", 12),
    ("karoryfer-3", "contrabass", _karoryfer("string-cyborgs"), f"Samples/zinc/full/{_N}", -12),
    ("karoryfer-3", "bass-finger", _karoryfer("fashionbass"), f"notes/{_N}_f_rr1", 0),
    ("karoryfer-3", "bass-pick", _karoryfer("pastabass"), f"samples/linguine/{_N}_vl3_rr1", -12),
    ("karoryfer-3", "bass-slap", _karoryfer("swagbass"), f"notes/{_N}_fff_rr1", -12),
    ("karoryfer-4", "cello", _CELLO, f"Samples/sus/{_N}_f_g", 12),
    ("karoryfer-4", "pizzicato", _CELLO, f"Samples/pizzcato/{_N}_1", 12),
    ("karoryfer-4", "contrabass", _karoryfer("ergo"), f"ergo/arco/{_N}_1_f", 0),
    ("karoryfer-4", "contrabass-pizzicato", _karoryfer("ergo"), f"ergo/pizz/{_N}_1_f", 0),
    ("karoryfer-4", "organ-drawbar", _karoryfer("caveman-cosmonaut"), f"Samples/flutes_{_N}", 0),
    ("karoryfer-4", "organ-percussive", _karoryfer("caveman-cosmonaut"), f"Samples/clarinet_{_N}", 0),
    ("karoryfer-4", "organ-rock", _karoryfer("caveman-cosmonaut"), f"Samples/all_all_all_{_N}", 0),
    ("karoryfer-4", "reed-organ", _karoryfer("caveman-cosmonaut"), f"Samples/trompette_{_N}", 0),
]
_SUFFIXES = (".wav", ".flac")


def main() -> None:
    """Read the command line, make the links."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    files: dict[str, list[Path]] = {}
    for bank, instrument, repository, pattern, above in NOTES:
        if repository not in files:
            root = arguments.sources / repository
            files[repository] = sorted(path for path in root.rglob("*.*") if path.suffix in _SUFFIXES)
        found = _by_pitch(files[repository], pattern, above)
        if not found:
            print(f"{arguments.sources / repository}: no notes of {instrument}; going on without it")
        folder = arguments.out / bank / instrument
        folder.mkdir(parents=True, exist_ok=True)
        for pitch, path in found.items():
            link = folder / f"{librosa.midi_to_note(pitch, unicode=False)}{path.suffix}"
            link.unlink(missing_ok=True)
            link.symlink_to(path.resolve())


def _by_pitch(files: list[Path], pattern: str, above: int) -> dict[int, Path]:
    """Return the files that a pattern is of by their MIDI pitches; of several takes of a note the first."""
    ending = re.compile(rf".*/(?:{pattern})")
    found: dict[int, Path] = {}
    for path in files:
        if match := ending.fullmatch(str(path.with_suffix(""))):
            name = next(group for group in match.groups() if group is not None)
            pitch = int(name) if name.isdigit() else librosa.note_to_midi(_in_english(name))
            found.setdefault(pitch + above, path)
    return dict(sorted(found.items()))


def _in_english(name: str) -> str:
    """Return the name of a note that may be in German: cis4, h3."""
    return name.capitalize().replace("is", "#").replace("H", "B")


if __name__ == "__main__":
    main()
