"""Channels behind the command line: consumers that are plain functions send from threads of their own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.frameworks.conftest import Run

pytest.importorskip("channels")
websockets = pytest.importorskip("websockets")
from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402
from websockets.sync.client import ClientConnection, connect  # noqa: E402

WAIT = 20.0


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def channels(run: Run, request: pytest.FixtureRequest) -> Iterator[Any]:
    # Channels itself warns under the newest Pythons; what is asked here is that the log has nothing to say.
    server = run("channels_app:app", "--loop", request.param, python=())
    yield server
    code, _, err = server.end()
    assert (code, [line for line in err.splitlines() if "error" in line.lower() or "Traceback" in line]) == (0, [])


@pytest.fixture
def speak(channels: Any) -> Any:
    """``speak("sync")`` connects to a consumer."""
    with contextlib.ExitStack() as opened:

        def speak(name: str, **options: Any) -> ClientConnection:
            url = channels.urls[0].replace("http", "ws", 1)
            return opened.enter_context(
                connect(f"{url}/{name}", proxy=None, open_timeout=WAIT, close_timeout=0.1, **options)
            )

        yield speak


@pytest.mark.parametrize("consumer", ["sync", "async"])
def test_a_thousand_messages(speak: Any, consumer: str) -> None:
    socket = speak(consumer)
    for number in range(1000):
        message: Any = b"%d" % number if number % 2 else f"message {number}"
        socket.send(message)
        assert socket.recv(WAIT) == message


def test_many_at_once(speak: Any) -> None:
    socket = speak("sync")
    for number in range(500):
        socket.send(str(number))
    assert [socket.recv(WAIT) for _ in range(500)] == [str(number) for number in range(500)]


def test_one_that_closes_from_its_thread(speak: Any) -> None:
    socket = speak("sync")
    socket.send("close")
    with pytest.raises(ConnectionClosed) as closed:
        socket.recv(WAIT)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4001


def test_json_with_a_subprotocol(speak: Any) -> None:
    socket = speak("json", subprotocols=["json"])
    assert socket.subprotocol == "json"
    assert socket.recv(WAIT) == '{"hello": "/json"}'
    socket.send('{"a": [1]}')
    assert socket.recv(WAIT) == '{"got": {"a": [1]}}'


def test_one_that_refuses(speak: Any) -> None:
    with pytest.raises(InvalidStatus) as refused:
        speak("refused")
    assert refused.value.response.status_code == 403


def test_a_room(speak: Any) -> None:
    sockets = [speak("room") for _ in range(5)]
    for number, socket in enumerate(sockets):
        socket.send(f"from {number}")
        assert [each.recv(WAIT) for each in sockets] == [f"from {number}"] * 5


def test_http_and_pages(channels: Any) -> None:
    for size in (0, 3, 300_000):
        body = bytes(range(256)) * (size // 256 + 1)
        assert channels.client.post("/http", content=body[:size]).content == body[:size][::-1]
    cookies = [("Cookie", "a=1"), ("Cookie", "b=2")]
    assert channels.client.get("/page", headers=cookies).text == "1 2"


def test_clients_that_leave_in_the_middle(channels: Any, speak: Any) -> None:
    """The others' sockets do not notice, and the log has nothing to say."""

    def come_and_go() -> None:
        for number in range(30):
            socket = speak(("sync", "async", "room")[number % 3])
            socket.send("x" * 10_000)
            if number % 3:
                socket.recv(WAIT)
            if number % 2:
                socket.socket.close()

    threads = [threading.Thread(target=come_and_go) for _ in range(3)]
    for thread in threads:
        thread.start()
    test_a_thousand_messages(speak, "sync")
    for thread in threads:
        thread.join()
