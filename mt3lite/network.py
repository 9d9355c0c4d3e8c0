"""The encoder-decoder Transformer: spectrogram frames in, one row of token logits per output position.

The layers are those of T5.1.1 as the ancestor (magenta/mt3) uses them: no biases, RMS norms before each sublayer, gated
GELU, fixed sinusoidal positions, parameters under the ancestor's names, so that its checkpoints fit
(Gardner et al., "MT3: Multi-Task Multitrack Music Transcription", ICLR 2022; Raffel et al., JMLR 2020).

Four additions serve our own presets and are off for the ancestor's: the harmonic front end (`frontend.py`); carried
tokens (`carrying.py`), by which the decoder is told the shift, velocity and program in force, and which pitches sound,
instead of having to look it all up; time windows, by which its cross-attention looks at the audio around the shift in
force; and hearing (`hearing.py`), by which its logits begin from the notes that the encoder hears there.

Axes: B batch, F frames, P encoder positions, T tokens, L cache length, H heads, K head size, D emb_dim, V vocabulary.
"""

import dataclasses
import functools
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from mt3lite import carrying, frontend, hearing, layers, note_heads, panels, rounding
from mt3lite.errors import InputError

# Per decoder layer: keys and values, each [B, H, L, K]; keys may be in panels, see `panels.split_keys`, and both may be
# of int8.
Cache = list[tuple[jax.Array, jax.Array] | tuple[rounding.Rounded, rounding.Rounded]]


class Place(NamedTuple):
    """Where a decoding step stands, with a token of each row. Rows may be of different lengths so far.

    The caches have no order: a position is told by its embedding alone, so any slot will do for it.
    """

    positions: jax.Array  # int32 [B]: tokens of each row before this one
    slot: jax.Array  # int32 scalar: the slot of the caches, one for all rows, that this token's keys and values go to
    filled: jax.Array  # bool [B or 1, L]: the slots that belong to the row, with this one


class Encoded(NamedTuple):
    """What the encoder makes of a segment."""

    vectors: jax.Array  # [B, P, D]
    pitch_features: jax.Array | None  # [B, P, 88, C] of a harmonic front end
    heads: dict[str, jax.Array] | None  # logits of `note_heads.NoteHeads`, of a network that hears


class Memory(NamedTuple):
    """What the decoder reads at every step, computed once for all of them."""

    cross_cache: Cache  # keys and values of the encoder's output, each [B, H, P, K]
    heard: hearing.Heard | None  # of a network that hears


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the network. The defaults are the ancestor's mt3."""

    input_depth: int = 512  # bins of a spectrogram frame
    vocab_size: int = 1536  # width of the logits
    emb_dim: int = 512
    num_heads: int = 6
    head_dim: int = 64
    num_encoder_layers: int = 8
    num_decoder_layers: int = 8
    mlp_dim: int = 1024
    dropout_rate: float = 0.1
    dtype: str = "float32"  # of the computation; parameters and logits are always float32
    max_positions: int = 2048  # rows of the sinusoid table
    front_end: str = "linear"  # "linear", or "harmonic" for a log-frequency spectrogram
    front_end_channels: int = 32  # harmonic only: features of a pitch
    front_end_blocks: int = 2  # harmonic only: residual blocks over time
    bins_per_semitone: int = 3  # harmonic only: of the spectrogram
    frames_per_position: int = 1  # harmonic only: neighbouring frames that make one encoder position
    # Token ranges (first id, how many) whose last token so far is added to each decoder input; the first is the shifts.
    carried_ranges: tuple[tuple[int, int], ...] = ()
    # Encoder position of shift 0, and positions a shift step: the starting value of the carried shift's embedding.
    shift_positions: tuple[float, float] = (0.0, 1.0)
    # Token range of the pitches; where it is not empty, the decoder is told which of them sound by the tokens so far.
    # The carried ranges must then be those of shift, velocity, tie and program.
    pitch_range: tuple[int, int] = (0, 0)
    time_windows: bool = False  # cross-attention looks around the position of the carried shift, see `TimeWindow`
    note_channels: int = 48  # hearing only: features of a pitch behind the encoder
    note_blocks: int = 0  # hearing only: blocks over time and pitch that those go through, `note_heads.NoteBlock`
    note_ends: bool = False  # hearing only: hears when notes end, beside whether they sound
    note_unisons: bool = False  # hearing only: hears where two families play the same note
    hearing: bool = False  # the logits begin from the notes that the encoder hears, see `hearing.hints`
    drum_range: tuple[int, int] = (0, 0)  # hearing only: token range of the drums

    def __post_init__(self):
        for field, allowed in (("front_end", ("linear", "harmonic")), ("dtype", ("float32", "bfloat16"))):
            if getattr(self, field) not in allowed:
                raise InputError(f"network.{field}: {getattr(self, field)!r} is not one of {', '.join(allowed)}")
        if self.time_windows and not self.carried_ranges:
            raise InputError("network.time_windows: needs the shifts among network.carried_ranges")
        if self.pitch_range[1] and len(self.carried_ranges) != 4:
            raise InputError("network.pitch_range: needs shift, velocity, tie and program as network.carried_ranges")
        if self.hearing and not (self.front_end == "harmonic" and self.pitch_range[1] and self.drum_range[1]):
            raise InputError("network.hearing: needs a harmonic front end, network.pitch_range and network.drum_range")


