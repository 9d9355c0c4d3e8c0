"""Work beside the main thread: told in its order, a little ahead, and ended by Ctrl-C."""

import threading
import time

import pytest

from mt3lite import files, processes
from mt3lite.commands import beside
from mt3lite.errors import InputError


def test_it_is_told_in_the_order_in_which_it_was_given():
    told, tellers, gate = [], set(), threading.Event()

    def tell(result):
        told.append(str(result))
        tellers.add(threading.current_thread())

    def work(number):
        if number == 0:
            gate.wait(60)
        if number == 2:
            raise InputError("two is bad")
        return number

    with beside.in_order(3, tell) as works:
        for number in range(4):
            works.put(work, number)
        works.tell()
        assert told == []  # the others are done, or nearly, but the first is not
        gate.set()
    assert told == ["0", "1", "two is bad", "3"]
    assert tellers == {threading.main_thread()}


def test_who_brings_more_than_can_be_done_waits():
    under_way, most = set(), []

    def work(number):
        time.sleep(0.005)
        return number

    def stream():
        for number in range(30):
            under_way.add(number)
            most.append(len(under_way))
            yield number

    with beside.in_order(2, under_way.discard) as works:
        for number in stream():
            works.put(work, number)
    assert under_way == set()
    assert max(most) <= beside.WAITING_A_THREAD * 2 + 1


def test_an_error_that_nobody_foresees_ends_the_block():
    with pytest.raises(ZeroDivisionError), beside.in_order(1, print) as works:
        works.put(lambda: 1 / 0)


def test_ctrl_c_comes_to_the_threads_too(tmp_path):
    """They would work for a minute. What they are writing is not left half-written, and what waits is not begun."""
    begun = [threading.Event(), threading.Event()]

    def write(name):
        with files.atomic_path(tmp_path / name) as temporary:
            for number in range(60_000):
                with temporary.open("a") as file:
                    file.write(f"{number}\n")
                begun[name == "b"].set()
                processes.stop_if_asked()
                time.sleep(0.001)

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), beside.in_order(2, print) as works:
        for name in "abc":
            works.put(write, name)
        for event in begun:
            assert event.wait(30)
        raise KeyboardInterrupt
    assert time.monotonic() - started < 30
    assert list(tmp_path.iterdir()) == []


def test_the_main_thread_is_not_asked_to_stop():
    with pytest.raises(KeyboardInterrupt), beside.in_order(1, print):
        raise KeyboardInterrupt
    processes.stop_if_asked()
