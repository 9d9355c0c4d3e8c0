"""Our network under t5x, where t5x is installed: its numbers, its decoding loops, its launcher, its checkpoints."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

REASON = "t5x is not installed; docs/t5x.md says how"
pytest.importorskip("t5x", reason=REASON, exc_type=ImportError)

import jax  # noqa: E402
import made_up_task  # noqa: E402
import seqio  # noqa: E402
from flax import traverse_util  # noqa: E402
from flax.linen import partitioning as flax_partitioning  # noqa: E402
from t5x import adafactor, checkpoints, decoding  # noqa: E402

from mt3lite import cli, config, network, weights  # noqa: E402
from mt3lite.adapters import t5x_checkpoint, t5x_model  # noqa: E402
from mt3lite.errors import InputError  # noqa: E402

ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "golden" / "network"
TIMEOUT_SECONDS = 900  # where much else runs; half a minute where not


def optimizer():
    return adafactor.Adafactor(decay_rate=0.8, step_offset=0, logical_factor_rules=t5x_model.factor_rules())


@pytest.fixture(scope="module")
def golden():
    """The reference network's settings, parameters, inputs and outputs."""
    sizes = {"emb_dim": 64, "num_heads": 4, "head_dim": 16, "num_encoder_layers": 2, "num_decoder_layers": 2}
    settings = config.changed(config.preset("mt3"), name="golden", network={**sizes, "mlp_dim": 128})
    with np.load(GOLDEN / "tiny_params.npz") as file:
        params = traverse_util.unflatten_dict({tuple(name.split("/")): file[name] for name in file.files})
    with np.load(GOLDEN / "tiny_io.npz") as file:
        return settings, params, dict(file.items())


def batch_of(io: dict) -> dict:
    """Return the golden batch as t5x's models want it."""
    targets = io["decoder_target_tokens"]
    return {
        "encoder_input_tokens": io["encoder_input_tokens"],
        "decoder_target_tokens": targets,
        "decoder_input_tokens": io["decoder_input_tokens"],
        "decoder_loss_weights": (targets > 0).astype(np.float32),
    }


def test_golden_loss(golden):
    settings, params, io = golden
    model = t5x_model.Model(settings, optimizer(), z_loss=1e-4)
    loss, metrics = model.loss_fn(params, batch_of(io), None)
    assert float(loss) == pytest.approx(float(io["train_loss"]), rel=1e-5)
    assert float(metrics["z_loss"].compute()) > 0


def test_dropout_is_used_in_training_alone(golden):
    settings, params, io = golden
    model = t5x_model.Model(settings, optimizer())
    quiet = [float(model.loss_fn(params, batch_of(io), None)[0]) for _ in range(2)]
    noisy = [float(model.loss_fn(params, batch_of(io), jax.random.PRNGKey(seed))[0]) for seed in (0, 0, 1)]
    assert quiet[0] == quiet[1]
    assert noisy[0] == noisy[1]
    assert len({quiet[0], noisy[0], noisy[2]}) == 3


def first_tokens(decode_fn, settings, params, io, length: int) -> tuple[np.ndarray, np.ndarray]:
    model = t5x_model.Model(settings, optimizer(), decode_fn=decode_fn)
    batch = {**batch_of(io), "decoder_input_tokens": np.zeros((2, length), np.int32)}
    tokens, extra = jax.jit(model.predict_batch_with_aux)(params, batch)
    return np.asarray(tokens), np.asarray(extra["scores"])


def test_golden_beam_search(golden):
    settings, params, io = golden
    tokens, scores = first_tokens(decoding.beam_search, settings, params, io, 64)
    np.testing.assert_array_equal(tokens, io["beam1_tokens"])
    np.testing.assert_allclose(scores, io["beam1_scores"], rtol=1e-4)


def test_golden_greedy_decoding(golden):
    settings, params, io = golden

    def greedy(*args, **kwargs):
        return decoding.temperature_sample(*args, temperature=0.0, topk=1, **kwargs)

    tokens, _ = first_tokens(greedy, settings, params, io, 64)
    np.testing.assert_array_equal(tokens, io["greedy_tokens"])