@functools.lru_cache
def position_table(max_positions: int, emb_dim: int) -> np.ndarray:
    """Return the sinusoids added at the bottom of both stacks, float32 [max_positions, emb_dim]."""
    return sinusoids(np.arange(max_positions), emb_dim)


def sinusoids(positions: np.ndarray, emb_dim: int) -> np.ndarray:
    """Return [sin(p w_i) | cos(p w_i)] with w_i = 10000^(-i / (emb_dim/2 - 1)), float32 [len(positions), emb_dim]."""
    half = emb_dim // 2
    frequencies = np.exp(-np.log(10000.0) / (half - 1) * np.arange(half))
    angles = np.asarray(positions)[:, None] * frequencies
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def shift_right(tokens: jax.Array) -> jax.Array:
    """Return the decoder inputs of target tokens [B, T]: 0 (PAD stands for BOS) and all but the last."""
    return jnp.pad(tokens[:, :-1], ((0, 0), (1, 0)))


class EncoderLayer(nn.Module):
    """Self-attention and MLP, each with its norm before and a residual around."""

    config: NetworkConfig

    @nn.compact
    def __call__(self, x: jax.Array, deterministic: bool) -> jax.Array:
        """[B, P, D] -> [B, P, D]."""
        dtype = jnp.dtype(self.config.dtype)
        dropout = nn.Dropout(self.config.dropout_rate, broadcast_dims=(-2,))
        y = layers.RMSNorm(dtype, name="pre_attention_layer_norm")(x)
        y = layers.Attention(self.config, name="attention")(y, y, deterministic=deterministic)
        x = x + dropout(y, deterministic=deterministic)
        y = layers.RMSNorm(dtype, name="pre_mlp_layer_norm")(x)
        return x + dropout(layers.MLP(self.config, name="mlp")(y, deterministic), deterministic=deterministic)


class Encoder(nn.Module):
    """Front end, positions, layers, norm."""

    config: NetworkConfig
    rematerialise: bool = False

    @nn.compact
    def __call__(self, frames: jax.Array, deterministic: bool) -> Encoded:
        """[B, F, input_depth] -> P encoded positions."""
        cfg = self.config
        dtype = jnp.dtype(cfg.dtype)
        pitch_features = None
        if cfg.front_end == "harmonic":
            x, pitch_features = frontend.HarmonicFrontEnd(
                emb_dim=cfg.emb_dim,
                channels=cfg.front_end_channels,
                bins_per_semitone=cfg.bins_per_semitone,
                frames_per_position=cfg.frames_per_position,
                num_blocks=cfg.front_end_blocks,
                dtype=dtype,
                name="front_end",
            )(frames)
            # Its vectors are as large as the sound is loud and rich: the positions would be lost beside them.
            x = layers.RMSNorm(dtype, name="front_end_norm")(x)
        else:
            x = layers.dense(cfg.emb_dim, dtype, "continuous_inputs_projection")(frames)
        positions = jnp.asarray(position_table(cfg.max_positions, cfg.emb_dim)[: x.shape[1]], dtype)
        x = x + positions
        x = nn.Dropout(cfg.dropout_rate, broadcast_dims=(-2,))(x, deterministic=deterministic)
        layer_class = nn.remat(EncoderLayer, static_argnums=(2,)) if self.rematerialise else EncoderLayer
        for i in range(cfg.num_encoder_layers):
            x = layer_class(cfg, name=f"layers_{i}")(x, deterministic)
        x = layers.RMSNorm(dtype, name="encoder_norm")(x)
        if cfg.time_windows:  # and told again, so that the decoder can tell when in its window something happened
            x = x + positions
        x = nn.Dropout(cfg.dropout_rate)(x, deterministic=deterministic)
        if not cfg.hearing:
            return Encoded(x, pitch_features, None)
        heads = note_heads.NoteHeads(
            cfg.note_channels, cfg.note_blocks, cfg.note_ends, cfg.note_unisons, dtype, name="heads"
        )
        return Encoded(x, pitch_features, heads(x, pitch_features))


