"""The soundfonts of this machine, and whether one plays notes."""

import importlib.util
from collections.abc import Collection
from pathlib import Path

import numpy as np

from mt3lite import notes, render
from mt3lite.errors import InputError

# Where systems keep them: Debian and most of Linux, Fedora and Arch, Homebrew.
FOLDERS = ("/usr/share/sounds/sf2", "/usr/share/sounds/sf3", "/usr/share/soundfonts", "/opt/homebrew/share/soundfonts")

# Programs that nobody hears without their pitch: piano, organ, guitar, violin, trumpet, oboe, flute, a square wave.
_TONES = (0, 19, 24, 40, 56, 68, 73, 80)
_KEY = 60
_NEAR = 0.03  # how far from a multiple of its frequency what belongs to a note may lie, in parts of that frequency
_LEAST_SHARE = 0.15  # of a note's energy that lies there; noise has 0.06, notes 0.7 and more


def find() -> Path:
    """Return the largest soundfont on the system, which is likely the best; at least pretty_midi brings a small one.

    Raises:
        InputError: there is none.
    """
    folders = [*map(Path, FOLDERS), Path.home() / ".local/share/soundfonts"]
    found = [path for folder in folders for path in folder.glob("*.sf[23]")]
    if not found:
        package = importlib.util.find_spec("pretty_midi")  # a dependency of note_seq
        found = list(Path(package.origin).parent.glob("*.sf2")) if package and package.origin else []
    if not found:
        raise InputError("no soundfont found; name one with --soundfont (Debian: apt install fluid-soundfont-gm)")
    return max(found, key=lambda path: (path.stat().st_size, path))


def check_sound(soundfont: str | Path, programs: Collection[int]) -> None:
    """Raise InputError if a soundfont plays noise in place of notes.

    So does one whose compressed samples were compressed once more, as `sf3convert -z` does with an .sf3 file, and one
    that was damaged on its way.

    Args:
        soundfont: as for `render.render`.
        programs: those that it has.
    """
    config = render.RenderConfig(tail_seconds=0.0)
    frequency = 440.0 * 2.0 ** ((_KEY - 69) / 12)
    for program in sorted({*programs} & {*_TONES}):
        played = render.render(notes.from_rows([(0.0, 1.0, _KEY, 100, program, False)]), soundfont, config)
        energy = np.abs(np.fft.rfft(played * np.hanning(len(played)))) ** 2
        multiples = np.fft.rfftfreq(len(played), 1 / config.sample_rate) / frequency
        belongs = (multiples > 0.5) & (np.abs(multiples - np.round(multiples)) < _NEAR)
        if energy[belongs].sum() < _LEAST_SHARE * energy[multiples > 0.5].sum():
            raise InputError(
                f"{soundfont}: program {program} plays noise in place of notes; a damaged soundfont, or an .sf3 file "
                "that was compressed once more? Take it from where it came from"
            )
