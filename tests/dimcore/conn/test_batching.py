"""Answers of a round that leave together: whose, for how long at most, and that none is lost or overtaken by it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.waiting import PATIENCE

from dimcore import Outflow, RequestPoint, Site
from dimcore.wsgi.call import Caller

Serve = Callable[..., Any]

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
QUICK_ONES = 16  # that the answer of none of them was slow is asked for
MOST = 16  # answers that wait


def spin(seconds: float = 0.00005, then: Any = b"busy") -> Any:
    """Work for so long, and return `then`."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    return then


def busy(request: RequestPoint) -> bytes:
    spin()
    return b"busy"


class Round:
    """A rig with a loop's `call_soon`: `end` makes the calls, and tells how many there were."""

    def __init__(self, serve: Serve, routes: Any = busy, **options: Any) -> None:
        self.soon: list[Callable[[], object]] = []
        self.rig = serve(routes, options={"call_soon": self.soon.append, **options})

    def end(self) -> int:
        calls, self.soon[:] = list(self.soon), []
        for call in calls:
            call()
        return len(calls)

    def prove(self, request: bytes = GET) -> Any:
        """A client whose last answer was put off: on a busy machine a quick handler is not always one."""
        client = self.rig.connect()
        self.quicken(client, request)
        return client

    def quicken(self, client: Any, request: bytes = GET) -> None:
        """Send it until its answer is put off."""
        for _ in range(2000):
            client.send(request)
            if self.soon:
                return
            client.answer()
        raise AssertionError("no answer waits for another")

    def ready(self) -> Any:
        """The same, and that answer taken."""
        client = self.prove()
        self.end()
        assert client.answer().status == 200
        return client

    def send(self, *clients: Any, request: bytes = GET) -> None:
        """All of it arrives in one round."""
        for client in clients:
            client.sock.setblocking(True)
            client.sock.sendall(request)
            client.sock.setblocking(False)
        self.rig.turn(1)


def come(client: Any) -> bool:
    """Whether anything has come."""
    client.receive()
    return bool(client.left)


def test_waits_for_the_end_of_the_round_and_no_longer(serve: Serve) -> None:
    loop = Round(serve)
    client = loop.prove()
    assert not come(client)
    assert loop.rig.in_flight == {(0, 5): 1}  # ready, not sent
    assert loop.end() == 1
    assert (client.answer().body, loop.rig.in_flight) == (b"busy", {})
    assert loop.rig.cells() == {(0, 4): 1}
    assert loop.end() == 0


def test_who_has_not_shown_that_it_is_quick_is_answered_at_once(serve: Serve) -> None:
    loop = Round(serve)
    client = loop.rig.connect()
    for _ in range(QUICK_ONES):
        assert client.ask(GET).body == b"busy"
    assert loop.soon == []


def test_after_a_slow_one_as_well(serve: Serve) -> None:
    loop = Round(serve, {"GET /": busy, "GET /slow": lambda request: spin(0.0015, b"slow")})
    client = loop.ready()
    for request in (GET.replace(b"/", b"/slow", 1), *[GET] * QUICK_ONES):
        assert client.ask(request).status == 200
    assert loop.soon == []


def test_a_quick_handler_never_waits(serve: Serve) -> None:
    quiet = Round(serve, lambda request: "hello")
    client = quiet.rig.connect()
    put_off = 0
    for _ in range(500):
        client.send(GET)
        put_off += quiet.end()  # some time for a machine that does something else in between
        assert client.answer().body == b"hello"
    assert put_off < 100


def test_without_a_loop_that_says_when_it_is_over_nobody_waits(serve: Serve) -> None:
    client = serve(busy).connect()
    for _ in range(3 * QUICK_ONES):
        assert client.ask(GET).body == b"busy"


def test_those_of_a_round_leave_together(serve: Serve) -> None:
    loop = Round(serve)
    clients = [loop.ready(), loop.rig.connect(), loop.rig.connect()]
    loop.send(*clients)
    while loop.end():
        pass
    assert [client.answer().body for client in clients] == [b"busy"] * 3


def test_many_do_not_wait_for_the_end(serve: Serve) -> None:
    loop = Round(serve)
    clients = [loop.ready(), *(loop.rig.connect() for _ in range(2 * MOST))]
    loop.send(*clients)
    assert sum(map(come, clients)) >= MOST
    while loop.end():
        pass
    assert [client.answer().body for client in clients] == [b"busy"] * len(clients)


def test_nor_does_one_that_has_waited_for_a_millisecond(serve: Serve) -> None:
    order: list[str] = []

    def handler(request: RequestPoint) -> Any:
        order.append(request.path)
        return spin(0.0003)

    loop = Round(serve, {"GET /": busy, "GET /*": handler})
    first = loop.ready()
    clients = {f"/{number}": loop.rig.connect() for number in range(8)}
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:  # on a busy machine a handler is slow now and then, and then none waits for a while
        loop.quicken(first)
        loop.end()
        first.answer()
        order.clear()
        for path, client in clients.items():
            client.sock.sendall(GET.replace(b"/", path.encode(), 1))
        loop.rig.turn(1)
        early = {path for path, client in clients.items() if come(client)}
        while loop.end():
            pass
        assert [client.answer().body for client in clients.values()] == [b"busy"] * len(clients)
        # The last of them found that the first had waited for so long.
        if 1 < len(early) < len(clients) and early == set(order[: len(early)]):
            return
    raise AssertionError(f"{early} of {order} did not wait for the end of the round")


