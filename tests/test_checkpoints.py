"""Checkpoints: state and place in the batches come back together, and a full disk harms none that is whole."""

import shutil
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tones

from mt3lite import config
from mt3lite.errors import InputError
from mt3lite.training import checkpoints, loader, update

NOTES = {"seconds": 1.5, "window": [[0.1, 0.2]]}


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    return tones.two_tracks(tmp_path_factory.mktemp("corpus"))


def _batches(tracks, start_step: int) -> loader.Batches:
    return loader.batches(tracks, config.preset("tiny"), None, batch_size=2, seed=0, start_step=start_step)


def _state(step: int) -> update.State:
    """Numbers that do not compress, 0.5 MB in all."""
    numbers = jax.random.normal(jax.random.key(step), (64, 1024))
    return update.State({"network": {"a": numbers}}, (), {"a": numbers + 1}, jnp.int32(step))


def test_what_is_saved_comes_back(tracks, tmp_path):
    """The newest one; older ones than are to be kept are gone."""
    with checkpoints.Checkpoints(tmp_path / "all", keep=2) as saved:
        assert saved.restore(_state(0), _batches(tracks, 0))[1] == {"seconds": 0.0, "window": []}
        assert saved.newest() == "there is no checkpoint yet"
        for step in (1, 2, 3):
            saved.save(step, _state(step), _batches(tracks, step), NOTES)
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["2", "3"]
    with checkpoints.Checkpoints(tmp_path / "all", keep=2) as saved:
        batches = _batches(tracks, 0)
        state, notes = saved.restore(_state(0), batches)
        assert saved.newest() == f"the last good checkpoint is {tmp_path / 'all' / '3'}"
    jax.tree.map(np.testing.assert_array_equal, state, _state(3))
    assert notes == NOTES
    assert batches.get_state() == _batches(tracks, 3).get_state()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of Orbax's tasks, when they fail
@pytest.mark.parametrize("damaged", ["notes/metadata", "state/manifest.ocdbt", "state/ocdbt.process_0/d/*"])
def test_a_damaged_checkpoint_is_told_and_the_one_before_it_does(tracks, tmp_path, damaged):
    with checkpoints.Checkpoints(tmp_path, keep=2) as saved:
        for step in (1, 2):
            saved.save(step, _state(step), _batches(tracks, step), NOTES)
    for path in (tmp_path / "2").glob(damaged):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with (
        checkpoints.Checkpoints(tmp_path, keep=2) as saved,
        pytest.raises(
            InputError, match=r"/2: this checkpoint is damaged .*; delete .*, and the run begins from step 1$"
        ),
    ):
        saved.restore(_state(0), _batches(tracks, 0))
    shutil.rmtree(tmp_path / "2")
    with checkpoints.Checkpoints(tmp_path, keep=2) as saved:
        assert int(saved.restore(_state(0), _batches(tracks, 0))[0].step) == 1


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("a small file system to fill can only be made as root")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of Orbax's threads, when they fail
def test_a_full_disk(small_disk, tracks):
    """One clear line, and the last whole checkpoint can be read."""
    with (
        pytest.raises(InputError, match="cannot be written: no space left on the disk; the last good checkpoint is"),
        checkpoints.Checkpoints(small_disk / "all", keep=9) as saved,
    ):
        for step in range(1, 9):
            saved.save(step, _state(step), _batches(tracks, step), NOTES)
    with checkpoints.Checkpoints(small_disk / "all", keep=9) as saved:
        state, _ = saved.restore(_state(0), _batches(tracks, 0))
    assert 1 <= int(state.step) < 8
    jax.tree.map(np.testing.assert_array_equal, state, _state(int(state.step)))
