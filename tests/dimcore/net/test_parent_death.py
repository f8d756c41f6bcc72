"""That the kernel tells a process of its parent's end."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from dimcore import tell_at_parents_end


@pytest.mark.skipif(sys.platform != "linux", reason="the system has no such thing")
def test_the_signal_comes_at_the_end_of_the_parent() -> None:
    reader, writer = os.pipe()
    parent = os.fork()
    if parent == 0:
        ready, go = os.pipe()
        child = os.fork()
        if child == 0:
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
            told = tell_at_parents_end(signal.SIGUSR2)
            os.write(go, b"x")
            found = signal.sigtimedwait([signal.SIGUSR2], 10)
            os.write(writer, b"told" if told and found is not None else b"not told")
            os._exit(0)
        os.read(ready, 1)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(parent, 0)
    os.close(writer)
    assert os.read(reader, 100) == b"told"
    os.close(reader)


def test_a_signal_that_is_none() -> None:
    assert not tell_at_parents_end(1000)
    assert tell_at_parents_end(0) == (sys.platform == "linux")
