"""Our network as a t5x model: what ``gin/train.gin``, ``gin/eval.gin`` and ``gin/infer.gin`` name.

A seqio task that this model can be trained and judged on has the output features ``inputs``, float32 [frames, bins],
and ``targets``, int32 [tokens] with EOS at the end; for `write_notes` its examples also carry ``id`` (string, of the
piece) and ``first_frame`` (int, of the segment). `adapters.seqio_tasks` makes such tasks.
"""

import functools
import json
import os
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import seqio
import tensorflow as tf
from flax import core as flax_core
from flax import traverse_util
from flax.linen import partitioning
from t5x import adafactor, decoding, models

from mt3lite import carrying, network, stepping
from mt3lite.adapters import seqio_scores, seqio_vocabulary
from mt3lite.config import Config
from mt3lite.errors import InputError
from mt3lite.training import examples, sharding

NOTE_FIELDS = ("start_time", "end_time", "pitch", "velocity", "program", "is_drum")  # of the ancestor's inference files
# Axes of a parameter that is kept whole on every device. No name may come twice in one parameter.
WHOLE = ("whole_0", "whole_1", "whole_2", "whole_3")


def axis_rules() -> list[tuple[str, str | None]]:
    """Return which logical axis is sharded over which axis of the mesh: t5x's standard rules, and none for `WHOLE`."""
    from t5x import partitioning as t5x_partitioning

    return t5x_partitioning.standard_logical_axis_rules(additional_rules=[(axis, None) for axis in WHOLE])


def factor_rules() -> Mapping[str, adafactor.FactorDim]:
    """Return t5x's standard rules of how Adafactor factors, and those that leave `WHOLE` unfactored."""
    return flax_core.freeze(
        {**adafactor.standard_logical_factor_rules(), **dict.fromkeys(WHOLE, adafactor.FactorDim.NONE)}
    )


def logical_axes(params: Mapping) -> dict:
    """Return the tree of ``params_axes`` that t5x wants beside the parameters: ``kernel_axes`` for ``kernel``."""
    axes = {}
    for path, leaf in traverse_util.flatten_dict(flax_core.unfreeze(params)).items():
        # t5x splits an axis evenly or fails; the tables of carried tokens have sizes that nothing divides.
        known = None if "carried_embedders" in "/".join(path) else sharding.logical_axes("/".join(path))
        names = known or WHOLE[: leaf.ndim]
        axes[(*path[:-1], f"{path[-1]}_axes")] = partitioning.AxisMetadata(names=names)
    return traverse_util.unflatten_dict(axes)


