"""Model folders: what is saved comes back, and what is wrong with one is named."""

import json

import jax
import numpy as np
import pytest
import safetensors.numpy

from mt3lite import config, network, weights
from mt3lite.errors import InputError

TINY = config.preset("tiny")


def random_params(seed: int = 0) -> dict:
    rng = np.random.default_rng(seed)
    shapes = network.parameter_shapes(TINY.network)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes)


@pytest.fixture
def folder(tmp_path):
    weights.save(tmp_path / "model", TINY, random_params(), origin="random numbers", license="CC0-1.0")
    return tmp_path / "model"


def edit_header(folder, change) -> None:
    header = json.loads((folder / "config.json").read_text())
    change(header)
    (folder / "config.json").write_text(json.dumps(header))


def replace_tensors(folder, change) -> None:
    """Change the tensors and make the checksum right again."""
    tensors = safetensors.numpy.load_file(folder / "model.safetensors")
    change(tensors)
    (folder / "model.safetensors").write_bytes(safetensors.numpy.save(tensors))
    set_checksum(folder)


def set_checksum(folder) -> None:
    import hashlib

    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    edit_header(folder, lambda header: header["sha256"].update({"model.safetensors": digest}))


def test_round_trip(folder):
    model = weights.load(folder)
    assert (model.config, model.origin, model.license, model.path) == (TINY, "random numbers", "CC0-1.0", folder)
    jax.tree.map(np.testing.assert_array_equal, model.params, random_params())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_stored_small_and_loaded_as_float32(tmp_path, dtype):
    small = jax.tree.map(lambda leaf: leaf.astype(jax.numpy.dtype(dtype)), random_params())
    weights.save(tmp_path, TINY, small, origin="", license="")
    params = weights.load(tmp_path).params
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert (tmp_path / "model.safetensors").stat().st_size < 2.2 * count
    jax.tree.map(lambda got, want: np.testing.assert_array_equal(got, want.astype(np.float32)), params, small)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(params)} == {"float32"}


def test_saving_again_replaces(folder):
    weights.save(folder, TINY, random_params(1), origin="others", license="CC0-1.0")
    assert weights.load(folder).origin == "others"
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]


def test_a_wrong_tree_is_not_saved(tmp_path):
    params = random_params()
    del params["decoder"]["logits_dense"]
    with pytest.raises(InputError, match="missing tensor decoder/logits_dense/kernel"):
        weights.save(tmp_path / "model", TINY, params, origin="", license="")
    assert not (tmp_path / "model").exists()


def test_unknown_names_and_empty_folders(tmp_path):
    with pytest.raises(InputError, match="nothing-like-it: no such model; bundled: .* path of a model folder"):
        weights.load("nothing-like-it")
    with pytest.raises(InputError, match="not a model folder: it has no config.json"):
        weights.load(tmp_path)


def test_missing_weights(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model.safetensors: no such file"):
        weights.load(folder)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda h: h.update(extra=1), r"config.json: unknown key extra"),
        (lambda h: h["config"]["network"].update(colour="red"), r"config.json: unknown key config.network.colour"),
        (lambda h: h["config"]["network"].pop("emb_dim"), r"config.json: missing key config.network.emb_dim"),
        (lambda h: h["config"]["network"].update(emb_dim="32"), r"config.network.emb_dim: '32' is not of type int"),
        (lambda h: h.update(format=2), r"config.json: format: 2 is not 1"),
        (lambda h: h.update(sha256={"../x": "00"}), r"sha256: names ../x; wanted model.safetensors"),
        (lambda h: h["sha256"].update({"model.safetensors": "0" * 64}), r"model.safetensors: checksum .* damaged"),
        (lambda h: h["config"]["network"].update(emb_dim=64), r"model.safetensors: \S+: shape \(.*\), wanted \(.*\)"),
    ],
)
def test_bad_headers_are_named(folder, change, message):
    edit_header(folder, change)
    with pytest.raises(InputError, match=message):
        weights.load(folder)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: t.update({"decoder/extra": np.zeros(1, np.float32)}), "unknown tensor decoder/extra"),
        (lambda t: t.pop("decoder/decoder_norm/scale"), "missing tensor decoder/decoder_norm/scale"),
        (
            lambda t: t.update({"decoder/decoder_norm/scale": np.zeros(31, np.float32)}),
            r"decoder/decoder_norm/scale: shape \(31,\), wanted \(32,\)",
        ),
        (
            lambda t: t.update({"decoder/decoder_norm/scale": np.zeros(32, np.int32)}),
            "decoder/decoder_norm/scale: type I32, wanted one of F32",
        ),
    ],
)
def test_bad_tensors_are_named(folder, change, message):
    replace_tensors(folder, change)
    with pytest.raises(InputError, match=message):
        weights.load(folder)


def test_damaged_weights(folder):
    path = folder / "model.safetensors"
    stored = bytearray(path.read_bytes())
    stored[-1] ^= 1
    path.write_bytes(stored)
    with pytest.raises(InputError, match="checksum"):
        weights.load(folder)
    path.write_bytes(b"not tensors")
    set_checksum(folder)
    with pytest.raises(InputError, match="not a safetensors file"):
        weights.load(folder)


def test_unwritable_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be made"):
        weights.save(tmp_path / "file" / "model", TINY, random_params(), origin="", license="")


@pytest.mark.parametrize("name", weights.bundled())
def test_bundled_models_load(name):
    model = weights.load(name)
    assert model.config.name == name
    assert model.origin and model.license


def test_a_file_far_larger_than_the_settings_call_for_is_not_read(folder):
    with (folder / "model.safetensors").open("r+b") as file:
        file.truncate(1 << 36)  # a hole: it takes no room on the disk, and would take 64 GB of memory
    with pytest.raises(InputError, match=r"model\.safetensors: is a file of 65536 MB; those of its kind have at most"):
        weights.load(folder)


def test_values_that_are_no_numbers_are_refused(folder):
    replace_tensors(folder, lambda tensors: tensors["decoder/logits_dense/kernel"].fill(np.nan))
    with pytest.raises(InputError, match="decoder/logits_dense/kernel: has values that are not finite"):
        weights.load(folder)


@pytest.mark.parametrize("name", ["encoder", "encoder/encoder_norm/scale/more", "encoder/encoder_norm"])
@pytest.mark.parametrize("first", [True, False])
def test_a_tensor_with_the_name_of_a_group_is_refused(folder, monkeypatch, name, first):
    parse = weights._parse

    def parse_in_order(stored, source):  # safetensors gives tensors in an order that varies
        tensors, extra = parse(stored, source), {name: np.ones(1, np.float32)}
        return extra | tensors if first else tensors | extra

    monkeypatch.setattr(weights, "_parse", parse_in_order)
    group = "encoder/encoder_norm/scale" if name.endswith("/more") else name
    with pytest.raises(InputError) as caught:
        weights.load(folder)
    assert str(caught.value) == f"{folder}/model.safetensors: a tensor has the name of a group of tensors: {group}"


def test_a_tensor_of_a_file_with_the_name_of_a_group_is_refused(folder):
    names = {"encoder": np.ones(1, np.float32), "encoder-": np.ones(1, np.float32)}  # "-" comes before "/"
    replace_tensors(folder, lambda tensors: tensors.update(names))
    with pytest.raises(InputError, match=r"model\.safetensors: a tensor has the name of a group of tensors: encoder$"):
        weights.load(folder)
