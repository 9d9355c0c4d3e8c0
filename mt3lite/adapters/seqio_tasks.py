"""seqio tasks and mixtures of the known datasets, registered when this module is imported, and of any manifest.

The names are in the manner of magenta/mt3 (its ``tasks.py``): DATASET_EVENTS[_VOCABULARY]_SUFFIX for the configs that
are compatible with it, such as ``maestrov3_notes_ties_vb1_train``, and DATASET_CONFIG_SUFFIX for ours, such as
``maestrov3_small_train``. Suffixes:

    train              examples at random places; seqio splits "train" and "eval" (of the validation recordings)
    validation, test   whole recordings in consecutive segments, scored by `metrics`; seqio split "eval"
    eval_train         the same with training recordings
    ..._full           all recordings of the split where the name without "_full" means some of them
    eval               mixture of eval_train and validation

``mega_notes_ties_vb1_train`` and ``..._eval`` mix the datasets of ``MIXED``, each with the rate n^0.3.

Known datasets are looked for in the folder that the environment variable MT3LITE_DATA names, each in a folder of its
own with a manifest.jsonl: ``mt3lite data import`` writes such folders. A folder is first looked at when a dataset is
asked for, so a task whose folder is missing harms nobody else.
"""

import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import seqio
import tensorflow as tf

from mt3lite import config as configs
from mt3lite import metrics
from mt3lite.adapters import seqio_examples, seqio_scores, seqio_vocabulary, tfds_builder
from mt3lite.config import Config
from mt3lite.errors import InputError
from mt3lite.training import datasets, examples
from mt3lite.vocabulary import VocabularyConfig

DATA_VARIABLE = "MT3LITE_DATA"
MIXING_TEMPERATURE = 10 / 3  # a dataset with n examples is drawn from in proportion to n^(1 / temperature)
MIXED = ("maestrov3", "guitarset", "urmp", "musicnet_em", "cerberus4", "slakh")
SHUFFLE_BUFFER = 16  # of pieces' segments; whole pieces are not shuffled but to draw some of them
_ANCESTORS_VOCABULARY = VocabularyConfig(num_velocity_bins=127)  # what a name without such a suffix means


@dataclasses.dataclass(frozen=True)
class KnownDataset:
    """What tasks a dataset has."""

    name: str  # of its folder and its tasks
    has_test: bool = True
    subset_tracks: int | None = None  # recordings of "eval_train" and "validation"; None: all, and no "_full" tasks
    tracks: tuple[metrics.Track, ...] = ()  # instruments that are scored alone as well


CERBERUS4_TRACKS = (
    metrics.Track("bass", 32),
    metrics.Track("drums", 0, is_drum=True),
    metrics.Track("guitar", 24),
    metrics.Track("piano", 0),
)
KNOWN_DATASETS = (
    KnownDataset("maestrov1", subset_tracks=20),
    KnownDataset("maestrov3", subset_tracks=20),
    KnownDataset("guitarset", has_test=False),
    KnownDataset("urmp", has_test=False),
    KnownDataset("musicnet"),
    KnownDataset("musicnet_em"),
    KnownDataset("cerberus4", subset_tracks=20, tracks=CERBERUS4_TRACKS),
    KnownDataset("slakh", subset_tracks=20),
)


