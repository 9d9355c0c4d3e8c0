"""Model folders: the only form in which models are kept.

A model folder holds two files:

- ``config.json``: ``{"format": 1, "origin": ..., "license": ..., "sha256": {"model.safetensors": ...}, "config":
  ...}``, where ``origin`` says what the weights were made from and ``config`` is a `Config`.
- ``model.safetensors``: one tensor per parameter, named by its path, ``encoder/layers_0/attention/query/kernel``.

Bundled models are the folders in ``mt3lite/assets`` that have settings. Reading a model folder runs no code from it.
"""

import dataclasses
import hashlib
import itertools
import json
import os
from collections.abc import Iterable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from flax import traverse_util

from mt3lite import config as config_module
from mt3lite import files, network, reading
from mt3lite.config import Config
from mt3lite.errors import InputError, reason

FORMAT = 1
SMALL_BYTES = 64 << 20  # a file of tensors that is read without a look at what the settings call for
HEADER_BYTES = 4 << 20  # more than a safetensors header takes
CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
ASSETS = Path(__file__).parent / "assets"
STORED_DTYPES = {"F32": np.dtype(np.float32), "F16": np.dtype(np.float16), "BF16": np.dtype(jnp.bfloat16)}


@dataclasses.dataclass(frozen=True)
class Model:
    """A loaded model folder."""

    config: Config
    params: dict  # nested by path; leaves float32 arrays
    origin: str  # what the weights were trained on or converted from
    license: str
    path: Path  # of the folder


@dataclasses.dataclass(frozen=True)
class _Header:
    """The fields of config.json."""

    format: int
    origin: str
    license: str
    sha256: dict[str, str]
    config: Config

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise InputError(f"format: {self.format} is not {FORMAT}, the one that this version of mt3lite reads")
        if self.sha256.keys() != {WEIGHTS_FILE}:
            raise InputError(f"sha256: names {reason(', '.join(self.sha256) or 'nothing')}; wanted {WEIGHTS_FILE}")


def bundled() -> list[str]:
    """Return the names of the models that came with the package."""
    return sorted(path.parent.name for path in ASSETS.glob(f"*/{CONFIG_FILE}"))


def save(folder: str | os.PathLike, config: Config, params: dict, *, origin: str, license: str) -> None:
    """Write a model folder; it is made when missing, its files are replaced when there.

    Args:
        folder: where.
        config: the settings of the model.
        params: the parameter tree that `config.network` has; float32, float16 and bfloat16 leaves are stored as such.
        origin: what the weights were made from, with the licences of that.
        license: the licence of the weights.

    Raises:
        InputError: the tree is not that of the network, or the folder cannot be written.
    """
    folder = Path(folder)
    tensors = {name: np.ascontiguousarray(leaf) for name, leaf in traverse_util.flatten_dict(params, sep="/").items()}
    _check_tensors(tensors, config, str(folder / WEIGHTS_FILE))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made: {error.strerror}") from error
    stored = safetensors.numpy.save(tensors)
    header = _Header(FORMAT, origin, license, {WEIGHTS_FILE: hashlib.sha256(stored).hexdigest()}, config)
    with files.atomic_path(folder / WEIGHTS_FILE) as path:
        path.write_bytes(stored)
    with files.atomic_path(folder / CONFIG_FILE) as path:
        path.write_text(json.dumps(dataclasses.asdict(header), indent=2) + "\n", encoding="utf-8")


def load(name_or_folder: str | os.PathLike) -> Model:
    """Read a bundled model by name, or any model folder by path.

    A bundled name wins over a folder of that name in the working directory: write ``./small`` to mean the folder.

    Raises:
        InputError: there is no such model, a file is missing or unreadable, the checksum differs, or a tensor's name,
            shape or type is not what the settings in the folder call for.
    """
    model = read(name_or_folder)
    check(model)
    return model


