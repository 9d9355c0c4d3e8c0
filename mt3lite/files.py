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
        InputError: the folder is missing or cannot be written to, `path` is a folder, or the block fails to write
            the file: the disk is full, the file larger than allowed.

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
    except OSError as error:
        if error.filename not in (None, os.fspath(temporary)):  # of another file, which the block reads
            raise
        raise InputError(f"{path}: cannot be written: {(error.strerror or str(error)).lower()}") from error
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def held(folder: str | os.PathLike) -> Iterator[None]:
    """Keep other processes out of a folder during the block, those at least that ask as this one does.

    The lock is the system's and goes with the process, however that ends. Where the file system knows no locks, or the
    system is not a Unix, nobody is kept out.

    Raises:
        InputError: another process holds the folder.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise InputError(f"{folder}: another process works in this folder; wait for it, or name another") from error
    except OSError:
        pass  # a file system without locks
    try:
        yield
    finally:
        os.close(descriptor)


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
    if os.path.isdir(path):
        raise InputError(f"{path}: is a folder; name a file to write")
    # Of a long name a part, so that the temporary one is no longer than names may be.
    temporary = path.with_name(f".{path.stem[:40]}.{secrets.token_hex(4)}{path.suffix}")
    try:
        # Opened with "x" rather than by tempfile.mkstemp: that makes files only their owner can read.
        with contextlib.suppress(FileNotFoundError):
            os.lstat(path)  # its own name may be one that no file can have
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
