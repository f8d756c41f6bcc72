"""Topics over several workers, as a user starts them: who gets what, through crashes, reloads and workers that hang."""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.support.processes import resident
from tests.support.waiting import PATIENCE, until_async

websockets = pytest.importorskip("websockets")

Start = Callable[..., Any]

APP = """
import os

from dimserver import App

app = App()


@app.websocket("/room/{name}")
class Room:
    def on_open(self, ws):
        self.topic = app.topic(ws.request.params["name"])
        self.topic.subscribe(ws)
        ws.send(f"pid {os.getpid()}")

    def on_message(self, ws, message):
        self.topic.publish(message, exclude=ws)


@app.get("/publish/{name}/{message}")
def publish(request):
    return f"{os.getpid()} {app.topic(request.params['name']).publish(request.params['message'])}"


@app.get("/signed/{name}/{message}")
def signed(request):
    return str(app.topic(request.params["name"]).publish(f"{os.getpid()} {request.params['message']}"))


@app.get("/flood/{number}")
def flood(request):
    message = b"x" * 100_000
    return str([app.topic("flood").publish(message) for _ in range(int(request.params["number"]))].count(True))


@app.get("/pid")
def pid(request):
    return str(os.getpid())
"""


@pytest.fixture
def start(child: Start, tmp_path: pathlib.Path) -> Start:
    (tmp_path / "site.py").write_text(APP)

    def begin(*words: str, workers: int = 3) -> Any:
        options = ("--port", "0", "--workers", str(workers), "--api", "--drain", "5s", *words)
        return child("run", "site.py", *options, cwd=tmp_path)

    return begin


def run(talk: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(talk(), PATIENCE))  # type: ignore[arg-type]


class Crowd:
    """Clients in one room, and the worker each of them met."""

    def __init__(self, server: Any, room: str = "x") -> None:
        self.url = server.urls[0].replace("http", "ws", 1) + f"/room/{room}"
        self.sockets: list[tuple[int, Any]] = []

    async def enter(self) -> tuple[int, Any]:
        socket = await websockets.connect(self.url, proxy=None, max_size=None, ping_interval=None)
        pid = int((await socket.recv()).removeprefix("pid "))
        self.sockets.append((pid, socket))
        return pid, socket

    async def fill(self, pids: set[int]) -> None:
        """Until each of these workers has one."""
        while not {pid for pid, _ in self.sockets} >= pids:
            await self.enter()

    async def expect(self, *messages: str | bytes) -> None:
        for _, socket in self.sockets:
            assert [await asyncio.wait_for(socket.recv(), 20) for _ in messages] == list(messages)

    async def leave(self, pid: int = 0) -> None:
        for owner, socket in self.sockets:
            if pid in (0, owner):
                await socket.close()
        self.sockets = [(owner, socket) for owner, socket in self.sockets if pid not in (0, owner)]


async def ask(server: Any, path: str) -> str:
    """One request on a connection of its own."""
    host, _, port = server.urls[0].removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), answer[:200]
    return body.decode()


def test_every_worker_gets_what_any_of_them_publishes(start: Start) -> None:
    server = start()

    async def talk() -> None:
        pids = set(server.workers)
        crowd, other = Crowd(server), Crowd(server, "other")
        await crowd.fill(pids)
        await other.enter()
        for message in ("text é", b"\0\xff", "", "x" * 300_000):
            # From a socket in each worker, to all of the others.
            for sender_pid in sorted(pids):
                sender = next(socket for pid, socket in crowd.sockets if pid == sender_pid)
                await sender.send(message)
                for _, socket in crowd.sockets:
                    if socket is not sender:
                        assert await asyncio.wait_for(socket.recv(), 20) == message
        publishers = set()
        number = 0
        while publishers != pids:
            publishers.add(int((await ask(server, f"/publish/x/{number}")).split()[0]))
            await crowd.expect(str(number))
            number += 1
        found = json.loads(await ask(server, "/api/topics"))
        assert found["subscriptions"] == len(crowd.sockets) + 1
        assert found["topics"] == [{"id": "other", "subscribers": 1}, {"id": "x", "subscribers": len(crowd.sockets)}]
        assert (found["missing"], found["relay_dropped"], len(found["workers"])) == ([], 0, 3)
        assert found["published"] == 12 + number
        assert found["received"] == found["relayed"] == 2 * found["published"]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(other.sockets[0][1].recv(), 0.05)
        await crowd.leave()
        await other.leave()

    run(talk)