class DecoderLayer(nn.Module):
    """Causal self-attention, cross-attention and MLP; whole sequences in `__call__`, one token in `step`."""

    config: NetworkConfig

    def setup(self):
        dtype = jnp.dtype(self.config.dtype)
        self.pre_self_attention_layer_norm = layers.RMSNorm(dtype)
        self.self_attention = layers.Attention(self.config)
        self.pre_cross_attention_layer_norm = layers.RMSNorm(dtype)
        self.encoder_decoder_attention = layers.Attention(self.config)
        if self.config.time_windows:
            self.time_window = layers.TimeWindow(self.config.num_heads)
        self.pre_mlp_layer_norm = layers.RMSNorm(dtype)
        self.mlp = layers.MLP(self.config)
        self.dropout = nn.Dropout(self.config.dropout_rate, broadcast_dims=(-2,))

    def _window(self, stand: jax.Array, num_positions: int) -> jax.Array | None:
        return self.time_window(stand, num_positions) if self.config.time_windows else None

    def __call__(self, x, encoded: jax.Array, stand: jax.Array, causal: jax.Array, deterministic: bool) -> jax.Array:
        """[B, T, D], encoded [B, P, D], positions stood at [B, T], causal mask [T, T] -> [B, T, D]."""
        y = self.pre_self_attention_layer_norm(x)
        y = self.self_attention(y, y, causal, None, deterministic)
        x = x + self.dropout(y, deterministic=deterministic)
        y = self.pre_cross_attention_layer_norm(x)
        window = self._window(stand, encoded.shape[1])
        y = self.encoder_decoder_attention(y, encoded, None, window, deterministic)
        x = x + self.dropout(y, deterministic=deterministic)
        y = self.mlp(self.pre_mlp_layer_norm(x), deterministic)
        return x + self.dropout(y, deterministic=deterministic)

    def step(self, x: jax.Array, place: Place, stand: jax.Array, self_cache, cross_cache):
        """[B, 1, D] at `place`, caches of this layer ([B, H, L, K], [B, H, P, K] pairs) -> [B, 1, D], self cache."""
        y = self.pre_self_attention_layer_norm(x)
        new_key, new_value = self.self_attention.keys_values(y)
        keys, values = _write(self_cache, new_key, new_value, place.slot)
        filled = place.filled[:, None, None]
        x = x + self.self_attention.attend(self.self_attention.queries(y), keys, values, filled)
        y = self.encoder_decoder_attention.queries(self.pre_cross_attention_layer_norm(x))
        window = self._window(stand, cross_cache[1].shape[2])
        x = x + self.encoder_decoder_attention.attend(y, *cross_cache, bias=window)
        return x + self.mlp(self.pre_mlp_layer_norm(x)), (keys, values)


def _write(cache: tuple, key: jax.Array, value: jax.Array, slot: jax.Array) -> tuple:
    """Return keys and values of a layer with those of each row, [B, H, 1, K], at a slot."""

    def write(whole: jax.Array, new: jax.Array) -> jax.Array:
        if whole.ndim == 5:
            return panels.write_key(whole, new, slot)
        return jax.lax.dynamic_update_slice_in_dim(whole, new, slot, axis=2)

    if isinstance(cache[0], rounding.Rounded):
        key, value = rounding.to_int8(key), rounding.to_int8(value)
    return jax.tree.map(write, tuple(cache), (key, value))


def _shift_sinusoids(config: NetworkConfig) -> np.ndarray:
    """Return for each shift the sinusoid of the encoder position it means, float32 [num_shifts, D], rms 1."""
    offset, scale = config.shift_positions
    return np.sqrt(2) * sinusoids(offset + scale * np.arange(config.carried_ranges[0][1]), config.emb_dim)


