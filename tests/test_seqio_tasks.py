"""seqio tasks over a made-up dataset folder: the examples of the plain loop, whole pieces cut and scored, the cache."""

import json
from pathlib import Path

import note_seq
import numpy as np
import pytest
import soundfile

from mt3lite import config, notes, segments
from mt3lite.errors import InputError
from mt3lite.training import datasets, examples, loader

CURE = "pip install mt3lite[seqio]"
seqio = pytest.importorskip("seqio", reason=CURE, exc_type=ImportError)
tf = pytest.importorskip("tensorflow", reason=CURE, exc_type=ImportError)

from mt3lite.adapters import seqio_examples, seqio_scores, seqio_tasks, seqio_vocabulary  # noqa: E402

GOLDEN = Path(__file__).parent / "golden"
TINY, MT3 = config.preset("tiny"), config.preset("mt3")
AUGMENTATION = examples.AugmentConfig(mix_chance=0.5)
ROWS = [(0.5 * i, 0.5 * i + 0.4, 50 + 3 * i, 80, 0, False) for i in range(10)]
NUM_EXAMPLES = {"tiny": 8, "mt3": 7}  # 14.06 s in segments of 2 s and 2.048 s
ROWS += [(1.0, 1.01, 38, 90, 0, True), (3.9, 6.9, 40, 127, 33, False)]


