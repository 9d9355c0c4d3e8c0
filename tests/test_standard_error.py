"""What a library says on standard error is kept from it, and what we say is not."""

import os
import threading

from mt3lite import standard_error


def test_what_a_library_says_is_muted_and_our_line_waits(capfd):
    muted, spoken = threading.Event(), threading.Event()

    def speak():
        muted.wait(30)
        standard_error.tell("a\x1bline")
        spoken.set()

    speaker = threading.Thread(target=speak)
    speaker.start()
    with standard_error.muted():
        muted.set()
        os.write(2, b"a remark\n")
        assert not spoken.wait(0.2)
    speaker.join()
    assert capfd.readouterr().err == "mt3lite: a\\x1bline\n"


def test_nothing_to_mute(capfd):
    saved = os.dup(2)
    os.close(2)
    try:
        with standard_error.muted():
            pass
    finally:
        os.dup2(saved, 2)
        os.close(saved)
