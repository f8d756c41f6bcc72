"""The client of a WebSocket whose handler is a coroutine: both in one asyncio loop, debug mode on."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Awaitable, Callable
from typing import Any

from tests.support.waiting import PATIENCE

from dimcore import AsyncSocket, Endpoint, MessageReader, Runner, encode_frame
from dimcore.aio.task_runner import CoroutineRun

KEY = b"\x11\x22\x33\x44"
UPGRADE = b"GET /where HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
HEADERS = {"Upgrade": "websocket"}


def frame(opcode: int, payload: bytes | str = b"", **more: Any) -> bytes:
    return encode_frame(opcode, payload, mask=KEY, **more)


def goodbye(code: int, reason: str = "") -> bytes:
    return frame(8, code.to_bytes(2, "big") + reason.encode())


class Task(asyncio.Task[None]):
    """Tells when it is touched, as the shell's does."""

    def add_done_callback(self, *given: Any, **options: Any) -> None:
        self.get_coro().touch()  # type: ignore[union-attr]
        super().add_done_callback(*given, **options)

    def cancel(self, msg: Any = None) -> bool:
        coroutine: Any = self.get_coro()
        assert isinstance(coroutine, CoroutineRun)
        coroutine.touch()
        return super().cancel(msg)


class AsyncPeer:
    """The client's end."""

    def __init__(self, rig: Any, **options: Any) -> None:
        self.rig = rig
        self.sock = rig.connect(**options).sock
        self.reader = MessageReader(from_client=False)
        self.left = b""
        self.got: list[tuple[int, str | bytes]] = []

    async def open(self, then: bytes = b"") -> AsyncPeer:
        """Shake hands; `then` comes with it."""
        await self.send(UPGRADE + then)
        while b"\r\n\r\n" not in self.left:
            self.left += await self._some()
        head, _, self.left = self.left.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        return self

    async def send(self, data: bytes) -> AsyncPeer:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)
        return self

    async def next(self) -> tuple[int, str | bytes]:
        """The next message or control frame."""
        while not self.got:
            data, self.left = self.left or await self._some(), b""
            self.got += self.reader.feed(data)
        return self.got.pop(0)

    async def closed(self) -> int:
        """The code of the server's goodbye, with nothing before it."""
        opcode, _ = await self.next()
        assert opcode == 8
        return self.reader.close_code

    async def ended(self) -> bool:
        """Whether nothing more comes."""
        return self.got == [] and await asyncio.get_running_loop().sock_recv(self.sock, 1) == b""

    async def _some(self) -> bytes:
        data: bytes = await asyncio.get_running_loop().sock_recv(self.sock, 65536)
        assert data, "the server closed the connection"
        return data


async def for_a_while(turns: int = 20) -> None:
    """Time in which everything that can happen does."""
    for _ in range(turns):
        await asyncio.sleep(0.001)


def converse(
    serve: Callable[..., Any],
    handler: Callable[[Any], Awaitable[object]],
    script: Callable[[Any], Awaitable[object]],
    *,
    codec: Callable[[], Any] = lambda: None,
    endpoint: dict[str, Any] | None = None,
    loop: bool = True,
    routes: dict[str, Any] | None = None,
    debug: bool = True,
    **limits: Any,
) -> Any:
    """Run ``script(rig)`` beside a server whose WebSockets have `handler`, or with other routes; the rig.

    Afterwards no coroutine and no Task may be left.
    """
    rigs: list[Any] = []

    async def main() -> None:
        runner = Runner(asyncio.get_running_loop(), Task)
        kind = Endpoint(AsyncSocket, **(endpoint or {}))

        def handle(request: Any) -> Any:
            assert request.connection.upgrade(
                request, kind, AsyncSocket(handler), headers=HEADERS, protocol="proto", codec=codec()
            )

        options: dict[str, Any] = {"runner": runner} if loop else {}
        if hasattr(select, "epoll"):
            options["mute"] = lambda fd: mute(rigs[0].selector, fd)
        rig = serve(routes or {"GET /where": handle}, options=options, **limits)
        rigs.append(rig)
        asyncio.get_running_loop().add_reader(rig.selector.fileno(), rig.turn)
        ticker = asyncio.get_running_loop().create_task(keep_time(rig))
        try:
            await asyncio.wait_for(script(rig), PATIENCE)
        finally:
            ticker.cancel()
            for _ in range(2):  # they are told first
                for connection in rig.connections():
                    connection.close()
            for _ in range(10):
                await asyncio.sleep(0)
            runner.close()
            for _ in range(10):
                await asyncio.sleep(0)
            asyncio.get_running_loop().remove_reader(rig.selector.fileno())
            assert runner.waiting == 0
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main(), debug=debug)
    return rigs[-1]


def mute(selector: Any, fd: int) -> None:
    """As the shell's selector has it: only a hang-up is reported."""
    selector._selector.modify(fd, 0)
    # It passes on no bit that was not asked for, and a hang-up has both.
    selector._fd_to_key[fd] = selector._fd_to_key[fd]._replace(events=3)


async def keep_time(rig: Any) -> None:
    """Time limits are looked at also while nothing comes."""
    while True:
        await asyncio.sleep(0.05)
        rig.turn()
