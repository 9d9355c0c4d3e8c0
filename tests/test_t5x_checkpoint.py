"""T5X checkpoints to model folders and back, and the one line that each bad one gets."""

import dataclasses
import json
import pickle
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import serialization, traverse_util

from mt3lite import cli, config, network, weights
from mt3lite.adapters import t5x_checkpoint
from mt3lite.errors import InputError

pytest.importorskip("orbax.checkpoint", reason="pip install 'mt3lite[train]'", exc_type=ImportError)
pytest.importorskip("tensorstore", reason="pip install 'mt3lite[train]'", exc_type=ImportError)

GOLDEN = Path(__file__).parent / "golden"
LEGACY = GOLDEN / "network" / "ckpt_legacy" / "checkpoint_1234"
ORBAX = GOLDEN / "network" / "ckpt_orbax" / "checkpoint_1234"
GCS = GOLDEN / "network" / "ckpt_legacy_gcs_style" / "checkpoint_3"
ZARR = "target.decoder.layers_0.mlp.wi_0.kernel"
MT3 = config.preset("mt3")


def resized(name: str, **sizes) -> config.Config:
    """Return the settings of mt3 with a network of another size."""
    return dataclasses.replace(MT3, name=name, network=dataclasses.replace(MT3.network, **sizes))


GOLDEN_SIZES = {
    "emb_dim": 64,
    "num_heads": 4,
    "head_dim": 16,
    "num_encoder_layers": 2,
    "num_decoder_layers": 2,
    "mlp_dim": 128,
}
GOLDEN_CONFIG = resized("golden", **GOLDEN_SIZES)
# What Orbax leaves behind, in other threads, of reads that it gave up.
GIVES_UP = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def run(capfd):
    """Return a function that runs the command: (exit code, lines on stdout, lines on stderr)."""

    def run(*arguments) -> tuple[int, list[str], list[str]]:
        code = cli.main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return code, captured.out.splitlines(), captured.err.splitlines()

    return run


@pytest.fixture
def copy(tmp_path):
    """Return a function that copies a golden checkpoint to where it can be damaged."""
    return lambda golden: Path(shutil.copytree(golden, tmp_path / golden.name))


def params_of(seed: int, net: network.NetworkConfig) -> dict:
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), network.parameter_shapes(net))


def rewrite_index(folder: Path, change) -> None:
    """Change the index of a legacy checkpoint."""
    index = serialization.msgpack_restore((folder / "checkpoint").read_bytes())
    change(index)
    (folder / "checkpoint").write_bytes(serialization.msgpack_serialize(index))


# --- reading ---


@pytest.mark.parametrize("golden", [LEGACY, ORBAX], ids=["legacy", "orbax"])
def test_a_converted_checkpoint_gives_the_golden_logits(golden, run, tmp_path):
    settings = tmp_path / "config.json"
    settings.write_text(config.to_json(GOLDEN_CONFIG))
    code, out, err = run("convert", golden, tmp_path / "model", "--config", settings, "--license", "CC0-1.0")
    assert (code, err) == (0, [])
    assert out == [f"model: {tmp_path / 'model'} (golden, step 1234, 51 tensors)"]
    model = weights.load(tmp_path / "model")
    assert model.config == GOLDEN_CONFIG
    assert (model.origin, model.license) == ("converted from the T5X checkpoint checkpoint_1234, step 1234", "CC0-1.0")
    with np.load(GOLDEN / "network" / "tiny_io.npz") as io:
        frames, tokens = io["encoder_input_tokens"], io["decoder_input_tokens"]
        expected, real = io["logits"], io["decoder_target_tokens"] > 0
    logits = np.asarray(network.Transformer(model.config.network).apply({"params": model.params}, frames, tokens))
    assert np.abs(logits[real] - expected[real]).max() <= 1e-5 * np.abs(expected).max()


def test_arrays_in_the_index_and_folders_that_were_in_a_bucket():
    small = network.NetworkConfig(
        input_depth=20,
        vocab_size=160,
        emb_dim=16,
        num_heads=2,
        head_dim=8,
        num_encoder_layers=1,
        num_decoder_layers=1,
        mlp_dim=24,
    )
    checkpoint = t5x_checkpoint.open_checkpoint(GCS / "checkpoint")  # the file may be named too
    assert checkpoint.step == 3
    assert checkpoint.tensors.keys() == traverse_util.flatten_dict(network.parameter_shapes(small), sep="/").keys()
    arrays = checkpoint.read()
    with np.load(GOLDEN / "loss_optimizer" / "adafactor_small_network.npz") as file:
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, file[f"after3:{name}"], err_msg=name)


