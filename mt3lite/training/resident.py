"""Music that lies whole in a device's memory, and examples that are cut and changed there.

For an accelerator that learns from more examples a second than the processor beside it can make: nothing but a number
goes to the device for a batch. The encoder alone can learn so, as its targets are notes; tokens are made by `loader`.
What is drawn, and from which ranges, is what `examples` draws, but from another random stream; overtones above half the
sample rate, which playing faster makes, fold back here.

Axes: B batch, N notes of a track or of an example.
"""

import concurrent.futures
import dataclasses
import functools
import json
import math
import multiprocessing
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mt3lite import audio, instruments, processes, segments
from mt3lite.config import Config
from mt3lite.errors import InputError
from mt3lite.training import datasets, device_effects, examples, loader, losses

MOST_VALUES = 1 << 31  # of an array, as its places are counted in int32
_FULL_SCALE = 32768  # of int16


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Block:
    """Tracks on the device. All blocks of a dataset have the same shape."""

    samples: jax.Array  # int16 [tracks, longest], with zeros before and after
    num_samples: jax.Array  # int32 [tracks], without those zeros
    # float32 [tracks, 2, N]: onsets in seconds, ascending, and offsets; infinite where there is no note
    times: jax.Array
    notes: jax.Array  # int16 [tracks, N, 4]: pitch, family, is_drum, velocity


class Batches(Iterator[loader.Batch]):
    """Batches without end, each of one block, and where it is in them; what `loader.Batches` is for files."""

    def __init__(
        self,
        tracks: Sequence[datasets.Track],
        config: Config,
        augmentation: examples.AugmentConfig | None,
        *,
        batch_size: int,
        seed: int,
        jobs: int = 0,
    ):
        """Bring the tracks to the device.

        Args:
            tracks: to draw from, each with about the same chance.
            config: of the model that is trained.
            augmentation: None leaves the recordings as they are.
            batch_size: examples of a batch.
            seed: 0 or more.
            jobs: processes that read the notes; 0: this one does.

        Raises:
            InputError: a file cannot be read, or has another sample rate than the model.
        """
        self._blocks = load(tracks, config, augmentation, jobs)
        self._seed, self._batch_size, self._next_batch = seed, batch_size, 0
        self._cut = functools.partial(cut, batch_size=batch_size, config=config, augmentation=augmentation)

    def __next__(self) -> loader.Batch:
        block = self._blocks[int(np.random.default_rng([self._seed, self._next_batch]).integers(len(self._blocks)))]
        key = jax.random.fold_in(jax.random.key(self._seed), self._next_batch)
        samples, notes = self._cut(block, key)
        self._next_batch += 1
        return loader.Batch(samples, np.zeros((self._batch_size, 0), np.int32), notes, dropped=0)

    def close(self) -> None:
        """Let go of the music."""
        self._blocks = []

    def get_state(self) -> bytes:
        """Return where the iterator is: JSON, in UTF-8."""
        return json.dumps({**self._identity(), "next_batch": self._next_batch}).encode()

    def set_state(self, state: bytes) -> None:
        """Go on where another iterator with the same seed and batch size was; raises InputError if it was none."""
        self._next_batch = loader.next_batch(state, self._identity())

    def _identity(self) -> dict[str, int]:
        return {"seed": self._seed, "batch_size": self._batch_size, "resident": 1}


