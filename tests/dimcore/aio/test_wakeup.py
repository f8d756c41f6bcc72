"""Wakeups: what a Task that no run has makes of one; the rest is seen in test_async_socket and test_task_runner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.dimcore.socket_peer import AsyncPeer, converse, for_a_while, frame

from dimcore import AsyncSocket, UsageError
from dimcore.aio.wakeup import Waiter, Wakeup

Serve = Callable[..., Any]


def test_nobody_makes_one_by_hand() -> None:
    for kind in (Wakeup, Waiter):
        with pytest.raises(UsageError):
            kind()


def test_as_a_future(serve: Serve) -> None:
    """What asyncio asks of it, by hand; woken by a message."""
    seen: list[Any] = []

    async def handler(ws: AsyncSocket) -> None:
        reception: Any = ws.receive()
        bell = reception.send(None)
        assert isinstance(bell, Wakeup)
        assert bell._asyncio_future_blocking
        assert bell.get_loop() is asyncio.get_running_loop()
        assert (bell.done(), bell.cancelled(), bell.cancel()) == (True, False, False)
        bell.add_done_callback(seen.append)
        assert not bell.done()
        assert (bell.remove_done_callback(print), bell.remove_done_callback(seen.append)) == (0, 1)
        bell.add_done_callback(seen.append)
        await asyncio.sleep(0.05)
        assert seen == [bell]
        assert (bell.result(), bell.exception()) == (None, None)
        with pytest.raises(StopIteration, match="woken"):
            reception.send(None)
        seen.append("done")

    async def script(rig: Any) -> None:
        peer = await AsyncPeer(rig).open()
        await peer.send(frame(1, "woken"))
        assert await peer.closed() == 1000

    assert converse(serve, handler, script).reports == []
    assert seen[1:] == ["done"]


def test_a_task_that_is_cancelled_while_it_waits(serve: Serve) -> None:
    async def handler(ws: AsyncSocket) -> None:
        task = asyncio.create_task(ws.receive())  # type: ignore[arg-type]
        await asyncio.sleep(0)
        task.cancel("why")
        with pytest.raises(asyncio.CancelledError):
            await task
        await ws.send(await ws.receive())

    async def script(rig: Any) -> None:
        peer = await AsyncPeer(rig).open()
        await for_a_while(5)
        await peer.send(frame(1, "still there"))
        assert await peer.next() == (1, "still there")

    assert converse(serve, handler, script).reports == []
