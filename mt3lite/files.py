"""Writing a file so that it is either whole or not there."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from mt3lite.errors import InputError


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it onto `path` when the block ends well, remove it otherwise.

    The temporary file exists, is empty, and has the suffix of `path`, so writers that choose a format by the suffix
    work. An interrupt (Ctrl-C) counts as not ending well: nothing half-written is left.

    Args:
        path: where the file shall be; replaced when it is there already.

    Raises:
        InputError: the folder is missing or cannot be written to, or `path` is a folder.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_path(Path(folder) / "a.txt") as temporary:
    ...         _ = temporary.write_text("whole")
    ...     (Path(folder) / "a.txt").read_text()
    'whole'
    """
    path = Path(path)
    temporary = _new_sibling(path)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(path: str | os.PathLike) -> None:
    """Make a folder, and those above it, unless it is there.

    Raises:
        InputError: it cannot be made, or there is a file of that name.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path}: this folder cannot be made: {(error.strerror or str(error)).lower()}") from error


def check_writable(path: str | os.PathLike) -> None:
    """Raise what `atomic_path` would raise for `path`; nothing is left behind."""
    _new_sibling(Path(path)).unlink()


def _new_sibling(path: Path) -> Path:
    """Make an empty file with another name in the folder of `path`."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file to write")
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        # Opened with "x" rather than by tempfile.mkstemp: that makes files only their owner can read.
        temporary.open("xb").close()
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {_reason(path.parent, error)}") from error
    return temporary


def _reason(folder: Path, error: OSError) -> str:
    """Say what keeps a file from being made in `folder`."""
    if isinstance(error, FileNotFoundError) and not folder.exists():
        return f"there is no folder {folder}"
    if isinstance(error, NotADirectoryError):
        return f"{folder} is not a folder"
    return (error.strerror or str(error)).lower()