def test_requests_in_one_piece_are_answered_in_order(serve: Serve) -> None:
    loop = Round(serve, {"GET /": busy, "GET /2": lambda request: spin(then=b"second")})
    client = loop.ready()
    client.send(GET + GET.replace(b"/", b"/2", 1))
    loop.end()
    assert [client.answer().body, client.answer().body] == [b"busy", b"second"]
    # Half a request behind one is a reason not to wait: nobody knows when the rest comes.
    client.send(GET + GET[:9])
    assert loop.soon == []
    assert client.answer().body == b"busy"
    client.send(GET[9:])
    loop.end()
    assert client.answer().body == b"busy"


@pytest.mark.parametrize("request_", [GET.replace(b"Host", b"Connection: close\r\nHost"), b"GET / HTTP/1.0\r\n\r\n"])
def test_the_last_answer_of_a_connection_leaves_by_itself(serve: Serve, request_: bytes) -> None:
    loop = Round(serve)
    loop.ready()
    client = loop.rig.connect()
    assert client.send(request_).rest().endswith(b"busy")
    assert loop.soon == []


def test_head_has_no_body(serve: Serve) -> None:
    loop = Round(serve, {"GET /": busy, "HEAD /": busy})
    client = loop.prove(GET)
    loop.end()
    client.answer()
    client.send(GET.replace(b"GET", b"HEAD"))
    loop.end()
    answer = client.answer(head_only=True)
    assert (answer["content-length"], client.left) == ("4", b"")


def test_large_and_streamed_bodies_leave_by_themselves(serve: Serve) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"a"
        spin()
        yield b"b"

    loop = Round(
        serve,
        {
            "GET /": busy,
            "GET /large": lambda request: spin(then=bytes(20000)),
            "GET /stream": lambda request: spin(then=(200, {"Content-Length": "2"}, Outflow(pieces()))),
        },
    )
    client = loop.ready()
    assert len(client.ask(GET.replace(b"/", b"/large", 1)).body) == 20000
    assert client.ask(GET.replace(b"/", b"/stream", 1)).body == b"ab"
    assert loop.soon == []


def test_a_client_that_leaves_meanwhile(serve: Serve) -> None:
    logged: list[tuple[int, int]] = []
    loop = Round(serve, access_log=lambda request, status, size, took: logged.append((status, size)))
    client = loop.prove()
    logged.clear()
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.sock.close()
    loop.end()
    loop.rig.turn()
    assert (loop.rig.cells(), loop.rig.in_flight, logged) == ({}, {}, [(200, 0)])
    assert loop.rig.reports == []


def test_a_connection_that_is_closed_meanwhile(serve: Serve) -> None:
    loop = Round(serve)
    client = loop.prove()
    (connection,) = loop.rig.connections()
    connection.close()
    loop.end()
    client.wait_for_end()
    assert client.left == b""


def test_a_socket_that_is_full(serve: Serve, tmp_path: Path) -> None:
    loop = Round(serve, lambda request: spin(then=bytes(12000)))
    loop.ready()
    listener = loop.rig.listen(Site(loop.rig.core, loop.rig.router), socket.AF_UNIX, str(tmp_path / "socket"))
    client = loop.rig.connect(listener)
    (connection,) = [one for one in loop.rig.connections() if one.address is None]
    asked = 0
    while asked < 200 and connection.request is None:
        client.send(GET)
        asked += 1
        loop.end()
    assert connection.request is not None, "the socket takes it all"
    for _ in range(asked):
        assert len(client.answer().body) == 12000
    assert client.send(GET) is client
    loop.end()
    assert len(client.answer().body) == 12000


def test_a_loop_run_by_a_handler_sends_nothing_until_that_is_over(serve: Serve) -> None:
    loop: Any = None

    def nested(request: RequestPoint) -> bytes:
        assert loop.end() == 1  # the one that waits cannot be sent now
        return b"nested"

    loop = Round(serve, {"GET /": busy, "GET /nested": nested})
    client = loop.prove()
    other = loop.rig.connect()
    other.send(GET.replace(b"/", b"/nested", 1))
    assert not come(client)
    assert loop.end() == 1
    assert client.answer().body == b"busy"
    assert other.answer().body == b"nested"  # at once, or put off with the other where it took long


def test_an_app_is_at_its_end_before_the_next_is_called(serve: Serve) -> None:
    """Apps clear in `close` what they set in a call, and another call in between would see it."""
    order: list[str] = []

    class Body:
        def __iter__(self) -> Any:
            return iter([b"busy"])

        def __len__(self) -> int:
            return 1

        def close(self) -> None:
            order.append("close")

    def app(environ: Any, start_response: Any) -> Body:
        order.append("call")
        spin()
        start_response("200 OK", [("Content-Length", "4")])
        return Body()

    caller = Caller(app)
    caller.prepare({}, "", "")
    loop = Round(serve, caller)
    clients = [loop.ready(), loop.rig.connect(), loop.rig.connect()]
    order.clear()
    loop.send(*clients)
    assert order == ["call", "close"] * 3
    while loop.end():
        pass
    assert [client.answer().body for client in clients] == [b"busy"] * 3


def test_a_slow_end_of_an_app_holds_up_no_answer(serve: Serve) -> None:
    """What is slow behind the answer makes those that follow leave before it."""
    seen: list[bool] = []
    client: Any = None

    class Body:
        def __iter__(self) -> Any:
            return iter([b"busy"])

        def __len__(self) -> int:
            return 1

        def close(self) -> None:
            spin(0.0015)
            seen.append(come(client))

    def app(environ: Any, start_response: Any) -> Body:
        start_response("200 OK", [("Content-Length", "4")])
        return Body()

    caller = Caller(app)
    caller.prepare({}, "", "")
    loop = Round(serve, caller)
    client = loop.rig.connect()
    for _ in range(2 * QUICK_ONES):
        client.send(GET)
        assert client.answer().body == b"busy"
    assert seen == [True] * 2 * QUICK_ONES
    assert loop.soon == []
