"""mt3lite: a recording in, the notes of every instrument out.

>>> import mt3lite
>>> sequence = mt3lite.transcribe("song.mp3")              # doctest: +SKIP
>>> transcriber = mt3lite.load("small")                    # doctest: +SKIP
>>> transcriber.transcribe("song.mp3").notes["pitch"]      # doctest: +SKIP

Importing this package loads neither JAX nor note-seq: a public name brings in its module when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from mt3lite.errors import InputError

if TYPE_CHECKING:
    from mt3lite.config import Config
    from mt3lite.example import example_clip
    from mt3lite.transcriber import Transcriber, Transcription, load, transcribe

__version__ = "0.1.0"
__all__ = [
    "Config",
    "InputError",
    "Transcriber",
    "Transcription",
    "__version__",
    "example_clip",
    "load",
    "transcribe",
]

_MODULES = {
    "Config": "config",
    "Transcriber": "transcriber",
    "Transcription": "transcriber",
    "example_clip": "example",
    "load": "transcriber",
    "transcribe": "transcriber",
}


def __getattr__(name: str) -> Any:
    """Import the module of a public name on first use (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
