"""A larger network that begins as the function of a smaller, trained one, so that nothing learnt is learnt again.

New layers add nothing to the residual stream at first, and new channels of the front end are read by nobody: what they
should do is learnt from there. After Chen et al., "Net2Net: Accelerating Learning via Knowledge Transfer", ICLR 2016,
whose copied channels are fresh ones here.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from mt3lite import network
from mt3lite.config import Config
from mt3lite.errors import InputError

GROWING = (
    *("num_encoder_layers", "num_decoder_layers", "front_end_channels"),
    *("note_channels", "note_blocks", "note_ends", "note_unisons"),
)
# What reads the front end's channels, by the last names of its path, and by what share of them one unit is wide.
_READERS = {
    ("front_end", "harmonics"): 2,
    ("block", "mix"): 1,
    ("front_end", "narrow"): 1,
    ("front_end", "pitch_out"): 4,
    ("heads", "pitch_in"): 1,
}
_ENDS = ("encoder", "heads", "pitch_out", "kernel")  # the last column, see `note_heads.NoteHeads`
_SELDOM = -4.0  # a logit
_RESIDUAL_OUTPUTS = (("out", "kernel"), ("wo", "kernel"))  # what a layer adds to the stream comes through these


def grow(params: dict, old: Config, new: Config, seed: int) -> dict:
    """Return parameters of a larger network that computes what `params` do.

    Args:
        params: of a network with the settings `old`.
        old: settings of the trained model.
        new: settings of the larger one; it may have more of what `GROWING` names.
        seed: of the weights that nothing reads yet.

    Returns:
        The parameter tree of `new`, float32.

    Raises:
        InputError: the models differ in something else, or `new` is smaller in one of these.
    """
    _check(old, new)
    fresh = traverse_util.flatten_dict(_initial(new, seed))
    known = traverse_util.flatten_dict(params)
    grown = {}
    for path, array in fresh.items():
        if path not in known:
            grown[path] = np.zeros_like(array) if path[-2:] in _RESIDUAL_OUTPUTS else array
        elif known[path].shape == array.shape:
            grown[path] = np.asarray(known[path], np.float32)
        else:
            grown[path] = _widened(path, np.asarray(known[path], np.float32), array, old.network.front_end_channels)
    if new.network.note_ends and not old.network.note_ends and _ENDS in grown:
        _expect_no_ends(grown)
    return traverse_util.unflatten_dict(grown)


def _check(old: Config, new: Config) -> None:
    def rest(config: Config) -> Config:
        same = {name: getattr(new.network, name) for name in GROWING}
        return dataclasses.replace(config, name="", network=dataclasses.replace(config.network, **same))

    if rest(old) != rest(new):
        raise InputError(f"a model can go on in a larger one only if that differs in {', '.join(GROWING)} alone")
    for name in GROWING:
        before, after = getattr(old.network, name), getattr(new.network, name)
        if after < before:
            raise InputError(f"{name}: {after} is less than the {before} of the model to go on from")
    if old.network.note_blocks and old.network.note_channels != new.network.note_channels:
        raise InputError("note_channels: cannot grow where there are note_blocks, whose norms are over all channels")


def _initial(config: Config, seed: int) -> dict:
    frames = jnp.zeros((1, config.segments.input_frames, config.spectrogram.num_bins))
    init = jax.jit(network.Transformer(config.network).init)
    params = init(jax.random.key(seed), frames, jnp.zeros((1, 2), jnp.int32))["params"]
    return jax.tree.map(lambda array: np.array(array, np.float32), params)


def _expect_no_ends(grown: dict[tuple[str, ...], np.ndarray]) -> None:
    """Let the new head say that no note ends, since what is heard to end is written so."""
    for path, value in ((_ENDS, 0.0), ((*_ENDS[:-1], "bias"), _SELDOM)):
        grown[path] = np.concatenate([grown[path][..., :-1], np.full_like(grown[path][..., -1:], value)], axis=-1)


def _widened(path: tuple[str, ...], old: np.ndarray, fresh: np.ndarray, old_channels: int) -> np.ndarray:
    """Return `fresh` with `old` in its place, and zeros where an old output would read a new input."""
    if old.ndim == 1:
        return np.concatenate([old, fresh[len(old) :]])
    width = len(old)  # of the inputs that stand side by side, once for each harmonic, time or pitch
    for (above, name), share in _READERS.items():
        if path[-3].startswith(above) and path[-2] == name:
            width = old_channels // share
    repeats = len(old) // width
    old, blocks = old.reshape(repeats, width, -1), fresh.reshape(repeats, len(fresh) // repeats, -1).copy()
    outputs = old.shape[2]
    blocks[:, :, :outputs] = 0.0
    blocks[:, :width, :outputs] = old
    return blocks.reshape(fresh.shape)
