"""The script that makes a model between two."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np

from mt3lite import weights
from mt3lite.training import growing

SCRIPT = Path(__file__).parents[1] / "data" / "models" / "small" / "between.py"


def run(*arguments):
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True)


def test_weights_lie_between(tiny_folder, tmp_path):
    tiny = weights.load(tiny_folder)
    double = jax.tree.map(lambda leaf: 2 * leaf, tiny.params)
    weights.save(tmp_path / "double", tiny.config, double, origin="other numbers", license="MIT")
    done = run(tiny_folder, tmp_path / "double", 0.25, tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    made = weights.load(tmp_path / "out")
    assert (made.config, made.origin, made.license) == (tiny.config, tiny.origin, tiny.license)
    jax.tree.map(
        lambda leaf, given: np.testing.assert_allclose(leaf, 1.25 * given, rtol=1e-3, atol=1e-6),
        made.params,
        tiny.params,
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(made.params)} <= {np.dtype(np.float16), np.dtype(np.float32)}


def test_a_head_that_only_the_other_has_is_its(tiny_folder, tmp_path):
    tiny = weights.load(tiny_folder)
    config = dataclasses.replace(tiny.config, network=dataclasses.replace(tiny.config.network, note_unisons=True))
    params = growing.grow(tiny.params, tiny.config, config, seed=0)
    head = params["encoder"]["heads"]["pitch_unison"]
    head["kernel"] = np.ones_like(head["kernel"])
    weights.save(tmp_path / "other", config, params, origin="", license="MIT")
    assert run(tiny_folder, tmp_path / "other", 0.25, tmp_path / "out").returncode == 0
    made = weights.load(tmp_path / "out")
    assert made.config == config
    np.testing.assert_array_equal(made.params["encoder"]["heads"]["pitch_unison"]["kernel"], head["kernel"])
    assert run(tmp_path / "other", tiny_folder, 0.25, tmp_path / "none").returncode == 1


def test_what_cannot_be_is_told_in_a_line(tiny_folder, tmp_path):
    assert run(tiny_folder, tiny_folder, 1.5, tmp_path / "out").returncode == 2
    done = run(tiny_folder, tmp_path / "none", 0.5, tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr.startswith("between.py: ")
    tiny = weights.load(tiny_folder)
    other = dataclasses.replace(tiny.config, segments=dataclasses.replace(tiny.config.segments, max_tokens=65))
    weights.save(tmp_path / "other", other, tiny.params, origin="", license="")
    assert "has other settings" in run(tiny_folder, tmp_path / "other", 0.5, tmp_path / "out").stderr
    assert not (tmp_path / "out").exists()
