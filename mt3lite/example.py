"""The example that comes with mt3lite: half a minute of music that may be used for anything."""

from pathlib import Path

from mt3lite.errors import InputError

_FOLDERS = (Path(__file__).parent / "demo", Path(__file__).parent.parent / "data" / "demo")  # installed; a checkout


def example_clip() -> Path:
    """Return the path of the example, 31 s of flute and piano (FLAC, 16 kHz, mono, CC0); ``data/demo`` tells of it.

    Raises:
        InputError: it was left out of this installation.
    """
    for folder in _FOLDERS:
        if (folder / "clip.flac").is_file():
            return folder / "clip.flac"
    raise InputError("the example clip is neither in " + " nor in ".join(map(str, _FOLDERS)))
