"""seqio tasks of made-up segments, for t5x to be tried with; importing this module registers them.

Four segments, two each of two pieces. Their frames are noise, their targets one note at a time that the frames say.
"""

import functools

import numpy as np
import seqio
import tensorflow as tf

from mt3lite import config, notes
from mt3lite.adapters import seqio_scores, seqio_vocabulary
from mt3lite.vocabulary import EOS, Vocabulary

CONFIG = config.preset("tiny")
NUM_SEGMENTS = 4


def segment(number: int) -> dict[str, np.ndarray]:
    """Return segment `number`: noise with one loud semitone, and the tokens of that note."""
    words = Vocabulary(CONFIG.vocabulary)
    rng = np.random.default_rng(number)
    frames = rng.normal(-3, 0.1, (CONFIG.segments.input_frames, CONFIG.spectrogram.num_bins)).astype(np.float32)
    pitch = 60 + number
    frames[20:120, 3 * (pitch - 21) : 3 * (pitch - 21) + 3] = 2.0
    said = [("tie", 0), ("shift", 10), ("program", 0), ("velocity", 4), ("pitch", pitch), ("shift", 110)]
    said += [("velocity", 0), ("pitch", pitch)]
    tokens = [words.token_range(kind).start + value for kind, value in said]
    played = notes.from_rows([(0.1, 1.1, 60 + number, 64, 0, False), (2.1, 3.1, 61 + number, 64, 0, False)])
    return {
        "id": b"piece-%d" % (number // 2),
        "first_frame": np.int64(number % 2 * CONFIG.segments.num_frames),
        "inputs": frames,
        "targets": np.array([*tokens, EOS], np.int32),
        "sequence": b"" if number % 2 else notes.to_note_sequence(played).SerializeToString(),
    }


def dataset(split: str, shuffle_files: bool = False, seed: int | None = None) -> tf.data.Dataset:
    """Return all segments; a function for `seqio.FunctionDataSource`."""
    specs = {
        name: tf.TensorSpec(np.shape(value), tf.as_dtype(np.asarray(value).dtype))
        for name, value in segment(0).items()
        if name not in ("id", "sequence")
    }
    specs |= {"id": tf.TensorSpec([], tf.string), "sequence": tf.TensorSpec([], tf.string)}
    return tf.data.Dataset.from_generator(lambda: map(segment, range(NUM_SEGMENTS)), output_signature=specs)


for suffix in ("train", "validation", "test"):
    seqio.TaskRegistry.add(
        f"made_up_{suffix}",
        source=seqio.FunctionDataSource(dataset, splits=("train", "eval"), num_input_examples={"train": 4, "eval": 4}),
        output_features={
            "targets": seqio.Feature(vocabulary=seqio_vocabulary.EventVocabulary(CONFIG.vocabulary), dtype=tf.int32),
            "inputs": seqio.ContinuousFeature(dtype=tf.float32, rank=2),
        },
        preprocessors=[],
        postprocess_fn=None if suffix == "train" else seqio_scores.postprocess,
        metric_fns=[] if suffix == "train" else [functools.partial(seqio_scores.transcription_scores, config=CONFIG)],
    )
