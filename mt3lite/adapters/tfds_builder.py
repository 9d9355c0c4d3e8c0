"""A manifest as a TensorFlow dataset: prepared once, then shared as one folder that needs neither the manifest nor us.

`prepare` writes one record a recording, into ArrayRecord files, which can be read at any place, or into TFRecord files,
which other tools know and seqio's ``TfdsDataSource`` reads. Of ArrayRecord files `PreparedTracks` makes a sequence of
tracks like any other, for training by Grain and by seqio. It unpacks a recording to files when that is first drawn,
since a crop reads part of a file and not all of a record.

A record: ``id``; ``audio``, a mono FLAC or WAV file that holds the samples exactly, 16 or 24 bits or float as they need
it; ``midi``, the MIDI file; ``sequence``, a serialized NoteSequence of it, its sustain pedal not applied;
``duration_seconds``, ``license``, ``source``. Stems are not kept.
"""

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import note_seq
import numpy as np
import soundfile
import tensorflow_datasets as tfds

from mt3lite import files, notes
from mt3lite.errors import InputError
from mt3lite.training import datasets

VERSION = "1.0.0"
FILE_FORMATS = ("array_record", "tfrecord")
SUFFIXES = {"FLAC": ".flac", "WAV": ".wav"}


class ManifestBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Writes the recordings of a manifest as a TensorFlow dataset; `prepare` makes and runs one."""

    VERSION = tfds.core.Version(VERSION)

    def __init__(
        self, manifest: str | os.PathLike, *, name: str, data_dir: str | os.PathLike, sample_rate: int, file_format: str
    ):
        self.name = name
        self._tracks = datasets.read_manifest(manifest)
        self._sample_rate = sample_rate
        super().__init__(data_dir=data_dir, file_format=file_format)

    def _info(self) -> tfds.core.DatasetInfo:
        text, binary = tfds.features.Text(), tfds.features.Tensor(shape=(), dtype=np.object_)
        features = {key: text for key in ("id", "license", "source")}
        features |= {key: binary for key in ("audio", "midi", "sequence")}
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"Recordings of {self._sample_rate} Hz with their notes, for music transcription.",
            features=tfds.features.FeaturesDict({**features, "duration_seconds": np.float64}),
            metadata=tfds.core.MetadataDict(sample_rate=self._sample_rate, seconds={}),
        )

    def _split_generators(self, dl_manager) -> dict[str, Iterator]:
        splits = [split for split in datasets.SPLITS if any(track.split == split for track in self._tracks)]
        return {split: self._generate_examples(split) for split in splits}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict]]:
        seconds = 0.0
        for track in datasets.of_split(self._tracks, split):
            record = make_record(track, self._sample_rate)
            seconds += record["duration_seconds"]
            self.info.metadata["seconds"][split] = seconds
            yield track.id, record


def make_record(track: datasets.Track, sample_rate: int) -> dict:
    """Return the record of a recording, its sound at `sample_rate`.

    Raises:
        InputError: a file of it cannot be read.
    """
    samples = datasets.load_samples(track, sample_rate)
    notes.read_midi(track.midi)  # refuses what is no MIDI file
    return {
        "id": track.id,
        "audio": encode_audio(samples, sample_rate),
        "midi": track.midi.read_bytes(),
        "sequence": note_seq.midi_file_to_note_sequence(str(track.midi)).SerializeToString(),
        "duration_seconds": len(samples) / sample_rate,
        "license": track.license,
        "source": track.source,
    }


def prepare(
    manifest: str | os.PathLike,
    data_dir: str | os.PathLike,
    *,
    name: str,
    sample_rate: int = 16000,
    file_format: str = "array_record",
) -> Path:
    """Write the recordings of a manifest as the TensorFlow dataset data_dir/name/VERSION, whole or not at all.

    Args:
        manifest: the manifest or its folder.
        data_dir: the folder of TensorFlow datasets.
        name: lower-case letters, digits and underscores.
        sample_rate: of the sound written, Hz.
        file_format: "array_record", or "tfrecord".

    Returns:
        The dataset's folder.

    Raises:
        InputError: the manifest or a file of it cannot be read, or there is a dataset of that name already.
    """
    if not (name.isascii() and name.isidentifier() and name == name.lower()):
        raise InputError(f"{name!r}: a TensorFlow dataset's name has lower-case letters, digits and underscores")
    if file_format not in FILE_FORMATS:
        raise InputError(f"unknown file_format {file_format!r}; choose one of: {', '.join(FILE_FORMATS)}")
    builder = ManifestBuilder(manifest, name=name, data_dir=data_dir, sample_rate=sample_rate, file_format=file_format)
    if builder.is_prepared():
        raise InputError(f"{builder.data_dir}: there is a dataset already; delete it or take another name")
    builder.download_and_prepare()
    return Path(builder.data_dir)


def encode_audio(samples: np.ndarray, sample_rate: int) -> bytes:
    """Return a file with exactly these samples, float32 [n]: FLAC of 16 or 24 bits if they fit in, else a float WAV."""
    file_format, subtype = "WAV", "FLOAT"
    for bits in (24, 16):
        scaled = samples.astype(np.float64) * 2 ** (bits - 1)
        if np.array_equal(scaled, np.rint(scaled)) and np.abs(samples).max(initial=0) < 1:
            file_format, subtype = "FLAC", f"PCM_{bits}"
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sample_rate, format=file_format, subtype=subtype)
    return buffer.getvalue()


def decode_audio(audio: bytes) -> tuple[np.ndarray, int]:
    """Return the samples, float32 [n], and the rate of a record's ``audio``."""
    return soundfile.read(io.BytesIO(audio), dtype="float32")


