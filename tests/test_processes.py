"""Workers and Ctrl-C."""

import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from mt3lite import audio, processes


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="Windows has no masks of signals")
def test_what_is_started_inside_is_deaf_and_this_process_is_not():
    with processes.born_deaf():
        command = [sys.executable, "-c", "import sys; print(1, flush=True); sys.stdin.read()"]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.readline()
    child.send_signal(signal.SIGINT)
    child.communicate()
    assert child.returncode == 0
    with pytest.raises(KeyboardInterrupt), processes.born_deaf():
        signal.raise_signal(signal.SIGINT)


def test_long_work_stops_when_it_is_asked_to(tmp_path):
    """Here the reading of a file; nobody else is stopped, nor this thread later."""
    audio.write_wav(tmp_path / "a.wav", np.zeros(1000, np.float32), 16000)
    stop = threading.Event()
    with processes.stopped_by(stop):
        assert len(audio.load(tmp_path / "a.wav", 16000)) == 1000
        stop.set()
        with pytest.raises(KeyboardInterrupt):
            audio.load(tmp_path / "a.wav", 16000)
    assert len(audio.load(tmp_path / "a.wav", 16000)) == 1000
