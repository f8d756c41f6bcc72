"""One message to thousands of WebSockets, again and again, with others being served beside it."""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Callable
from typing import Any

import pytest

from bench.load.peers import APPS
from bench.load.publish import Listeners, Other

Start = Callable[..., Any]
ROOM = 200  # descriptors, for all else
MESSAGES = 5


@pytest.mark.parametrize("sockets", [2000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_everybody_gets_every_message(child: Start, sockets: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = sockets if hard == resource.RLIM_INFINITY else min(sockets, hard - ROOM)
    if count < 1000:
        pytest.skip(f"{hard} descriptors are allowed, which is no crowd")
    server = child(
        "run",
        str(APPS / "publish_native.py"),
        "--port",
        "0",
        "--max-connections",
        str(count + ROOM),
        "--ws-ping",
        "10m",
    )
    port = int(server.urls[0].rpartition(":")[2])
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + ROOM), hard))
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        listeners = stack.enter_context(contextlib.closing(Listeners(port, count)))
        other = stack.enter_context(contextlib.closing(Other(port)))
        for size in (10, 1000, 100_000):
            listeners.expect((size + (2 if size < 126 else 4 if size < 65536 else 10)) * MESSAGES)
            began = time.monotonic()
            other.ask(f"/publish/{size}/{MESSAGES}")
            assert time.monotonic() - began < 0.5  # it does not wait until they have it
            listeners.wait()
        other.ask("/")
    code, _, err = server.end()
    assert code == 0
    assert "error" not in err
