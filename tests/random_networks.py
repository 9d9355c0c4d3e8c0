"""Small random networks, segments for them, and what the plain loop makes of those."""

import jax
import numpy as np

from mt3lite import codec, config, decoding, lanes, network, stepping, vocabulary

MAX_TOKENS = 24
OWN = config.preset("tiny")
PLAIN = network.NetworkConfig(
    input_depth=OWN.network.input_depth,
    vocab_size=OWN.network.vocab_size,
    emb_dim=32,
    num_heads=2,
    head_dim=8,
    num_encoder_layers=1,
    num_decoder_layers=2,
    mlp_dim=32,
)
NETWORKS = {"own": OWN.network, "plain": PLAIN}
FRAMES = 24


def random_params(net: network.NetworkConfig, seed: int, end_bias: float) -> dict:
    """Return random parameters; the larger the bias, the sooner segments end."""
    rng = np.random.default_rng(seed)
    params = jax.tree.map(
        lambda leaf: rng.normal(0, 1.5 * leaf.shape[0] ** -0.5, leaf.shape) if leaf.ndim > 1 else np.ones(leaf.shape),
        network.parameter_shapes(net),
    )
    params = jax.tree.map(lambda leaf: leaf.astype(np.float32), params)
    params["decoder"]["logits_dense"]["kernel"][:, vocabulary.EOS] *= end_bias
    return params


def segments(seed: int, count: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(-1, 2.5, (count, FRAMES, OWN.network.input_depth)).astype(np.float32)


def make(
    net_name: str,
    with_grammar: bool,
    num_lanes: int,
    encode_batch: int,
    params: dict,
    kept=None,
    in_panels=False,
    precision=stepping.FLOAT32,
):
    words = vocabulary.Vocabulary(OWN.vocabulary)
    grammar = (
        decoding.Grammar(words, codec.CodecConfig(events="notes", granularity="midi_class"), 200)
        if with_grammar
        else None
    )
    transformer = network.Transformer(NETWORKS[net_name])
    search = lanes.Search(transformer, grammar, MAX_TOKENS, in_panels=in_panels, precision=precision)
    shape = FRAMES, OWN.network.input_depth
    programs = lanes.Programs(search, params, shape, num_lanes=num_lanes, encode_batch=encode_batch, kept=kept)
    return search, programs


def plain(search: lanes.Search, params: dict, frames: np.ndarray) -> np.ndarray:
    """Return what the plain loop makes of at most 18 segments; always so many, so that it is compiled once."""
    filled = np.concatenate([frames, np.repeat(frames[:1], 18 - len(frames), axis=0)])
    tokens = decoding.generate(search.transformer, params, filled, max_tokens=MAX_TOKENS, grammar=search.grammar)
    return np.asarray(tokens)[: len(frames)]
