"""A connection whose socket an app has taken: what the core still does with it, and what it leaves alone."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import pytest

from dimcore import Endpoint, UsageError, parse_request
from dimcore.conn.access_log import AccessLines
from dimcore.wsgi.handover import HandedOver, Handover, hand_over

Serve = Callable[..., Any]

UPGRADE = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


class Taken:
    """A client's request on a thread, and its socket in the hands of that thread."""

    def __init__(self, serve: Serve, *, behind: bytes = b"", options: Any = None, **limits: Any) -> None:
        self.calls: list[Callable[[], Any]] = []
        self.rig = serve(
            {"GET !/": lambda request: None, "GET /plain": lambda request: "plain"},
            options={"from_thread": self.calls.append, **(options or {})},
            **limits,
        )
        self.client = self.rig.connect().put(UPGRADE + behind)
        self.connection, self.request, _ = self.rig.jobs.pop()
        self.sock: Any = None
        self.handed: Any = None

    def take(self) -> Self:
        self.sock = socket.socket(fileno=os.dup(self.connection.fileno))
        self.handed = hand_over(self.connection, self.request, self.sock)
        self.sock.setblocking(True)
        return self

    def finish(self) -> None:
        self.handed.finish()
        self.calls.pop()()

    def __enter__(self) -> Self:
        return self.take()

    def __exit__(self, *error: object) -> None:
        self.sock.close()


def test_only_hand_over_makes_these(serve: Serve) -> None:
    with pytest.raises(UsageError):
        HandedOver()
    with pytest.raises(UsageError, match="hand_over"):
        HandedOver.__new__(HandedOver).finish()
    taken = Taken(serve)
    for handler, error in ((HandedOver.__new__(HandedOver), UsageError), (None, TypeError), (object(), TypeError)):
        with pytest.raises(error):
            taken.connection.upgrade_late(taken.request, Handover(), handler)
    with pytest.raises(TypeError):
        hand_over(object(), taken.request, None)  # type: ignore[arg-type]
    taken.connection.complete(taken.request, "as ever")
    assert taken.client.answer().body == b"as ever"


@pytest.mark.parametrize("behind", [b"", b"early", b"e" * 20_000])
def test_the_app_s_from_taking_to_the_end_of_its_call(serve: Serve, behind: bytes) -> None:
    with Taken(serve, behind=behind) as taken:
        rig, client = taken.rig, taken.client
        assert rig.cells() == {(1, 4): 1}
        assert rig.in_flight == {}
        assert rig.core.requests.get_stats()["total_processed"] == 1
        assert taken.connection.request is None
        assert taken.handed.take_received() == behind
        assert taken.handed.take_received() == b""
        taken.sock.sendall(SWITCHED)
        client.wait(lambda: client.left == SWITCHED)
        client.left = b""
        client.send(b"to the app, not the core")
        assert taken.sock.recv(100) == b"to the app, not the core"
        # What the app's call returns goes nowhere, whatever it is.
        for answer in ("plain", (500, None, b"error"), None):
            taken.connection.complete(taken.request, answer)
        taken.connection.complete(taken.request, None, RuntimeError("late"))
        assert client.is_open()
        assert rig.reports == []
        taken.sock.sendall(b"last")
        taken.finish()
        assert rig.cells() == {(1, 5): 1}
        client.send(b"on its way")  # and no reset for it: the client is still to read what the app sent
        assert client.rest() == b"last"
        client.sock.close()
        rig.turn_for(0.05)
        assert rig.cells() == {}
        assert taken.sock.recv(1) == b""  # a duplicate that the app has kept is over


def test_the_line_of_the_log_is_written_when_it_is_taken(serve: Serve) -> None:
    lines = AccessLines("common")
    with Taken(serve, options={"access_log": lines}) as taken:
        (line,) = lines.take()[0].splitlines()
        assert line.endswith(b'"GET / HTTP/1.1" 101 0')
        taken.finish()
    assert lines.take() == (b"", 0)


@pytest.mark.parametrize("why", ["draining", "full"])
def test_no_room_is_answered_by_whoever_asked(serve: Serve, why: str) -> None:
    taken = Taken(serve)
    if why == "draining":
        taken.rig.core.drain()
    else:
        taken.rig.core.pools.set_cap("websocket", 0)
    with taken:
        assert taken.handed is None
        assert taken.rig.cells() == {(0, 3): 1}
        taken.connection.complete(taken.request, (503, None, b"no room"))
        assert taken.client.answer().status == 503


def test_an_answer_that_has_begun_cannot_be_taken_back(serve: Serve) -> None:
    taken = Taken(serve)
    another = parse_request(UPGRADE)
    assert another is not None
    with pytest.raises(UsageError, match="nobody waits"):
        hand_over(taken.connection, another[0], None)
    taken.connection.complete(taken.request, "plain")
    with pytest.raises(UsageError, match="nobody waits"):
        hand_over(taken.connection, taken.request, None)
    assert taken.client.answer().body == b"plain"
    assert taken.client.ask(b"GET /plain HTTP/1.1\r\nHost: a\r\n\r\n").body == b"plain"
    with pytest.raises(UsageError, match="nobody waits"):
        hand_over(taken.connection, taken.request, None)


