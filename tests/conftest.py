"""What several test files share."""

import dataclasses
import os
from pathlib import Path

import hypothesis
import jax
import numpy as np
import pytest
from flax import traverse_util
from jax.experimental.compilation_cache import compilation_cache as compilation_cache_of_jax

from mt3lite import config, network, weights
from mt3lite.commands import compilation

# How long an example takes depends on the machine and what else it does, and the first on what gets loaded.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")


@pytest.fixture(autouse=True, scope="session")
def cache_folder(tmp_path_factory):
    """Leave the user's cache alone: what trainings compile is kept in a folder of this test run, for all of them."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # of all processes
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
        yield


@pytest.fixture(autouse=True, scope="module")
def forgotten_programs():
    """Forget what the tests of a file compiled, or the process would have gigabytes in the end.

    Each file begins without a cache of JAX's own, whatever trainings before set up: what that gives, we do not keep.
    """
    jax.config.update("jax_compilation_cache_dir", None)
    compilation_cache_of_jax.reset_cache()
    yield
    jax.clear_caches()


@pytest.fixture(scope="module")
def compiled_once():
    """Let JAX keep what the trainings of a file compile, as the command does: they are of one small network."""
    compilation.use_cache()


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """Make a model folder with the preset `tiny` and random weights, which finds notes in any noise.

    Segments are cut at 64 tokens to save time.
    """
    tiny = config.preset("tiny")
    tiny = dataclasses.replace(tiny, segments=dataclasses.replace(tiny.segments, max_tokens=64))
    rng = np.random.default_rng(0)
    shapes = network.parameter_shapes(tiny.network)
    params = jax.tree.map(lambda leaf: rng.normal(0, 0.3, leaf.shape).astype(np.float32), shapes)
    # What is written is what the heads hear in it, and that is little at a time.
    params["decoder"]["logits_dense"]["kernel"] *= 0.03
    heads = params["encoder"]["heads"]
    for name, scale, bias in (("frame", 0.6, -2.5), ("onset", 0.5, -1.5), ("drum", 0.5, -3.0), ("pitch_out", 0.1, 0.0)):
        heads[name] = {"kernel": scale * heads[name]["kernel"], "bias": np.float32(bias) + 0.1 * heads[name]["bias"]}
    folder = tmp_path_factory.mktemp("models") / "tiny"
    weights.save(folder, tiny, params, origin="random numbers", license="CC0-1.0")
    return folder


@pytest.fixture(scope="session")
def compilation_cache(tmp_path_factory):
    """Let the command keep compiled programs in a folder of this test run; return the user's cache folder it is in."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        patch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
        yield folder


@pytest.fixture(scope="session")
def golden_network():
    """Return the reference network: transformer, parameters, inputs and outputs."""
    folder = Path(__file__).parent / "golden" / "network"
    with np.load(folder / "tiny_params.npz") as file:
        params = traverse_util.unflatten_dict({tuple(name.split("/")): file[name] for name in file.files})
    with np.load(folder / "tiny_io.npz") as file:
        io = {name: file[name] for name in file.files}
    settings = network.NetworkConfig(
        emb_dim=64, num_heads=4, head_dim=16, num_encoder_layers=2, num_decoder_layers=2, mlp_dim=128
    )
    return network.Transformer(settings), params, io
