"""Keeping the libraries below from writing between a command's lines, and the lines from stumbling over a name."""

import io
import os
import sys


def libraries() -> None:
    """Silence what note-seq loads in this process: nothing that it says on loading is of use here."""
    os.environ.pop("CI", None)  # where it is set, pyfluidsynth prints to standard output


def streams() -> None:
    """Let standard output and error take any name of a file, and stand for them where they are closed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names need not be text in any encoding
