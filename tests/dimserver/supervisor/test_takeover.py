"""Workers that do not accept: others take who comes to them, and nobody waits."""

from __future__ import annotations

import os
import pathlib
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.waiting import until

from dimserver.net.listener import GROUPS
from dimserver.supervisor.takeover import WAIT

Start = Callable[..., Any]
Call = Callable[..., Any]  # a helper of conftest

pytestmark = pytest.mark.skipif(not GROUPS, reason="one socket for all has no queues of its own")

SOON = 1.0  # seconds a new connection may take on a machine that is busy; it takes a millisecond
HELD = 3.0  # seconds a worker is held up

ASGI = """
import asyncio, os, time

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["path"] == "/held":
        await asyncio.sleep(0.05)  # it goes on in asyncio's own time
        time.sleep(3)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"{os.getpid()} 1".encode()})
"""
HOLDERS = """

@app.get("/held")
def held(request):
    time.sleep(3)
    return "held"

@app.get("/spins")
def spins(request):
    end = time.monotonic() + 3
    while time.monotonic() < end:
        pass
    return "spun"
"""


@pytest.fixture
def held(shop: pathlib.Path) -> pathlib.Path:
    (shop / "shop.py").write_text((shop / "shop.py").read_text() + HOLDERS)
    (shop / "waits.py").write_text(ASGI)
    return shop


def times(server: Any, ask: Call, number: int) -> list[float]:
    """Seconds that each of so many requests on connections of their own took."""
    taken = []
    for _ in range(number):
        begun = time.monotonic()
        ask(server)
        taken.append(time.monotonic() - begun)
    return taken


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (("shop",), "/held"),
        pytest.param(("shop",), "/spins", marks=pytest.mark.slow),
        (("waits:app",), "/held"),
        pytest.param(("waits:app", "--loop", "asyncio"), "/held", marks=pytest.mark.slow),
    ],
)
def test_a_worker_that_a_handler_holds_up(
    child: Start, held: pathlib.Path, ask: Call, words: tuple[str, ...], path: str
) -> None:
    server = child("run", *words, "--port", "0", "--workers", "2", cwd=held)
    busy = server.connect().get(path)
    time.sleep(0.2)
    begun = time.monotonic()
    assert max(times(server, ask, 60)) < SOON
    assert time.monotonic() - begun < HELD - 0.5, "it was not held up any more"
    assert busy.answer()[0] == 200
    assert server.end()[0] == 0


def test_a_worker_that_is_stopped_and_one_that_dies_with_clients_in_its_queue(
    child: Start, shop: pathlib.Path, ask: Call, seen: Call
) -> None:
    server = child("run", "shop", "--port", "0", "--workers", "2", cwd=shop)
    one, two = server.workers
    os.kill(one, signal.SIGSTOP)
    assert max(times(server, ask, 40)) < SOON
    os.kill(two, signal.SIGSTOP)  # now nobody takes them
    wires = [server.connect().get("/") for _ in range(20)]
    time.sleep(3 * WAIT)
    os.kill(one, signal.SIGKILL)
    begun = time.monotonic()
    os.kill(two, signal.SIGCONT)
    answers = [wire.answer() for wire in wires]
    assert [status for status, _, _ in answers] == [200] * 20
    assert time.monotonic() - begun < 2 * SOON
    until(lambda: len(server.workers) == 2)
    seen(server, 2)  # the new one accepts at its own socket again
    assert server.end()[0] == 0


