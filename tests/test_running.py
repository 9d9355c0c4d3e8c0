"""Training as processes: killed and started again, on several devices, in several processes, on a full disk.

The processes share compiled programs through a folder, as compiling takes most of their time.
"""

import csv
import dataclasses
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
import tones

from mt3lite import config, network, weights
from mt3lite.training import datasets

NUM_STEPS = 12


def losses_of(run: Path) -> np.ndarray:
    """Return step and losses of each row of a run's curve, float64 [rows, 6]."""
    with (run / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = ("step", "loss", "token_loss", "auxiliary_loss", "token_accuracy", "gradient_norm")
    return np.array([[float(row[name]) for name in names] for row in rows])


@dataclasses.dataclass
class Trainings:
    """Starts trainings of the preset `tiny` on one dataset folder."""

    folder: Path

    def start(self, name: str, *arguments: str) -> subprocess.Popen:
        """Begin one in the folder `name`; it writes a row of its curve and a checkpoint at every step."""
        cache = {
            "JAX_COMPILATION_CACHE_DIR": os.environ.get("JAX_COMPILATION_CACHE_DIR") or str(self.folder / "cache"),
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": "--xla_backend_optimization_level=0",  # sooner compiled, and not asked for speed
        }
        fixed = ("--data", str(self.folder / "data"), "--workdir", str(self.folder / name), "--log-every", "1")
        recipe = ("--batch-size", "4", "--listening", "0", "--reading", "0", "--schedule", "constant")
        return subprocess.Popen(
            [sys.executable, "-m", "mt3lite", "train", *fixed, *recipe, "--checkpoint-minutes", "1e-6", *arguments],
            env=os.environ | cache,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self, *arguments: str) -> Path:
        """Run one to its end and return its folder."""
        process = self.start(*arguments)
        output, _ = process.communicate()
        assert process.returncode == 0, output
        return self.folder / arguments[0]

    def wait_for_rows(self, name: str, number: int, process: subprocess.Popen) -> None:
        """Wait until a training has written so many rows."""
        curve = self.folder / name / "curve.csv"
        while process.poll() is None and (not curve.exists() or curve.read_text().count("\n") <= number):
            time.sleep(0.005)


@pytest.fixture(scope="module")
def trainings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trainings")
    (folder / "data").mkdir()
    datasets.write_manifest(tones.two_tracks(folder / "data"), folder / "data")
    return Trainings(folder)


@pytest.fixture(scope="module")
def whole(trainings):
    """A training that nothing interrupted."""
    return trainings.finish("whole", "--preset", "tiny", "--steps", str(NUM_STEPS))


def test_killed_and_terminated_and_started_again_it_ends_in_the_same_numbers(trainings, whole):
    """SIGKILL at a random moment, then SIGTERM, then to the end: losses and model are the same, bit for bit."""
    arguments = ("parts", "--preset", "tiny", "--steps", str(NUM_STEPS))
    seed = random.randrange(10**6)
    draw = random.Random(seed)
    first = trainings.start(*arguments)
    trainings.wait_for_rows("parts", draw.randint(1, NUM_STEPS // 2), first)
    time.sleep(draw.uniform(0, 0.1))
    first.kill()
    first.communicate()
    # A kill may come before the first checkpoint is whole; then the run begins anew.
    kept = any((whole.parent / "parts" / "checkpoints").glob("*/commit_success.txt"))

    second = trainings.start(*arguments)
    at_kill = (whole.parent / "parts" / "curve.csv").read_text().count("\n")
    trainings.wait_for_rows("parts", at_kill, second)
    second.send_signal(signal.SIGTERM)
    output, _ = second.communicate()
    assert ("going on from step" in output) == kept, f"seed {seed}: {output}"
    assert second.returncode == 143 and "ended by SIGTERM; step" in output, f"seed {seed}: {output}"
    assert weights.load(whole.parent / "parts" / "model").config == config.preset("tiny")  # what it has learnt so far

    parts = trainings.finish(*arguments)
    np.testing.assert_array_equal(losses_of(parts), losses_of(whole), err_msg=f"seed {seed}")
    assert len(losses_of(whole)) == NUM_STEPS
    model = "model/model.safetensors"
    assert (parts / model).read_bytes() == (whole / model).read_bytes(), f"seed {seed}"


def test_eight_devices_learn_what_one_does(trainings, whole):
    """Four take other parts of the batch, two share the parameters."""
    arguments = ("--preset", "tiny", "--steps", "5", "--cpu-devices", "8", "--model-devices", "2")
    eight = trainings.finish("eight", *arguments)
    np.testing.assert_allclose(losses_of(eight), losses_of(whole)[:5], rtol=2e-3, atol=1e-5)


def test_two_processes_learn_what_one_does(trainings, tmp_path):
    """On a recording of one segment, whose examples are all the same: so each process has what the single one has."""
    tiny = config.preset("tiny")
    still = dataclasses.replace(tiny, network=dataclasses.replace(tiny.network, dropout_rate=0.0))
    rng = np.random.default_rng(0)
    shapes = network.parameter_shapes(still.network)
    params = jax.tree.map(lambda leaf: rng.normal(0, 0.1, leaf.shape).astype(np.float32), shapes)
    weights.save(tmp_path / "model", still, params, origin="random numbers", license="CC0-1.0")
    track = tones.tone_track(tmp_path, "one", [(0.2, 0.9, 60, 80, 0, False), (0.6, 1.4, 67, 80, 0, False)])
    datasets.write_manifest([track], tmp_path)
    arguments = ["--data", str(tmp_path), "--init-from", str(tmp_path / "model"), "--steps", "4", "--no-augmentation"]
    one = trainings.finish("one", *arguments)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    together = ["--coordinator", f"127.0.0.1:{port}", "--processes", "2"]
    both = [trainings.start("two", *arguments, *together, "--process", str(index)) for index in range(2)]
    outputs = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    two = trainings.folder / "two"
    np.testing.assert_allclose(losses_of(two), losses_of(one), rtol=1e-3, atol=1e-5)
    assert weights.load(two / "model").config == still
    assert "step 4" in outputs[0] and "step 4" not in outputs[1]  # one of them speaks