class FeatureConverter(seqio.FeatureConverter):
    """Task features to model features for continuous inputs: no packing, no masks of the inputs.

    ``encoder_input_tokens`` is float32 [frames, bins] in spite of its name, which t5x gives it.
    """

    TASK_FEATURES = {
        "inputs": seqio.FeatureConverter.FeatureSpec(dtype=tf.float32, rank=2),
        "targets": seqio.FeatureConverter.FeatureSpec(dtype=tf.int32),
    }
    MODEL_FEATURES = {
        "encoder_input_tokens": seqio.FeatureConverter.FeatureSpec(dtype=tf.float32, rank=2),
        "decoder_target_tokens": seqio.FeatureConverter.FeatureSpec(dtype=tf.int32),
        "decoder_input_tokens": seqio.FeatureConverter.FeatureSpec(dtype=tf.int32),
        "decoder_loss_weights": seqio.FeatureConverter.FeatureSpec(dtype=tf.int32),
    }
    PACKING_FEATURE_DTYPES = {}

    def _convert_features(self, ds: tf.data.Dataset, task_feature_lengths: Mapping[str, int]) -> tf.data.Dataset:
        """Pad to the lengths asked for, and shift the targets to the decoder's inputs."""
        if self.pack:
            raise InputError("pack: spectrogram segments fill their inputs; there is nothing to pack")

        def convert(features: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            return {
                "encoder_input_tokens": features["inputs"],
                "decoder_target_tokens": features["targets"],
                "decoder_input_tokens": seqio.autoregressive_inputs(features["targets"]),
                "decoder_loss_weights": seqio.non_padding_position(features["targets"]),
            }

        return self._pack_or_pad(ds, task_feature_lengths).map(convert, num_parallel_calls=tf.data.AUTOTUNE)

    def get_model_feature_lengths(self, task_feature_lengths: Mapping[str, int]) -> dict[str, int]:
        """Return the length of each model feature."""
        decoder_names = ("decoder_target_tokens", "decoder_input_tokens", "decoder_loss_weights")
        return {
            "encoder_input_tokens": task_feature_lengths["inputs"],
            **dict.fromkeys(decoder_names, task_feature_lengths["targets"]),
        }


class _Module(network.Transformer):
    """The network with the arguments that t5x calls its encoder with."""

    def encode(self, frames: jax.Array, *, enable_dropout: bool = False) -> jax.Array:
        """Frames [B, F, input_depth] -> vectors [B, P, D], which t5x passes around; `Model` reads them nowhere."""
        return super().encode(frames, deterministic=not enable_dropout).vectors


class Model(models.EncoderDecoderModel):
    """The network of a `Config` with t5x's loss and decoding loops.

    Args:
        config: of the model.
        optimizer_def: an optimizer of t5x.
        decode_fn: ``decoding.beam_search`` or ``decoding.temperature_sample``.
        label_smoothing: of the loss.
        z_loss: of the loss.
        loss_normalizing_factor: None sums the loss over the tokens, as the ancestor does.
    """

    FEATURE_CONVERTER_CLS = FeatureConverter

    def __init__(
        self,
        config: Config,
        optimizer_def,
        decode_fn=decoding.beam_search,
        label_smoothing: float = 0.0,
        z_loss: float = 0.0,
        loss_normalizing_factor: float | str | None = None,
    ):
        self.config = config
        super().__init__(
            module=_Module(config.network),
            input_vocabulary=seqio.PassThroughVocabulary(size=0),
            output_vocabulary=seqio_vocabulary.EventVocabulary(config.vocabulary),
            optimizer_def=optimizer_def,
            decode_fn=decode_fn,
            label_smoothing=label_smoothing,
            z_loss=z_loss,
            loss_normalizing_factor=loss_normalizing_factor,
        )

    def get_initial_variables(self, rng: jax.Array, input_shapes: Mapping, input_types: Mapping | None = None):
        """Return {"params", "params_axes"}. t5x gives the shape of the inputs without bins when it judges."""
        frames_shape = (*input_shapes["encoder_input_tokens"][:2], self.config.network.input_depth)
        frames, tokens = jnp.zeros(frames_shape), jnp.zeros(input_shapes["decoder_input_tokens"], jnp.int32)
        params = network.Transformer(self.config.network).init(rng, frames, tokens)["params"]
        return flax_core.freeze({"params": params, "params_axes": logical_axes(params)})

    def _compute_logits(self, params, batch, dropout_rng=None, mutable=False, other_variables=None):
        """Return the logits [B, T, V] of a batch; t5x's loss and scores call this."""
        encoder_rng, decoder_rng = (None, None) if dropout_rng is None else jax.random.split(dropout_rng)
        apply = functools.partial(network.Transformer(self.config.network).apply, {"params": params})

        def options(rng: jax.Array | None) -> dict:
            return {"deterministic": rng is None, "rngs": None if rng is None else {"dropout": rng}}

        encoded = apply(batch["encoder_input_tokens"], method="encode", **options(encoder_rng))
        logits = apply(encoded, batch["decoder_input_tokens"], method="decode", **options(decoder_rng))
        return (logits, flax_core.freeze({})) if mutable else logits

    def _compute_kv_cache(self, params, encoded_inputs, encoder_input_tokens, decoder_input_tokens, **_):
        """Return the cache before the first token, and None: there is no prompt. Its arrays have a first axis of rows.

        What the decoder reads of the audio is computed here, once, and carried along. It is more than the one array of
        `encoded_inputs`, which only tells how many rows each example has.
        """
        batch, length = decoder_input_tokens.shape
        apply = functools.partial(network.Transformer(self.config.network).apply, {"params": params})
        encoded = apply(encoder_input_tokens, method="encode")
        return {
            "own": stepping.empty_cache(self.config.network, batch, length),
            "memory": apply(encoded, method="memory"),
            "carried": carrying.empty(self.config.network, batch),
        }, None

    def _compute_logits_from_slice(self, decoding_state, params, encoded_inputs, raw_inputs, max_decode_length):
        """Return the logits [rows, V] of the next token, and the cache after the current one."""
        tokens, cache = decoding_state.cur_token[:, 0], decoding_state.cache
        position = jnp.asarray(decoding_state.cur_index, jnp.int32).reshape(-1)[0]  # the same for all rows
        filled = jnp.arange(cache["own"][0][0].shape[2]) <= position
        place = network.Place(jnp.broadcast_to(position, tokens.shape), position, filled[None])
        carried = carrying.carry(cache["carried"], tokens, self.config.network)
        logits, own = network.Transformer(self.config.network).apply(
            {"params": params}, tokens, place, carried, cache["own"], cache["memory"], method="step"
        )
        return logits, {**cache, "own": own, "carried": carried}


def feature_lengths(config: Config) -> dict[str, int]:
    """Return the lengths of the task features."""
    return {"inputs": config.segments.input_frames, "targets": config.segments.max_tokens}


def task(
    config: Config, data: str, suffix: str, name: str = "dataset", augmentation: examples.AugmentConfig | None = None
) -> str:
    """Return the name of the task of a dataset folder, which is registered when it is asked for first.

    Args:
        config: of the model.
        data: a manifest or the folder that holds it; or the name of a task or mixture that is there already, without
            the suffix: ``mega_notes_ties_vb1``.
        suffix: ``train``, ``validation``, ``test``, ``eval``; see `seqio_tasks`.
        name: what the dataset is called in the names of its tasks and scores.
        augmentation: of the training examples of a dataset folder; None for none.
    """
    from mt3lite.adapters import seqio_tasks  # registers the known datasets, which only a run needs

    known = f"{data}_{suffix}"
    if known in seqio.TaskRegistry.names() or known in seqio.MixtureRegistry.names():
        return known
    wanted = f"{seqio_tasks.task_prefix(name, config)}_{suffix}"
    if wanted not in seqio.TaskRegistry.names():
        if not os.path.exists(data):
            raise InputError(f"{data}: neither a dataset folder, nor a manifest, nor the beginning of a task's name")
        seqio_tasks.register_manifest(name, data, config, augmentation=augmentation)
    return wanted


def write_notes(
    path: str,
    inferences: tuple[Sequence, Mapping],
    task_ds: tf.data.Dataset,
    mode: str,
    vocabulary: seqio.Vocabulary | None = None,
    *,
    config: Config,
) -> None:
    """Write the notes of each piece as one JSON line, {"id", "est_notes"}; a ``write_fn`` of t5x's infer mode.

    The fields of a note are those of the ancestor's inference files.

    Args:
        path: of the file.
        inferences: the token ids of all segments in the order of the dataset, and what else the model gave.
        task_ds: the segments, with ``id`` and ``first_frame``.
        mode: must be "predict".
        vocabulary: of the task; that of `config` is used.
        config: of the model.

    Raises:
        InputError: another mode.
    """
    if mode != "predict":
        raise InputError(f"mode: {mode!r}; notes can only be written of 'predict'")
    pieces: dict[str, list[dict]] = {}
    for segment, tokens in zip(task_ds.as_numpy_iterator(), inferences[0], strict=True):
        entry = {"first_frame": int(segment["first_frame"]), "tokens": np.asarray(tokens, np.int32)}
        pieces.setdefault(segment["id"].decode(), []).append(entry)
    with tf.io.gfile.GFile(path, "w") as file:
        for piece, found in pieces.items():
            heard = seqio_scores.decode_piece(found, config).finish()
            rows = [dict(zip(NOTE_FIELDS, note, strict=True)) for note in heard.tolist()]
            file.write(json.dumps({"id": piece, "est_notes": rows}) + "\n")