def load(
    tracks: Sequence[datasets.Track], config: Config, augmentation: examples.AugmentConfig | None, jobs: int = 0
) -> list[Block]:
    """Read tracks and bring them to the device, in blocks that int32 can count; the last is filled with the first."""
    margins, rate = _margins(config, augmentation), config.spectrogram.sample_rate
    with concurrent.futures.ThreadPoolExecutor() as threads:
        lengths = list(threads.map(functools.partial(_length, sample_rate=rate), tracks))
        longest = max(lengths) + sum(margins)
        num_blocks = -(-len(tracks) * longest // (MOST_VALUES - 1))
        size = -(-len(tracks) // num_blocks)
        of_blocks = [[(number * size + i) % len(tracks) for i in range(size)] for number in range(num_blocks)]
        reading = threads.submit(_tables, tracks, jobs)  # by processes, while threads read the sound
        sounds = []
        for chosen in of_blocks:
            samples = np.zeros((size, longest), np.int16)
            fill = functools.partial(_fill, before=margins[0], sample_rate=rate)
            list(threads.map(fill, samples, (tracks[i] for i in chosen)))
            sounds.append(jnp.asarray(samples))
        # Nothing is asked for where there is no sound.
        tables = [
            table[table["onset"] < length / rate] for table, length in zip(reading.result(), lengths, strict=True)
        ]
    most_notes = max(examples.MAX_NOTES, *map(len, tables))
    blocks = []
    for chosen, samples in zip(of_blocks, sounds, strict=True):
        times, notes = _stack([tables[i] for i in chosen], most_notes, config.codec.granularity)
        num_samples = np.array([lengths[i] for i in chosen], np.int32)
        blocks.append(Block(samples, *map(jnp.asarray, (num_samples, times, notes))))
    return blocks


def _margins(config: Config, augmentation: examples.AugmentConfig | None) -> tuple[int, int]:
    """Return how many zeros lie before and after a track, so that every crop of it is within the array."""
    start, stop = segments.sample_span(0, config.spectrogram, config.segments)
    speed = _most_speed(augmentation)
    return math.ceil(max(0, -start) * speed) + 2, math.ceil((stop - start) * speed) + 4


def _most_speed(augmentation: examples.AugmentConfig | None) -> float:
    if augmentation is None or not augmentation.shift_chance:
        return 1.0
    return 2.0 ** ((augmentation.shift_semitones + augmentation.detune_semitones) / 12)


def _length(track: datasets.Track, sample_rate: int) -> int:
    """Return the samples of a track; raises InputError unless its files can be cut as they are."""
    lengths = []
    for path in track.recordings:
        told = audio.info(path)
        if told.sample_rate != sample_rate:
            raise InputError(
                f"{path}: has {told.sample_rate} Hz; what is to lie on the device must have the {sample_rate} Hz of "
                "the model: convert it, or train without --resident"
            )
        lengths.append(round(told.duration_seconds * sample_rate))
    return max(lengths)


def _fill(row: np.ndarray, track: datasets.Track, before: int, sample_rate: int) -> None:
    """Write a track's sound into a row of zeros, int16."""
    samples = datasets.load_samples(track, sample_rate)[: len(row) - before]  # longer where a header did but estimate
    row[before : before + len(samples)] = np.clip(np.round(samples * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1)


def _tables(tracks: Sequence[datasets.Track], jobs: int) -> list[np.ndarray]:
    paths = [track.midi for track in tracks]
    if not jobs:
        return [examples.track_notes(path) for path in paths]
    context = multiprocessing.get_context("spawn")  # as this process has JAX's threads
    with concurrent.futures.ProcessPoolExecutor(jobs, context) as pool:
        with processes.born_deaf():
            told = pool.map(examples.track_notes, paths, chunksize=8)
        return list(told)


def _stack(tables: Sequence[np.ndarray], most_notes: int, granularity: str) -> tuple[np.ndarray, np.ndarray]:
    """Return notes as `Block` holds them: its `times` and `notes`."""
    times = np.full((len(tables), 2, most_notes), np.inf, np.float32)
    notes = np.zeros((len(tables), most_notes, 4), np.int16)
    for row, table in enumerate(tables):
        table = table[np.argsort(table["onset"], kind="stable")]
        times[row, :, : len(table)] = table["onset"], table["offset"]
        family = instruments.map_program(table["program"], granularity) // instruments.PROGRAMS_PER_FAMILY
        for column, values in enumerate((table["pitch"], family, table["is_drum"], table["velocity"])):
            notes[row, : len(table), column] = values
    return times, notes


@functools.partial(jax.jit, static_argnames=("batch_size", "config", "augmentation"))
def cut(
    block: Block, key: jax.Array, *, batch_size: int, config: Config, augmentation: examples.AugmentConfig | None
) -> tuple[jax.Array, jax.Array]:
    """Return random examples of a block: samples float32 [B, span], notes int32 [B, N, losses.NUM_COLUMNS]."""
    make = functools.partial(_example, block, config=config, augmentation=augmentation)
    return jax.vmap(make)(jax.random.split(key, batch_size))


def _example(
    block: Block, key: jax.Array, *, config: Config, augmentation: examples.AugmentConfig | None
) -> tuple[jax.Array, jax.Array]:
    """What `examples.make` does, without its tokens."""
    if augmentation is None:
        return _crop(block, key, config, None)
    parts_key, gains_key, change_key = jax.random.split(key, 3)
    crop = functools.partial(_crop, block, config=config, augmentation=augmentation)
    samples, notes = jax.vmap(crop)(jax.random.split(parts_key, augmentation.most_mixed))
    gains = _gains(gains_key, augmentation)
    notes = notes.at[..., losses.ONSET].set(jnp.where(gains[:, None] > 0, notes[..., losses.ONSET], losses.UNUSED))
    mixed = jnp.einsum("p,ps->s", gains, samples, precision="highest")
    changed = device_effects.augment(mixed, change_key, config.spectrogram.sample_rate, augmentation)
    return changed, notes.reshape(-1, losses.NUM_COLUMNS)


def _gains(key: jax.Array, augmentation: examples.AugmentConfig) -> jax.Array:
    """Return the factor of each part, float32 [most_mixed], 0 for those that are not heard."""
    chance_key, number_key, gain_key = jax.random.split(key, 3)
    low, high = augmentation.mix_gain_db
    gains = 10 ** (jax.random.uniform(gain_key, (augmentation.most_mixed,), minval=low, maxval=high) / 20)
    if augmentation.most_mixed < 2:
        return jnp.ones(1)
    mixed = jax.random.uniform(chance_key) < augmentation.mix_chance
    further = jnp.where(mixed, jax.random.randint(number_key, (), 1, augmentation.most_mixed), 0)
    place = jnp.arange(augmentation.most_mixed)
    return jnp.where(place == 0, 1.0, jnp.where(place <= further, gains, 0.0))


def _crop(block: Block, key: jax.Array, config: Config, augmentation: examples.AugmentConfig | None):
    """Cut a random segment out of a random track: samples float32 [span], notes int32 [MAX_NOTES, NUM_COLUMNS]."""
    track_key, place_key, shift_key = jax.random.split(key, 3)
    start, stop = segments.sample_span(0, config.spectrogram, config.segments)
    track = jax.random.randint(track_key, (), 0, len(block.num_samples))
    semitones, speed = _shift(shift_key, augmentation)
    new_samples = config.segments.num_frames * config.spectrogram.hop_samples
    room = block.num_samples[track] - jnp.ceil(new_samples * speed).astype(jnp.int32)
    at = jax.random.randint(place_key, (), 0, jnp.maximum(1, room))

    before, width = _margins(config, augmentation)
    first = jnp.floor(start * speed).astype(jnp.int32)
    raw = jax.lax.dynamic_slice(block.samples, (track, before + at + first - 1), (1, width))[0] / _FULL_SCALE
    places = 1 + (start + jnp.arange(stop - start)) * speed - first
    samples = raw[1 : 1 + stop - start] if augmentation is None else _interpolated(raw, places)

    begin_seconds = at / config.spectrogram.sample_rate
    end_seconds = begin_seconds + stop * speed / config.spectrogram.sample_rate
    onsets = block.times[track, 0]
    last = jnp.clip(jnp.searchsorted(onsets, end_seconds), examples.MAX_NOTES, onsets.shape[0])
    # No more notes than these begin or sound on in so short a time; see `examples.MAX_NOTES`.
    size = (1, 2, examples.MAX_NOTES), (1, examples.MAX_NOTES, 4)
    times = jax.lax.dynamic_slice(block.times, (track, 0, last - examples.MAX_NOTES), size[0])[0]
    notes = jax.lax.dynamic_slice(block.notes, (track, last - examples.MAX_NOTES, 0), size[1])[0]
    heard = (times[0] < end_seconds) & ((times[0] >= begin_seconds) | (times[1] > begin_seconds))
    relative = jnp.where(heard, (times - begin_seconds) / speed, 0.0)
    return samples, _table(relative, heard, notes.astype(jnp.int32), semitones, config)


def _shift(key: jax.Array, augmentation: examples.AugmentConfig | None) -> tuple[jax.Array, jax.Array]:
    """Draw by how many semitones the notes are shifted, and how much faster the recording is played."""
    if augmentation is None:
        return jnp.int32(0), jnp.float32(1.0)
    chance_key, semitones_key, detune_key = jax.random.split(key, 3)
    shifted = jax.random.uniform(chance_key) < augmentation.shift_chance
    most = augmentation.shift_semitones
    semitones = jnp.where(shifted, jax.random.randint(semitones_key, (), -most, most + 1), 0)
    detuned = jax.random.uniform(detune_key, minval=-1.0) * augmentation.detune_semitones
    return semitones, jnp.where(shifted, 2.0 ** ((semitones + detuned) / 12), 1.0)


def _interpolated(samples: jax.Array, places: jax.Array) -> jax.Array:
    """Return samples at fractional places, by the cubic through four neighbours of Catmull and Rom."""
    whole = jnp.floor(places).astype(jnp.int32)
    t = places - whole
    before, here, after, later = (samples[whole + i] for i in (-1, 0, 1, 2))
    bend = 2 * before - 5 * here + 4 * after - later
    return here + 0.5 * t * (after - before + t * (bend + t * (3 * (here - after) + later - before)))


def _table(times: jax.Array, heard: jax.Array, notes: jax.Array, semitones: jax.Array, config: Config) -> jax.Array:
    """What `examples.note_table` does, with seconds [2, N] from the segment's start and notes int32 [N, 4].

    Returns int32 [N, losses.NUM_COLUMNS].
    """
    steps_per_second = config.vocabulary.steps_per_second
    positions_per_step = (
        float(config.spectrogram.frames_per_second) / config.network.frames_per_position / steps_per_second
    )
    offset = config.segments.context_frames / config.network.frames_per_position
    steps = jnp.round(times * steps_per_second)
    onset, end = jnp.floor(steps * positions_per_step + offset + 1e-4).astype(jnp.int32)
    pitch, family, is_drum, velocity = notes.T
    columns = {
        losses.ONSET: jnp.where(heard, onset, losses.UNUSED),
        losses.OFFSET: end,
        losses.PITCH: pitch + jnp.where(is_drum > 0, 0, semitones),
        losses.FAMILY: family,
        losses.IS_DRUM: is_drum,
        losses.VELOCITY: velocity,
    }
    return jnp.stack([columns[i] for i in range(losses.NUM_COLUMNS)], axis=-1)
