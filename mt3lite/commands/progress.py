"""The bar that shows how far a loop has come."""

import sys
from collections.abc import Iterable

import tqdm


def tracks(items: Iterable, total: int) -> Iterable:
    """Return the items; while they are gone through, a bar counts them as tracks, where somebody is looking."""
    return tqdm.tqdm(items, total=total, unit="track", leave=False, disable=not sys.stderr.isatty())
