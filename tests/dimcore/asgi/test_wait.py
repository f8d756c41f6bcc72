"""What is awaited of `receive` and `send`: its ways of being stepped, cancelled and given up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.dimcore.asgi_rig import GET, Bench, hello

from dimcore import UsageError
from dimcore.asgi.wait import AsgiWait


def test_made_by_requests_alone() -> None:
    with pytest.raises(UsageError):
        AsgiWait()


def test_what_can_be_done_with_an_awaitable(play: Any) -> None:
    results: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        waiting = receive()
        results.append(asyncio.iscoroutine(waiting))
        with pytest.raises(StopIteration) as end:
            waiting.send(None)
        results.append(end.value.value)
        unused = receive()
        unused.close()
        late = receive()
        future = late.send(None)
        late.close()
        results.append(future.done())
        task = asyncio.create_task(receive())
        await asyncio.sleep(0)
        await hello(scope, receive, send)
        results.append(await task)

    async def script(bench: Bench) -> None:
        await bench.ask(GET, b"\r\n\r\n/")
        while len(results) < 4:  # noqa: ASYNC110 - a test's own patience
            await asyncio.sleep(0.001)

    play(app, script)
    first = {"type": "http.request", "body": b"", "more_body": False}
    assert results == [True, first, False, {"type": "http.disconnect"}]