def write_dataset(folder):
    """Write two recordings for training and two for validation, of noise, with notes; the last has no note."""
    rng, tracks = np.random.default_rng(0), []
    for number, split in enumerate(("train", "train", "validation", "validation")):
        name, samples = f"{split}-{number}", rng.uniform(-0.1, 0.1, 16000 * 7 + 999 * number)
        soundfile.write(folder / f"{name}.flac", samples, 16000)
        notes.write_midi(notes.from_rows([] if number == 3 else ROWS[number:]), folder / f"{name}.mid")
        seconds = len(samples) / 16000 if number else None
        tracks.append(datasets.Track(name, split, folder / f"{name}.flac", folder / f"{name}.mid", seconds))
    datasets.write_manifest(tracks, folder)
    return datasets.read_manifest(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("corpus")


@pytest.fixture(scope="module")
def tracks(folder):
    return write_dataset(folder)


@pytest.fixture(scope="module", params=["tiny", "mt3"])
def registered(request, folder, tracks):
    """A config and the prefix of its tasks' names."""
    settings = config.preset(request.param)
    names = seqio_tasks.register_manifest("corpus", folder, settings, augmentation=AUGMENTATION, subset_tracks=1)
    assert set(names) <= {*seqio.TaskRegistry.names(), *seqio.MixtureRegistry.names()}
    return settings, seqio_tasks.task_prefix("corpus", settings)


def lengths_of(settings):
    return {"inputs": settings.segments.input_frames, "targets": settings.segments.max_tokens}


def elements(name, split, **arguments):
    return list(seqio.get_mixture_or_task(name).get_dataset(split=split, **arguments).as_numpy_iterator())


# --- training ---


def test_plain_loop_grain_and_seqio_make_the_same_arrays(registered, tracks):
    settings, prefix = registered
    train = datasets.of_split(tracks, "train")
    by_grain = loader.example_dataset(train, settings, AUGMENTATION, seed=5)
    by_seqio = elements(f"{prefix}_train", "train", sequence_length=lengths_of(settings), shuffle=False, seed=5)
    assert len(by_seqio) == NUM_EXAMPLES[settings.name]
    for index, element in enumerate(by_seqio):
        plain = examples.at(index, train, settings, AUGMENTATION, seed=5)
        np.testing.assert_array_equal(by_grain[index]["samples"], plain.samples)
        np.testing.assert_array_equal(by_grain[index]["tokens"], plain.tokens)
        np.testing.assert_array_equal(element["targets"], plain.tokens)
        inputs = segments.compute_frames(plain.samples, settings.spectrogram, settings.segments)
        np.testing.assert_array_equal(element["inputs"], inputs)
        assert (element["index"], element["seed"]) == (index, 5)


def test_shards_are_those_of_the_loader(registered, tracks):
    settings, prefix = registered
    shard = elements(f"{prefix}_train", "train", shuffle=False, seed=5, shard_info=seqio.ShardInfo(1, 3))
    train = datasets.of_split(tracks, "train")
    by_grain = loader.example_dataset(train, settings, AUGMENTATION, seed=5, shard=loader.Shard(1, 3))
    assert [element["index"] for element in shard] == list(range(1, NUM_EXAMPLES[settings.name], 3))
    for element, example in zip(shard, (by_grain[i] for i in range(len(shard))), strict=True):
        np.testing.assert_array_equal(element["targets"], example["tokens"])


def test_shuffled_examples_are_of_the_same_row_and_new_in_each_epoch(registered, tracks):
    settings, prefix = registered
    first = elements(f"{prefix}_train", "train", seed=7, num_epochs=2)
    again = elements(f"{prefix}_train", "train", seed=7, num_epochs=2)
    assert [element["index"] for element in first] == [element["index"] for element in again]
    assert len({int(element["index"]) for element in first}) == 2 * NUM_EXAMPLES[settings.name]
    train = datasets.of_split(tracks, "train")
    for element in (first[0], first[-1]):
        plain = examples.at(int(element["index"]), train, settings, AUGMENTATION, seed=7)
        np.testing.assert_array_equal(element["targets"], plain.tokens)
    other = elements(f"{prefix}_train", "train", seed=7, shard_info=seqio.ShardInfo(1, 2))
    assert not {int(element["index"]) for element in other} & {int(element["index"]) for element in first}


def test_validation_examples_are_not_augmented(registered, tracks):
    settings, prefix = registered
    element = elements(f"{prefix}_train", "eval", shuffle=False, seed=0)[0]
    plain = examples.at(0, datasets.of_split(tracks, "validation"), settings, None, seed=0)
    inputs = segments.compute_frames(plain.samples, settings.spectrogram, settings.segments)
    np.testing.assert_array_equal(element["inputs"], inputs)


def test_other_lengths_are_refused(registered):
    settings, prefix = registered
    for wrong in ({"inputs": 100, "targets": 1024}, {**lengths_of(settings), "targets": 8}):
        with pytest.raises(InputError, match="for other lengths register the manifest with another config"):
            seqio.get_mixture_or_task(f"{prefix}_train").get_dataset(wrong)


def test_mixing_rates_count_segments(registered):
    settings, prefix = registered
    task = seqio.get_mixture_or_task(f"{prefix}_train")
    rate = seqio.mixing_rate_num_examples(task, temperature=seqio_tasks.MIXING_TEMPERATURE)
    assert rate == pytest.approx(NUM_EXAMPLES[settings.name] ** 0.3)


# --- judging ---


class PlainConverter(seqio.FeatureConverter):
    """Pads inputs and targets and hands them on."""

    TASK_FEATURES = {
        "inputs": seqio.FeatureConverter.FeatureSpec(dtype=tf.float32, rank=2),
        "targets": seqio.FeatureConverter.FeatureSpec(dtype=tf.int32),
    }
    MODEL_FEATURES = TASK_FEATURES

    def _convert_features(self, ds, task_feature_lengths):
        ds = ds.map(lambda example: {key: example[key] for key in self.TASK_FEATURES})
        return self._pack_or_pad(ds, task_feature_lengths)

    def get_model_feature_lengths(self, task_feature_lengths):
        return task_feature_lengths


def evaluate(name, settings, predict, folder):
    """Return the scores of seqio's evaluator: task -> name -> number. It writes its logs to the folder."""
    evaluator = seqio.Evaluator(
        name,
        PlainConverter(pack=False),
        eval_split="eval",
        sequence_length=lengths_of(settings),
        logger_cls=[seqio.JSONLogger, seqio.TensorBoardLogger],
        log_dir=str(folder),
    )
    found, _ = evaluator.evaluate(compute_metrics=True, predict_fn=predict)
    scores = {task: {key: scalar.value for key, scalar in row.items()} for task, row in found.result().items()}
    evaluator.close()
    return scores


def true_tokens(dataset):
    return [(int(index), example["targets"]) for index, example in dataset.as_numpy_iterator()]


def test_evaluator_gives_1_to_the_true_tokens(registered, tmp_path):
    settings, prefix = registered
    scores = evaluate(f"{prefix}_eval", settings, true_tokens, tmp_path)
    assert set(scores) == {f"{prefix}_eval_train", f"{prefix}_validation"}
    logged = json.loads((tmp_path / f"{prefix}_validation-metrics.jsonl").read_text())
    assert logged["Onset + offset F1"] == 1.0
    assert list(tmp_path.glob(f"{prefix}_validation/events.out.tfevents*"))
    for row in scores.values():
        for name in ("Onset F1", "Onset + offset F1", "Onset + offset + program F1 (midi_class)"):
            assert row[name] == 1.0, name
        assert row["Drum onset F1 (full)"] == 1.0
        assert row["Frame F1"] > 0.99  # steps are 10 ms, a MIDI file's ticks are not
        assert (row["Invalid events"], row["Dropped events"]) == (0, 0)


def test_evaluator_counts_errors_and_takes_segments_in_any_order(registered, tmp_path):
    settings, prefix = registered

    def predict(dataset):
        """Say of every second segment that there is nothing."""
        silence = np.ones(settings.segments.max_tokens, np.int32)
        tokens = [(index, silence if index % 2 else target) for index, target in true_tokens(dataset)]
        return tokens[::-1]

    scores = evaluate(f"{prefix}_validation", settings, predict, tmp_path)[f"{prefix}_validation"]
    assert 0.3 < scores["Onset recall"] < 0.8
    assert scores["Onset precision"] == 1.0


def test_the_silent_piece_counts_what_is_heard_in_it(registered):
    settings, prefix = registered
    pieces = elements(f"{prefix}_validation_full", "eval", shuffle=False)
    silent = [element for element in pieces if element["id"] == b"validation-3"]
    assert len(silent) == 4
    words = seqio_vocabulary.EventVocabulary(settings.vocabulary).words
    assert all(element["targets"].tolist() == [words.first_id("tie"), 1] for element in silent)
    assert [element["sequence"] != b"" for element in silent] == [True, False, False, False]


PIECE = {"id": tf.string, "samples": tf.float32, "sequence": tf.string}


def golden_encodings():
    sequences = json.loads((GOLDEN / "encoding" / "sequences.json").read_text())
    for name, events, granularity in (("mt3", "notes_with_ties", "full"), ("ismir2021", "notes", "flat")):
        yield pytest.param(config.preset(name), sequences["cases"], f"{name}_{granularity}", id=f"{name}-{events}")


@pytest.mark.parametrize(("settings", "cases", "key"), list(golden_encodings()))
def test_targets_of_consecutive_segments_equal_the_golden_ones(settings, cases, key):
    with np.load(GOLDEN / "encoding" / "targets.npz") as golden:
        expected = np.split(golden[f"{key}_tokens"], golden[f"{key}_offsets"][1:-1])
        case_of_segment = golden[f"{settings.name}_segment_case"]
    compared, short, short_targets = 0, [], []
    for case in cases:
        if {"all", settings.name} & set(case["errors"]):
            continue
        sequence = note_seq.NoteSequence()
        for onset, offset, pitch, velocity, program, is_drum, instrument in case["notes"]:
            sequence.notes.add(
                start_time=onset,
                end_time=offset,
                pitch=pitch,
                velocity=velocity,
                program=program,
                is_drum=is_drum,
                instrument=instrument,
            )
        for seconds, number, value, instrument in case["ccs"]:
            sequence.control_changes.add(
                time=seconds, control_number=number, control_value=value, instrument=instrument
            )
        played = notes.from_note_sequence(sequence)
        played = notes.trim_overlaps(played) if case["trim"] else played
        golden_targets = [expected[i].tolist() for i in np.flatnonzero(case_of_segment == case["index"])]
        targets = [target.tolist() for target in seqio_examples.piece_targets(played, case["n_samples"], settings)]
        assert targets == golden_targets, case["name"]
        compared += len(targets)
        if len(golden_targets) <= 3:  # the way through the spectrogram takes longer
            sequence = notes.to_note_sequence(played).SerializeToString()
            short.append({"id": case["name"], "samples": np.zeros(case["n_samples"], np.float32), "sequence": sequence})
            short_targets += golden_targets
    assert compared > 100 and len(short) > 3
    signature = {key: tf.TensorSpec([None] if key == "samples" else [], kind) for key, kind in PIECE.items()}
    pieces = tf.data.Dataset.from_generator(lambda: iter(short), output_signature=signature)
    cut = seqio_examples.cut_segments(pieces, settings)
    assert [segment["targets"].tolist() for segment in cut.as_numpy_iterator()] == short_targets


def golden_scores():
    cases = json.loads((GOLDEN / "metrics" / "from_tokens.json").read_text())["cases"]
    return [pytest.param(case, id=case["name"]) for case in cases]


@pytest.mark.parametrize("case", golden_scores())
def test_scores_equal_the_golden_ones(case):
    """The ancestor's metric function, from tokens of segments to numbers."""
    assert (case["spec"], case["num_velocity_bins"]) == ("ties", 1)
    coder = seqio_vocabulary.EventVocabulary(MT3.vocabulary)
    played = notes.to_note_sequence(notes.from_rows(row[:6] for row in case["ref"]))
    targets, predictions = [], []
    for number, (_, tokens) in enumerate(case["segments"]):
        first_frame = MT3.segments.num_frames * number
        example = {
            "id": b"piece",
            "first_frame": np.int64(first_frame),
            "sequence": b"" if number else played.SerializeToString(),
        }
        targets.append(seqio_scores.postprocess([], example, is_target=True))
        predictions.append(seqio_scores.postprocess(coder.decode(tokens), example, is_target=False))
    scores = seqio_scores.transcription_scores(targets, predictions[::-1], config=MT3)
    assert set(scores) == {name for name, value in case["metrics"].items() if value is not None}
    # In its frame score the ancestor loses all but one of the programs that share the instrument number 0.
    lost = len({row[4] for row in case["ref"] if row[6] == 0}) > 1
    for name, scalar in scores.items():
        if lost and name.startswith("Frame"):
            continue
        assert scalar.value == pytest.approx(case["metrics"][name], rel=0, abs=1e-9), name


# --- seqio's cache ---


def test_cached_by_seqios_tool_the_examples_are_the_same(folder, tracks, tmp_path):
    beam = pytest.importorskip("apache_beam", reason=CURE, exc_type=ImportError)
    from absl import flags
    from seqio.scripts import cache_tasks_main

    seqio_tasks.register_manifest("cached", folder, TINY)
    flags.FLAGS(["seqio_cache_tasks", "--min_shards=2"])
    expected = elements("cached_tiny_validation", "eval", shuffle=False)
    with beam.Pipeline() as pipeline:
        cache_tasks_main.run_pipeline(pipeline, ["cached_tiny_train", "cached_tiny_validation"], str(tmp_path))
    try:
        seqio.add_global_cache_dirs([str(tmp_path)])
        made = elements("cached_tiny_train", "train", use_cached=True, sequence_length=lengths_of(TINY))
        cut = elements("cached_tiny_validation", "eval", use_cached=True, shuffle=False)
    finally:
        seqio.set_global_cache_dirs([])
    train = datasets.of_split(tracks, "train")
    assert sorted(int(element["index"]) for element in made) == list(range(NUM_EXAMPLES["tiny"]))
    for element in made:
        plain = examples.at(int(element["index"]), train, TINY, None, seed=int(element["seed"]))
        np.testing.assert_array_equal(element["targets"], plain.tokens)
        inputs = segments.compute_frames(plain.samples, TINY.spectrogram, TINY.segments)
        np.testing.assert_array_equal(element["inputs"], inputs)

    def place(segment):
        return segment["id"], segment["first_frame"]

    for segment, other in zip(sorted(cut, key=place), sorted(expected, key=place), strict=True):
        for key in other:
            np.testing.assert_array_equal(segment[key], other[key], err_msg=key)


# --- names and known datasets ---


def test_names_of_the_ancestor():
    tasks, mixtures = set(seqio.TaskRegistry.names()), set(seqio.MixtureRegistry.names())
    suffixes = ("train", "eval_train", "eval_train_full", "validation", "validation_full", "test")
    for prefix in ("maestrov1_notes", "maestrov3_notes", "maestrov3_notes_ties_vb1", "slakh_notes_ties_vb1"):
        assert {f"{prefix}_{suffix}" for suffix in suffixes} <= tasks
        assert f"{prefix}_eval" in mixtures
    for prefix in ("guitarset_notes_ties_vb1", "urmp_notes_ties_vb1"):
        assert f"{prefix}_validation" in tasks
        assert not {f"{prefix}_test", f"{prefix}_validation_full"} & tasks
    assert {"mega_notes_ties_vb1_train", "mega_notes_ties_vb1_eval"} <= mixtures
    assert MT3.name not in seqio_tasks.task_prefix("maestrov3", MT3)


def test_known_datasets_come_from_a_folder_that_a_variable_names(monkeypatch, tmp_path, folder, tracks):
    task = seqio.get_mixture_or_task("maestrov3_notes_ties_vb1_train")
    monkeypatch.delenv("MT3LITE_DATA", raising=False)
    with pytest.raises(InputError, match=r"^maestrov3: the environment variable MT3LITE_DATA is not set.*$"):
        task.get_dataset(split="train")
    monkeypatch.setenv("MT3LITE_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"maestrov3.*: no such manifest"):
        task.get_dataset(split="train")
    for name in seqio_tasks.MIXED:
        (tmp_path / name).symlink_to(folder)
    mixture = seqio.get_mixture_or_task("mega_notes_ties_vb1_train")
    lengths = lengths_of(MT3)
    first = next(mixture.get_dataset(lengths, "train", num_epochs=None, seed=0).as_numpy_iterator())
    assert first["inputs"].shape == (256, 512)
    rates = [mixture.get_rate(task) for task in mixture.tasks]
    assert rates == pytest.approx([7**0.3] * 6)


def test_bad_names_are_refused(registered, folder):
    settings, prefix = registered
    with pytest.raises(InputError, match=f"{prefix}_validation: there is a task of that name"):
        seqio_tasks.register_manifest("corpus", folder, settings)
    with pytest.raises(InputError, match="a dataset's name has letters, digits and underscores"):
        seqio_tasks.register_manifest("my corpus", folder, settings)


def test_a_split_without_recordings_says_so(registered):
    _, prefix = registered
    with pytest.raises(InputError, match="test"):
        seqio.get_mixture_or_task(f"{prefix}_test").get_dataset(split="eval")


# --- vocabulary ---


def test_vocabulary_decodes_as_the_golden_one():
    golden = json.loads((GOLDEN / "vocabulary" / "decode_sequences.json").read_text())
    for case in golden["sequences"]:
        words = seqio_vocabulary.EventVocabulary(config.preset(case["config"]).vocabulary)
        assert words.decode(case["ids"]) == case["decode_list"]
        assert words.decode_tf(tf.constant(case["ids"], tf.int32)).numpy().tolist() == case["decode_tf"]


def test_vocabulary_encodes_what_it_decodes():
    words = seqio_vocabulary.EventVocabulary(MT3.vocabulary)
    codes = [0, 5, words.words.num_codes - 1]
    assert words.decode(words.encode(codes)) == codes
    assert words.decode_tf(words.encode_tf(tf.constant(codes))).numpy().tolist() == codes
    assert words.vocab_size == 1491
    assert words == seqio_vocabulary.EventVocabulary(MT3.vocabulary)
    assert words != seqio_vocabulary.EventVocabulary(TINY.vocabulary)
    with pytest.raises(ValueError, match="code 1388 is not within"):
        words.encode([1388])
    with pytest.raises(tf.errors.InvalidArgumentError, match="too large"):
        words.encode_tf(tf.constant([1388]))
