"""A made-up dataset folder, prepared as a TensorFlow dataset, gives the examples and the pieces of the folder."""

import numpy as np
import pytest
import soundfile

from mt3lite import config, notes
from mt3lite.errors import InputError
from mt3lite.training import datasets, examples, loader

CURE = "pip install mt3lite[seqio]"
seqio = pytest.importorskip("seqio", reason=CURE, exc_type=ImportError)
pytest.importorskip("tensorflow_datasets", reason=CURE, exc_type=ImportError)

from mt3lite.adapters import seqio_tasks, tfds_builder  # noqa: E402

TINY = config.preset("tiny")
RATE = TINY.spectrogram.sample_rate


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Recordings of 16 bits, of 24 bits and of floats beyond 1, with notes that a pedal holds."""
    folder = tmp_path_factory.mktemp("corpus")
    rng, tracks = np.random.default_rng(0), []
    kinds = (("a", "train", "PCM_16", 0.5), ("b", "train", "FLOAT", 1.5), ("c", "validation", "PCM_24", 0.5))
    for name, split, subtype, peak in kinds:
        samples = rng.uniform(-peak, peak, 3 * RATE)
        soundfile.write(folder / f"{name}.wav", samples, RATE, subtype=subtype)
        played = notes.from_rows([(0.2, 0.8, 60, 80, 0, False), (1.0, 2.5, 67, 127, 40, False)])
        notes.write_midi(played, folder / f"{name}.mid")
        tracks.append(datasets.Track(name, split, folder / f"{name}.wav", folder / f"{name}.mid", 3.0, "CC0-1.0", "me"))
    datasets.write_manifest(tracks, folder)
    return folder


@pytest.fixture(scope="module")
def prepared(folder, tmp_path_factory):
    return tfds_builder.prepare(folder, tmp_path_factory.mktemp("tfds"), name="corpus")


def test_tracks_are_those_of_the_manifest(folder, prepared, tmp_path):
    expected = datasets.of_split(datasets.read_manifest(folder), "train")
    found = tfds_builder.PreparedTracks(prepared, "train", tmp_path)
    assert len(found) == 2 and found.total_seconds == 6.0
    by_id = {track.id: track for track in found}
    for track in expected:
        other = by_id[track.id]
        for field in ("id", "split", "duration_seconds", "license", "source"):
            assert getattr(other, field) == getattr(track, field)
        np.testing.assert_array_equal(datasets.load_samples(other, RATE), datasets.load_samples(track, RATE))
        np.testing.assert_array_equal(notes.read_midi(other.midi), notes.read_midi(track.midi))
    assert {track.audio.suffix for track in found} == {".flac", ".wav"}  # floats beyond 1 do not fit into FLAC


def test_only_what_is_drawn_is_unpacked(prepared, tmp_path):
    found = tfds_builder.PreparedTracks(prepared, "train", tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert found[-1].audio.is_file()
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(IndexError):
        found[2]


def test_grain_draws_from_a_prepared_dataset(prepared, tmp_path):
    found = tfds_builder.PreparedTracks(prepared, "train", tmp_path)
    element = loader.example_dataset(found, TINY, None, seed=3)[4]
    plain = examples.at(4, list(found), TINY, None, seed=3)
    np.testing.assert_array_equal(element["samples"], plain.samples)
    np.testing.assert_array_equal(element["tokens"], plain.tokens)


def pieces(name):
    found = list(seqio.get_mixture_or_task(name).get_dataset(split="eval", shuffle=False).as_numpy_iterator())
    return sorted(found, key=lambda segment: (segment["id"], segment["first_frame"]))


@pytest.fixture(scope="module")
def expected_pieces(folder):
    seqio_tasks.register_manifest("by_manifest", folder, TINY)
    return pieces("by_manifest_tiny_eval_train")


def assert_same_pieces(found, expected):
    assert len(found) == len(expected) == 4
    for segment, other in zip(found, expected, strict=True):
        assert set(segment) == set(other)
        for key in segment:
            np.testing.assert_array_equal(segment[key], other[key], err_msg=key)


def test_seqio_tasks_of_array_records(prepared, tmp_path, expected_pieces):
    names = seqio_tasks.register_prepared("prepared", prepared, TINY, unpack_to=tmp_path)
    assert "prepared_tiny_train" in names and "prepared_tiny_test" not in names
    assert_same_pieces(pieces("prepared_tiny_eval_train"), expected_pieces)
    task = seqio.get_mixture_or_task("prepared_tiny_train")
    (_, element, _) = task.get_dataset(split="train", shuffle=False, seed=3).as_numpy_iterator()
    plain = examples.at(1, tfds_builder.PreparedTracks(prepared, "train", tmp_path), TINY, None, seed=3)
    np.testing.assert_array_equal(element["targets"], plain.tokens)


def test_seqio_tasks_of_tfrecords_by_the_tfds_source(folder, tmp_path, expected_pieces):
    path = tfds_builder.prepare(folder, tmp_path, name="records", file_format="tfrecord")
    names = seqio_tasks.register_prepared("records", path, TINY)
    assert set(names) == {"records_tiny_eval_train", "records_tiny_validation", "records_tiny_eval"}
    assert isinstance(seqio.get_mixture_or_task("records_tiny_validation").source, seqio.TfdsDataSource)
    assert_same_pieces(pieces("records_tiny_eval_train"), expected_pieces)
    with pytest.raises(InputError, match="prepare it with file_format array_record"):
        tfds_builder.PreparedTracks(path, "train", tmp_path / "unpacked")


def test_bad_input_is_refused(folder, prepared, tmp_path):
    with pytest.raises(InputError, match="there is a dataset already; delete it or take another name"):
        tfds_builder.prepare(folder, prepared.parent.parent, name="corpus")
    with pytest.raises(InputError, match="lower-case letters, digits and underscores"):
        tfds_builder.prepare(folder, tmp_path, name="My set")
    with pytest.raises(InputError, match="unknown file_format 'zip'"):
        tfds_builder.prepare(folder, tmp_path, name="my_set", file_format="zip")
    with pytest.raises(InputError, match="no TensorFlow dataset"):
        tfds_builder.PreparedTracks(tmp_path, "train", tmp_path)
    with pytest.raises(InputError, match="no track is in the split 'test'; there are train, validation"):
        tfds_builder.PreparedTracks(prepared, "test", tmp_path)
    with pytest.raises(InputError, match="unpack_to is missing"):
        seqio_tasks.register_prepared("unpacked", prepared, TINY)


def test_a_faulty_recording_leaves_no_dataset(folder, tmp_path):
    broken = tmp_path / "broken.mid"
    broken.write_bytes(b"no MIDI")
    track = datasets.read_manifest(folder)[0]
    datasets.write_manifest([datasets.Track("a", "train", track.audio, broken)], tmp_path)
    with pytest.raises(InputError, match="broken.mid: not a readable MIDI file"):
        tfds_builder.prepare(tmp_path, tmp_path / "out", name="broken")
    assert not list((tmp_path / "out").rglob("dataset_info.json"))
