"""What a run writes of itself, and takes back when it goes on from an earlier step."""

import csv
import struct

import jax.numpy as jnp
import pytest
from tensorboardX.proto import event_pb2

from mt3lite.errors import InputError
from mt3lite.training import reports, update
from mt3lite.training.settings import TrainConfig

TRAIN = TrainConfig(num_steps=100, batch_size=4, log_every=2)


def _diary(folder, lines, *, step=0, window=()):
    return reports.Diary(
        folder, TRAIN, step, list(window), lines.append, lambda step, speed: 3700.0, lambda: "the last one is 0"
    )


def _metrics(loss: float):
    return jnp.array([loss, loss, 0.0, 0.5, 1.0, 60.0])


def _add(diary, steps, loss=float):
    for step in steps:
        diary.add(step, _metrics(loss(step)), seconds=10.0 * step, learning_rate=1e-3, dropped=step)


def _rows(folder, name="curve.csv"):
    with (folder / name).open() as file:
        return list(csv.DictReader(file))


def test_lines_and_rows(tmp_path):
    """A line and a row for every two updates, with their means."""
    lines = []
    with _diary(tmp_path, lines) as diary:
        _add(diary, range(1, 5))
        assert diary.pause() == []
    assert [row["step"] for row in _rows(tmp_path)] == ["2", "4"]
    assert [float(row["loss"]) for row in _rows(tmp_path)] == [1.5, 3.5]
    assert tuple(_rows(tmp_path)[0]) == reports.CURVE_COLUMNS
    assert lines[0].startswith("step 2  loss 1.5000  token accuracy 0.500  ")
    assert " examples/s  " in lines[0] and lines[0].endswith("1 h 01 min left")


def test_the_device_is_not_waited_for(tmp_path):
    """Nothing is read before some more updates are under way."""
    lines = []
    with _diary(tmp_path, lines) as diary:
        _add(diary, range(1, 2 + reports.RUN_AHEAD))
        assert lines == []
        _add(diary, [2 + reports.RUN_AHEAD])
        assert len(lines) == 1


def test_going_on_from_an_earlier_step(tmp_path):
    """Rows of later steps go, and a row that was cut short; the window goes on where it was."""
    with _diary(tmp_path, []) as diary:
        _add(diary, range(1, 9))
        diary.pause()
        diary.validation(4, 40.0, {"Onset F1": 0.25, "Drum F1": float("nan")}, None)
        diary.validation(8, 80.0, {"Onset F1": 0.5, "Drum F1": 1.0}, None)
    with (tmp_path / "curve.csv").open("a") as file:
        file.write("10,100,9.")
    lines = []
    with _diary(tmp_path, lines, step=5, window=[_metrics(5.0).tolist()]) as diary:
        _add(diary, [6], loss=lambda step: 7.0)
        diary.pause()
    assert lines[0] == "going on from step 5"
    assert [row["step"] for row in _rows(tmp_path)] == ["2", "4", "6"]
    assert float(_rows(tmp_path)[-1]["loss"]) == 6.0
    assert [row["step"] for row in _rows(tmp_path, "validation.csv")] == ["4"]


def test_a_loss_that_is_no_number(tmp_path):
    """The message says which updates it may have been, and where to go on from."""
    message = r"loss is nan, .*, within steps 3 to 3: lower the learning rate; the last one is 0"
    with _diary(tmp_path, []) as diary, pytest.raises(InputError, match=message):
        _add(diary, range(1, 4), loss=lambda step: float("nan") if step == 3 else 1.0)
        diary.pause()


def test_tensorboard_files_hold_the_same_numbers(tmp_path):
    """Read back without TensorFlow: records of length, checksum, event, checksum."""
    with _diary(tmp_path, []) as diary:
        _add(diary, range(1, 3))
        diary.pause()
        diary.validation(2, 20.0, {"Onset F1": 0.25, "Drum F1": float("nan")}, None)
    (path,) = (tmp_path / "tensorboard").iterdir()
    written, content = {}, path.read_bytes()
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        event = event_pb2.Event.FromString(content[12 : 12 + length])
        written |= {(value.tag, event.step): value.simple_value for value in event.summary.value}
        content = content[16 + length :]
    assert written["training/loss", 2] == 1.5 and written["validation/Onset_F1", 2] == 0.25
    assert not any("Drum" in tag for tag, _ in written)
    assert {tag for tag, _ in written} >= {f"training/{name}" for name in update.METRICS if name != "tokens"}