def test_off_keeps_it_within_a_worker(start: Start) -> None:
    server = start("--pubsub", "off", workers=2)

    async def talk() -> None:
        crowd = Crowd(server)
        await crowd.fill(set(server.workers))
        published = {pid: 0 for pid, _ in crowd.sockets}
        while not all(published.values()):
            published[int((await ask(server, "/publish/x/m")).split()[0])] += 1
        for pid, socket in crowd.sockets:
            for _ in range(published[pid]):
                assert await asyncio.wait_for(socket.recv(), 20) == "m"
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(socket.recv(), 0.05)
        await crowd.leave()

    run(talk)


def test_a_worker_that_is_killed(start: Start) -> None:
    """Its subscribers are gone; the others go on, and so do those of the worker that takes its place."""
    server = start()

    async def talk() -> None:
        before = set(server.workers)
        crowd = Crowd(server)
        await crowd.fill(before)
        for number in range(2):
            victim = min(set(server.workers) & before)
            before.discard(victim)
            os.kill(victim, signal.SIGKILL)
            lost = [socket for pid, socket in crowd.sockets if pid == victim]
            crowd.sockets = [(pid, socket) for pid, socket in crowd.sockets if pid != victim]
            for socket in lost:
                with pytest.raises(websockets.ConnectionClosed):
                    await socket.recv()
                await socket.wait_closed()
            await ask(server, f"/publish/x/soon-{number}")
            await crowd.expect(f"soon-{number}")
            await until_async(lambda gone=victim: len(server.workers) == 3 and gone not in server.workers)
            await crowd.fill(set(server.workers))
            publishers: set[int] = set()
            count = 0
            while publishers != set(server.workers):
                publishers.add(int((await ask(server, f"/publish/x/{number}-{count}")).split()[0]))
                await crowd.expect(f"{number}-{count}")
                count += 1
        await crowd.leave()

    run(talk)


def test_publishing_during_reloads(start: Start) -> None:
    """Old and new workers exchange messages; who is subscribed misses none, and gets none twice."""
    server = start(workers=2)
    ended = False

    async def listen() -> list[int]:
        got: list[int] = []

        def check(mine: list[tuple[int, int]]) -> None:
            """What one socket got: no gap and nothing twice, and what one worker published in order."""
            numbers = sorted(number for _, number in mine)
            inner = numbers[3:-3]  # at either end messages of two workers may stand on both sides of it
            assert inner == list(range(inner[0], inner[0] + len(inner))) if inner else True
            assert len(set(numbers)) == len(numbers)
            for publisher in {pid for pid, _ in mine}:
                its = [number for pid, number in mine if pid == publisher]
                assert its == sorted(its)

        while not ended:
            crowd = Crowd(server)
            _, socket = await crowd.enter()
            mine: list[tuple[int, int]] = []
            try:
                while True:
                    pid, _, number = (await socket.recv()).partition(" ")
                    mine.append((int(pid), int(number)))
            except websockets.ConnectionClosed:
                assert ended or socket.close_code in (1012, 1001), socket.close_code
            await socket.wait_closed()
            check(mine)
            got += [number for _, number in mine]
        return got

    async def talk() -> None:
        nonlocal ended
        listeners = [asyncio.create_task(listen()) for _ in range(4)]
        await asyncio.sleep(0.3)
        number = 0
        for _ in range(2):
            old = set(server.workers)
            server.hint(signal.SIGHUP)
            while set(server.workers) & old or len(server.workers) < 2:
                for _ in range(50):
                    await ask(server, f"/signed/x/{number}")
                    number += 1
                    await asyncio.sleep(0.002)
        ended = True
        server.hint(signal.SIGTERM)
        for got in await asyncio.gather(*listeners):
            assert len(got) == len(set(got)) > 100

    run(talk)