def open_builder(path: str | os.PathLike) -> tfds.core.DatasetBuilder:
    """Open a dataset that `prepare` wrote, by its folder.

    Raises:
        InputError: there is none.
    """
    if not (Path(path) / "dataset_info.json").is_file():
        raise InputError(f"{path}: no TensorFlow dataset; there is no dataset_info.json in it")
    return tfds.builder_from_directory(str(path))


class PreparedTracks(Sequence):
    """The tracks of a split of a prepared dataset, for `examples.at`, `loader.batches` and seqio.

    A track that is asked for is unpacked to a folder, once: its files are those that a manifest would name.
    """

    def __init__(self, path: str | os.PathLike, split: str, unpack_to: str | os.PathLike):
        """Open the dataset in the folder `path`.

        Raises:
            InputError: there is none, it is of TFRecord files, or it has no such split.
        """
        builder = open_builder(path)
        if builder.info.file_format.value != "array_record":
            raise InputError(f"{path}: its files cannot be read at any place; prepare it with file_format array_record")
        if split not in builder.info.splits:
            raise InputError(f"{path}: no track is in the split {split!r}; there are {', '.join(builder.info.splits)}")
        self.total_seconds = float(builder.info.metadata["seconds"][split])
        self._split, self._folder = split, Path(unpack_to)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._records = builder.as_data_source(split)
        self._tracks: dict[int, datasets.Track] = {}

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> datasets.Track:
        index = range(len(self))[index]  # negative ones from the end; IndexError beyond it
        if index not in self._tracks:
            self._tracks[index] = self._unpack(index)
        return self._tracks[index]

    def _unpack(self, index: int) -> datasets.Track:
        record = self._records[index]
        file_format = soundfile.info(io.BytesIO(record["audio"])).format
        stem = self._folder / f"{self._split}-{index:06d}"
        audio, midi = stem.with_suffix(SUFFIXES[file_format]), stem.with_suffix(".mid")
        for path, content in ((audio, record["audio"]), (midi, record["midi"])):
            if not path.is_file():
                with files.atomic_path(path) as temporary:
                    temporary.write_bytes(content)
        return datasets.Track(
            id=_text(record["id"]),
            split=self._split,
            audio=audio,
            midi=midi,
            duration_seconds=float(record["duration_seconds"]),
            license=_text(record["license"]),
            source=_text(record["source"]),
        )


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
