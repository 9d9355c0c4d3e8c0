"""T5X checkpoints, read and written without t5x or TensorFlow.

Two layouts are read, both folders:

- legacy (``t5x.checkpoints.Checkpointer``, also magenta/mt3's own): a msgpack file ``checkpoint`` that holds small
  arrays itself and names the others, each a zarr folder ``target.encoder.layers_0.mlp.wo.kernel`` beside it. Where such
  a folder once was (``gs://...``) is in the file too, and is not looked at: the folders beside it are read.
- Orbax (``t5x.checkpoints.OrbaxCheckpointManagerInterface``, t5x's default today): ``state/_METADATA`` and an OCDBT
  store or zarr folders.

Nothing here unpickles. Shapes and types are known, and held against the settings, before an array is read.
"""

import dataclasses
import functools
import math
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import flax.serialization
import jax
import numpy as np
from flax import traverse_util

from mt3lite import config as config_module
from mt3lite import network, reading
from mt3lite.config import Config
from mt3lite.errors import InputError, reason

INDEX_FILE = "checkpoint"
VERSION = 3  # of the legacy layout; the one before it stored bfloat16 as uint16
STORED_TYPES = ("float32", "float16", "bfloat16")
MAX_DIFFERENCES = 5  # told in one message
ZARR_TYPES = {"<f4": "float32", "<f2": "float16", "bfloat16": "bfloat16"}
INSTALL = "t5x checkpoints need tensorstore and orbax-checkpoint: pip install 'mt3lite[train]'"


@dataclasses.dataclass(frozen=True)
class Tensor:
    """What is known of a parameter before it is read."""

    shape: tuple[int, ...]
    dtype: str


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was found, of which only names, shapes and types have been read."""

    path: Path
    step: int
    tensors: dict[str, Tensor]  # by path, "encoder/layers_0/attention/query/kernel"
    read: Callable[[], dict[str, np.ndarray]]  # the arrays of `tensors`; raises InputError for damaged ones


def open_checkpoint(path: str | os.PathLike) -> Checkpoint:
    """Find a checkpoint and read what is in it, but for its arrays.

    Args:
        path: a checkpoint folder (``checkpoint_1000000``), or the file ``checkpoint`` in it.

    Raises:
        InputError: there is none, it is something else, or its index is damaged.
    """
    path = Path(path)
    if os.fspath(path).startswith("gs:/"):
        url = os.fspath(path).replace("gs:/", "gs://", 1)  # as it was before Path took out a slash
        raise InputError(f"{url}: not on this machine; copy it here first: gcloud storage cp -r {url} .")
    if path.is_file() and path.name == INDEX_FILE:
        path = path.parent
    if not path.is_dir():
        raise InputError(f"{path}: {_not_a_folder(path)}")
    if (path / INDEX_FILE).is_file():
        return _open_legacy(path)
    for folder in (path / "state", path):
        if any((folder / name).exists() for name in ("_METADATA", "manifest.ocdbt")):
            return _open_orbax(path, folder)
    raise InputError(f"{path}: not a T5X checkpoint: {_what_folder(path)}")


def recognise(checkpoint: Checkpoint) -> Config:
    """Return the preset whose network has the parameters of a checkpoint, name for name and shape for shape.

    Raises:
        InputError: none has; the message lists how the nearest differs.
    """
    found = {}
    for preset in config_module.PRESETS.values():
        found[preset.name] = differences(checkpoint, preset)
        if not found[preset.name]:
            return preset
    nearest = min(found, key=lambda name: (_kinds_apart(found[name]), len(found[name])))
    raise InputError(
        f"{checkpoint.path}: not the parameters of {', '.join(found)}; nearest is {nearest}: "
        f"{_listed(found[nearest])}; settings of another size are given by --config"
    )


def differences(checkpoint: Checkpoint, config: Config) -> list[str]:
    """Return in words how the parameters of a checkpoint differ from those that `config.network` has."""
    wanted = _shapes(config.network)
    found = []
    for name in sorted(wanted.keys() | checkpoint.tensors.keys()):
        if name not in checkpoint.tensors:
            found.append(f"{name} is missing")
        elif name not in wanted:
            found.append(f"{name} is unknown")
        elif checkpoint.tensors[name].shape != wanted[name]:
            found.append(f"{name} is {checkpoint.tensors[name].shape}, wanted {wanted[name]}")
    return found


@functools.cache
def _shapes(net: network.NetworkConfig) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a network's parameters by path."""
    return {name: leaf.shape for name, leaf in _flat(network.parameter_shapes(net)).items()}


