"""Ports: one that is free, and one that somebody listens at by now."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable

from tests.support.waiting import PATIENCE, until


def free_port() -> int:
    """A port of the loopback interface that nobody listens at, for a program that has to be told one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until_listening(
    port: int, process: subprocess.Popen[bytes] | None = None, said: Callable[[], str] = lambda: ""
) -> None:
    """Wait until a connection to a port is accepted.

    Args:
        process: who is to listen; once it has ended there is nothing to wait for.
        said: returns what it printed, for the failure.
    """

    def listens() -> bool:
        assert process is None or process.poll() is None, f"it ended: {said()}"
        try:
            socket.create_connection(("127.0.0.1", port), PATIENCE).close()
        except OSError:
            return False
        return True

    until(listens, lambda: f"nobody listens at {port}: {said()}")