def task_prefix(name: str, config: Config) -> str:
    """Return what the names of a dataset's tasks begin with.

    >>> task_prefix("maestrov3", configs.preset("mt3")), task_prefix("maestrov3", configs.preset("small"))
    ('maestrov3_notes_ties_vb1', 'maestrov3_small')
    """
    if config.codec.compatibility != "mt3":
        return f"{name}_{config.name}"
    events = {"notes_with_ties": "notes_ties"}.get(config.codec.events, config.codec.events)
    words, usual = config.vocabulary, _ANCESTORS_VOCABULARY
    abbreviations = (
        ("ss", words.steps_per_second, usual.steps_per_second),
        ("ms", words.max_shift_steps // words.steps_per_second, usual.max_shift_steps // usual.steps_per_second),
        ("vb", words.num_velocity_bins, usual.num_velocity_bins),
    )
    suffix = "".join(f"{letters}{value}" for letters, value, usual_value in abbreviations if value != usual_value)
    return "_".join(part for part in (name, events, suffix) if part)


def register_manifest(
    name: str,
    path: str | os.PathLike,
    config: Config,
    *,
    augmentation: examples.AugmentConfig | None = None,
    subset_tracks: int | None = None,
    tracks: Sequence[metrics.Track] = (),
) -> list[str]:
    """Register the tasks of a manifest and the mixture of its evaluation tasks.

    Args:
        name: letters, digits and underscores; the tasks' names begin with it.
        path: the manifest or the folder that holds it; read when a dataset is asked for.
        config: of the model that is trained on it.
        augmentation: of the training examples; None for none.
        subset_tracks: how many recordings "eval_train" and "validation" have, evenly spread over their splits, beside
            "eval_train_full" and "validation_full" with all of them; None: all, and there is no "_full".
        tracks: instruments that are scored alone as well.

    Returns:
        The names of all that was registered.

    Raises:
        InputError: the name has other letters, or there are tasks of it already.
    """
    dataset = KnownDataset(name, subset_tracks=subset_tracks, tracks=tuple(tracks))
    return _register_folder(dataset, functools.partial(Path, path), config, augmentation)


def _register_folder(dataset: KnownDataset, folder_of: Callable[[], Path], config: Config, augmentation) -> list[str]:
    """Register the tasks of a manifest; `folder_of()` gives its path when it is needed."""

    def choose(splits: dict[str, str], most: int | None) -> seqio_examples.TracksOf:
        return functools.partial(_tracks_of, folder_of, splits, most)

    return _register_tracks(dataset, choose, config, augmentation)


def register_prepared(
    name: str,
    path: str | os.PathLike,
    config: Config,
    *,
    unpack_to: str | os.PathLike | None = None,
    augmentation: examples.AugmentConfig | None = None,
    tracks: Sequence[metrics.Track] = (),
) -> list[str]:
    """Register the tasks of a TensorFlow dataset that `tfds_builder.prepare` wrote.

    Args:
        name: see `register_manifest`.
        path: the folder with dataset_info.json.
        config: see `register_manifest`.
        unpack_to: folder for the recordings of a dataset of ArrayRecord files, see `tfds_builder.PreparedTracks`. Of
            one with TFRecord files, where it is not needed, there are no training tasks.
        augmentation: see `register_manifest`.
        tracks: see `register_manifest`.

    Returns:
        The names of all that was registered.

    Raises:
        InputError: as `register_manifest`, and for a folder without dataset, or `unpack_to` missing.
    """
    builder = tfds_builder.open_builder(path)
    dataset = KnownDataset(name, has_test="test" in builder.info.splits, tracks=tuple(tracks))
    if builder.info.file_format.value == "tfrecord":
        return _register(dataset, functools.partial(_tfds_source, Path(path)), None, config, augmentation)
    if unpack_to is None:
        raise InputError(f"{path}: unpack_to is missing, the folder for the recordings that are drawn")

    @functools.lru_cache
    def prepared(split: str) -> tfds_builder.PreparedTracks:
        return tfds_builder.PreparedTracks(path, split, unpack_to)

    return _register_tracks(dataset, lambda splits, most: lambda split: prepared(splits[split]), config, augmentation)


def _tfds_source(path: Path, split: str, most: int | None, config: Config) -> tuple[seqio.DataSource, Callable]:
    """Return the source of a split of a dataset of TFRecord files, and the preprocessor that reads it."""
    name_and_version = f"{path.parent.name}:{path.name}"
    source = seqio.TfdsDataSource(name_and_version, tfds_data_dir=str(path.parent.parent), splits={"eval": split})
    return source, functools.partial(seqio_examples.decode_records, config=config)


def _register_tracks(dataset: KnownDataset, choose: Callable, config: Config, augmentation) -> list[str]:
    """Register the tasks of tracks; `choose(splits, most)` gives a `seqio_examples.TracksOf`."""

    def pieces(split: str, most: int | None, config: Config) -> tuple[seqio.DataSource, Callable]:
        tracks_of = choose({"eval": split}, most)
        source = seqio_examples.PieceSource(tracks_of, ("eval",))
        return source, functools.partial(seqio_examples.read_pieces, tracks_of=tracks_of, config=config)

    rows = choose({"train": "train", "eval": "validation"}, None)
    return _register(dataset, pieces, rows, config, augmentation)


def _register(dataset: KnownDataset, pieces: Callable, rows, config: Config, augmentation) -> list[str]:
    """Register a dataset's tasks.

    Args:
        dataset: which tasks.
        pieces: (split, most tracks, config) -> the source of whole recordings, and the preprocessor that reads it.
        rows: the tracks of the training tasks; None: there are no training tasks.
        config: of the model.
        augmentation: of the training examples.
    """
    prefix = task_prefix(dataset.name, config)
    if not dataset.name.replace("_", "").isalnum() or not dataset.name.isascii():
        raise InputError(f"{dataset.name!r}: a dataset's name has letters, digits and underscores")
    if f"{prefix}_validation" in seqio.TaskRegistry.names():
        raise InputError(f"{prefix}_validation: there is a task of that name; take another name for the dataset")

    added, mixed = [], []
    if rows is not None:
        added.append(_add_training_task(f"{prefix}_train", rows, config, augmentation))

    def add(suffix: str, split: str, most: int | None) -> str:
        source, reader = pieces(split, most, config)
        return _add_evaluation_task(f"{prefix}_{suffix}", source, reader, config, dataset.tracks)

    for suffix, split in (("eval_train", "train"), ("validation", "validation")):
        mixed.append(add(suffix, split, dataset.subset_tracks))
        if dataset.subset_tracks is not None:
            added.append(add(f"{suffix}_full", split, None))
    if dataset.has_test:
        added.append(add("test", "test", None))
    seqio.MixtureRegistry.add(f"{prefix}_eval", mixed, default_rate=1)
    return [*added, *mixed, f"{prefix}_eval"]


def _output_features(config: Config) -> dict[str, seqio.Feature]:
    words = seqio_vocabulary.EventVocabulary(config.vocabulary)
    return {
        "targets": seqio.Feature(vocabulary=words, dtype=tf.int32),
        "inputs": seqio.ContinuousFeature(dtype=tf.float32, rank=2),
    }


def _add_training_task(name: str, tracks_of: seqio_examples.TracksOf, config: Config, augmentation) -> str:
    task = seqio_examples.RowTask(
        name,
        source=seqio_examples.RowSource(tracks_of, ("train", "eval"), config),
        output_features=_output_features(config),
        preprocessors=[
            functools.partial(
                seqio_examples.make_examples, tracks_of=tracks_of, config=config, augmentation=augmentation
            ),
            seqio.CacheDatasetPlaceholder(),
            functools.partial(seqio_examples.check_lengths, config=config),
            functools.partial(seqio_examples.add_inputs, config=config),
        ],
        metric_fns=[],
        shuffle_buffer_size=None,  # examples at random places need no further shuffling
    )
    seqio.TaskRegistry.add_provider(name, task)
    return name


def _add_evaluation_task(name: str, source: seqio.DataSource, reader: Callable, config: Config, tracks) -> str:
    seqio.TaskRegistry.add(
        name,
        source=source,
        output_features=_output_features(config),
        preprocessors=[
            reader,
            seqio.CacheDatasetPlaceholder(),
            functools.partial(seqio_examples.check_lengths, config=config),
            functools.partial(seqio_examples.cut_segments, config=config),
        ],
        postprocess_fn=seqio_scores.postprocess,
        metric_fns=[functools.partial(seqio_scores.transcription_scores, config=config, tracks=tracks)],
        shuffle_buffer_size=SHUFFLE_BUFFER,
    )
    return name


# --- which recordings ---


def _tracks_of(folder_of, split_names: dict[str, str], most: int | None, split: str) -> Sequence[datasets.Track]:
    """Return the tracks of a seqio split: all, or `most` of them, evenly spread."""
    tracks = datasets.of_split(_read_manifest(folder_of()), split_names[split])
    if most is None or len(tracks) <= most:
        return tracks
    return [tracks[i * len(tracks) // most] for i in range(most)]


@functools.lru_cache
def _read_manifest(path: Path) -> list[datasets.Track]:
    return datasets.read_manifest(path)


def _known_folder(name: str) -> Path:
    """Return the folder of a known dataset."""
    root = os.environ.get(DATA_VARIABLE)
    if not root:
        raise InputError(
            f"{name}: the environment variable {DATA_VARIABLE} is not set; it names the folder that holds "
            f"{name}/{datasets.MANIFEST_NAME} (written by mt3lite data import)"
        )
    return Path(root) / name


# --- what importing this module registers ---


def _register_known() -> None:
    """Register the ancestor's tasks, and those of our own presets for the same datasets."""
    mt3, ismir2021, small = (configs.preset(name) for name in ("mt3", "ismir2021", "small"))
    for dataset in KNOWN_DATASETS:
        folder_of = functools.partial(_known_folder, dataset.name)
        if dataset.name != "maestrov1":
            _register_folder(dataset, folder_of, mt3, None)
        if dataset.name.startswith("maestro"):
            _register_folder(dataset, folder_of, ismir2021, None)
        _register_folder(dataset, folder_of, small, examples.AugmentConfig())
    for config in (mt3, small):
        prefixes = [task_prefix(name, config) for name in MIXED]
        mixture = task_prefix("mega", config)
        train, judge = (
            functools.partial(seqio.mixing_rate_num_examples, temperature=MIXING_TEMPERATURE, split=split)
            for split in ("train", "eval")
        )
        seqio.MixtureRegistry.add(f"{mixture}_train", [f"{prefix}_train" for prefix in prefixes], default_rate=train)
        names = [f"{prefix}_validation" for prefix in prefixes]
        seqio.MixtureRegistry.add(f"{mixture}_eval", names, default_rate=judge)


_register_known()
