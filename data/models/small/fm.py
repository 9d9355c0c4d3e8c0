"""Makes instruments by frequency modulation: a folder for each General MIDI program, as recorded.py reads them.

    data/models/small/fm.py SOURCES OUT

SOURCES holds Wohlstand+libADLMIDI and Wohlstand+libOPNMIDI, clones in which sounds.sh has built the libraries; they
play what the chips of sound cards and games of the nineties played. OUT gets a folder for each set of patches below: in
it one for each program, program-NUMBER, in it a FLAC file for each note. Notes are an octave apart, and held for
`_SECONDS`.
"""

import argparse
import ctypes
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import soundfile

# Bank, prefix of the library's functions, library, a quick one of its emulators, patches. These are MIT, by Shannon
# Freeman, The Fat Man and Vitaliy Novichkov, and BSD-3-Clause, from fmmidi.
BANKS = [
    (
        "fm-1",
        "adl_",
        "Wohlstand+libADLMIDI/build/libADLMIDI.so",
        2,
        "fm_banks/wopl_files/DMXOPL3-by-sneakernets-GS.wopl",
    ),
    ("fm-2", "adl_", "Wohlstand+libADLMIDI/build/libADLMIDI.so", 2, "fm_banks/wopl_files/fatman-4op.wopl"),
    ("fm-3", "opn2_", "Wohlstand+libOPNMIDI/build/libOPNMIDI.so", 0, "fm_banks/xg.wopn"),
    ("fm-4", "opn2_", "Wohlstand+libOPNMIDI/build/libOPNMIDI.so", 0, "fm_banks/fmmidi.wopn"),
]
# Without guitars, bowed strings and reeds, for which real ones were taken (log.md 62); from 119 on they are noises.
PROGRAMS = tuple(program for program in range(119) if program // 8 not in (3, 5, 8))
_PITCHES = range(36, 97, 12)
_RATE = 22050
_SECONDS = 4.5
_VELOCITY = 110
_LEAST = 0.01  # of full scale: what no patch is softer than that sounds at this pitch
_ALL_SOUND_OFF = 120


def main() -> None:
    """Read the command line, write the notes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    for bank, prefix, library, emulator, patches in BANKS:
        path = arguments.sources / library
        chip = Chip(path, prefix, emulator, path.parents[1] / patches)
        silent = 0
        for program in PROGRAMS:
            folder = arguments.out / bank / f"program-{program}"
            folder.mkdir(parents=True, exist_ok=True)
            for pitch in _PITCHES:
                samples = chip.note(program, pitch)
                if np.abs(samples).max() < _LEAST:
                    silent += 1
                    continue
                name = librosa.midi_to_note(pitch, unicode=False)
                soundfile.write(folder / f"{name}.flac", samples, _RATE)
        print(f"{arguments.out / bank}: {len(PROGRAMS)} programs; {silent} notes do not sound and were left out")


class Chip:
    """An emulated chip and its patches, played by hand."""

    def __init__(self, library: Path, prefix: str, emulator: int, patches: Path) -> None:
        self._library, self._prefix = ctypes.CDLL(str(library)), prefix
        self._call("init").restype = ctypes.c_void_p
        self._player = ctypes.c_void_p(self._call("init")(ctypes.c_long(_RATE)))
        self._call("switchEmulator")(self._player, emulator)
        if self._call("openBankFile")(self._player, str(patches).encode()) != 0:
            raise OSError(f"{patches}: {library.name} can't read these patches")

    def note(self, program: int, pitch: int) -> np.ndarray:
        """Return a note of a program as float32, one channel."""
        self._call("rt_controllerChange")(self._player, 0, _ALL_SOUND_OFF, 0)
        self._generate(_RATE // 2)  # until the note before has rung off
        self._call("rt_patchChange")(self._player, 0, program)
        self._call("rt_noteOn")(self._player, 0, pitch, _VELOCITY)
        samples = self._generate(int(_SECONDS * _RATE))
        self._call("rt_noteOff")(self._player, 0, pitch)
        return samples.mean(axis=1) / 32768

    def _generate(self, frames: int) -> np.ndarray:
        """Return what sounds next: (frames, 2) float32."""
        out = np.zeros((frames, 2), np.int16)
        pointer = out.ctypes.data_as(ctypes.POINTER(ctypes.c_short))
        self._call("generate")(self._player, ctypes.c_int(out.size), pointer)
        return out.astype(np.float32)

    def _call(self, name: str) -> Any:
        return getattr(self._library, self._prefix + name)


if __name__ == "__main__":
    main()
