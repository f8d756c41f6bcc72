"""Who is at the other end of a Unix socket."""

from __future__ import annotations

import os
import pathlib
import socket
import subprocess
import sys

import pytest

from dimserver.net.peer_credentials import peer_credentials

pytestmark = pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="the system does not tell")


def test_of_a_pair() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert peer_credentials(one.fileno()) == (os.getpid(), os.getuid())
        other.sendall(b"x")
        assert one.recv(1) == b"x"  # it stays open


def test_of_who_listens(tmp_path: pathlib.Path) -> None:
    """They are of the process that called listen, also for a client that nobody has accepted yet."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(path)
        program = f"import socket; socket.socket(fileno={listener.fileno()}).listen()"
        other = subprocess.Popen([sys.executable, "-c", program], pass_fds=[listener.fileno()])
        assert other.wait(60) == 0
        client.connect(path)
        assert peer_credentials(client.fileno()) == (other.pid, os.getuid())


@pytest.mark.parametrize("descriptor", [-1, 10**6])
def test_of_nothing(descriptor: int) -> None:
    assert peer_credentials(descriptor) is None
