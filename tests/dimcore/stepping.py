"""Another process, one instruction at a time: where it stands is what it would leave if it were killed there."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

TRACEME, SINGLESTEP = 0, 9
MOST_STEPS = 100_000


def _ptrace() -> Any:
    function = ctypes.CDLL(None, use_errno=True).ptrace
    function.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    function.restype = ctypes.c_long
    return function


class Stepped:
    """A forked process that stands before a call, to be run instruction by instruction.

    Args:
        prepare: run by the process first, at full speed; returns what it then does step by step.
    """

    def __init__(self, prepare: Callable[[], Callable[[], object]]) -> None:
        if sys.platform != "linux":
            pytest.skip("no single steps elsewhere")
        self._ptrace = _ptrace()
        self.pid = os.fork()
        if not self.pid:
            self._run(prepare)
        _, status = os.waitpid(self.pid, 0)
        if os.WIFEXITED(status):
            self.pid = 0
            pytest.skip("the system does not let a process be traced")

    def _run(self, prepare: Callable[[], Callable[[], object]]) -> None:
        try:
            call = prepare()
            if self._ptrace(TRACEME, 0, None, None) == 0:
                os.kill(os.getpid(), signal.SIGSTOP)
                call()
                os.kill(os.getpid(), signal.SIGSTOP)
        finally:
            os._exit(0)

    def step(self) -> bool:
        """One instruction on; False when the call is over."""
        assert self._ptrace(SINGLESTEP, self.pid, None, None) == 0, os.strerror(ctypes.get_errno())
        _, status = os.waitpid(self.pid, 0)
        assert os.WIFSTOPPED(status), status
        return os.WSTOPSIG(status) == signal.SIGTRAP

    def changes(self, memory: memoryview) -> Iterator[int]:
        """Step to the end of the call, and yield the number of each step that changed the memory."""
        before = bytes(memory)
        for number in range(MOST_STEPS):
            if not self.step():
                return
            if (now := memory.tobytes()) != before:  # comparing the view itself would go byte by byte
                before = now
                yield number
        raise AssertionError("the call does not end")

    def kill(self) -> None:
        """End it where it stands; again is fine."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0


def killed_at_each(
    memory: memoryview, prepare: Callable[[], Callable[[], object]], look: Callable[[], object], most: int
) -> int:
    """Kill a process at up to `most` of the steps that change memory, one process each; returns how many there are.

    Args:
        memory: what is shared; it is as before for each process.
        prepare: as for `Stepped`.
        look: called after each death.
    """
    start = bytes(memory)
    process = Stepped(prepare)
    try:
        steps = list(process.changes(memory))
    finally:
        process.kill()
    for at in range(0, len(steps), max(1, len(steps) // most)):
        memory[:] = start
        process = Stepped(prepare)
        try:
            for number, _ in enumerate(process.changes(memory)):
                if number == at:
                    break
        finally:
            process.kill()
        look()
    return len(steps)
