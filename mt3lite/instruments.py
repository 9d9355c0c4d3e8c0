"""General MIDI instruments: programs, families, drums, and how finely a network may tell them apart.

A *program* is an int 0..127 (General MIDI counts the same sounds 1..128). Drums are not a program but a flag; a drum
note's pitch says which drum. Source of all names: General MIDI Level 1 sound set and percussion key map.
"""

import re
from dataclasses import dataclass

import numpy as np

from mt3lite.errors import InputError

NUM_PROGRAMS = 128
PROGRAMS_PER_FAMILY = 8

# The five classes of ADTOF (Zehren et al. 2021, arXiv:2111.11737), in which most of a drum kit is.
DRUM_CLASSES = {
    "Kick": (35, 36),
    "Snare": (37, 38, 40),
    "Tom": (41, 43, 45, 47, 48, 50),
    "Hi-hat": (42, 44, 46),
    "Cymbal": (49, 51, 52, 53, 55, 57, 59),
}

GRANULARITIES = ("flat", "midi_class", "full")

FAMILY_NAMES = (
    "Piano", "Chromatic Percussion", "Organ", "Guitar", "Bass", "Strings", "Ensemble", "Brass",
    "Reed", "Pipe", "Synth Lead", "Synth Pad", "Synth Effects", "Ethnic", "Percussive", "Sound Effects",
)  # fmt: skip

PROGRAM_NAMES = (
    # Piano
    "Acoustic Grand Piano", "Bright Acoustic Piano", "Electric Grand Piano", "Honky-tonk Piano",
    "Electric Piano 1", "Electric Piano 2", "Harpsichord", "Clavinet",
    # Chromatic Percussion
    "Celesta", "Glockenspiel", "Music Box", "Vibraphone", "Marimba", "Xylophone", "Tubular Bells", "Dulcimer",
    # Organ
    "Drawbar Organ", "Percussive Organ", "Rock Organ", "Church Organ",
    "Reed Organ", "Accordion", "Harmonica", "Tango Accordion",
    # Guitar
    "Acoustic Guitar (nylon)", "Acoustic Guitar (steel)", "Electric Guitar (jazz)", "Electric Guitar (clean)",
    "Electric Guitar (muted)", "Overdriven Guitar", "Distortion Guitar", "Guitar Harmonics",
    # Bass
    "Acoustic Bass", "Electric Bass (finger)", "Electric Bass (pick)", "Fretless Bass",
    "Slap Bass 1", "Slap Bass 2", "Synth Bass 1", "Synth Bass 2",
    # Strings
    "Violin", "Viola", "Cello", "Contrabass", "Tremolo Strings", "Pizzicato Strings", "Orchestral Harp", "Timpani",
    # Ensemble
    "String Ensemble 1", "String Ensemble 2", "Synth Strings 1", "Synth Strings 2",
    "Choir Aahs", "Voice Oohs", "Synth Voice", "Orchestra Hit",
    # Brass
    "Trumpet", "Trombone", "Tuba", "Muted Trumpet", "French Horn", "Brass Section", "Synth Brass 1", "Synth Brass 2",
    # Reed
    "Soprano Sax", "Alto Sax", "Tenor Sax", "Baritone Sax", "Oboe", "English Horn", "Bassoon", "Clarinet",
    # Pipe
    "Piccolo", "Flute", "Recorder", "Pan Flute", "Blown Bottle", "Shakuhachi", "Whistle", "Ocarina",
    # Synth Lead
    "Lead 1 (square)", "Lead 2 (sawtooth)", "Lead 3 (calliope)", "Lead 4 (chiff)",
    "Lead 5 (charang)", "Lead 6 (voice)", "Lead 7 (fifths)", "Lead 8 (bass + lead)",
    # Synth Pad
    "Pad 1 (new age)", "Pad 2 (warm)", "Pad 3 (polysynth)", "Pad 4 (choir)",
    "Pad 5 (bowed)", "Pad 6 (metallic)", "Pad 7 (halo)", "Pad 8 (sweep)",
    # Synth Effects
    "FX 1 (rain)", "FX 2 (soundtrack)", "FX 3 (crystal)", "FX 4 (atmosphere)",
    "FX 5 (brightness)", "FX 6 (goblins)", "FX 7 (echoes)", "FX 8 (sci-fi)",
    # Ethnic
    "Sitar", "Banjo", "Shamisen", "Koto", "Kalimba", "Bagpipe", "Fiddle", "Shanai",
    # Percussive
    "Tinkle Bell", "Agogo", "Steel Drums", "Woodblock", "Taiko Drum", "Melodic Tom", "Synth Drum", "Reverse Cymbal",
    # Sound Effects
    "Guitar Fret Noise", "Breath Noise", "Seashore", "Bird Tweet",
    "Telephone Ring", "Helicopter", "Applause", "Gunshot",
)  # fmt: skip

