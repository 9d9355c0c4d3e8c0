"""gin files to the frozen settings: one set of files for ``mt3lite train`` and for t5x.

A file changes fields of a preset and of the training settings. Nothing else holds settings, so a value cannot be set in
two places::

    from __gin__ import dynamic_registration
    from mt3lite.adapters import gin_config
    include 'gin/base.gin'

    PRESET = 'small'
    gin_config.network.dropout_rate = 0.1
    gin_config.train.batch_size = 64
    gin_config.augmentation.mix_chance = 0.4

The functions below are what such a file names. ``gin/base.gin`` ties them together.
"""

import dataclasses
import functools
import json
from collections.abc import Sequence
from pathlib import Path

import mt3lite
from mt3lite import config as config_module
from mt3lite.config import Config
from mt3lite.errors import InputError
from mt3lite.training.examples import AugmentConfig

try:
    import gin
except ImportError as error:
    raise InputError("gin files need gin-config: pip install 'mt3lite[train]'") from error


@gin.register
def spectrogram(**fields) -> dict:
    """Fields of `SpectrogramConfig` that differ from the preset's."""
    return fields


@gin.register
def segments(**fields) -> dict:
    """Fields of `SegmentConfig` that differ from the preset's."""
    return fields


@gin.register
def vocabulary(**fields) -> dict:
    """Fields of `VocabularyConfig` that differ from the preset's."""
    return fields


@gin.register
def codec(**fields) -> dict:
    """Fields of `CodecConfig` that differ from the preset's."""
    return fields


@gin.register
def network(**fields) -> dict:
    """Fields of `NetworkConfig` that differ from the preset's."""
    return fields


@gin.register
def train(**fields) -> dict:
    """Fields of `TrainConfig` that differ from its defaults."""
    return fields


@gin.register
def augmentation(**fields) -> AugmentConfig:
    """Return how training's examples stray from the recordings; the fields are those that differ from the defaults."""
    values = dataclasses.asdict(AugmentConfig()) | fields
    return config_module.read_dataclass(AugmentConfig, json.loads(json.dumps(values)), "augmentation")


@gin.register
def examples(augmentation: AugmentConfig | None) -> AugmentConfig | None:
    """Return it, or None where the recordings are left as they are."""
    return augmentation


@gin.register
def model(preset: str, name: str | None = None, **sections: dict) -> Config:
    """Return a preset with the changes of each section; raises InputError as `config.changed` does."""
    return config_module.changed(config_module.preset(preset), name=name, **sections)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What gin files say."""

    model: Config
    train: dict  # fields of TrainConfig that are not left at their defaults
    augmentation: AugmentConfig | None


def read(files: Sequence[str | Path], bindings: Sequence[str] = ()) -> Settings:
    """Read gin files, and ``NAME=VALUE`` bindings that come after them.

    A file is looked for in the working folder, then where mt3lite is installed, so that ``gin/small.gin`` is found from
    anywhere. What was read before is forgotten.

    Raises:
        InputError: a file is missing or malformed, a name in it is unknown, or the settings are refused.
    """
    if not files:
        raise InputError("--gin.NAME=VALUE changes what a gin file says; give one by --gin_file")
    found = [_find(Path(file)) for file in files]
    gin.clear_config()
    _extend_search_path()
    try:
        gin.parse_config_files_and_bindings(found, [], finalize_config=False)
        _check_macros(bindings)
        gin.parse_config_files_and_bindings([], list(bindings))
        return Settings(*(gin.get_configurable(each)() for each in (model, train, examples)))
    except (OSError, SyntaxError, NameError, AttributeError, ImportError, ValueError, TypeError, RuntimeError) as error:
        raise InputError(f"{', '.join(map(str, files))}: {_one_line(error)}") from error
    finally:
        gin.clear_config()


def _find(file: Path) -> str:
    """Return where a gin file is."""
    for folder in map(Path, ("", *search_path())):
        if (folder / file).is_file():
            return str(folder / file)
    raise InputError(f"{file}: no such gin file, neither here nor in {' or '.join(search_path())}")


def _check_macros(bindings: Sequence[str]) -> None:
    """Refuse NAME=VALUE where no file speaks of NAME: gin would take it for a new name and nothing would change."""
    for binding in bindings:
        name = binding.partition("=")[0].strip()
        if name.isidentifier():
            try:
                gin.query_parameter(f"{name}/macro.value")
            except ValueError as error:
                raise InputError(f"{name}: the gin files have no such name") from error


def search_path() -> list[str]:
    """Return the folders in which ``gin/...`` is looked for after the working folder."""
    package = Path(mt3lite.__file__).parent
    return [str(folder) for folder in (package, package.parent) if (folder / "gin" / "base.gin").is_file()]


def _one_line(error: BaseException) -> str:
    """Return an error's text without gin's line breaks and repetitions."""
    text = str(error).partition("\n  In call to configurable")[0]
    return " ".join(text.split())[:500] or type(error).__name__


@functools.cache
def _extend_search_path() -> None:
    """Let gin look for included files there, too; once, as it keeps what it is told."""
    for folder in search_path():
        gin.add_config_file_search_path(folder)
