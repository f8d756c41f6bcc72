"""A body handed to a coroutine: its pace, its end, and the faults of both sides."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from dimcore import BadRequest, UsageError
from dimserver.http.async_body import AsyncBody
from dimserver.http.body_stream import HIGH_WATER, LOW_WATER


def play(script: Callable[[AsyncBody, list[str]], Awaitable[None]]) -> list[str]:
    calls: list[str] = []

    async def main() -> None:
        body = AsyncBody(asyncio.get_running_loop(), lambda: calls.append("pause"), lambda: calls.append("resume"))
        await asyncio.wait_for(script(body, calls), 20)

    asyncio.run(main(), debug=True)
    return calls


async def take(body: AsyncBody) -> list[bytes]:
    return [piece async for piece in body]


def test_what_is_there_is_given_at_once() -> None:
    async def script(body: AsyncBody, calls: list[str]) -> None:
        body.feed(b"a")
        body.feed(b"b")
        body.end()
        assert await take(body) == [b"a", b"b"]
        assert await take(body) == []

    assert play(script) == []


def test_one_that_begins_paused_goes_on_when_it_is_wanted() -> None:
    async def main() -> None:
        resumed: list[str] = []

        def resume() -> None:
            resumed.append("resume")
            body.feed(b"a")
            body.end()

        body = AsyncBody(asyncio.get_running_loop(), lambda: resumed.append("pause"), resume, paused=True)
        await asyncio.sleep(0)
        assert resumed == []
        assert await asyncio.wait_for(take(body), 20) == [b"a"]
        assert resumed == ["resume"]

    asyncio.run(main(), debug=True)


def test_who_takes_waits_for_who_feeds() -> None:
    async def script(body: AsyncBody, calls: list[str]) -> None:
        taking = asyncio.create_task(take(body))
        for piece in (b"a", b"b", b"c"):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            body.feed(piece)
        await asyncio.sleep(0)
        body.feed(b"d")
        body.end()
        assert await taking == [b"a", b"b", b"c", b"d"]

    assert play(script) == []


def test_reading_stops_and_goes_on() -> None:
    async def script(body: AsyncBody, calls: list[str]) -> None:
        pieces = HIGH_WATER // 4096
        for number in range(pieces + 2):
            assert calls == (["pause"] if number >= pieces else [])
            body.feed(bytes(4096))
        left = pieces + 2
        while left * 4096 > LOW_WATER:
            assert calls == ["pause"]
            await anext(body)
            left -= 1
        assert calls == ["pause", "resume"]

    play(script)


@pytest.mark.parametrize("before", [b"", b"abc"])
def test_a_body_that_is_cut_is_an_error_after_what_came(before: bytes) -> None:
    async def script(body: AsyncBody, calls: list[str]) -> None:
        if before:
            body.feed(before)
        body.end("the client left")
        if before:
            assert await anext(body) == before
        with pytest.raises(BadRequest, match="the client left"):
            await anext(body)

    play(script)


def test_the_whole_is_there_or_an_error() -> None:
    async def script(body: AsyncBody, calls: list[str]) -> None:
        body.feed(b"a")
        with pytest.raises(UsageError, match="still arriving"):
            body.read()
        with pytest.raises(UsageError, match="async for"):
            iter(body)
        body.feed(b"b")
        body.end()
        assert body.read() == b"ab"
        await anext(body)
        with pytest.raises(UsageError, match="has been read"):
            body.read()

    play(script)


def test_the_whole_of_a_cut_body_is_an_error() -> None:
    async def script(body: AsyncBody, calls: list[str]) -> None:
        body.end("cut")
        with pytest.raises(BadRequest, match="cut"):
            body.read()

    play(script)


def test_a_cancelled_wait_loses_nothing() -> None:
    async def script(body: AsyncBody, calls: list[str]) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await anext(body)
        body.feed(b"a")
        body.end()
        assert await take(body) == [b"a"]

    play(script)


def test_one_coroutine_at_a_time() -> None:
    async def script(body: AsyncBody, calls: list[str]) -> None:
        taking = asyncio.create_task(take(body))
        await asyncio.sleep(0)
        with pytest.raises(UsageError, match="two coroutines"):
            await anext(body)
        body.end()
        assert await taking == []

    play(script)