@pytest.mark.parametrize("name", ["mt3", "ismir2021", "ismir2022_base"])
def test_the_ancestors_models_are_recognised_by_their_shapes(name):
    models = json.loads((GOLDEN / "network" / "full_size_parameters.json").read_text())["models"]
    (model,) = [model for model in models if model["name"] == name]
    tensors = {
        path: t5x_checkpoint.Tensor(tuple(each["shape"]), each["dtype"]) for path, each in model["parameters"].items()
    }
    checkpoint = t5x_checkpoint.Checkpoint(Path(name), 0, tensors, dict)
    assert t5x_checkpoint.recognise(checkpoint) == config.preset(name)
    one_off = {**tensors, "encoder/encoder_norm/scale": t5x_checkpoint.Tensor((511,), "float32")}
    del one_off["decoder/decoder_norm/scale"]
    one_off["decoder/decoder_norm/bias"] = t5x_checkpoint.Tensor((512,), "float32")
    with pytest.raises(InputError) as caught:
        t5x_checkpoint.recognise(dataclasses.replace(checkpoint, tensors=one_off))
    width = config.preset(name).network.emb_dim
    assert f"nearest is {name}: decoder/decoder_norm/bias is unknown; decoder/decoder_norm/scale is missing; " in str(
        caught.value
    )
    assert f"encoder/encoder_norm/scale is (511,), wanted ({width},); settings" in str(caught.value)


def test_another_size_is_refused_with_what_differs(run, tmp_path):
    code, out, err = run("convert", LEGACY, tmp_path / "model")
    assert (code, out, len(err)) == (1, [], 1)
    assert "nearest is mt3: decoder/decoder_norm/scale is (64,), wanted (512,); " in err[0]
    assert "; and 184 more; settings of another size are given by --config" in err[0]
    assert not (tmp_path / "model").exists()


def test_settings_of_another_size_are_refused(tmp_path):
    checkpoint = t5x_checkpoint.open_checkpoint(ORBAX)
    with pytest.raises(InputError, match=r"decoder/layers_0/mlp/wi_0/kernel is \(64, 128\), wanted \(64, 120\)"):
        t5x_checkpoint.load(checkpoint, resized("other", **{**GOLDEN_SIZES, "mlp_dim": 120}))


# --- what is damaged ---


def cut(folder: Path) -> None:
    chunk = folder / ZARR / "0.0"
    chunk.write_bytes(chunk.read_bytes()[:-40])


def scramble(folder: Path) -> None:
    (folder / ZARR / "0.0").write_bytes(b"not gzip")


def lose_chunk(folder: Path) -> None:
    (folder / ZARR / "0.0").unlink()


def lose_folder(folder: Path) -> None:
    shutil.rmtree(folder / ZARR)


def spoil_header(folder: Path) -> None:
    (folder / ZARR / ".zarray").write_text('{"shape": [64]')


def huge_chunks(folder: Path) -> None:
    header = json.loads((folder / ZARR / ".zarray").read_text())
    (folder / ZARR / ".zarray").write_text(json.dumps({**header, "chunks": [1 << 40, 1 << 40]}))


def huge_shape(folder: Path) -> None:
    header = json.loads((folder / ZARR / ".zarray").read_text())
    (folder / ZARR / ".zarray").write_text(json.dumps({**header, "shape": [1 << 40, 128], "chunks": [1 << 40, 128]}))


def other_type(folder: Path) -> None:
    header = json.loads((folder / ZARR / ".zarray").read_text())
    (folder / ZARR / ".zarray").write_text(json.dumps({**header, "dtype": "<i4"}))


