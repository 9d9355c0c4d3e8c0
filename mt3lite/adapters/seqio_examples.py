"""Dataset folders as seqio sources, and the steps from them to what a network is trained and judged on.

Training: `RowSource` names places in the endless row of examples of a seed, and `make_examples` has
`training.examples.at` make the example of each place; Grain's loader calls the same function. Judging: `PieceSource`
names whole recordings, `read_pieces` reads them and `cut_segments` cuts them into consecutive segments.

In the lists of preprocessors seqio's cache comes behind `make_examples` and `read_pieces`, so a cache holds sound and
not the several times larger spectrograms.
"""

import dataclasses
import functools
import math
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence

import note_seq
import numpy as np
import seqio
import soxr
import tensorflow as tf

from mt3lite import audio, codec, notes, segments
from mt3lite.adapters import tfds_builder
from mt3lite.config import Config
from mt3lite.errors import InputError
from mt3lite.training import datasets, examples
from mt3lite.vocabulary import Vocabulary

TracksOf = Callable[[str], Sequence[datasets.Track]]  # the tracks of a split; raises InputError where there are none

MOST_SHARDS = 64  # into which a split is divided for seqio's cache; as many jobs can work on it


class RowSource(seqio.DataSource):
    """Places in the endless row of examples of a seed: {"index", "seed": int64, "split": string}.

    Unshuffled they are 0, 1, 2, ... up to as many as the split has segments, so that the examples are those of
    `loader.example_dataset`, and with shards of a `loader.Shard`. Shuffled they are as many places anywhere in the
    row, others each time the dataset is repeated. Without a seed one is drawn.
    """

    def __init__(self, tracks_of: TracksOf, splits: Sequence[str], config: Config):
        self._tracks_of, self._config = tracks_of, config
        super().__init__(splits=splits, performs_internal_shuffling=True)

    @property
    def supports_arbitrary_sharding(self) -> bool:
        """Any number of shards can be had."""
        return True

    def list_shards(self, split: str) -> list[str]:
        """Return names of the shards that a cache is made of."""
        return [f"{split}-{index}" for index in range(min(self.num_places(split), MOST_SHARDS))]

    def num_places(self, split: str) -> int:
        """Return how many segments the recordings of a split have: what an epoch is.

        It is not `num_input_examples`: what that tells few of, seqio keeps in memory and repeats.
        """
        segment_seconds = self._config.segments.num_frames / self._config.spectrogram.frames_per_second
        return math.ceil(_total_seconds(self._tracks_of(split)) / segment_seconds)

    def get_dataset(
        self,
        split: str = "train",
        shuffle: bool = True,
        seed: int | None = None,
        shard_info: seqio.ShardInfo | None = None,
        **_,
    ) -> tf.data.Dataset:
        """Return the places; raises ``InputError`` for a split without tracks."""
        shard = shard_info or seqio.ShardInfo(0, 1)
        seed = secrets.randbits(31) if seed is None else int(seed) % 2**63
        numbers = range(shard.index, self.num_places(split), shard.num_shards)
        if shuffle:
            shard_seed = int(np.random.SeedSequence([seed, shard.index]).generate_state(1)[0])
            places = tf.data.Dataset.random(seed=shard_seed, rerandomize_each_iteration=True).take(len(numbers))
        else:
            places = tf.data.Dataset.range(numbers.start, numbers.stop, numbers.step)
        constants = {"seed": tf.constant(seed, tf.int64), "split": tf.constant(split)}
        return places.map(lambda index: {"index": index, **constants})


class RowTask(seqio.Task):
    """A task over a `RowSource`, whose number of examples counts for mixing rates."""

    def num_input_examples(self, split: str) -> int:
        """Return how many segments the recordings of a split have."""
        return self.source.num_places(split)


