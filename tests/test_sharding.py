"""Which part of what goes to which device."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import AbstractMesh
from jax.sharding import PartitionSpec as Spec

from mt3lite import config, network
from mt3lite.errors import InputError
from mt3lite.training import sharding

GOLDEN = json.loads((Path(__file__).parent / "golden/network/full_size_parameters.json").read_text())
MESH = AbstractMesh((4, 2), ("data", "model"))


def test_axes_mean_what_they_mean_to_t5x():
    """Every parameter of the ancestor's networks."""
    for model in GOLDEN["models"]:
        for name, facts in model["parameters"].items():
            assert sharding.logical_axes(name) == tuple(facts["logical_axes"]), name


def test_what_is_split():
    """Heads, hidden units and words over the model axis; the rest whole, as are arrays of other shapes or names."""
    tree = network.parameter_shapes(config.preset("mt3").network)
    specs = jax.tree.map(lambda each: each.spec, sharding.of_tree({"mu": tree}, MESH))["mu"]
    layer = specs["decoder"]["layers_3"]
    assert layer["self_attention"]["query"]["kernel"] == Spec(None, "model")
    assert layer["self_attention"]["out"]["kernel"] == layer["mlp"]["wo"]["kernel"] == Spec("model", None)
    assert layer["pre_mlp_layer_norm"]["scale"] == Spec(None)
    assert specs["decoder"]["token_embedder"]["embedding"] == Spec("model", None)
    row_statistics = {"v_row": {"decoder": {"logits_dense": {"kernel": jax.ShapeDtypeStruct((1536,), np.float32)}}}}
    assert jax.tree.leaves(sharding.of_tree(row_statistics, MESH))[0].spec == Spec()


def test_what_does_not_come_out_even_stays_whole():
    """Three heads of one number for two devices."""
    tree = {"attention": {"query": {"kernel": jax.ShapeDtypeStruct((8, 3), np.float32)}}}
    assert sharding.of_tree(tree, MESH)["attention"]["query"]["kernel"].spec == Spec(None, None)


def test_devices_must_come_out_even():
    with pytest.raises(InputError, match=f"{jax.device_count()} devices do not fall into groups of 999"):
        sharding.make_mesh(999)
