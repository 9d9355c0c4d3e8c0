"""``mt3lite train``: a dataset folder to a model folder."""

import argparse
import dataclasses
from pathlib import Path

import jax
import numpy as np

from mt3lite import config, weights
from mt3lite.commands import compilation
from mt3lite.errors import InputError
from mt3lite.training import checks, datasets, examples, forecast, growing, importers, trainer
from mt3lite.training.settings import TrainConfig

TERMINATED = 143  # 128 + SIGTERM, as shells count
# The ancestor's settings of that optimizer, whose updates are clipped and scaled by itself.
ADAFACTOR = {"optimizer": "adafactor", "learning_rate": 1e-3, "weight_decay": 0.0, "max_gradient_norm": 0.0}


def run(arguments: argparse.Namespace) -> int:
    """Train, or go on training, and write the averaged weights to ``model/`` in the run's folder; return the exit code.

    A run that SIGTERM ends leaves a model, too, of what it has learnt so far.

    Raises:
        InputError: a bad dataset or model folder, a run with other settings in the folder, a loss that is no number.
    """
    _make_devices(arguments)
    compilation.use_cache()
    model = weights.load(arguments.init_from) if arguments.init_from else None
    settings, fields, augmentation = _settings(arguments, model)
    initial_params = _initial_params(model, settings, arguments)
    train = _train_config(arguments, fields)
    manifest = _manifest(arguments, holding_out=train.evaluate_every > 0)
    checks.require(manifest, split=arguments.split, sample_rate=settings.spectrogram.sample_rate)
    dataset = datasets.read_manifest(manifest)
    tracks = datasets.of_split(dataset, arguments.split)
    if arguments.no_augmentation:
        augmentation = None
    if arguments.dry_run:
        print(forecast.table(forecast.forecast(tracks, settings, train, augmentation)))
        return 0
    if jax.process_index() == 0:
        print(f"{settings.name} learns from {len(tracks)} tracks; compiling comes first and takes a while", flush=True)
    code = 0
    try:
        params = trainer.fit(
            arguments.workdir,
            tracks,
            settings,
            train,
            validation_tracks=_validation_tracks(dataset, manifest) if train.evaluate_every else (),
            augmentation=augmentation,
            initial_params=initial_params,
            report=lambda line: print(line, flush=True),
        )
    except trainer.Terminated as ended:
        print(ended)
        params, code = ended.average, TERMINATED
    if params is not None and jax.process_index() == 0:
        folder = arguments.workdir / "model"
        half = jax.tree.map(lambda array: array.astype(np.float16), params)  # half the file, the same notes
        weights.save(folder, settings, half, origin=arguments.origin, license=arguments.license)
        print(f"model: {folder}")
    return code


def _manifest(arguments: argparse.Namespace, *, holding_out: bool) -> Path:
    """Return the dataset to read; for a folder of pairs without a manifest, one that is made in the run's folder.

    All pairs are for training then, or a share of them for validation and test.
    """
    if not arguments.data.is_dir() or datasets.manifest_path(arguments.data).exists():
        return arguments.data
    if arguments.workdir is None or arguments.coordinator:
        raise InputError(f"{arguments.data}: has no manifest; make one: mt3lite data import folder {arguments.data}")
    made = arguments.workdir / "dataset"
    if not datasets.manifest_path(made).exists():
        imported = importers.run("folder", arguments.data, made, split=None if holding_out else arguments.split)
        print(imported.report.table())
    return made


def _make_devices(arguments: argparse.Namespace) -> None:
    """Settle what JAX will find when it first looks for its devices: parts of the processor, other processes."""
    number = arguments.cpu_devices
    if number:
        try:
            jax.config.update("jax_num_cpu_devices", number)
        except RuntimeError as error:
            raise InputError(f"--cpu-devices {number}: JAX has its devices already in this process") from error
    _join_processes(arguments)
    if number and jax.default_backend() != "cpu":
        raise InputError(f"--cpu-devices {number}: this run would not be on the CPU but on {jax.devices()[0]}")


def _validation_tracks(dataset: list[datasets.Track], manifest: Path) -> list[datasets.Track]:
    """Return what is transcribed and scored while the model learns."""
    held_out = [track for track in dataset if track.split == "validation"]
    if not held_out:
        raise InputError(
            f"{datasets.manifest_path(manifest)}: --evaluate-every needs tracks of the split 'validation', and there "
            "are none; give some tracks that split in the manifest"
        )
    return held_out


def _join_processes(arguments: argparse.Namespace) -> None:
    """Meet the other processes, where there are any."""
    if arguments.coordinator is None:
        return
    try:
        jax.distributed.initialize(arguments.coordinator, arguments.processes, arguments.process)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"--coordinator {arguments.coordinator}: the processes cannot meet: {reason}") from error


def _settings(
    arguments: argparse.Namespace, model: weights.Model | None
) -> tuple[config.Config, dict, examples.AugmentConfig | None]:
    """Return those of the model, the fields of `TrainConfig` that are not to have their defaults, the augmentation."""
    # A trained model listens and reads already.
    fields = {"listening_fraction": 0.0, "reading_fraction": 0.0} if model else {}
    if arguments.gin_file or arguments.gin_binding:
        from mt3lite.adapters import gin_config

        told = gin_config.read(arguments.gin_file, arguments.gin_binding)
        return told.model, fields | told.train, told.augmentation
    if model and not arguments.preset:
        return model.config, fields, examples.AugmentConfig()
    return config.preset(arguments.preset or "small"), fields, examples.AugmentConfig()


def _initial_params(model: weights.Model | None, settings: config.Config, arguments: argparse.Namespace) -> dict | None:
    """Return the weights to go on from, those of a smaller model made to fit."""
    if model is None:
        return None
    if dataclasses.replace(settings, name="") == dataclasses.replace(model.config, name=""):
        return model.params
    try:
        return growing.grow(model.params, model.config, settings, arguments.seed or 0)
    except InputError as error:
        told_by = ", ".join([*arguments.gin_file, *arguments.gin_binding]) or f"--preset {arguments.preset}"
        raise InputError(
            f"{told_by}: the model's settings are not those of {arguments.init_from}, nor of a larger one: {error}"
        ) from error


def _train_config(arguments: argparse.Namespace, fields: dict) -> TrainConfig:
    """Return the settings that the options say, the others as `fields` or the defaults have them."""
    given = {
        "num_steps": arguments.steps,
        "minutes": arguments.minutes,
        "batch_size": arguments.batch_size,
        "accumulate": arguments.accumulate,
        "rematerialise": arguments.rematerialise,
        "dtype": arguments.dtype,
        "schedule": arguments.schedule,
        "learning_rate": arguments.learning_rate,
        "warmup_steps": arguments.warmup_steps,
        "listening_fraction": arguments.listening,
        "reading_fraction": arguments.reading,
        "freeze_encoder": arguments.freeze_encoder,
        "model_devices": arguments.model_devices,
        "seed": arguments.seed,
        "log_every": arguments.log_every,
        "checkpoint_minutes": arguments.checkpoint_minutes,
        "keep_checkpoints": arguments.keep_checkpoints,
        "evaluate_every": arguments.evaluate_every,
        "evaluate_tracks": arguments.evaluate_tracks,
        "workers": arguments.workers,
        "resident": arguments.resident,
    }
    if arguments.optimizer == "adafactor":
        fields = fields | ADAFACTOR
    elif arguments.optimizer is not None:
        fields = fields | {"optimizer": arguments.optimizer}
    return TrainConfig(**fields | {name: value for name, value in given.items() if value is not None})
