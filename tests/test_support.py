"""What tests share in `tests/support`: that waiting fails when it has to, and that nobody writes it again."""

from __future__ import annotations

import ast
import asyncio
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.support import ports, processes, waiting
from tests.support.wire import Wire

HERE = Path(__file__).parent
SHARED = (waiting, ports, processes)


def functions(path: Path) -> set[str]:
    """Names of the functions at the top of a module."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return {node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_nobody_writes_it_again() -> None:
    shared = set().union(*(functions(Path(str(module.__file__))) for module in SHARED)) - {"descriptors", "stat"}
    assert {"until", "until_async", "free_port", "until_listening", "resident", "is_gone"} <= shared
    again = {
        f"{path.relative_to(HERE)}: {name}"
        for path in HERE.rglob("*.py") if path.parent.name != "support"
        for name in functions(path) & shared
    }  # fmt: skip
    assert again == set()


def test_until_returns_what_it_waited_for() -> None:
    found = iter([None, [], "it"])
    assert waiting.until(lambda: next(found)) == "it"
    found = iter([0, 7])
    assert asyncio.run(waiting.until_async(lambda: next(found))) == 7


@pytest.mark.parametrize("what", ["a word", lambda: "a word"])
def test_until_gives_up(what: waiting.What) -> None:
    begun = time.monotonic()
    with pytest.raises(AssertionError, match=r"^not within 0\.02 s: a word$"):
        waiting.until(lambda: False, what, 0.02)
    with pytest.raises(AssertionError, match="a word"):
        asyncio.run(waiting.until_async(lambda: False, what, 0.02))
    assert time.monotonic() - begun >= 0.04


def test_a_listener_that_ended_is_not_waited_for() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    with pytest.raises(AssertionError, match="it ended: why"):
        ports.until_listening(ports.free_port(), process, lambda: "why")


@pytest.mark.parametrize(
    ("sent", "answers", "read", "left"),
    [
        (1, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", 1, True),
        (2, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", 1, False),
        (1, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab", 1, False),
        (1, b"HTTP/1.1 100 Continue\r\n\r\n", 1, False),
        (1, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 1, False),
        (0, b"", 0, True),
    ],
)
def test_only_an_idle_wire_is_given_up(sent: int, answers: bytes, read: int, left: bool) -> None:
    ours, theirs = socket.socketpair()
    with theirs, Wire(ours) as wire:
        for _ in range(sent):
            wire.send(b"x")
        theirs.sendall(answers)
        for _ in range(read):
            wire.answer()
        wire.leave_if_idle()
        theirs.setblocking(False)
        assert theirs.recv(10) == b"x" * sent if sent else True
        if left:
            assert theirs.recv(1) == b""
        else:
            with pytest.raises(BlockingIOError):
                theirs.recv(1)
        theirs.sendall(b"more")
        assert ours.recv(4) == b"more", "what is still sent can be read"
