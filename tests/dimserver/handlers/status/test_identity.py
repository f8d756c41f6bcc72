"""Who asks, in words."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest

from dimserver.handlers.status.identity import identify


@pytest.mark.parametrize(
    ("address", "name"),
    [(("127.0.0.1", 9), "127.0.0.1:9"), (("::1", 9), "[::1]:9"), (None, "a client of a Unix socket")],
)
def test_by_address(ask: Any, peer: Any, address: Any, name: str) -> None:
    assert identify(ask(peer=peer(address, 3))) == name


def test_the_program_itself(ask: Any) -> None:
    assert identify(ask(peer=None)) == "the program itself"


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="the system does not tell")
def test_by_its_process(ask: Any, peer: Any) -> None:
    one, other = socket.socketpair()
    with one, other:
        connection = peer(None, 3)
        connection.fileno = one.fileno()
        assert identify(ask(peer=connection)) == f"uid {os.getuid()}, process {os.getpid()}"
        assert one.fileno() >= 0
