"""The folder in which compiled programs are kept between runs of the command."""

import os
from pathlib import Path

import jax


def folder() -> Path:
    """Return the folder in the user's cache for the programs of `kept_programs`."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "mt3lite" / "programs"


def use_cache() -> None:
    """Let JAX keep what else is compiled in the user's cache folder, so that only the first run compiles.

    A folder that the user set up for JAX is left as it is; without a place to write, there is no cache.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax_folder = folder().with_name("jax")
        try:
            jax_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:
            return
        jax.config.update("jax_compilation_cache_dir", str(jax_folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