class PieceSource(seqio.DataSource):
    """Whole recordings, named: {"id", "split": string}."""

    def __init__(self, tracks_of: TracksOf, splits: Sequence[str]):
        self._tracks_of = tracks_of
        super().__init__(splits=splits)

    @property
    def supports_arbitrary_sharding(self) -> bool:
        """Any number of shards can be had."""
        return True

    def list_shards(self, split: str) -> list[str]:
        """Return names of the shards that a cache is made of."""
        return [f"{split}-{index}" for index in range(min(self.num_input_examples(split), MOST_SHARDS))]

    def num_input_examples(self, split: str) -> int:
        """Return how many recordings a split has."""
        return len(self._tracks_of(split))

    def get_dataset(
        self,
        split: str = "eval",
        shuffle: bool = True,
        seed: int | None = None,
        shard_info: seqio.ShardInfo | None = None,
        **_,
    ) -> tf.data.Dataset:
        """Return the recordings; raises ``InputError`` for a split without tracks."""
        tracks = list(self._tracks_of(split))
        if shard_info:
            tracks = tracks[shard_info.index :: shard_info.num_shards]
        if shuffle:
            np.random.default_rng(seed).shuffle(tracks)
        names = tf.data.Dataset.from_tensor_slices(tf.constant([track.id for track in tracks], tf.string))
        return names.map(lambda name: {"id": name, "split": tf.constant(split)})


def _total_seconds(tracks: Sequence[datasets.Track]) -> float:
    if isinstance(tracks, tfds_builder.PreparedTracks):  # to look at each of them would unpack it
        return tracks.total_seconds
    return sum(map(_seconds, tracks))


def _seconds(track: datasets.Track) -> float:
    if track.duration_seconds is not None:
        return track.duration_seconds
    return max(audio.info(path).duration_seconds for path in track.recordings)


def check_lengths(
    dataset: tf.data.Dataset, config: Config, sequence_length: Mapping[str, int] | None = None
) -> tf.data.Dataset:
    """Return the dataset as it is.

    Raises:
        InputError: the lengths asked for are not those of the config; seqio would cut inputs and targets in silence.
    """
    wanted = sequence_length or {}
    frames, tokens = config.segments.input_frames, config.segments.max_tokens
    if wanted.get("inputs") not in (None, frames) or (wanted.get("targets") or tokens) < tokens:
        raise InputError(
            f"sequence_length {dict(wanted)}: a segment of config {config.name!r} has {frames} frames as inputs and up "
            f"to {tokens} tokens as targets; for other lengths register the manifest with another config"
        )
    return dataset


# --- training ---