def test_carried_tokens_are_carried_while_decoding():
    """The decoder of our own presets sees more than the last token; t5x's loop must carry it."""
    settings = made_up_task.CONFIG
    rng = np.random.default_rng(0)
    shapes = network.parameter_shapes(settings.network)
    params = jax.tree.map(lambda leaf: rng.normal(0, 0.3, leaf.shape).astype(np.float32), shapes)
    frames = rng.normal(-1, 2, (2, settings.segments.input_frames, settings.spectrogram.num_bins)).astype(np.float32)

    def greedy(*args, **kwargs):
        return decoding.temperature_sample(*args, temperature=0.0, topk=1, **kwargs)

    model = t5x_model.Model(settings, optimizer(), decode_fn=greedy)
    batch = {"encoder_input_tokens": frames, "decoder_input_tokens": np.zeros((2, 12), np.int32)}
    tokens = np.asarray(jax.jit(model.predict_batch)(params, batch))
    logits = network.Transformer(settings.network).apply({"params": params}, frames, network.shift_right(tokens))
    for row, best in zip(tokens, np.asarray(logits.argmax(-1)), strict=True):
        length = np.argmax(row == 1) + 1 if 1 in row else len(row)
        np.testing.assert_array_equal(row[:length], best[:length])


@pytest.mark.parametrize("name", ["mt3", "ismir2021", "ismir2022_base"])
def test_golden_logical_axes(name):
    models = json.loads((GOLDEN / "full_size_parameters.json").read_text())["models"]
    (model,) = [model for model in models if model["name"] == name]
    axes = t5x_model.logical_axes(network.parameter_shapes(config.preset(name).network))
    axes = traverse_util.flatten_dict(flax_partitioning.get_axis_names(axes), sep="/")
    assert {path: list(named) for path, named in axes.items()} == {
        path: each["logical_axes"] for path, each in model["parameters"].items()
    }


def test_every_parameter_of_ours_has_axes_that_the_rules_know():
    known = {axis for axis, _ in t5x_model.axis_rules()}
    axes = t5x_model.logical_axes(network.parameter_shapes(config.preset("small").network))
    named = traverse_util.flatten_dict(flax_partitioning.get_axis_names(axes), sep="/")
    for path, leaf in traverse_util.flatten_dict(
        network.parameter_shapes(config.preset("small").network), sep="/"
    ).items():
        assert len(named[path]) == leaf.ndim, path
        assert set(named[path]) <= known, path
        assert len(set(named[path])) == leaf.ndim, path


def test_the_feature_converter():
    task = seqio.get_mixture_or_task("made_up_train")
    lengths = {"inputs": made_up_task.CONFIG.segments.input_frames, "targets": 16}
    source = task.get_dataset(sequence_length=lengths, split="train", shuffle=False)
    converter = t5x_model.FeatureConverter(pack=False)
    first = next(converter(source, lengths).as_numpy_iterator())
    targets = made_up_task.segment(0)["targets"]
    assert first["encoder_input_tokens"].dtype == np.float32
    np.testing.assert_array_equal(first["encoder_input_tokens"], made_up_task.segment(0)["inputs"])
    padded = np.pad(targets, (0, 16 - len(targets)))
    np.testing.assert_array_equal(first["decoder_target_tokens"], padded)
    np.testing.assert_array_equal(first["decoder_input_tokens"], [0, *padded[:-1]])
    np.testing.assert_array_equal(first["decoder_loss_weights"], padded > 0)


def test_packing_is_refused():
    task = seqio.get_mixture_or_task("made_up_train")
    lengths = t5x_model.feature_lengths(made_up_task.CONFIG)
    source = task.get_dataset(sequence_length=lengths, split="train", shuffle=False)
    with pytest.raises(InputError, match="pack: "):
        t5x_model.FeatureConverter(pack=True)(source, lengths)


def test_names_of_tasks():
    assert t5x_model.task(made_up_task.CONFIG, "made_up", "train") == "made_up_train"
    with pytest.raises(InputError, match="nothing-there: neither a dataset folder, nor a manifest, nor the beginning"):
        t5x_model.task(made_up_task.CONFIG, "nothing-there", "train")


def test_a_dataset_folder_becomes_tasks_when_it_is_asked_for(tmp_path):
    wanted = "mine_tiny_train"
    assert wanted not in seqio.TaskRegistry.names()
    (tmp_path / "manifest.jsonl").write_text("")
    for _ in range(2):
        assert t5x_model.task(made_up_task.CONFIG, str(tmp_path), "train", "mine") == wanted
    assert wanted in seqio.TaskRegistry.names()
    assert t5x_model.task(made_up_task.CONFIG, str(tmp_path), "test", "mine") == "mine_tiny_test"