def cut_index(folder: Path) -> None:
    index = (folder / "checkpoint").read_bytes()
    (folder / "checkpoint").write_bytes(index[: len(index) // 2])


def old_version(folder: Path) -> None:
    rewrite_index(folder, lambda index: index.update(version=2))


def not_finite(folder: Path) -> None:
    def change(index):
        index["optimizer"]["target"]["decoder"]["decoder_norm"]["scale"] = np.full(64, np.nan, np.float32)

    rewrite_index(folder, change)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut, f"{ZARR}: damaged: "),
        (scramble, f"{ZARR}: damaged: "),
        (lose_chunk, f"{ZARR}: 0 of 1 chunks are there; was the checkpoint copied whole?"),
        (lose_folder, f"{ZARR}: is missing; was the checkpoint copied whole?"),
        (spoil_header, f"{ZARR}/.zarray: not the header of a zarr array: "),
        (huge_chunks, "do not fit the shape (64, 128)"),
        (huge_shape, "decoder/layers_0/mlp/wi_0/kernel is (1099511627776, 128), wanted (64, 128)"),
        (other_type, "decoder/layers_0/mlp/wi_0/kernel: type <i4, wanted one of float32, float16, bfloat16"),
        (cut_index, "checkpoint: not the index of a T5X checkpoint, or damaged: "),
        (old_version, "checkpoint: version 2 of the layout; wanted 3"),
        (not_finite, "decoder/decoder_norm/scale: has values that are not finite"),
    ],
)
def test_a_damaged_legacy_checkpoint_gets_one_line(damage, said, copy):
    folder = copy(LEGACY)
    damage(folder)
    with pytest.raises(InputError) as caught:
        t5x_checkpoint.load(t5x_checkpoint.open_checkpoint(folder), GOLDEN_CONFIG)
    assert said in str(caught.value)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("target", [None, [1, 2], {"encoder": 3}, {"encoder": {"kernel": "text"}}])
def test_an_index_of_other_things_gets_one_line(target, copy):
    folder = copy(LEGACY)
    rewrite_index(folder, lambda index: index["optimizer"].update(target=target))
    with pytest.raises(InputError, match="not the index of a T5X checkpoint|wanted an array or where one is"):
        t5x_checkpoint.open_checkpoint(folder)


def largest_file(folder: Path) -> Path:
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


@GIVES_UP
def test_a_damaged_orbax_checkpoint_gets_one_line(copy):
    folder = copy(ORBAX)
    path = largest_file(folder / "state" / "ocdbt.process_0")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"state: (damaged|not an Orbax checkpoint, or damaged): ") as caught:
        t5x_checkpoint.load(t5x_checkpoint.open_checkpoint(folder), GOLDEN_CONFIG)
    assert "\n" not in str(caught.value)


@GIVES_UP
@pytest.mark.parametrize("text", ["", "{", "{}", '{"tree_metadata": 3}'])
def test_damaged_orbax_metadata_gets_one_line(text, copy):
    folder = copy(ORBAX)
    (folder / "state" / "_METADATA").write_text(text)
    with pytest.raises(InputError) as caught:
        t5x_checkpoint.open_checkpoint(folder)
    assert str(folder / "state") in str(caught.value)
    assert "\n" not in str(caught.value)


# --- what is something else ---