FIRST_DRUM_PITCH = 35
DRUM_NAMES = (
    "Acoustic Bass Drum", "Bass Drum 1", "Side Stick", "Acoustic Snare", "Hand Clap", "Electric Snare",
    "Low Floor Tom", "Closed Hi-Hat", "High Floor Tom", "Pedal Hi-Hat", "Low Tom", "Open Hi-Hat", "Low-Mid Tom",
    "Hi-Mid Tom", "Crash Cymbal 1", "High Tom", "Ride Cymbal 1", "Chinese Cymbal", "Ride Bell", "Tambourine",
    "Splash Cymbal", "Cowbell", "Crash Cymbal 2", "Vibraslap", "Ride Cymbal 2", "Hi Bongo", "Low Bongo",
    "Mute Hi Conga", "Open Hi Conga", "Low Conga", "High Timbale", "Low Timbale", "High Agogo", "Low Agogo",
    "Cabasa", "Maracas", "Short Whistle", "Long Whistle", "Short Guiro", "Long Guiro", "Claves", "Hi Wood Block",
    "Low Wood Block", "Mute Cuica", "Open Cuica", "Mute Triangle", "Open Triangle",
)  # fmt: skip

DRUM_WORDS = frozenset({"drum", "drums", "drum kit", "percussion"})

# What people say, where it is not the name of one family or one program. A word here wins over a family of that name:
# "strings" is meant to include a string ensemble, which General MIDI files under Ensemble, and not timpani.
COMMON_WORDS = {
    "acoustic piano": frozenset(range(0, 4)),
    "electric piano": frozenset({4, 5}),
    "organ": frozenset(range(16, 21)),
    "accordion": frozenset({21, 23}),
    "acoustic guitar": frozenset({24, 25}),
    "electric guitar": frozenset(range(26, 31)),
    "acoustic bass": frozenset({32}),
    "electric bass": frozenset(range(33, 38)),
    "synth bass": frozenset({38, 39}),
    "double bass": frozenset({43}),
    "harp": frozenset({46}),
    "strings": frozenset((*range(40, 46), *range(48, 52))),
    "voice": frozenset(range(52, 55)),
    "vocals": frozenset(range(52, 55)),
    "choir": frozenset(range(52, 55)),
    "horn": frozenset({60}),
    "sax": frozenset(range(64, 68)),
    "saxophone": frozenset(range(64, 68)),
    "woodwind": frozenset(range(64, 80)),
    "synth": frozenset(range(80, 104)),
}


