"""The forecast's reckoning, by hand; `test_learning` has one of a real run."""

import dataclasses

import pytest

from mt3lite.training import forecast
from mt3lite.training.settings import TrainConfig

PHASES = (
    forecast.Phase("encoder", 0.2, seconds=0.5),
    forecast.Phase("decoder", 0.3, seconds=0.1),
    forecast.Phase("both", 0.5, seconds=1.0),
)
FOUND = forecast.Forecast(
    train=TrainConfig(num_steps=1000, batch_size=8),
    num_devices=1,
    device_kind="cpu",
    num_parameters=10**6,
    target_length=256,
    flops=2e9,
    state_bytes=2**20,
    temporary_bytes=None,
    process_bytes=2**30,
    phases=PHASES,
    loader_seconds=0.2,
    tokens=864.0,
)


def test_a_run_of_steps():
    """200 updates of 0.5 s, 300 that wait 0.2 s for the loader, 500 of 1 s; the first 200 learn no token."""
    assert FOUND.run_seconds == pytest.approx(100 + 60 + 500)
    assert FOUND.num_updates == 1000
    assert FOUND.tokens_per_day == pytest.approx(86400 * 864 * 800 / 660)


def test_a_run_of_minutes():
    """The phases are shares of the time: 120 s, 180 s, 300 s."""
    found = dataclasses.replace(FOUND, train=TrainConfig(minutes=10.0))
    assert found.run_seconds == 600
    assert found.num_updates == pytest.approx(120 / 0.5 + 180 / 0.2 + 300 / 1.0)
    assert found.tokens_per_day == pytest.approx(86400 * 864 * (900 + 300) / 600)


def test_the_table():
    lines = forecast.table(FOUND).splitlines()
    assert "FLOPs an update  2.00 GFLOP (2.0 GFLOP/s)" in lines
    assert "memory, update   not told" in lines
    assert "memory, process  1024.00 MiB of the machine's, all in all" in lines
    assert "time an update   0.100 s, 40.0 examples/s: 30 % of the run, the decoder alone" in lines
    assert "the run          1,000 updates, 11 min 00 s; besides: compiling, checkpoints, validation" in lines
    assert "speed            90.48 million tokens a day" in lines
