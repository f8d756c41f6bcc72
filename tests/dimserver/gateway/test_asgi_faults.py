"""Every way in which an ASGI app can fail."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest
from tests.dimserver.gateway.asgi_peer import PIECE, START, Message, Receive, Scope, Send, Serve, answer
from tests.support.waiting import until

LENGTH = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"7")]}
# What the app sends, the status of the answer (0: it was cut after its head), and what the log says.
FAULTS: dict[str, tuple[list[Message | type[Exception]], int, str]] = {
    "raises first": ([LookupError], 500, "LookupError"),
    "raises behind the head": ([START, LookupError], 500, "LookupError"),
    "raises behind a piece": ([START, PIECE, LookupError], 0, "LookupError"),
    "nothing": ([], 500, "returned without starting response"),
    "head alone": ([START], 500, "returned without starting response"),
    "no end": ([START, PIECE], 0, "returned without completing response"),
    "body first": ([PIECE], 500, "Expected ASGI message 'http.response.start', but got 'http.response.body'"),
    "head twice": ([START, START], 500, "Expected ASGI message 'http.response.body', but got 'http.response.start'"),
    "head twice, late": ([START, PIECE, START], 0, "but got 'http.response.start'"),
    "unknown": ([{"type": "what"}], 500, "but got 'what'"),
    "no message": ([{}], 500, "KeyError"),
    "status": ([{"type": "http.response.start", "status": 99}], 500, "200 to 599, not 99"),
    "bad name": ([{**START, "headers": [(b"a b", b"c")]}, {"type": "http.response.body"}], 500, "not a token"),
    "bad value": ([{**START, "headers": [(b"a", b"c\r\n")]}, {"type": "http.response.body"}], 500, "control character"),
    "text": ([START, {"type": "http.response.body", "body": "text"}], 500, "is bytes, not str"),
    "too few at once": ([LENGTH, {"type": "http.response.body", "body": b"6bytes"}], 500, "Content-Length is 7"),
    "too many at once": ([LENGTH, {"type": "http.response.body", "body": b"8 bytes."}], 500, "Content-Length is 7"),
    "too few": ([LENGTH, PIECE, {"type": "http.response.body", "body": b"1"}], 0, "shorter than Content-Length"),
    "too many": ([LENGTH, PIECE, PIECE], 0, "longer than Content-Length"),
    "too many in the first": ([LENGTH, {**PIECE, "body": b"8 bytes."}], 0, "longer than Content-Length"),
}  # fmt: skip


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("fault", FAULTS)
def test_faults(start: Serve, fault: str, waits: bool) -> None:
    messages, expected, logged = FAULTS[fault]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/good":
            await answer(send)
            return
        for message in messages:
            if waits:
                await asyncio.sleep(0.001)
            if isinstance(message, dict):
                await send(message)
            else:
                raise message("on purpose")

    server = start(app)
    wire = server.connect().get()
    if expected:
        status, _, body = wire.answer()
        assert (status, body) == (500, b"Internal Server Error\n")
        assert wire.get("/good").answer()[2] == b"fine"
    else:
        while b"\r\n\r\n" not in wire.left:
            wire.more()
        data = wire.left
        while more := wire.sock.recv(65536):
            data += more
        assert data.startswith(b"HTTP/1.1 200 ")
        assert not data.endswith(b"0\r\n\r\n")
        if "content-length" in data.decode().lower():
            assert len(data.partition(b"\r\n\r\n")[2]) < 7
    until(lambda: logged in server.told())
    assert server.connect().get("/good").answer()[2] == b"fine"


@pytest.mark.parametrize("waits", [False, True], ids=["at once", "later"])
def test_faults_behind_an_answer(start: Serve, waits: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send)
        if waits:
            await asyncio.sleep(0.001)
        if scope["path"] == "/again":
            await send({"type": "http.response.body"})
        raise LookupError("behind")

    server = start(app)
    wire = server.connect()
    assert wire.get().answer()[2] == b"fine"
    assert wire.get("/again").answer()[2] == b"fine"
    until(lambda: "already completed" in server.told())
    assert "LookupError: behind" in server.told()
    assert wire.get().answer()[2] == b"fine"


def test_an_app_that_is_no_coroutine_function(start: Serve) -> None:
    class Mine:
        def __call__(self, *given: Any) -> Awaitable[None]:
            send = given[2]
            return answer(send, b"object")

    def plain(scope: Scope, receive: Receive, send: Send) -> None:
        return None

    assert start(Mine()).connect().get().answer()[2] == b"object"
    assert start(plain).connect().get().answer()[0] == 500


def test_an_app_that_returns_something(start: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> Any:
        await answer(send)
        return 5

    server = start(app)
    assert server.connect().get().answer()[2] == b"fine"
    until(lambda: "should return None, but returned 5" in server.told())


def test_an_app_can_recover_from_its_own_faults(start: Serve) -> None:
    """As frameworks do that answer 500 with a page of their own."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        try:
            await send({"type": "http.response.body", "body": b"abc"})
        except RuntimeError:
            await send({"type": "http.response.body", "body": b"recovered"})

    assert start(app).connect().get().answer()[2] == b"recovered"
