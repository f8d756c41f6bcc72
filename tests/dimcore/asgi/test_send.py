"""The answer's order of messages, on the compiled half alone; each kind of answer is tested with the gateway."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.dimcore.asgi_rig import GET, LAST, Bench

START = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
BODY = {"type": "http.response.body", "body": b"ok"}


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ([BODY], "Expected ASGI message 'http.response.start', but got 'http.response.body'"),
        ([START, START], "Expected ASGI message 'http.response.body', but got 'http.response.start'"),
        ([START, {"type": "http.response.trailers"}], "Expected ASGI message 'http.response.body'"),
        ([START, BODY, BODY], "Unexpected ASGI message 'http.response.body' sent, after response already completed"),
        ([{**START, "status": 99}], "the status of a response is 200 to 599, not 99"),
        ([START, {**BODY, "body": "text"}], "the body of a response is bytes, not str"),
        ([{**START, "headers": [(b"a b", b"")]}, BODY], "the response cannot be sent: "),
        ([{"type": "http.response.early_hint", "links": [b"a\r\nb"]}], "the links cannot be sent: "),
    ],
)
def test_what_may_not_be_sent(play: Any, messages: list[Any], told: str, waits: bool) -> None:
    """It is told to the app where it is sent; unless the answer was complete, that can still be given."""
    faults: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if waits:
            await asyncio.sleep(0)
        for message in messages[:-1]:
            await send(message)
        try:
            await send(messages[-1])
        except RuntimeError as error:
            faults.append(str(error))
            raise

    async def script(bench: Bench) -> None:
        bench.sock.send(LAST)
        got = await bench.rest()
        assert got.startswith(b"HTTP/1.1 200 " if BODY in messages[:-1] else b"HTTP/1.1 500 ")

    play(app, script)
    assert len(faults) == 1
    assert faults[0].startswith(told)


@pytest.mark.parametrize("coding", [False, True])
def test_headers_that_can_be_gone_through_once(play: Any, coding: bool) -> None:
    """They are looked at twice where the one field is among them that the server drops."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        fields = [(b"x-one", b"1"), *([(b"transfer-encoding", b"chunked")] if coding else []), (b"x-two", b"2")]
        await send({**START, "headers": (pair for pair in fields)})
        await send(BODY)

    async def script(bench: Bench) -> None:
        bench.sock.send(LAST)
        head, _, body = (await bench.rest()).partition(b"\r\n\r\n")
        assert b"x-one: 1\r\n" in head
        assert b"x-two: 2\r\n" in head
        assert body == b"ok"

    play(app, script)


def test_a_stream_and_a_request_behind_it(play: Any) -> None:
    """The end of a stream frees the connection, also for a request that was there before."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        await send({**START, "headers": []})
        for number in range(3):
            await send({**BODY, "body": scope["path"].encode(), "more_body": number < 2})

    async def script(bench: Bench) -> None:
        bench.sock.send(GET.replace(b"/ ", b"/one ") + LAST.replace(b"/ ", b"/two "))
        got = await bench.rest()
        assert got.count(b"/one") == got.count(b"/two") == 3
        assert got.count(b"0\r\n\r\n") == 2

    play(app, script)