def test_on_the_loop_alone(serve: Serve) -> None:
    taken = Taken(serve)
    with ThreadPoolExecutor(1) as pool, pytest.raises(UsageError, match="loop's thread"):
        pool.submit(hand_over, taken.connection, taken.request, None).result()
    taken.connection.complete(taken.request, "plain")
    taken.client.answer()


def test_no_limit_ends_it_while_the_app_has_it(serve: Serve) -> None:
    short = {"ws_ping": 0.05, "ws_timeout": 0.05, "ws_close": 0.05, "idle": 0.05, "handler": 0.05, "linger": 0.3}
    with Taken(serve, seconds=short) as taken:
        taken.rig.turn_for(0.4)
        assert taken.client.is_open()
        assert taken.rig.cells() == {(1, 4): 1}
        taken.rig.core.drain()
        taken.connection.close()  # as a server does that is about to stop
        assert taken.rig.cells() == {(1, 5): 1}
        taken.rig.turn_for(0.4)
        assert taken.client.is_open()
        taken.finish()  # from here on the limits hold: this client never leaves
        taken.rig.turn_for(0.5)
        assert taken.rig.cells() == {}
        assert taken.client.rest() == b""
        assert taken.rig.reports == []


def test_a_stop_tells_the_app_and_cuts_it_at_last(serve: Serve) -> None:
    with Taken(serve) as taken:
        taken.rig.core.drain()
        taken.connection.close()
        taken.connection.tell_end()
        assert taken.sock.recv(1) == b""
        taken.sock.sendall(b"goodbye")
        taken.client.wait(lambda: taken.client.left == b"goodbye")
        taken.connection.close()
        assert taken.rig.cells() == {}
        assert taken.client.rest() == b"goodbye"
        with pytest.raises(BrokenPipeError):
            taken.sock.sendall(b"late")
        taken.handed.finish()  # its call returns at last
        taken.calls.pop()()
        taken.connection.tell_end()


def test_an_operator_closes_it_at_once(serve: Serve) -> None:
    with Taken(serve) as taken:
        taken.connection.close()
        assert taken.rig.cells() == {}
        assert taken.sock.recv(1) == b""  # whoever waits there is woken
        assert taken.client.rest() == b""


@pytest.mark.parametrize("how", ["close", "reset", "half"])
def test_a_client_that_leaves(serve: Serve, how: str) -> None:
    taken = Taken(serve)
    if how == "half":  # before it was taken, and it reads on
        taken.client.sock.shutdown(socket.SHUT_WR)
        taken.rig.turn_for(0.02)
    with taken:
        if how == "close":
            taken.client.sock.close()
        elif how == "reset":
            taken.client.reset()
        if how == "reset":
            with pytest.raises(ConnectionResetError):
                taken.sock.recv(1)
        else:
            assert taken.sock.recv(1) == b""
        assert taken.rig.cells() == {(1, 4): 1}
        if how == "half":
            taken.sock.sendall(b"still")
        taken.finish()
        taken.rig.turn_for(0.05)
        if how == "half":
            assert taken.client.rest() == b"still"
        assert taken.rig.cells() == {}


def test_a_client_that_is_gone_before_it_is_taken(serve: Serve) -> None:
    taken = Taken(serve)
    taken.client.reset()
    taken.rig.turn_for(0.02)
    if taken.connection.fileno >= 0:  # where the loop cannot watch for a hang-up alone
        taken.connection.close()
    with pytest.raises(UsageError):
        hand_over(taken.connection, taken.request, None)


def test_an_app_that_has_closed_its_duplicate(serve: Serve) -> None:
    with Taken(serve) as taken:
        taken.sock.close()
        assert taken.client.is_open()
        taken.connection.close()
        assert taken.client.rest() == b""
        taken.handed.finish()


def test_its_place_in_the_pool_comes_free(serve: Serve) -> None:
    with Taken(serve) as taken:
        taken.rig.core.pools.set_cap("websocket", 1)
        second = taken.rig.connect().put(UPGRADE)
        connection, request, _ = taken.rig.jobs.pop()
        assert hand_over(connection, request, None) is None
        taken.connection.close()
        handed = hand_over(connection, request, None)
        assert isinstance(handed, HandedOver)
        connection.close()
        assert second.rest() == b""


def test_a_websocket_of_the_server_s_own_is_as_it_was(serve: Serve) -> None:
    class Echo:
        def on_message(self, ws: Any, message: Any) -> None:
            ws.send(message)

    def handler(request: Any) -> Any:
        fields = [("Upgrade", "websocket"), ("Sec-WebSocket-Accept", "x")]
        assert request.connection.upgrade(request, Endpoint(Echo()), Echo(), headers=fields)

    rig = serve(handler)
    client = rig.connect()
    assert client.ask(UPGRADE).status == 101
    (connection,) = rig.connections()
    connection.tell_end()
    client.send(b"\x81\x82\0\0\0\0hi")
    client.wait(lambda: client.left == b"\x81\x02hi")
