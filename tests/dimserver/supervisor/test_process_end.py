"""Exits in words."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from dimserver.supervisor.process_end import explain, last_words


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "ended with exit code 0"),
        (3 << 8, "ended with exit code 3"),
        (signal.SIGKILL, "was killed by SIGKILL (kill -9, or the kernel ran out of memory)"),
        (signal.SIGSEGV | 0x80, "was killed by SIGSEGV (a crash in compiled code)"),
        (signal.SIGUSR2, "was killed by SIGUSR2"),
        (33, "was killed by signal 33"),
    ],
)
def test_explain(status: int, words: str) -> None:
    assert explain(int(status)) == words


def test_want_of_memory_explains_a_kill_and_nothing_else() -> None:
    words = "was killed by SIGKILL (its control group ran out of memory)"
    assert explain(int(signal.SIGKILL), out_of_memory=True) == words
    assert explain(int(signal.SIGTERM), out_of_memory=True) == "was killed by SIGTERM"


def test_of_a_real_process() -> None:
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", "import os; os._exit(7)"], os.environ)
    assert explain(os.waitpid(pid, 0)[1]) == "ended with exit code 7"


def test_last_words() -> None:
    assert last_words([]) == ""
    assert last_words([("GET /a?b", 2.46)]) == ", while it served GET /a?b (for 2.5 s)"
    assert last_words([("GET /a", 0.01), ("POST /b", 30)]).endswith("GET /a (for 0.0 s), POST /b (for 30.0 s)")