def _carried_shift_init(config: NetworkConfig):
    """Return the initialiser of the carried shift's table [num_shifts + 1, D]; row 0, no shift yet, means step 0."""
    table = _shift_sinusoids(config)
    return lambda key, shape, dtype=jnp.float32: jnp.asarray(np.concatenate([table[:1], table]), dtype)


def _with_shifts(init, config: NetworkConfig, scale: float, transposed: bool):
    """Return `init` of a token table [V, D] (transposed: [D, V]) with the shifts' rows replaced by their sinusoids.

    Hundreds of shifts each seen a few times a batch are slow to tell apart; so they begin as places on one line.
    """
    if not config.time_windows:
        return init
    first, count = config.carried_ranges[0]
    rows = jnp.asarray(scale * _shift_sinusoids(config))

    def with_shifts(key, shape, dtype=jnp.float32):
        table = init(key, shape, dtype)
        if transposed:
            return table.at[:, first : first + count].set(rows.T.astype(dtype))
        return table.at[first : first + count].set(rows.astype(dtype))

    return with_shifts


class Decoder(nn.Module):
    """Token embeddings, positions and carried tokens; layers; norm; logits."""

    config: NetworkConfig
    rematerialise: bool = False

    def setup(self):
        cfg = self.config
        dtype = jnp.dtype(cfg.dtype)
        normal = nn.initializers.normal(1.0)
        embedding_init = _with_shifts(normal, cfg, 1.0, False)
        self.token_embedder = nn.Embed(cfg.vocab_size, cfg.emb_dim, embedding_init=embedding_init, dtype=dtype)
        self.carried_embedders = [
            nn.Embed(count + 1, cfg.emb_dim, embedding_init=normal if i else _carried_shift_init(cfg), dtype=dtype)
            for i, (_, count) in enumerate(cfg.carried_ranges)
        ]
        if cfg.pitch_range[1]:
            self.sounding_embedder = layers.dense(cfg.emb_dim, dtype, None, nn.initializers.zeros)
        layer_class = nn.remat(DecoderLayer, static_argnums=(5,)) if self.rematerialise else DecoderLayer
        self.layers = [layer_class(cfg) for _ in range(cfg.num_decoder_layers)]
        self.decoder_norm = layers.RMSNorm(dtype)
        logits_init = nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal")
        logits_init = _with_shifts(logits_init, cfg, cfg.emb_dim**-0.5, True)
        self.logits_dense = layers.dense(cfg.vocab_size, jnp.float32, None, logits_init)
        self.dropout = nn.Dropout(cfg.dropout_rate, broadcast_dims=(-2,))

    def _embed(self, tokens: jax.Array, positions: jax.Array, carried: jax.Array, length: int) -> jax.Array:
        """Tokens [B, T], positions [T] or [B, T] less than length, carried [B, T, R] -> [B, T, D]."""
        cfg = self.config
        table = jnp.asarray(position_table(cfg.max_positions, cfg.emb_dim)[:length], jnp.dtype(cfg.dtype))
        x = self.token_embedder(tokens) + table[positions]
        if cfg.pitch_range[1]:
            first = len(cfg.carried_ranges)
            x = x + self.sounding_embedder(jnp.minimum(carried[..., first : first + cfg.pitch_range[1]], 1))
        return x + sum(embed(carried[..., i]) for i, embed in enumerate(self.carried_embedders))

    def _stand(self, carried: jax.Array) -> jax.Array | None:
        """Return the encoder position of the shift in force, float32 [B, T], for carried tokens [B, T, R]."""
        if not self.config.time_windows:
            return None
        offset, scale = self.config.shift_positions
        return offset + scale * jnp.maximum(carried[..., 0] - 1, 0)  # no shift yet means step 0

    def _logits(self, x: jax.Array, carried: jax.Array, heard: hearing.Heard | None) -> jax.Array:
        """Output of the last layer [B, T, D], carried [B, T, R] -> logits float32 [B, T, V]."""
        x = x.astype(jnp.float32)
        logits = self.logits_dense(x)
        return logits if heard is None else logits + hearing.WEIGHT * hearing.hints(heard, carried, self.config)

    def __call__(self, encoded: Encoded, tokens: jax.Array, deterministic: bool) -> jax.Array:
        """Decoder input tokens [B, T] -> logits float32 [B, T, V]."""
        length = tokens.shape[1]
        carried = carrying.sequence(tokens, self.config)
        x = self.dropout(self._embed(tokens, jnp.arange(length), carried, length), deterministic=deterministic)
        causal = jnp.tril(jnp.ones((length, length), bool))
        for layer in self.layers:
            x = layer(x, encoded.vectors, self._stand(carried), causal, deterministic)
        x = self.dropout(self.decoder_norm(x), deterministic=deterministic)
        return self._logits(x, carried, self._heard(encoded))

    def _heard(self, encoded: Encoded) -> hearing.Heard | None:
        # What the tokens ask for does not change what is heard: the heads learn from notes alone.
        return None if encoded.heads is None else hearing.prepare(jax.lax.stop_gradient(encoded.heads))

    def memory(self, encoded: Encoded) -> Memory:
        """Return each layer's keys and values of the encoded positions, and what was heard there."""
        keys_values = [layer.encoder_decoder_attention.keys_values(encoded.vectors) for layer in self.layers]
        return Memory(keys_values, self._heard(encoded))

    def step(self, tokens, place: Place, carried, self_cache: Cache, memory: Memory) -> tuple[jax.Array, Cache]:
        """One token of each row: tokens [B], carried [B, R] -> logits [B, V] and the updated self cache."""
        carried = carried[:, None]
        x = self._embed(tokens[:, None], place.positions[:, None], carried, place.filled.shape[1])
        updated = []
        for layer, own, cross in zip(self.layers, self_cache, memory.cross_cache, strict=True):
            x, own = layer.step(x, place, self._stand(carried), own, cross)
            updated.append(own)
        return self._logits(self.decoder_norm(x), carried, memory.heard)[:, 0], updated