def test_notes_are_written_piece_by_piece(tmp_path):
    source = seqio.get_mixture_or_task("made_up_test").get_dataset(sequence_length=None, split="eval", shuffle=False)
    tokens = [made_up_task.segment(number)["targets"] for number in range(made_up_task.NUM_SEGMENTS)]
    t5x_model.write_notes(str(tmp_path / "notes"), (tokens, {}), source, "predict", config=made_up_task.CONFIG)
    written = [json.loads(line) for line in (tmp_path / "notes").read_text().splitlines()]
    assert [piece["id"] for piece in written] == ["piece-0", "piece-1"]
    notes = [(note["start_time"], note["end_time"], note["pitch"]) for note in written[0]["est_notes"]]
    assert notes == [(0.1, 1.1, 60), (2.1, 3.1, 61)]
    with pytest.raises(InputError, match="mode: 'score'"):
        t5x_model.write_notes(str(tmp_path / "x"), (tokens, {}), source, "score", config=made_up_task.CONFIG)


# --- checkpoints ---


def test_t5x_restores_what_we_wrote(tmp_path, tiny_folder):
    model = weights.load(tiny_folder)
    t5x_checkpoint.save(tmp_path / "checkpoint_7", model.params, step=7)
    restored = checkpoints.load_t5x_checkpoint(str(tmp_path / "checkpoint_7"))
    assert int(restored["state"]["step"]) == 7
    jax.tree.map(np.testing.assert_array_equal, restored["target"], model.params)


# --- the launcher ---


def run_t5x(folder: Path, mode: str, *bindings: str) -> str:
    """Run ``python -m t5x.main`` over the made-up tasks; return what it logs."""
    gin = folder / "made_up.gin"
    lines = ("from __gin__ import dynamic_registration", "import made_up_task")
    lines += ("from mt3lite.adapters import gin_config", "DATA = 'made_up'", "BATCH_SIZE = 2")
    gin.write_text("\n".join((*lines, "gin_config.segments.max_tokens = 32\n")))
    command = [sys.executable, "-m", "t5x.main", f"--run_mode={mode}", f"--gin_search_paths={ROOT}"]
    command += [f"--gin_file={each}" for each in ("gin/tiny.gin", f"gin/{mode}.gin", gin)]
    command += [f"--gin.{binding}" for binding in bindings]
    path = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PATH": "/usr/bin:/bin", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, capture_output=True, text=True, env=path, timeout=TIMEOUT_SECONDS, cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


def read_scores(folder: Path, task: str) -> dict:
    path = folder / "inference_eval" / f"{task}-metrics.jsonl"
    return json.loads(path.read_text().splitlines()[-1])


def test_train_eval_infer_and_the_way_back(tmp_path, capfd):
    run = tmp_path / "run"
    periods = ("EVAL_PERIOD=2", "EVAL_STEPS=1")
    run_t5x(tmp_path, "train", f"MODEL_DIR='{run}'", "TRAIN_STEPS=2", *periods)
    assert (run / "checkpoint_2").is_dir()
    assert read_scores(run, "made_up_validation")["step"] == 2

    # Out of t5x, into a model folder, and back to t5x, which finds it the same.
    assert cli.main(["convert", str(run / "checkpoint_2"), str(tmp_path / "model")]) == 0
    assert "(tiny, step 2, " in capfd.readouterr().out
    back = tmp_path / "checkpoint_5"
    assert cli.main(["convert", str(tmp_path / "model"), str(back), "--to-t5x", "--step", "5"]) == 0
    for checkpoint, scores in ((run / "checkpoint_2", "a"), (back, "b")):
        where = f"EVAL_OUTPUT_DIR='{tmp_path / scores}'"
        run_t5x(tmp_path, "eval", f"CHECKPOINT_PATH='{checkpoint}'", where)
    a, b = (read_scores(tmp_path / each, "made_up_test") for each in "ab")
    assert {**a, "step": 0} == {**b, "step": 0}
    assert (a["step"], b["step"]) == (2, 5)

    # It also trains on from there, with a new optimizer.
    more = tmp_path / "more"
    restore = ("RESTORE=@utils.RestoreCheckpointConfig()", f"INIT_CHECKPOINT='{back}'")
    run_t5x(tmp_path, "train", f"MODEL_DIR='{more}'", "TRAIN_STEPS=6", "EVAL_PERIOD=1", "EVAL_STEPS=1", *restore)
    assert (more / "checkpoint_6").is_dir()

    run_t5x(tmp_path, "infer", f"CHECKPOINT_PATH='{back}'", f"INFER_OUTPUT_DIR='{tmp_path / 'notes'}'")
    (written,) = (tmp_path / "notes").glob("*-predict.jsonl-00000-of-00001")
    assert [json.loads(line)["id"] for line in written.read_text().splitlines()] == ["piece-0", "piece-1"]
