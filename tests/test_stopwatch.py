"""Time is counted once, for the innermost name."""

import pytest

from mt3lite import stopwatch


@pytest.fixture
def clock(monkeypatch):
    """Replace the clock by one that is moved by hand."""
    now = [0.0]
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: now[0])
    return now


def test_inner_time_is_not_counted_twice(clock):
    watch = stopwatch.Stopwatch()
    with watch.measure("outer"):
        clock[0] += 1
        with watch.measure("inner"):
            clock[0] += 10
        clock[0] += 100
    clock[0] += 1000  # nobody's
    with watch.measure("inner"):
        clock[0] += 10000
    assert watch.seconds == {"outer": 101, "inner": 10010}


def test_the_use_of_items_is_not_counted(clock):
    def items():
        for item in range(3):
            clock[0] += 1
            yield item

    watch = stopwatch.Stopwatch()
    for _ in watch.measure_each("making", items()):
        clock[0] += 100
    assert watch.seconds == {"making": 3}


def test_an_error_ends_the_measurement(clock):
    watch = stopwatch.Stopwatch()
    with pytest.raises(ValueError), watch.measure("failing"):
        clock[0] += 1
        raise ValueError
    clock[0] += 10
    with watch.measure("next"):
        clock[0] += 100
    assert watch.seconds == {"failing": 1, "next": 100}


def test_adding_another():
    watch = stopwatch.Stopwatch()
    watch.add({"a": 1.0})
    watch.add({"a": 2.0, "b": 3.0})
    assert watch.seconds == {"a": 3.0, "b": 3.0}
