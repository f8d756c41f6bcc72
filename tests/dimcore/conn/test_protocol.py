"""The seams: a transport in memory, and a protocol whose connection carries many exchanges at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dimcore import Acceptor, Push, RequestPoint, Site
from dimcore.wsgi.call import Caller

UPGRADE = b"GET /toy HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: toy\r\n\r\n"
STREAM_POOL = 4
ACTIVE = 3

Serve = Callable[..., Any]


class Line:
    """A client in memory, its connection upgraded to the toy protocol."""

    def __init__(self, serve: Serve, seams: dict[str, Any], routes: dict[str, Any], keeps: bool = False) -> None:
        self.memory, toy = seams["memory"], seams["toy"]
        factory = toy.ToyFactory()

        def upgrade(request: RequestPoint) -> None:
            request.connection.upgrade(request, factory, None, headers={"Upgrade": "toy"})

        watching = {name: getattr(self.memory, name) for name in ("register", "modify", "unregister", "mute")}
        self.rig = serve({"GET /toy": upgrade, **routes}, options=watching)
        site = Site(self.rig.core, self.rig.router)
        self.memory.use(site)
        if keeps:
            toy.keep_input(site)
        self.client = self.memory.MemoryClient(Acceptor(site, 0, lambda: None).on_ready)
        self.seen = 0

    def say(self, data: bytes) -> bytes:
        """Send, let everything happen that can, and return what is new."""
        assert self.client.send(data)
        return self.hear()

    def hear(self) -> bytes:
        self.memory.turn()
        received = self.client.received
        self.client.receive()
        new, self.seen = received[self.seen :], len(received)
        return bytes(new)

    def open(self) -> None:
        assert self.say(UPGRADE).startswith(b"HTTP/1.1 101 ")

    def leave(self) -> None:
        self.client.leave()
        self.memory.turn()
        assert self.rig.cells() == {}
        assert self.rig.in_flight == {}


def test_http_over_memory(serve: Serve, seams: dict[str, Any]) -> None:
    line = Line(serve, seams, {"GET /": lambda request: "hello"})
    answer = line.say(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.count(b"hello") == 2
    line.leave()


def test_what_a_transport_keeps_is_read_though_the_loop_says_nothing(serve: Serve, seams: dict[str, Any]) -> None:
    line = Line(serve, seams, {"POST /": lambda request: request.body}, keeps=True)
    body = b"x" * 5000
    asked = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n" + body
    for _ in range(2):
        assert line.say(asked).endswith(body)
    line.leave()


def test_two_exchanges_on_one_connection(serve: Serve, seams: dict[str, Any]) -> None:
    routes = {"GET !/slow": lambda request: "slow", "GET /": lambda request: f"quick {request.raw_target}"}
    line = Line(serve, seams, routes)
    line.open()
    assert line.say(b"1 GET /slow\n2 GET /?a\n") == b"2 head 200 9\n2 data 9\nquick /?a"
    assert line.rig.cells() == {(1, 4): 1, (STREAM_POOL, ACTIVE): 1}
    assert line.say(b"3 GET /nowhere\n") == b"3 head 404 10\n3 data 10\nNot Found\n"
    line.rig.run_job()
    assert line.hear() == b"1 head 200 4\n1 data 4\nslow"
    assert (STREAM_POOL, ACTIVE) not in line.rig.cells()
    assert line.rig.core.requests.get_stats()["total_processed"] == 4
    line.leave()


def test_streams_take_turns(serve: Serve, seams: dict[str, Any]) -> None:
    pushes: list[Push] = []

    def stream(request: RequestPoint) -> Any:
        pushes.append(Push())
        return 200, None, pushes[-1]

    line = Line(serve, seams, {"GET /push": stream})
    line.open()
    assert line.say(b"1 GET /push\n2 GET /push\n") == b"1 head 200 -1\n2 head 200 -1\n"
    pushes[1].write(b"b1")
    pushes[0].write(b"a1")
    pushes[1].write(b"b2" * 20_000)
    pushes[1].end()
    pushes[0].write(b"a2")
    assert line.hear() == b"2 data 2\nb11 data 2\na12 data 40000\n" + b"b2" * 20_000 + b"2 end\n1 data 2\na2"
    assert line.rig.cells()[STREAM_POOL, ACTIVE] == 1
    line.leave()
    assert pushes[0].write(b"nobody")  # what carried it is gone, and nothing waits


def test_a_gateway_knows_nothing_of_its_carrier(serve: Serve, seams: dict[str, Any]) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "4")])
        return [environ["PATH_INFO"].encode()]

    line = Line(serve, seams, {"GET /a/*": Caller(app)})
    line.open()
    assert line.say(b"7 GET /a/b\n") == b"7 head 200 4\n7 data 4\n/a/b"
    line.leave()


def test_a_fault_ends_its_exchange_alone(serve: Serve, seams: dict[str, Any]) -> None:
    def fail(request: RequestPoint) -> Any:
        raise LookupError(request.raw_target)

    line = Line(serve, seams, {"GET /bad": fail, "GET /": lambda request: "good"})
    line.open()
    assert line.say(b"1 GET /bad\n2 GET /\n") == (
        b"1 head 500 22\n1 data 22\nInternal Server Error\n2 head 200 4\n2 data 4\ngood"
    )
    assert [what for what, _, _ in line.rig.reports] == ["a handler failed"]
    line.leave()