def test_when_all_threads_are_taken(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--port", "0", "--workers", "2", "--threads", "2", cwd=shop)
    by: dict[str, list[Any]] = {}
    while not any(len(wires) == 3 for wires in by.values()):
        wire = server.connect()
        by.setdefault(wire.get("/").answer()[2].decode(), []).append(wire)
    full, wires = next((name, wires) for name, wires in by.items() if len(wires) == 3)
    for wire in wires:
        wire.get("/slow?seconds=2.5")  # the third waits for a thread
    time.sleep(0.3)
    begun = time.monotonic()
    answers = [server.connect().get("/").answer()[2].decode() for _ in range(40)]
    assert full not in answers
    assert time.monotonic() - begun < 2
    assert all(wire.answer()[2] == b"slow 1" for wire in wires)
    answers = [server.connect().get("/").answer()[2].decode() for _ in range(40)]
    assert full in answers, "it accepts again"
    assert server.end()[0] == 0


@pytest.mark.slow
def test_when_all_threads_of_all_workers_are_taken_all_accept(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--port", "0", "--workers", "2", "--threads", "1", cwd=shop)
    for _ in range(30):
        server.connect().get("/slow?seconds=0.1")
    time.sleep(0.2)
    wires = []
    for _ in range(24):
        wires.append(server.connect().get("/"))
        time.sleep(WAIT)
    found = Counter(wire.answer()[2] for wire in wires)
    assert len(found) == 2
    assert server.end()[0] == 0


@pytest.mark.slow
def test_a_slot_that_is_removed_while_its_worker_is_held_up(child: Start, held: pathlib.Path, ask: Call) -> None:
    server = child("run", "shop", "--port", "0", "--workers", "2", cwd=held)
    wires = [server.connect().get("/held") for _ in range(1)]
    time.sleep(0.1)
    done = threading.Event()
    taken: list[float] = []

    def client() -> None:
        while not done.is_set():
            taken.extend(times(server, ask, 1))

    thread = threading.Thread(target=client)
    thread.start()
    server.hint(signal.SIGTTOU)
    until(lambda: len(server.workers) == 1)
    done.set()
    thread.join()
    assert max(taken) < SOON + HELD  # with one worker left, which may be the one that is held up
    assert [wire.answer()[0] for wire in wires] == [200]
    assert server.end()[0] == 0


def test_a_supervisor_without_new_connections_sleeps(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--port", "0", "--workers", "2", cwd=shop)
    wire = server.connect()
    wire.get("/").answer()
    time.sleep(0.5)

    def wakes() -> int:
        text = pathlib.Path(f"/proc/{server.pid}/status").read_text()
        return int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0])

    before = wakes()
    for _ in range(50):
        wire.get("/").answer()
        time.sleep(0.01)
    assert wakes() - before <= 3
    assert server.end()[0] == 0


def test_a_request_that_kills_its_worker_now_and_then_does_not_close_the_site(
    child: Start, shop: pathlib.Path, ask: Call
) -> None:
    server = child("run", "shop", "--port", "0", cwd=shop)
    for _ in range(6):
        worker = server.worker
        server.connect().get("/exit")
        until(lambda worker=worker: worker not in server.workers)
        begun = time.monotonic()
        ask(server)
        assert time.monotonic() - begun < 2 * SOON
    code, _, err = server.end()
    assert code == 0
    assert "in a row" not in err


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 4])
def test_who_is_not_busy_gets_an_even_share(child: Start, shop: pathlib.Path, ask: Call, workers: int) -> None:
    server = child("run", "shop", "--port", "0", "--workers", str(workers), cwd=shop)
    found = Counter(ask(server) for _ in range(20_000))
    assert len(found) == workers
    for number in found.values():
        assert abs(number * workers / 20_000 - 1) < 0.15, found
    assert server.end()[0] == 0


@pytest.mark.slow
def test_workers_that_are_killed_again_and_again(child: Start, shop: pathlib.Path, ask: Call) -> None:
    server = child("run", "shop", "--port", "0", "--workers", "2", cwd=shop)
    done = threading.Event()
    taken: list[float] = []
    broken: list[str] = []

    def client() -> None:
        while not done.is_set():
            begun = time.monotonic()
            try:
                ask(server)
            except (OSError, EOFError) as error:  # whom the killed one had accepted
                broken.append(repr(error))
            taken.append(time.monotonic() - begun)
            time.sleep(0.005)

    threads = [threading.Thread(target=client) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(60):
        workers = [pid for pid in server.workers if pid != server.pid]
        if workers:
            os.kill(workers[number % len(workers)], signal.SIGKILL)
        time.sleep(0.5)
    done.set()
    for thread in threads:
        thread.join()
    assert len(taken) > 1000
    assert max(taken) < SOON, f"{sum(each >= SOON for each in taken)} of {len(taken)}"
    assert len(broken) < 60
    assert server.end()[0] == 0
