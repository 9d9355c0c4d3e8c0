"""The soundfonts of this machine."""

import importlib.util
from pathlib import Path

from mt3lite.errors import InputError

# Where systems keep them: Debian and most of Linux, Fedora and Arch, Homebrew.
FOLDERS = ("/usr/share/sounds/sf2", "/usr/share/sounds/sf3", "/usr/share/soundfonts", "/opt/homebrew/share/soundfonts")


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
