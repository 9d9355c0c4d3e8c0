"""Reading files that users give: never more than their kind can need, and JSON that cannot bring the reader down."""

import json
import os
from typing import Any

from mt3lite.errors import InputError, reason

MOST_MIDI_BYTES = 16 << 20  # some million notes; reading takes a hundred times that in memory
MOST_TEXT_BYTES = 256 << 20  # notes as text, manifests, tables
MOST_SETTINGS_BYTES = 1 << 20  # a model's config.json


def read_bytes(path: str | os.PathLike, most_bytes: int) -> bytes:
    """Return what is in a regular file of at most `most_bytes`; the size is looked at before anything is read.

    Raises:
        InputError: there is no such file, it is larger, is a folder or a device, or cannot be read.
    """
    try:
        if not os.path.isfile(path):  # False for a name that no file can have: too long, with a null byte
            raise InputError(f"{path}: {_what_else(path)}")
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > most_bytes:
                most = f"{most_bytes / 2**20:g} MB"
                raise InputError(f"{path}: is a file of {size / 2**20:.0f} MB; those of its kind have at most {most}")
            return file.read(most_bytes)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from error


def _what_else(path: str | os.PathLike) -> str:
    """Say what a path is that is not a regular file."""
    if os.path.isdir(path):
        return "is a folder, not a file"
    return "is not a regular file" if os.path.exists(path) else "no such file"


def read_text(path: str | os.PathLike, most_bytes: int = MOST_TEXT_BYTES) -> str:
    """Return the text of a file in UTF-8.

    Raises:
        InputError: as `read_bytes`, or it is not UTF-8.
    """
    try:
        return read_bytes(path, most_bytes).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not text in UTF-8: {reason(error)}") from error


def parse_json(text: str | bytes) -> Any:
    """Return the value of JSON text.

    Raises:
        InputError: it is not JSON, is nested deeper than Python can follow, or holds a number of thousands of digits.

    >>> parse_json('{"a": [1]}')
    {'a': [1]}
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise InputError("not JSON that can be read: it is nested too deeply") from error
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are such, too
        raise InputError(f"not JSON: {reason(error)}") from error