def load(checkpoint: Checkpoint, config: Config) -> dict:
    """Return the parameter tree of a checkpoint, nested by path, in the types that are stored.

    Raises:
        InputError: the parameters are not those of `config.network`, a type is not one of `STORED_TYPES`, an array is
            damaged or missing, or has values that are not finite.
    """
    found = differences(checkpoint, config)
    if found:
        raise InputError(f"{checkpoint.path}: not the parameters of the settings: {_listed(found)}")
    kinds = ", ".join(STORED_TYPES)
    for name, tensor in checkpoint.tensors.items():
        if tensor.dtype not in STORED_TYPES:
            raise InputError(f"{checkpoint.path}: {name}: type {reason(tensor.dtype)}, wanted one of {kinds}")
    arrays = checkpoint.read()
    for name, array in arrays.items():
        if not np.isfinite(array.astype(np.float32)).all():
            raise InputError(f"{checkpoint.path}: {name}: has values that are not finite")
    return traverse_util.unflatten_dict(arrays, sep="/")


def save(folder: str | os.PathLike, params: dict, *, step: int = 0) -> None:
    """Write the parameters as a T5X checkpoint of the legacy layout, which t5x of every age restores.

    It holds no optimizer state: t5x evaluates and transcribes with it as it is, and trains on from it as
    ``gin/train.gin`` restores it.

    Args:
        folder: to make, ``checkpoint_0``; must not exist, or be empty.
        params: the parameter tree; float32, float16 or bfloat16 leaves.
        step: the step that it says it is of.

    Raises:
        InputError: the folder is there and has something in it, or cannot be written.
    """
    folder = Path(folder)
    check_new(folder)
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        temporary.mkdir(parents=True)
        target = {name: _write_zarr(temporary, name, leaf) for name, leaf in _flat(params).items()}
        optimizer = {"state": {"step": np.int32(step)}, "target": traverse_util.unflatten_dict(target, sep="/")}
        index = flax.serialization.msgpack_serialize({"version": VERSION, "optimizer": optimizer})
        (temporary / INDEX_FILE).write_bytes(index)
        os.replace(temporary, folder)
    except (OSError, ValueError) as error:  # ValueError: tensorstore's, of what it could not write
        why = getattr(error, "strerror", None) or _first_line(error)
        raise InputError(f"{folder}: cannot be written: {why}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_new(folder: Path) -> None:
    """Raise InputError unless `folder` can be made: nothing that exists is written into."""
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists():
        raise InputError(f"{folder}: exists already; name a new folder")


# --- the legacy layout ---


def _open_legacy(folder: Path) -> Checkpoint:
    """Read the msgpack index of a legacy checkpoint and the headers of its zarr folders."""
    index = folder / INDEX_FILE
    stored = _read_bytes(index)
    if stored.startswith(b"model_checkpoint_path"):
        raise InputError(f"{folder}: is a TensorFlow checkpoint; wanted one of T5X")
    try:
        contents = flax.serialization.msgpack_restore(stored)
        version, optimizer = contents["version"], contents["optimizer"]
        target, step = _flat(dict(optimizer["target"])), int(optimizer["state"]["step"])
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(f"{index}: not the index of a T5X checkpoint, or damaged: {_first_line(error)}") from error
    if version != VERSION:
        raise InputError(f"{index}: version {version} of the layout; wanted {VERSION} (T5X since June 2021)")
    tensors, inline, folders = {}, {}, {}
    for name, leaf in target.items():
        if isinstance(leaf, np.ndarray):
            inline[name] = leaf
            tensors[name] = Tensor(leaf.shape, leaf.dtype.name)
        elif _is_spec(leaf):
            folders[name] = folder / _zarr_name(name)
            tensors[name] = _read_zarr_header(folders[name])
        else:
            raise InputError(f"{index}: {name}: is a {type(leaf).__name__}, wanted an array or where one is")
    return Checkpoint(folder, step, tensors, lambda: inline | {name: _read_zarr(at) for name, at in folders.items()})


def _is_spec(value: object) -> bool:
    """Whether a node of the index says where an array is (a TensorStore specification)."""
    return isinstance(value, dict) and value.get("driver") == "zarr"


def _zarr_name(name: str) -> str:
    return "target." + name.replace("/", ".")


def _read_zarr_header(folder: Path) -> Tensor:
    """Read the shape and type of a zarr folder, and see that each of its chunks is there.

    A chunk that is not would be read as zeros; T5X writes all of them.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: is missing; was the checkpoint copied whole?")
    path = folder / ".zarray"
    try:
        header = reading.parse_json(_read_bytes(path))
        shape, chunks = tuple(map(int, header["shape"])), tuple(map(int, header["chunks"]))
        dtype = ZARR_TYPES.get(header["dtype"], str(header["dtype"]))
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise InputError(f"{path}: not the header of a zarr array: {_first_line(error)}") from error
    if len(shape) != len(chunks) or not all(1 <= part <= whole for part, whole in zip(chunks, shape, strict=True)):
        raise InputError(f"{path}: chunks {chunks} do not fit the shape {shape}")
    wanted = math.prod(-(-whole // part) for part, whole in zip(chunks, shape, strict=True))
    there = sum(1 for each in folder.iterdir() if not each.name.startswith("."))
    if there < wanted:
        raise InputError(f"{folder}: {there} of {wanted} chunks are there; was the checkpoint copied whole?")
    return Tensor(shape, dtype)


def _read_zarr(folder: Path) -> np.ndarray:
    """Read a whole zarr folder."""
    ts = _tensorstore()
    spec = {"driver": "zarr", "kvstore": {"driver": "file", "path": f"{folder.absolute()}/"}}
    try:
        return np.asarray(ts.open(spec, open=True, read=True).result().read().result())
    except ValueError as error:
        raise InputError(f"{folder}: damaged: {_first_line(error)}") from error


def _write_zarr(folder: Path, name: str, leaf: np.ndarray) -> dict:
    """Write an array as T5X does, one chunk, and return the specification of it for the index."""
    array = np.ascontiguousarray(leaf)
    metadata = {"shape": list(array.shape), "chunks": list(array.shape), "compressor": {"id": "gzip", "level": 1}}
    spec = {"driver": "zarr", "dtype": array.dtype.name, "metadata": metadata}
    at = f"{(folder / _zarr_name(name)).absolute()}/"
    options = {"kvstore": {"driver": "file", "path": at}, "store_data_equal_to_fill_value": True}
    store = _tensorstore().open({**spec, **options}, create=True, write=True).result()
    store.write(array).result()
    return {**spec, "kvstore": {"driver": "file", "path": f"{_zarr_name(name)}/"}}


# --- Orbax ---


def _open_orbax(path: Path, folder: Path) -> Checkpoint:
    """Read the metadata of an Orbax checkpoint; `folder` is where its tree is, `path` or ``state`` in it."""
    import warnings

    try:
        import orbax.checkpoint as ocp
    except ImportError as error:
        raise InputError(INSTALL) from error
    handler = ocp.PyTreeCheckpointHandler()
    failures = (ValueError, OSError, KeyError, TypeError, AttributeError)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about shardings of the machine that wrote it
            tree = handler.metadata(folder.absolute())
        tree = dict(getattr(tree, "tree", tree))
    except failures as error:
        raise InputError(f"{folder}: not an Orbax checkpoint, or damaged: {_first_line(error)}") from error
    if "target" not in tree:
        raise InputError(f"{folder}: not a T5X checkpoint: it has {_named(tree)}, wanted target")
    target = {"target": tree["target"]}

    def restore(item: dict) -> dict:
        arguments = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), item)
        args = ocp.args.PyTreeRestore(item=item, restore_args=arguments, partial_restore=True)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return handler.restore(folder.absolute(), args=args)
        except failures as error:
            raise InputError(f"{folder}: damaged: {_first_line(error)}") from error

    tensors = {
        name: Tensor(tuple(leaf.shape), np.dtype(leaf.dtype).name) for name, leaf in _flat(target["target"]).items()
    }
    step = restore({"state": {"step": tree["state"]["step"]}})["state"]["step"] if "state" in tree else 0
    return Checkpoint(path, int(step), tensors, lambda: _flat(restore(target)["target"]))


# --- words ---


def _tensorstore():
    try:
        import tensorstore
    except ImportError as error:
        raise InputError(INSTALL) from error
    return tensorstore


def _flat(tree: dict) -> dict:
    """Return a tree as {path: leaf}; where an array is counts as a leaf."""
    return traverse_util.flatten_dict(tree, is_leaf=lambda _, value: _is_spec(value), sep="/")


def _read_bytes(path: Path) -> bytes:
    return reading.read_bytes(path, reading.MOST_TEXT_BYTES)


def _first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its kind where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _listed(found: list[str]) -> str:
    more = len(found) - MAX_DIFFERENCES
    return "; ".join(found[:MAX_DIFFERENCES]) + (f"; and {more} more" if more > 0 else "")


def _kinds_apart(found: list[str]) -> int:
    """Return how many kinds of parameters, whatever their layer, one has and the other has not."""
    apart = [difference for difference in found if difference.endswith((" is missing", " is unknown"))]
    return len({re.sub(r"\d+", "N", difference) for difference in apart if "layers_" not in difference})


def _named(names: Iterable[str]) -> str:
    """Return at most eight names, in order."""
    names = sorted(map(str, names))
    return (", ".join(names[:8]) + (", ..." if len(names) > 8 else "")) or "nothing"


def _not_a_folder(path: Path) -> str:
    """Say what a path is that is not a folder."""
    if not path.exists():
        return "no such checkpoint"
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if start[:1] == b"\x80" or start == b"PK\x03\x04":  # a pickle, or the zip that torch.save makes around one
        return "pickled or zipped, as PyTorch's are: nothing is unpickled here; wanted the folder of a T5X checkpoint"
    return "a file; wanted the folder of a T5X checkpoint"


def _what_folder(path: Path) -> str:
    """Say what a folder is that is not a checkpoint."""
    inside = [each.name for each in path.iterdir()]
    if {"config.json", "model.safetensors"} <= set(inside):
        return "it is a model folder already; --to-t5x goes the other way"
    steps = [name for name in inside if name.startswith("checkpoint_") and (path / name).is_dir()]
    if steps:
        return f"it has {_named(steps)} in it: name one of these"
    return f"it has {_named(inside)} in it; wanted a file {INDEX_FILE}, or a folder state with _METADATA"