@dataclass(frozen=True)
class InstrumentSet:
    """Instruments somebody asked for."""

    programs: frozenset[int]  # General MIDI programs, 0..127
    drums: bool  # whether drums are among them
    complete: bool = False  # whether nobody else plays, so that every note is one of theirs

    @property
    def families(self) -> frozenset[int]:
        """General MIDI families of the programs, 0 to 15."""
        return frozenset(program // PROGRAMS_PER_FAMILY for program in self.programs)

    def name_programs(self, programs: np.ndarray) -> np.ndarray:
        """Return programs, of which a family's first gives way to the one that was asked for, if it was one alone.

        A model that tells families and not programs writes a cello as the first of the strings, a violin.
        """
        named = np.arange(NUM_PROGRAMS)
        for first in range(0, NUM_PROGRAMS, PROGRAMS_PER_FAMILY):
            of_family = [program for program in self.programs if first <= program < first + PROGRAMS_PER_FAMILY]
            if len(of_family) == 1:
                named[first] = of_family[0]
        return named[programs].astype(programs.dtype)


def map_program(program: int | np.ndarray, granularity: str) -> int | np.ndarray:
    """Return the program that stands for ``program`` at a granularity, of the same kind (an int or an int array).

    "flat" maps all to 0, "midi_class" to the first program of the family (8 * (program // 8)), "full" changes nothing.
    Raises ``InputError`` for an unknown granularity.

    >>> map_program(43, "midi_class")
    40
    """
    if granularity == "flat":
        return program * 0
    if granularity == "midi_class":
        return PROGRAMS_PER_FAMILY * (program // PROGRAMS_PER_FAMILY)
    if granularity == "full":
        return program
    raise InputError(f"unknown granularity {granularity!r}; choose one of: {', '.join(GRANULARITIES)}")


def name(program: int, is_drum: bool = False) -> str:
    """Return the General MIDI name of a program (0..127), or "Drums".

    >>> name(0)
    'Acoustic Grand Piano'
    """
    return "Drums" if is_drum else PROGRAM_NAMES[program]


def drum_name(pitch: int) -> str:
    """Return the General MIDI name of a drum pitch; outside 35..81 "Drum" and the number.

    >>> drum_name(38)
    'Acoustic Snare'
    """
    index = pitch - FIRST_DRUM_PITCH
    return DRUM_NAMES[index] if 0 <= index < len(DRUM_NAMES) else f"Drum {pitch}"


def parse(text: str, *, complete: bool = False) -> InstrumentSet:
    """Return the instruments listed in ``text``, separated by commas; ``complete`` as for `InstrumentSet`.

    Each may be a program number (0..127), a General MIDI program name or family name, a common word such as "strings",
    "sax" or "voice", or "drums"; case and punctuation do not matter, and neither does a plural s.
    Raises ``InputError``, listing the choices, for anything else and for an empty list.

    >>> parse("Drums, double bass, 0")
    InstrumentSet(programs=frozenset({0, 43}), drums=True, complete=False)
    """
    programs: set[int] = set()
    drums = False
    items = [item.strip() for item in text.split(",") if item.strip()]
    if not items:
        raise InputError(f"no instrument in {text!r}; {_choices()}")
    for item in items:
        word = _normalise(item)
        if word in DRUM_WORDS:
            drums = True
        else:
            programs |= _programs(word, item)
    return InstrumentSet(frozenset(programs), drums, complete)


def _programs(word: str, item: str) -> frozenset[int]:
    """Return the programs meant by one normalised word; ``item`` is what the user wrote, for the message."""
    if re.fullmatch("[0-9]+", item) and int(item) < NUM_PROGRAMS:
        return frozenset({int(item)})
    for candidate in (word, word.removesuffix("s")):
        if candidate in _PROGRAMS_BY_WORD:
            return _PROGRAMS_BY_WORD[candidate]
    raise InputError(f"unknown instrument {item!r}; {_choices()}")


def _choices() -> str:
    words = sorted({*COMMON_WORDS, *map(_normalise, FAMILY_NAMES), "drums"})
    return f"choose from: {', '.join(words)}, a General MIDI program name, or a program number 0..127"


def _normalise(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def _programs_by_word() -> dict[str, frozenset[int]]:
    families = {
        _normalise(family): frozenset(range(index * PROGRAMS_PER_FAMILY, (index + 1) * PROGRAMS_PER_FAMILY))
        for index, family in enumerate(FAMILY_NAMES)
    }
    single = {_normalise(program_name): frozenset({program}) for program, program_name in enumerate(PROGRAM_NAMES)}
    return {**single, **families, **COMMON_WORDS}


_PROGRAMS_BY_WORD = _programs_by_word()
