"""Keeping the libraries below from writing between a command's lines."""

import os
import warnings


def libraries() -> None:
    """Silence what note-seq loads in this process: nothing that it says on loading is of use here."""
    os.environ.pop("CI", None)  # where it is set, pyfluidsynth prints to standard output
    warnings.filterwarnings("ignore", "Couldn't find ff", RuntimeWarning)  # pydub, where ffmpeg is not installed
