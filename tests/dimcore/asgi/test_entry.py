"""The compiled half of the ASGI gateway on a core of its own, with every task, reference and pass under control."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest
from tests.dimcore.asgi_rig import GET, Bench, Task, hello

from dimcore import AsgiEntry, UsageError
from dimcore.asgi.entry import AsgiHttp, AsgiReceive


@pytest.mark.parametrize("kind", [AsgiHttp, AsgiReceive])
def test_made_by_requests_alone(kind: Any) -> None:
    with pytest.raises(UsageError):
        kind()


def test_an_app_that_does_not_wait_costs_no_task(play: Any) -> None:
    async def script(bench: Bench) -> None:
        for number in range(20):
            assert (await bench.ask(GET.replace(b"/ ", b"/%d " % number), b"\r\n\r\n/%d" % number)).startswith(
                b"HTTP/1.1 200 "
            )
        assert bench.runner.waiting == 0

    play(hello, script)
    assert Task.made == 1


def test_what_an_app_kept_is_not_given_to_another_request(play: Any) -> None:
    kept: list[Any] = []
    calls = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal calls
        calls += 1
        if calls in (2, 4):
            kept.append(send if calls == 2 else receive)
        await hello(scope, receive, send)

    async def script(bench: Bench) -> None:
        for number in range(8):
            await bench.ask(GET.replace(b"/ ", b"/%d " % number), b"\r\n\r\n/%d" % number)
        with pytest.raises(RuntimeError, match="already completed"):
            await kept[0]({"type": "http.response.start", "status": 200})
        assert await kept[1]() == {"type": "http.disconnect"}

    play(app, script)


def test_nothing_is_left_of_a_request(play: Any) -> None:
    scopes: list[Any] = []

    class Marked:
        pass

    async def app(scope: Any, receive: Any, send: Any) -> None:
        mark = Marked()
        scopes.append(weakref.ref(mark))
        scope["mark"] = mark
        if scope["path"] != "/":
            await asyncio.sleep(0)
        await receive()
        await hello(scope, receive, send)
        if scope["path"] == "/behind":
            await asyncio.sleep(0)

    async def script(bench: Bench) -> None:
        for path in (b"/", b"/wait", b"/behind") * 3:
            await bench.ask(GET.replace(b"/ ", path + b" "), path)
        await asyncio.sleep(0.01)

    play(app, script)
    gc.collect()
    assert [ref() for ref in scopes] == [None] * 9


def test_without_a_loop(serve: Any) -> None:
    rig = serve({"GET /": AsgiEntry(hello)})
    assert rig.connect().ask().status == 500
    assert "runs no asyncio loop" in str(rig.reports[0][2])
