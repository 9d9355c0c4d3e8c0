"""Compiled programs kept in a folder between runs, so that a later run neither traces nor compiles.

JAX's own cache of compiled programs finds one by what tracing the network gives, and tracing takes longer than the
finding. Here a program is found by what it is made from: the sources of this package, the versions of the libraries,
the settings, the processor.
"""

import hashlib
import importlib.metadata
import os
import pickle
import platform
import threading
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import jax
from jax.experimental import serialize_executable

from mt3lite import files
from mt3lite.errors import InputError

SUFFIX = ".program"
DIGEST_BYTES = 32


class _Hits(threading.local):
    """How often JAX's own cache gave this thread a program, as JAX tells only those who listen."""

    number = 0


_hits = _Hits()


def _count(event: str, **_facts: object) -> None:
    _hits.number += event == "/jax/compilation_cache/cache_hits"


jax.monitoring.register_event_listener(_count)


class Folder:
    """Programs in a folder, under names that belong to one setting.

    A file is a SHA-256 digest and what it is of, so that one cut short is not taken for a program. Like JAX's own
    cache, the folder holds machine code, and JAX reads it by unpickling: where anybody but the user can write to the
    folder or the file, nothing is read.
    """

    def __init__(self, path: Path, made_from: Iterable[str]):
        """Take the folder and what the programs are made from, besides the package, its libraries and the machine."""
        self._path = path
        self._key = hashlib.sha256("\n".join([*_machine(), *_libraries(), _sources(), *made_from]).encode()).hexdigest()

    def program(self, name: Collection, lower: Callable[[], jax.stages.Lowered]) -> jax.stages.Compiled:
        """Return the program of a name; where it is not there yet, compile it, and keep it.

        What JAX's own cache gives is not kept: written out once more, it lacks functions and can be read, but not run.
        """
        kept = self.read(name)
        if kept:
            return kept
        hits = _hits.number
        compiled = lower().compile()
        if _hits.number == hits:
            self.write(name, compiled)
        return compiled

    def holds(self, name: Iterable) -> bool:
        """Whether there is a file for the program of a name."""
        return self._file(name).is_file()

    def read(self, name: Iterable) -> jax.stages.Compiled | None:
        """Return the program of a name, or None if it is not there."""
        path = self._file(name)
        try:
            if not _only_ours(path) or not _only_ours(self._path):
                return None
            stored = path.read_bytes()
        except OSError:
            return None
        digest, content = stored[:DIGEST_BYTES], stored[DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != digest:
            return None
        # The bytes are whole, and from a place where nobody but the user could have put them.
        return serialize_executable.deserialize_and_load(*pickle.loads(content))

    def write(self, name: Iterable, compiled: jax.stages.Compiled) -> None:
        """Keep a program; where the folder cannot be written to, nothing is kept."""
        content = pickle.dumps(serialize_executable.serialize(compiled))
        try:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with files.atomic_path(self._file(name)) as path:
                path.chmod(0o600)  # whatever the umask: what others may write to is not read
                path.write_bytes(hashlib.sha256(content).digest() + content)
        except (OSError, InputError):  # nowhere to write, or no space
            return

    def _file(self, name: Iterable) -> Path:
        return self._path / f"{self._key[:32]}-{'-'.join(map(str, name))}{SUFFIX}"


def _only_ours(path: Path) -> bool:
    """Whether a path belongs to the user of this process, and others may not write to it."""
    status = path.stat()
    return os.name != "posix" or (status.st_uid == os.getuid() and not status.st_mode & 0o022)


def _machine() -> list[str]:
    """Tell the device and, as programs for a CPU hold its own instructions, the processor."""
    device = jax.devices()[0]
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        processor = sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})
    except OSError:
        processor = [platform.processor(), platform.version()]
    settings = sorted(f"{name}={value}" for name, value in os.environ.items() if name.startswith(("XLA_", "JAX_")))
    return [device.client.platform_version, device.device_kind, str(jax.device_count()), *processor, *settings]


def _libraries() -> list[str]:
    return [f"{name} {importlib.metadata.version(name)}" for name in ("jax", "jaxlib", "flax", "numpy")]


def _sources() -> str:
    """Return a digest of the modules of this package that can come into a program."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
