"""Training, from top to bottom: batch, rate, update, record, validation, checkpoint.

A run is its folder: ``config.json`` (the model), ``train.json`` (how it is trained), ``curve.csv`` and
``validation.csv`` (a row now and then), ``tensorboard/``, ``pictures/`` and ``checkpoints/``. Started again, it goes on
from the last checkpoint with the batches that were next, and ends in the same numbers as if it had never stopped.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from mt3lite import config as config_module
from mt3lite import files, reading
from mt3lite.config import Config
from mt3lite.errors import InputError
from mt3lite.training import (
    checkpoints,
    datasets,
    examples,
    loader,
    optimizers,
    reports,
    resident,
    settings,
    sharding,
    update,
    validation,
)
from mt3lite.training.settings import TrainConfig


class Terminated(Exception):
    """The process was asked to end (SIGTERM); its state is saved; `average` holds the averaged parameters so far."""

    def __init__(self, message: str, average: dict | None = None):
        super().__init__(message)
        self.average = average


def phase_of(config: TrainConfig, progress: float) -> str:
    """Return what learns at this fraction of the run, see `TrainConfig.phases`."""
    phases = config.phases()
    ends = itertools.accumulate(share for _, share in phases)
    return next((name for (name, _), end in zip(phases, ends, strict=True) if progress < end), phases[-1][0])


def fit(
    folder: Path,
    tracks: Sequence[datasets.Track],
    config: Config,
    train: TrainConfig,
    *,
    validation_tracks: Sequence[datasets.Track] = (),
    augmentation: examples.AugmentConfig | None = None,
    initial_params: dict | None = None,
    report: Callable[[str], None] = print,
) -> dict:
    """Train, or go on training, in a folder; return the averaged parameters of the network.

    In a program of several processes (`jax.distributed`), all of them call this with the same arguments, and a folder
    that all of them see; the first one writes the records.

    Args:
        folder: of the run; made if missing.
        tracks: to train on.
        config: of the model.
        train: how.
        validation_tracks: to score every `train.evaluate_every` updates, see `validation.Validator`.
        augmentation: of the examples; None for none.
        initial_params: of the network, to fine-tune from; None starts from random ones.
        report: takes one line of progress at a time.

    Raises:
        InputError: the folder holds a run with other settings or of other tracks, the loss is not a number any more, or
            a file cannot be read or written.
        Terminated: SIGTERM came; the run is saved and goes on when it is started again.
    """
    mesh = sharding.make_mesh(train.model_devices)
    validator = validation.Validator(validation_tracks, config, train, augmentation) if train.evaluate_every else None
    with contextlib.ExitStack() as stack:
        stack.enter_context(_claimed(folder, tracks, config, train, augmentation))
        saved = stack.enter_context(checkpoints.Checkpoints(folder / "checkpoints", train.keep_checkpoints))
        batches = stack.enter_context(contextlib.closing(share_of_batches(tracks, config, train, augmentation)))
        state, notes = saved.restore(update.initial_state(config, train, mesh, initial_params), batches)
        step = int(state.step)
        clock = stack.enter_context(_Clock.running(train, notes["seconds"]))
        diary = stack.enter_context(
            reports.Diary(folder, train, step, notes["window"], report, clock.left, saved.newest)
        )

        while clock.tick(step) and clock.progress < 1:
            batch = next(batches)
            rate = optimizers.learning_rate(train, step, clock.progress)
            state, metrics = _updated(state, batch, phase_of(train, clock.progress), rate, config, train, mesh)
            step += 1
            diary.add(step, metrics, seconds=clock.seconds, learning_rate=rate, dropped=batch.dropped)
            if validator and step % train.evaluate_every == 0:
                _validate(validator, state, phase_of(train, clock.progress), diary, clock.seconds, folder)
            if clock.wants_save:
                _save(saved, state, batches, diary, clock)
        _save(saved, state, batches, diary, clock)
        average = sharding.to_host(state.average)
        if clock.terminated:
            said = f"ended by SIGTERM; step {step} is saved, and the same command goes on from there"
            raise Terminated(said, average)
        return average


def _updated(state: update.State, batch: loader.Batch, phase: str, rate: float, config, train, mesh):
    """Return the state after an update, and its metrics."""
    arrays = placed(batch, phase, mesh, config.segments.max_tokens)
    static = {"phase": phase, "config": config, "train": train.for_update(), "mesh": mesh}
    return update.train_step(state, arrays, jnp.float32(rate), **static)


def placed(batch: loader.Batch, phase: str, mesh: Mesh, max_tokens: int) -> dict[str, jax.Array]:
    """Put what a phase needs of a batch on the devices."""
    arrays = batch.arrays(phase)
    if isinstance(batch.samples, jax.Array):
        return arrays  # they are there
    if "tokens" in arrays and jax.process_count() > 1:  # whose lengths differ, and which make one array together
        arrays["tokens"] = np.pad(batch.tokens, ((0, 0), (0, max_tokens - batch.tokens.shape[1])))
    return sharding.place_batch(arrays, mesh)


def _validate(
    validator: validation.Validator, state: update.State, phase: str, diary: reports.Diary, seconds: float, folder: Path
) -> None:
    """Score the averaged weights on the validation tracks; the first process does, the others wait for it."""
    diary.pause()
    averaged = sharding.to_host({**state.params, "network": state.average})
    if jax.process_index() == 0:
        step = int(state.step)
        scores, picture = validator(averaged, phase, folder / "pictures" / f"step-{step:08d}.png")
        diary.validation(step, seconds, scores, picture)


def _save(saved: checkpoints.Checkpoints, state: update.State, batches, diary: reports.Diary, clock: "_Clock") -> None:
    """Begin to save a state, unless it holds numbers that are none."""
    window = diary.pause()
    step = int(state.step)
    if not update.all_finite(state):
        raise InputError(f"a parameter is no number any more after step {step}; {saved.newest()}")
    saved.save(step, state, batches, {"seconds": clock.seconds, "window": window})
    clock.saved()


def share_of_batches(
    tracks: Sequence[datasets.Track],
    config: Config,
    train: TrainConfig,
    augmentation: examples.AugmentConfig | None,
) -> loader.Batches | resident.Batches:
    """Return this process's share of the batches."""
    processes = jax.process_count()
    if train.resident:
        if jax.device_count() > 1:
            raise InputError(f"resident: the music can lie on one device, and there are {jax.device_count()}")
        return resident.Batches(
            tracks, config, augmentation, batch_size=train.batch_size, seed=train.seed, jobs=train.workers
        )
    if train.batch_size % processes:
        raise InputError(f"a batch of {train.batch_size} examples cannot be shared out among {processes} processes")
    return loader.batches(
        tracks,
        config,
        augmentation,
        batch_size=train.batch_size // processes,
        seed=train.seed,
        shard=loader.Shard(jax.process_index(), processes),
        workers=train.workers,
    )


