"""Keeping the libraries below from writing between a command's lines."""

import os


def libraries() -> None:
    """Silence what note-seq loads in this process: nothing that it says on loading is of use here."""
    os.environ.pop("CI", None)  # where it is set, pyfluidsynth prints to standard output