def make_examples(
    dataset: tf.data.Dataset, tracks_of: TracksOf, config: Config, augmentation: examples.AugmentConfig | None
) -> tf.data.Dataset:
    """Places in the row -> examples.

    Args:
        dataset: of a `RowSource`.
        tracks_of: the tracks that the examples are drawn from.
        config: of the model that is trained.
        augmentation: of the split "train"; other splits have none.

    Returns:
        {"index", "seed": int64, "samples": float32 [span], "targets": int32 [num_tokens], "dropped": int64}, the last
        one how many examples were drawn in vain before, their targets being too long.
    """

    def make(index: np.ndarray, seed: np.ndarray, split: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        changes = augmentation if split == b"train" else None
        example = examples.at(int(index), tracks_of(split.decode()), config, changes, seed=int(seed))
        return example.samples, example.tokens, np.int64(example.dropped)

    start, stop = segments.sample_span(0, config.spectrogram, config.segments)

    def tensors(place: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        arguments = [place["index"], place["seed"], place["split"]]
        samples, targets, dropped = tf.numpy_function(make, arguments, (tf.float32, tf.int32, tf.int64), stateful=False)
        return {
            "index": place["index"],
            "seed": place["seed"],
            "samples": tf.ensure_shape(samples, [stop - start]),
            "targets": tf.ensure_shape(targets, [None]),
            "dropped": tf.ensure_shape(dropped, []),
        }

    return dataset.map(tensors, num_parallel_calls=tf.data.AUTOTUNE)


def add_inputs(dataset: tf.data.Dataset, config: Config) -> tf.data.Dataset:
    """Put ``inputs``, float32 [input_frames, num_bins], in the place of ``samples``."""

    def compute(samples: np.ndarray) -> np.ndarray:
        return segments.compute_frames(samples, config.spectrogram, config.segments)

    def tensors(example: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        frames = tf.numpy_function(compute, [example["samples"]], tf.float32, stateful=False)
        shape = [config.segments.input_frames, config.spectrogram.num_bins]
        others = {key: value for key, value in example.items() if key != "samples"}
        return others | {"inputs": tf.ensure_shape(frames, shape)}

    return dataset.map(tensors, num_parallel_calls=tf.data.AUTOTUNE)


# --- judging ---


def read_pieces(dataset: tf.data.Dataset, tracks_of: TracksOf, config: Config) -> tf.data.Dataset:
    """Recordings of a `PieceSource` -> {"id": string, "samples": float32 [n], "sequence": string}.

    ``sequence`` is a serialized NoteSequence of the MIDI file's notes, with the sustain pedal applied unless the config
    tells onsets only.
    """

    def read(name: bytes, split: bytes) -> tuple[np.ndarray, bytes]:
        (track,) = (track for track in tracks_of(split.decode()) if track.id == name.decode())
        played = notes.read_midi(track.midi, sustain=config.codec.events != "onsets")
        samples = datasets.load_samples(track, config.spectrogram.sample_rate)
        return samples, notes.to_note_sequence(played).SerializeToString()

    return dataset.map(functools.partial(_read_piece, read=read, keys=("id", "split")))


def decode_records(dataset: tf.data.Dataset, config: Config) -> tf.data.Dataset:
    """Records of `tfds_builder` -> pieces as `read_pieces` gives them."""

    def read(sound: bytes, sequence: bytes) -> tuple[np.ndarray, bytes]:
        samples, sample_rate = tfds_builder.decode_audio(sound)
        if sample_rate != config.spectrogram.sample_rate:
            samples = soxr.resample(samples, sample_rate, config.spectrogram.sample_rate, quality="HQ")
        recorded = note_seq.NoteSequence.FromString(sequence)
        played = notes.sort(notes.from_note_sequence(recorded, sustain=config.codec.events != "onsets"))
        return samples, notes.to_note_sequence(played).SerializeToString()

    return dataset.map(functools.partial(_read_piece, read=read, keys=("audio", "sequence")))


def _read_piece(record: Mapping[str, tf.Tensor], *, read: Callable, keys: Sequence[str]) -> dict[str, tf.Tensor]:
    """Have `read` make samples and sequence of what a record has under the keys."""
    arguments = [record[key] for key in keys]
    samples, sequence = tf.numpy_function(read, arguments, (tf.float32, tf.string), stateful=False)
    return {
        "id": record["id"],
        "samples": tf.ensure_shape(samples, [None]),
        "sequence": tf.ensure_shape(sequence, []),
    }


def cut_segments(dataset: tf.data.Dataset, config: Config) -> tf.data.Dataset:
    """Pieces -> their consecutive segments.

    Returns:
        {"id": string, "first_frame": int64, "inputs": float32 [input_frames, num_bins], "targets": int32 [num_tokens],
        "sequence": string}; ``sequence`` is the piece's at its first segment, and empty at the others.
    """
    signature = {
        "first_frame": tf.TensorSpec([], tf.int64),
        "inputs": tf.TensorSpec([config.segments.input_frames, config.spectrogram.num_bins], tf.float32),
        "targets": tf.TensorSpec([None], tf.int32),
        "sequence": tf.TensorSpec([], tf.string),
    }

    def of_piece(piece: Mapping[str, tf.Tensor]) -> tf.data.Dataset:
        cut = tf.data.Dataset.from_generator(
            functools.partial(piece_segments, config=config),
            args=[piece["samples"], piece["sequence"]],
            output_signature=signature,
        )
        return cut.map(lambda segment: {"id": piece["id"], **segment})

    return dataset.flat_map(of_piece)


def piece_segments(samples: np.ndarray, sequence: bytes, config: Config) -> Iterator[dict]:
    """Yield the consecutive segments of a piece, as `cut_segments` has them without the id."""
    played = notes.from_note_sequence(note_seq.NoteSequence.FromString(sequence), sustain=False)
    cut = segments.iter_segments([samples], config.spectrogram, config.segments, batch_segments=16)
    targets = piece_targets(played, len(samples), config)
    for batch in cut:
        for inputs, first_frame in zip(batch.frames, batch.first_frame, strict=True):
            number = int(first_frame) // config.segments.num_frames
            yield {
                "first_frame": first_frame,
                "inputs": inputs,
                "targets": targets[number],
                "sequence": b"" if number else sequence,
            }


def piece_targets(played: np.ndarray, num_samples: int, config: Config) -> list[np.ndarray]:
    """Return the targets of a piece's consecutive segments: `codec.encode_piece`, also for a piece without notes."""
    # Compatibility "mt3" refuses a piece without notes; but its scores still count what is heard there.
    codec_config = config.codec if len(played) else dataclasses.replace(config.codec, compatibility="none")
    return codec.encode_piece(
        played,
        segments.num_recording_frames(num_samples, config.spectrogram, config.segments),
        config.segments.num_frames,
        frames_per_second=config.spectrogram.frames_per_second,
        vocabulary=Vocabulary(config.vocabulary),
        config=codec_config,
    )
