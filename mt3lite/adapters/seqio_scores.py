"""Predicted tokens of segments -> notes of pieces -> the scores of `mt3lite.metrics`, as seqio asks for them."""

import collections
import math
from collections.abc import Mapping, Sequence

import note_seq
import numpy as np
import seqio

from mt3lite import codec, metrics, notes
from mt3lite.adapters import seqio_vocabulary
from mt3lite.config import Config
from mt3lite.vocabulary import Vocabulary


def postprocess(codes: Sequence[int], example: Mapping, is_target: bool) -> dict:
    """Return what `transcription_scores` needs to know of a segment; a seqio ``postprocess_fn``.

    Args:
        codes: decoded by `EventVocabulary`, of the target or of a prediction.
        example: the segment, as `seqio_examples.cut_segments` gives it.
        is_target: whether the codes are the target's.

    Returns:
        ``id`` of the piece and ``first_frame``. Of a target ``sequence`` as well, the piece's serialized NoteSequence,
        which is b"" except at its first segment; of a prediction ``tokens``, int32 [n].
    """
    segment = {"id": example["id"].decode(), "first_frame": int(example["first_frame"])}
    if is_target:
        return segment | {"sequence": bytes(example["sequence"])}
    return segment | {"tokens": seqio_vocabulary.to_token_ids(codes)}


def decode_piece(segments: Sequence[Mapping], config: Config) -> codec.SegmentDecoder:
    """Put the predictions for a piece's segments together, in whatever order they come.

    Args:
        segments: each with ``first_frame`` and ``tokens``.
        config: of the model. With compatibility "mt3" segments begin where the ancestor's evaluation has them.

    Returns:
        The decoder after all segments: its ``finish()`` gives the notes.
    """
    decoder = codec.SegmentDecoder(Vocabulary(config.vocabulary), config.codec)
    segments = sorted(segments, key=lambda segment: segment["first_frame"])

    def step(frame: int) -> int:
        return codec.segment_start_step(
            frame,
            frames_per_second=config.spectrogram.frames_per_second,
            vocabulary=Vocabulary(config.vocabulary),
            config=config.codec,
            precision=np.float32,
        )

    starts = [step(segment["first_frame"]) for segment in segments]
    last = None  # the ancestor sets the last segment no limit
    if config.codec.compatibility == "none":
        last = step(segments[-1]["first_frame"] + config.segments.num_frames)
    for segment, start, end in zip(segments, starts, [*starts[1:], last], strict=True):
        decoder.decode(segment["tokens"], start_step=start, end_step=end)
    return decoder


def transcription_scores(
    targets: Sequence[Mapping],
    predictions: Sequence[Mapping],
    *,
    config: Config,
    tracks: Sequence[metrics.Track] = (),
) -> dict[str, seqio.metrics.Scalar]:
    """Return the mean of each score over the pieces; a seqio metric function.

    Args:
        targets: of all segments, as `postprocess` gives them.
        predictions: the same.
        config: of the model; with compatibility "mt3" the scores are those that the ancestor prints.
        tracks: instruments that are scored alone as well.

    Returns:
        The names of `metrics.score`, "Invalid events" and "Dropped events". A score is left out where no piece has
        anything to score.
    """
    references = {target["id"]: target["sequence"] for target in targets if target["sequence"]}
    predicted = collections.defaultdict(list)
    for prediction in predictions:
        predicted[prediction["id"]].append(prediction)
    pieces = []
    for piece, segments in predicted.items():
        decoder = decode_piece(segments, config)
        scores = metrics.score(
            notes.from_note_sequence(note_seq.NoteSequence.FromString(references[piece]), sustain=False),
            decoder.finish(),
            tracks=tracks,
            onsets_only=config.codec.events == "onsets",
            compatibility=config.codec.compatibility,
        )
        events = {"Invalid events": decoder.invalid_events, "Dropped events": decoder.dropped_events}
        pieces.append(scores | events)
    means = metrics.mean(pieces)
    return {name: seqio.metrics.Scalar(value) for name, value in means.items() if not math.isnan(value)}
