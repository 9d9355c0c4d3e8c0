"""Workers and Ctrl-C."""

import signal
import subprocess
import sys

import pytest

from mt3lite import processes


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