class Trap:
    """A pickle of it makes a file when it is read."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_nothing_is_unpickled(run, tmp_path):
    trap = pickle.dumps({"state_dict": Trap(tmp_path / "sprung")})
    (tmp_path / "mt3.pth").write_bytes(trap)
    code, _, err = run("convert", tmp_path / "mt3.pth", tmp_path / "model")
    assert (code, len(err)) == (1, 1)
    assert "mt3.pth: pickled or zipped, as PyTorch's are: nothing is unpickled here; wanted the" in err[0]
    (tmp_path / "checkpoint").write_bytes(trap)  # under the name of an index
    code, _, err = run("convert", tmp_path / "checkpoint", tmp_path / "model")
    assert (code, len(err)) == (1, 1)
    assert "not the index of a T5X checkpoint" in err[0]
    assert not (tmp_path / "sprung").exists()


def test_other_paths_are_told_apart(run, tmp_path, tiny_folder):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("text")
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-1"\n')
    for source, said in (
        (tmp_path / "none", "none: no such checkpoint"),
        (tmp_path / "empty", "not a T5X checkpoint: it has nothing in it; wanted a file checkpoint, or"),
        (tmp_path / "file.txt", "file.txt: a file; wanted the folder of a T5X checkpoint"),
        (tmp_path / "tensorflow", "tensorflow: is a TensorFlow checkpoint; wanted one of T5X"),
        (LEGACY.parent, "it has checkpoint_1234 in it: name one of these"),
        (tiny_folder, "it is a model folder already; --to-t5x goes the other way"),
        ("gs://mt3/checkpoints/mt3", "copy it here first: gcloud storage cp -r gs://mt3/checkpoints/mt3 ."),
    ):
        code, out, err = run("convert", source, tmp_path / "model")
        assert (code, out, len(err)) == (1, [], 1)
        assert said in err[0]


def test_an_orbax_checkpoint_of_another_program_is_told(tmp_path):
    import orbax.checkpoint as ocp

    with ocp.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "other", {"params": {"kernel": np.ones(3)}, "opt": np.ones(2)})
    with pytest.raises(InputError, match="not a T5X checkpoint: it has opt, params, wanted target"):
        t5x_checkpoint.open_checkpoint(tmp_path / "other")


def test_bad_settings_and_outputs_are_refused(run, tmp_path):
    (tmp_path / "bad.json").write_text("{}")
    code, _, err = run("convert", LEGACY, tmp_path / "model", "--config", tmp_path / "bad.json")
    assert (code, err) == (1, [f"mt3lite: {tmp_path / 'bad.json'}: missing key name"])
    code, _, err = run("convert", LEGACY, tmp_path / "model", "--config", tmp_path / "none.json")
    assert (code, err) == (1, [f"mt3lite: {tmp_path / 'none.json'}: no such file"])
    code, _, err = run("convert", LEGACY, tmp_path)
    assert (code, err) == (1, [f"mt3lite: {tmp_path}: exists already; name a new folder"])


# --- writing ---


def test_a_model_goes_to_t5x_and_back(run, tmp_path, tiny_folder):
    code, out, err = run("convert", tiny_folder, tmp_path / "checkpoint_7", "--to-t5x", "--step", 7)
    assert (code, err) == (0, [])
    assert out == [f"T5X checkpoint: {tmp_path / 'checkpoint_7'} (tiny, step 7)"]
    code, out, err = run("convert", tmp_path / "checkpoint_7", tmp_path / "model")  # recognised as `tiny`
    assert (code, err) == (0, [])
    assert out[0].startswith(f"model: {tmp_path / 'model'} (tiny, step 7, ")
    before, after = weights.load(tiny_folder), weights.load(tmp_path / "model")
    assert after.config == config.preset("tiny")
    jax.tree.map(np.testing.assert_array_equal, before.params, after.params)


def test_types_and_zeros_are_kept(tmp_path):
    net = resized("bit", **{**GOLDEN_SIZES, "emb_dim": 16, "mlp_dim": 8}).network
    params = params_of(0, net)
    params["encoder"]["layers_0"]["mlp"]["wo"]["kernel"] = np.zeros((8, 16), np.float32)  # zarr may leave such out
    flat = traverse_util.flatten_dict(params, sep="/")
    flat["decoder/logits_dense/kernel"] = flat["decoder/logits_dense/kernel"].astype(jnp.bfloat16)
    flat["decoder/token_embedder/embedding"] = flat["decoder/token_embedder/embedding"].astype(np.float16)
    t5x_checkpoint.save(tmp_path / "checkpoint_0", traverse_util.unflatten_dict(flat, sep="/"))
    loaded = t5x_checkpoint.load(
        t5x_checkpoint.open_checkpoint(tmp_path / "checkpoint_0"), resized("bit", **dataclasses.asdict(net))
    )
    for name, array in traverse_util.flatten_dict(loaded, sep="/").items():
        assert array.dtype == flat[name].dtype
        np.testing.assert_array_equal(array, flat[name], err_msg=name)


def test_writing_is_whole_or_not_at_all(run, tmp_path, tiny_folder):
    (tmp_path / "file").write_text("in the way")
    code, _, err = run("convert", tiny_folder, tmp_path / "file" / "checkpoint_0", "--to-t5x")
    assert (code, err) == (1, [f"mt3lite: {tmp_path / 'file' / 'checkpoint_0'}: cannot be written: Not a directory"])
    (tmp_path / "new").mkdir()
    with pytest.raises(ValueError, match="Unsupported data type"):
        t5x_checkpoint.save(tmp_path / "new" / "checkpoint_0", {"a": np.ones(3, np.float32), "b": object()})
    assert list((tmp_path / "new").iterdir()) == []
