"""The folder in which JAX keeps compiled programs between runs of the command."""

import os
from pathlib import Path

import jax


def use_cache() -> None:
    """Let JAX keep compiled programs in the user's cache folder, so that only the first run compiles.

    A folder that the user set up for JAX is left as it is; without a place to write, there is no cache.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "mt3lite" / "jax"
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            return
        jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