def read(name_or_folder: str | os.PathLike) -> Model:
    """Read a model as `load` does, all but `check`, which takes longer than the reading."""
    folder = _find(name_or_folder)
    text = _read(folder / CONFIG_FILE, reading.MOST_SETTINGS_BYTES).decode("utf-8", "replace")
    header = config_module.read(_Header, text, str(folder / CONFIG_FILE))
    path = folder / WEIGHTS_FILE
    stored = _read(path, _most_bytes(path, header.config))
    wanted, came = header.sha256[WEIGHTS_FILE], hashlib.sha256(stored).hexdigest()
    if came != wanted:
        raise InputError(
            f"{path}: checksum {came[:12]}..., but {CONFIG_FILE} says {reason(wanted[:12])}...: damaged or replaced?"
        )
    tensors = _parse(stored, str(path))
    _check_groups(tensors, str(path))
    params = {name: tensor.astype(np.float32, copy=False) for name, tensor in tensors.items()}
    tree = traverse_util.unflatten_dict(params, sep="/")
    return Model(header.config, tree, header.origin, header.license, folder)


def check(model: Model) -> None:
    """Raise InputError if a tensor's name or shape is not what the model's settings call for, or holds no numbers."""
    tensors = traverse_util.flatten_dict(model.params, sep="/")
    source = str(model.path / WEIGHTS_FILE)
    _check_tensors(tensors, model.config, source)
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise InputError(f"{source}: {name}: has values that are not finite")


def _find(name_or_folder: str | os.PathLike) -> Path:
    """Return the folder of a bundled model's name or of a path."""
    names = bundled()
    if os.fspath(name_or_folder) in names:
        return ASSETS / name_or_folder
    folder = Path(name_or_folder)
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no such model; bundled: {', '.join(names) or 'none'}, or give the path of a model folder"
        )
    if not (folder / CONFIG_FILE).is_file():
        raise InputError(f"{folder}: not a model folder: it has no {CONFIG_FILE}")
    return folder


def _read(path: Path, most_bytes: int) -> bytes:
    """Return the bytes of a file of a model folder."""
    return reading.read_bytes(path, most_bytes)


def _most_bytes(path: Path, config: Config) -> int:
    """Return how large a file of tensors may be; the sum over the network's is taken where it makes a difference."""
    if not path.is_file() or path.stat().st_size <= SMALL_BYTES:
        return SMALL_BYTES
    parameters = jax.tree.leaves(network.parameter_shapes(config.network))
    return 4 * sum(each.size for each in parameters) + HEADER_BYTES


def _parse(stored: bytes, source: str) -> dict[str, np.ndarray]:
    """Return the tensors of a safetensors file; `safetensors.numpy.load` would stop at bfloat16."""
    try:
        entries = safetensors.deserialize(stored)
    except safetensors.SafetensorError as error:
        raise InputError(f"{source}: not a safetensors file: {reason(error)}") from error
    tensors = {}
    for name, entry in entries:
        if entry["dtype"] not in STORED_DTYPES:
            raise InputError(
                f"{source}: {reason(name)}: type {entry['dtype']}, wanted one of {', '.join(STORED_DTYPES)}"
            )
        tensors[name] = np.frombuffer(entry["data"], STORED_DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors


def _check_groups(names: Iterable[str], source: str) -> None:
    """Raise InputError if a name is also the beginning of another's path; a tree would keep only one of the two."""
    paths = sorted(name.split("/") for name in names)  # what begins with a path comes right after it
    for path, following in itertools.pairwise(paths):
        if following[: len(path)] == path:
            raise InputError(f"{source}: a tensor has the name of a group of tensors: {reason('/'.join(path))}")


def _check_tensors(tensors: dict[str, np.ndarray], config: Config, source: str) -> None:
    """Compare names, shapes and types with the parameter tree that `config.network` makes."""
    expected = traverse_util.flatten_dict(network.parameter_shapes(config.network), sep="/")
    for what, names in (("missing", expected.keys() - tensors.keys()), ("unknown", tensors.keys() - expected.keys())):
        if names:
            others = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise InputError(f"{source}: {what} tensor {reason(min(names) or repr(''))}{others}")
    for name, leaf in expected.items():
        if tensors[name].shape != leaf.shape:
            raise InputError(f"{source}: {name}: shape {tensors[name].shape}, wanted {leaf.shape}")
        if tensors[name].dtype not in STORED_DTYPES.values():
            kinds = ", ".join(map(str, STORED_DTYPES.values()))
            raise InputError(f"{source}: {name}: type {tensors[name].dtype}, wanted one of {kinds}")
