"""Standard error: our own lines on it, and the remarks of C libraries, which are kept from it.

Its file descriptor belongs to the whole process: while one thread mutes it, another would speak in vain.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

from mt3lite.errors import printable

_LOCK = threading.Lock()  # of who mutes it or speaks


def tell(line: str) -> None:
    """Print a line about something that went wrong."""
    with _LOCK:
        print(f"mt3lite: {printable(line)}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def muted() -> Iterator[None]:
    """Send what the block writes to file descriptor 2 nowhere."""
    with _LOCK:
        try:
            saved = os.dup(2)
        except OSError:  # there is no standard error, so nothing to mute
            saved = None
        try:
            if saved is not None:
                with open(os.devnull, "wb") as nowhere:
                    os.dup2(nowhere.fileno(), 2)
            yield
        finally:
            if saved is not None:
                os.dup2(saved, 2)
                os.close(saved)