@contextlib.contextmanager
def _claimed(folder: Path, tracks, config: Config, train: TrainConfig, augmentation) -> Iterator[None]:
    """Make the folder of a run, or see that it is one of this run, and keep other processes out of it for the block."""
    files.make_folder(folder)
    # Two runs in one folder would spoil each other's records.
    with files.held(folder) if jax.process_index() == 0 else contextlib.nullcontext():
        names = json.dumps([track.id for track in tracks])
        told = {
            **dataclasses.asdict(train),
            "augmentation": augmentation and dataclasses.asdict(augmentation),
            "tracks": f"{len(tracks)}, {hashlib.sha256(names.encode()).hexdigest()[:12]} of their ids",
        }
        _check_same_run(folder / "config.json", config_module.to_json(config))
        _check_same_run(folder / "train.json", json.dumps(told, indent=2), settings.FREE)
        yield


def _check_same_run(path: Path, text: str, free: Sequence[str] = ()) -> None:
    """Keep settings beside the run; refuse to go on with others than it was begun with, but for those that are free."""
    if path.exists():
        try:
            before, now = reading.parse_json(reading.read_text(path, reading.MOST_SETTINGS_BYTES)), json.loads(text)
        except InputError as error:
            raise InputError(f"{path}: cannot be gone on from: {str(error).removeprefix(f'{path}: ')}") from error
        if not isinstance(before, dict):
            raise InputError(f"{path}: cannot be gone on from: it holds no settings")
        # A setting that is younger than the run is not held against it.
        different = [key for key, value in before.items() if value != now.get(key) and key not in free]
        if different:
            raise InputError(
                f"{path}: this run was begun with other settings ({', '.join(different)}); choose another folder or go "
                "on with those"
            )
    with files.atomic_path(path) as temporary:
        temporary.write_text(text)


class _Clock:
    """What depends on the time: progress of a run that is told its minutes, checkpoints, the wish to end.

    Several processes have to agree on it; they do so every few updates, as it makes them wait for each other.
    """

    def __init__(self, train: TrainConfig, seconds_before: float):
        self._train, self._before, self._start = train, seconds_before, time.monotonic()
        self._last_save = self._start
        self._asked_to_end = False
        self.progress = 0.0  # 0 to 1
        self.wants_save = self.terminated = False

    @classmethod
    @contextlib.contextmanager
    def running(cls, train: TrainConfig, seconds_before: float) -> "Iterator[_Clock]":
        """Make one that hears SIGTERM within the block."""
        clock = cls(train, seconds_before)
        if threading.current_thread() is not threading.main_thread():  # which alone may listen
            yield clock
            return
        before = signal.signal(signal.SIGTERM, lambda *_: setattr(clock, "_asked_to_end", True))
        try:
            yield clock
        finally:
            signal.signal(signal.SIGTERM, before)

    @property
    def seconds(self) -> float:
        """That the run has taken, with its earlier processes."""
        return self._before + time.monotonic() - self._start

    def saved(self) -> None:
        """A checkpoint was made."""
        self._last_save = time.monotonic()

    def tick(self, step: int) -> bool:
        """Look at the clock before the next update; return whether to make it."""
        if jax.process_count() == 1 or step % self._train.log_every == 0:
            due = time.monotonic() - self._last_save >= 60 * self._train.checkpoint_minutes
            seconds, due, end = sharding.largest([self.seconds, float(due), float(self._asked_to_end)])
            self.wants_save, self.terminated = bool(due), bool(end)
            if self._train.minutes:
                self.progress = seconds / (60 * self._train.minutes)
        else:
            self.wants_save = False
        if not self._train.minutes:
            self.progress = step / self._train.num_steps
        return not self.terminated

    def left(self, step: int, speed: float) -> float:
        """Return the seconds to the end of the run, at `speed` updates a second."""
        if self._train.minutes:
            return max(0.0, 60 * self._train.minutes - self.seconds)
        return (self._train.num_steps - step) / speed
