"""The compiled half of the ASGI gateway on a core of its own, with every task, reference and pass under control."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dimcore import AsgiEntry, Runner, UsageError
from dimcore.asgi import AsgiHttp, AsgiReceive, AsgiWait

Serve = Callable[..., Any]
PATIENCE = 20.0
GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"


class Task(asyncio.Task[None]):
    made = 0

    def __init__(self, errand: Any, **options: Any) -> None:
        super().__init__(errand, **options)
        type(self).made += 1

    def add_done_callback(self, *given: Any, **options: Any) -> None:
        self.get_coro().touch()  # type: ignore[union-attr]
        super().add_done_callback(*given, **options)


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


class Bench:
    """A client and a server in one asyncio loop."""

    def __init__(self, rig: Any, runner: Runner) -> None:
        self.rig = rig
        self.runner = runner
        self.left = b""
        self.sock = socket.create_connection(rig.listener.getsockname())
        self.sock.setblocking(False)

    async def ask(self, data: bytes, end: bytes) -> bytes:
        """Send, and return what came until `end` did."""
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self.sock, data)
        while end not in self.left:
            more = await loop.sock_recv(self.sock, 65536)
            assert more, self.left
            self.left += more
        got, _, self.left = self.left.partition(end)
        return got + end


@pytest.fixture
def play(serve: Serve) -> Callable[..., Any]:
    def run(app: Any, script: Callable[[Bench], Awaitable[object]]) -> Any:
        rigs = []

        async def main() -> None:
            loop = asyncio.get_running_loop()
            Task.made = 0
            runner = Runner(loop, Task)
            rig = serve({"GET /*": AsgiEntry(app)}, options={"runner": runner})
            rigs.append(rig)
            bench = Bench(rig, runner)
            loop.add_reader(rig.selector.fileno(), rig.turn)
            try:
                await asyncio.wait_for(script(bench), PATIENCE)
            finally:
                bench.sock.close()
                for connection in rig.connections():
                    connection.close()
                runner.close()
                for _ in range(10):
                    await asyncio.sleep(0)
                loop.remove_reader(rig.selector.fileno())
                assert runner.waiting == 0
                assert asyncio.all_tasks() == {asyncio.current_task()}

        asyncio.run(main(), debug=True)
        return rigs[-1]

    return run


@pytest.mark.parametrize("kind", [AsgiHttp, AsgiReceive, AsgiWait])
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


def test_without_a_loop(serve: Serve) -> None:
    rig = serve({"GET /": AsgiEntry(hello)})
    assert rig.connect().ask().status == 500
    assert "runs no asyncio loop" in str(rig.reports[0][2])


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