class Transformer(nn.Module):
    """The whole network; call through ``apply({"params": params}, ..., method=...)``.

    >>> network = Transformer(NetworkConfig(num_encoder_layers=1, num_decoder_layers=1))
    >>> frames, tokens = jnp.zeros((1, 256, 512)), jnp.zeros((1, 8), jnp.int32)
    >>> variables = network.init(jax.random.key(0), frames, tokens)
    >>> network.apply(variables, frames, tokens).shape
    (1, 8, 1536)
    """

    config: NetworkConfig
    rematerialise: bool = False  # in training: layers are computed again for the gradient, to save memory

    def setup(self):
        self.encoder = Encoder(self.config, self.rematerialise)
        self.decoder = Decoder(self.config, self.rematerialise)

    def __call__(self, frames: jax.Array, decoder_input_tokens: jax.Array, *, deterministic: bool = True) -> jax.Array:
        """Frames float32 [B, F, input_depth], decoder inputs int32 [B, T] -> logits float32 [B, T, V].

        Positions behind a row's end are not masked: causality keeps them from earlier ones, and the loss skips them.
        """
        encoded = self.encode(frames, deterministic=deterministic)
        return self.decode(encoded, decoder_input_tokens, deterministic=deterministic)

    def encode(self, frames: jax.Array, *, deterministic: bool = True) -> Encoded:
        """Frames [B, F, input_depth] -> P encoded positions."""
        return self.encoder(frames, deterministic)

    def decode(self, encoded: Encoded, decoder_input_tokens: jax.Array, *, deterministic: bool = True) -> jax.Array:
        """Decoder inputs [B, T] -> logits [B, T, V]."""
        return self.decoder(encoded, decoder_input_tokens, deterministic)

    def memory(self, encoded: Encoded) -> Memory:
        """Return what the decoder reads of a segment at every step."""
        return self.decoder.memory(encoded)

    def step(self, tokens, place: Place, carried, self_cache: Cache, memory: Memory) -> tuple[jax.Array, Cache]:
        """One step: tokens int32 [B] at `place`, carried int32 [B, R] -> logits [B, V], cache."""
        return self.decoder.step(tokens, place, carried, self_cache, memory)


def parameter_shapes(config: NetworkConfig) -> dict:
    """Return the parameter tree with `jax.ShapeDtypeStruct` leaves, without computing anything."""
    frames = jax.ShapeDtypeStruct((1, 8 * config.frames_per_position, config.input_depth), jnp.float32)
    tokens = jax.ShapeDtypeStruct((1, 2), jnp.int32)
    return jax.eval_shape(Transformer(config).init, jax.random.key(0), frames, tokens)["params"]