def test_more_and_fewer_workers(start: Start) -> None:
    server = start(workers=1)

    async def talk() -> None:
        crowd = Crowd(server)
        await crowd.enter()
        for number in (2, 3):  # one after the other: a signal that is pending already is not sent twice
            server.hint(signal.SIGTTIN)
            await until_async(lambda number=number: len(server.workers) == number)
        await crowd.fill(set(server.workers))
        await ask(server, "/publish/x/more")
        await crowd.expect("more")
        stays = set(server.workers)
        server.hint(signal.SIGTTOU)
        await until_async(lambda: len(server.workers) == 2)
        (gone,) = stays - set(server.workers)
        await crowd.leave(gone)
        await ask(server, "/publish/x/fewer")
        await crowd.expect("fewer")
        await crowd.leave()

    run(talk)


@pytest.mark.skipif(not pathlib.Path("/proc").is_dir(), reason="memory is read from /proc")
def test_a_worker_that_hangs_neither_holds_up_the_others_nor_fills_their_memory(start: Start) -> None:
    server = start("--topic-buffer", "4MiB")

    async def talk() -> None:
        pids = set(server.workers)
        crowd = Crowd(server, "flood")
        await crowd.fill(pids)
        hung = min(pids)
        os.kill(hung, signal.SIGSTOP)
        try:
            waiting = [socket for pid, socket in crowd.sockets if pid == hung]
            crowd.sockets = [(pid, socket) for pid, socket in crowd.sockets if pid != hung]
            sender_pid, sender = crowd.sockets[0]
            before = resident(sender_pid)
            message = b"x" * 100_000
            for _ in range(600):  # 60 MB
                await sender.send(message)
                for _, socket in crowd.sockets[1:]:
                    assert await asyncio.wait_for(socket.recv(), 20) == message
            assert resident(sender_pid) - before < 20 << 20
        finally:
            os.kill(hung, signal.SIGCONT)
        await asyncio.sleep(0.2)
        figures = json.loads(await ask(server, "/api/topics"))
        assert figures["missing"] == []
        assert 400 < figures["relay_dropped"] < 600
        await crowd.leave()
        for socket in waiting:
            socket.transport.abort()  # a goodbye would stand behind all that it has not read
            await socket.wait_closed()

    run(talk)
    code, _, err = server.end()
    assert code == 0
    assert err.count("does not read topic messages from the others, and loses messages") == 1


def test_more_than_the_buffer_in_one_round(start: Start) -> None:
    server = start("--topic-buffer", "1MiB", workers=2)

    async def talk() -> None:
        crowd = Crowd(server, "flood")
        await crowd.fill(set(server.workers))
        assert int(await ask(server, "/flood/100")) == 10
        await crowd.expect(*[b"x" * 100_000] * 10)
        await crowd.leave()

    run(talk)


def test_the_chat_over_two_workers(child: Start) -> None:
    examples = pathlib.Path(__file__).parents[2] / "examples"
    server = child("run", str(examples / "chat.py"), "--workers", "2", "--port", "0")
    url = server.urls[0].replace("http", "ws", 1) + "/lobby/socket?name="

    async def talk() -> None:
        guests = []
        for number in range(10):  # all in one worker: once in five hundred times
            guests.append(await websockets.connect(f"{url}g{number}", proxy=None))
            for guest in guests:
                assert await asyncio.wait_for(guest.recv(), 20) == f"g{number} came in"
        for number, guest in enumerate(guests):
            await guest.send("hello")
            for other in guests:
                assert await asyncio.wait_for(other.recv(), 20) == f"g{number}: hello"
        await guests.pop().close()
        for guest in guests:
            assert await asyncio.wait_for(guest.recv(), 20) == "g9 left"
            await guest.close()

    run(talk)


@pytest.mark.skipif(not pathlib.Path("/proc").is_dir(), reason="memory is read from /proc")
def test_memory_stays_flat(start: Start) -> None:
    """Thousands of messages between workers."""
    server = start(workers=2)

    async def talk() -> None:
        crowd = Crowd(server)
        await crowd.fill(set(server.workers))
        sender = crowd.sockets[0][1]
        message = b"x" * 4000

        async def publish(number: int) -> None:
            for _ in range(number // 50):
                for _ in range(50):
                    await sender.send(message)
                for _, socket in crowd.sockets[1:]:
                    for _ in range(50):
                        assert await asyncio.wait_for(socket.recv(), 20) == message

        await publish(2000)
        before = [resident(pid) for pid in server.workers]
        await publish(6000)
        for now, then in zip([resident(pid) for pid in server.workers], before, strict=True):
            assert now - then < 2 << 20
        await crowd.leave()

    run(talk)
