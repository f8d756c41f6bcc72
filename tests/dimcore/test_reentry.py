"""Python code that the core calls, and that calls back into it at the worst moment: an error that is named, or nothing.

A codec, an iterator, a mapping, a comparison, a report: each runs in the middle of something.  What is looked for first
is the end of this very process.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from typing import Any

import pytest
from tests.dimcore.topic_hall import Codec, Hall, Inflater
from tests.dimcore.ws.test_websocket import UPGRADE, Peer, frame

import dimcore
from dimcore import (
    Composite,
    ConnectionPoint,
    ConnectionPoolManifold,
    Endpoint,
    Index,
    MessageReader,
    Push,
    RequestPoint,
    Router,
    UnknownPoint,
    UsageError,
    tick,
)

Serve = Callable[..., Any]
LONG = "a message that is worth compressing, compressing, compressing"
GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"


# --- codecs ----------------------------------------------------------------------------------------


class HostileCodec(Codec):
    """Does `act` in one of its methods; as the codec does otherwise."""

    held = 0

    def __init__(self, method: str, act: Callable[[], object]) -> None:
        super().__init__()
        self.method = method
        self.act = act

    def _at(self, method: str) -> None:
        if method == self.method:
            self.act()

    def inflate(self, piece: bytes, room: int, final: bool) -> bytes:  # noqa: ARG002
        self._at("inflate")
        return piece[:room]

    def deflate(self, data: bytes) -> bytes:
        self._at("deflate")
        return super().deflate(data)

    def deflate_apart(self, data: bytes) -> bytes:
        self._at("deflate_apart")
        return super().deflate_apart(data)

    def restart(self) -> None:
        self._at("restart")
        super().restart()

    def __getattribute__(self, name: str) -> Any:
        if name in ("threshold", "shared"):
            object.__getattribute__(self, "_at")(name)
        return object.__getattribute__(self, name)


ACTS: dict[str, Callable[[Any, Any], object]] = {
    "say goodbye": lambda rig, ws: ws.close(),
    "close the connection": lambda rig, ws: ws.connection.close(),
    "take an event": lambda rig, ws: ws.connection.on_ready(3),
    "feed it": lambda rig, ws: ws.feed(frame(1, "more")),
    "read on": lambda rig, ws: ws.connection.read_on(),
    "tick": lambda rig, ws: tick(rig.core),
    "turn the loop": lambda rig, ws: rig.turn(),
    "send": lambda rig, ws: ws.send("short"),
    "fail": lambda rig, ws: 1 // 0,
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("method", ["inflate", "deflate", "threshold"])
@pytest.mark.parametrize("whole", [True, False], ids=["one frame", "in parts"])
def test_a_codec_that_calls_back(serve: Serve, method: str, act: str, whole: bool) -> None:
    sockets: list[Any] = []
    done: list[str] = []

    def do() -> None:
        if sockets and not done:
            done.append(act)
            ACTS[act](rig, sockets[0])

    class Handler:
        def on_open(self, ws: Any) -> None:
            sockets.append(ws)

        def on_message(self, ws: Any, message: str) -> None:  # noqa: ARG002
            ws.send(LONG)

    endpoint = Endpoint(Handler)

    def handle(request: Any) -> None:
        request.connection.upgrade(
            request, endpoint, endpoint.make(), headers={"Upgrade": "websocket"}, codec=HostileCodec(method, do)
        )

    rig = serve(handle)
    peer = Peer(rig, UPGRADE)
    data = frame(1, LONG, compressed=True)
    with contextlib.suppress(UsageError, ZeroDivisionError, OSError):
        for piece in [data] if whole else [data[:9], data[9:20], data[20:]]:
            peer.client.put(piece)
    peer.client.receive()
    assert done == [act], (rig.reports, peer.client.left, rig.cells())
    # The peer sees whole frames, none of them behind a goodbye.
    while not peer.client.ended and peer.client.receive():
        pass
    reader = MessageReader(from_client=False, inflater=Inflater())
    kinds = [kind for kind, _ in reader.feed(peer.client.left)]
    assert 8 not in kinds[:-1]
    peer.client.reset()
    rig.turn_until(lambda: not rig.cells())


@pytest.mark.parametrize("act", [*ACTS, "detach", "leave", "join", "publish and run"])
@pytest.mark.parametrize("method", ["deflate_apart", "restart", "threshold", "shared"])
@pytest.mark.parametrize("together", [1, 3])
def test_a_codec_of_subscribers_that_calls_back(serve: Serve, method: str, act: str, together: int) -> None:
    done: list[str] = []

    def do() -> None:
        if hall.sockets and not done and armed:
            done.append(act)
            if act == "detach":
                hall.topics.detach()
            elif act == "leave":
                for ws in hall.sockets:
                    hall.topic.unsubscribe(ws)
            elif act == "join":
                hall.topic.unsubscribe(hall.sockets[0])
                hall.topic.subscribe(hall.sockets[0])
            elif act == "publish and run":
                hall.topic.publish(LONG)
                hall.topics.run()
            else:
                ACTS[act](hall.rig, hall.sockets[0])

    armed: list[bool] = []
    hall = Hall(serve, lambda: HostileCodec(method, do))
    peers = [hall.enter() for _ in range(3)]
    for peer in peers:
        hall.topic.subscribe(peer.ws)
    armed.append(True)
    for _ in range(together):
        hall.topic.publish(LONG)
    for _ in range(20):
        with contextlib.suppress(UsageError, ZeroDivisionError, OSError):
            hall.topics.run()
    assert done == [act]
    assert hall.topics.waiting == 0
    for peer in peers:
        peer.client.reset()
    hall.rig.turn_until(lambda: not hall.rig.cells())


@pytest.mark.parametrize("again", [False, True])
def test_a_report_that_detaches_the_topics(serve: Serve, again: bool) -> None:
    def fail() -> None:
        raise LookupError

    def report(message: str, error: BaseException) -> None:
        reports.append((message, error))
        hall.topics.detach()
        if again and len(reports) == 1:
            hall.topics.attach(soon=hall.calls.append, from_thread=hall.handed.append, report=report)
            hall.topic.publish(LONG)
            hall.topics.run()

    reports: list[Any] = []
    hall = Hall(serve, lambda: HostileCodec("deflate_apart", fail))
    peers = [hall.enter() for _ in range(3)]
    for peer in peers:
        hall.topic.subscribe(peer.ws)
    hall.topics.attach(soon=hall.calls.append, from_thread=hall.handed.append, report=report)
    hall.topic.publish(LONG)
    with contextlib.suppress(RecursionError):
        hall.topics.run()
    assert reports
    hall.topics.detach()
    assert hall.topics.waiting == 0
    for peer in peers:
        peer.client.reset()
    hall.rig.turn_until(lambda: not hall.rig.cells())


# --- iterators and sources -------------------------------------------------------------------------

EVENTS: dict[str, Callable[[Any, Any], object]] = {
    "close": lambda rig, request: request.connection.close(),
    "take an event": lambda rig, request: request.connection.on_ready(3),
    "complete": lambda rig, request: request.connection.complete(request, "another"),
    "push": lambda rig, request: request.connection.push(Push(), b"x"),
    "end push": lambda rig, request: request.connection.end_push(Push(), None),
    "tell end": lambda rig, request: request.connection.tell_end(),
    "tick": lambda rig, request: tick(rig.core),
    "turn the loop": lambda rig, request: rig.turn(),
    "detach": lambda rig, request: rig.core.detach() if hasattr(rig.core, "detach") else None,
    "read the headers": lambda rig, request: (request.headers.to_dict(), request.path, request.query_params),
}


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("pipelined", [False, True])
def test_an_iterator_that_calls_its_own_connection(serve: Serve, event: str, at: int, pipelined: bool) -> None:
    done: list[str] = []

    def pieces(request: Any) -> Iterator[bytes]:
        for number in range(3):
            if number == at and not done:
                done.append(event)
                with contextlib.suppress(dimcore.DimcoreError, ValueError, KeyError, OSError):
                    EVENTS[event](rig, request)
            yield b"x" * 100_000

    rig = serve(pieces_handler(pieces))
    client = rig.connect()
    client.send(GET * (2 if pipelined else 1))
    assert done == [event]
    for _ in range(20):
        rig.turn()
        with contextlib.suppress(OSError):
            client.receive()
    client.reset()
    rig.turn_until(lambda: not rig.cells())


def pieces_handler(pieces: Callable[[Any], Iterator[bytes]]) -> Callable[[Any], Any]:
    return lambda request: (200, {}, pieces(request))


@pytest.mark.parametrize("event", EVENTS)
def test_the_end_of_an_iterator_that_calls_its_own_connection(serve: Serve, event: str) -> None:
    done: list[str] = []

    class Source:
        def __init__(self, request: Any) -> None:
            self.request = request

        def __iter__(self) -> Source:
            return self

        def __next__(self) -> bytes:
            return b"x" * 100_000

        def close(self) -> None:
            if not done:
                done.append(event)
                with contextlib.suppress(dimcore.DimcoreError, ValueError, KeyError, OSError):
                    EVENTS[event](rig, self.request)

    rig = serve(lambda request: (200, {}, Source(request)))
    client = rig.connect()
    client.send(GET)
    client.reset()
    rig.turn_until(lambda: not rig.cells())
    assert done == [event]


# --- arguments -------------------------------------------------------------------------------------


class EvilName(str):
    """An id that acts when it is compared or hashed."""

    __slots__ = ("act",)

    act: Callable[[], object]

    def __hash__(self) -> int:
        self.act()
        return str.__hash__(self)

    def __eq__(self, other: object) -> bool:
        self.act()
        return str.__eq__(self, other)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        self.act()
        return "evil"


class EvilNumber:
    """A coordinate that acts when it is read."""

    def __init__(self, number: int, act: Callable[[], object]) -> None:
        self.number = number
        self.act = act

    def __index__(self) -> int:
        self.act()
        return self.number


@pytest.mark.parametrize("method", ["move", "remove", "get_by_id", "add"])
@pytest.mark.parametrize("what", ["remove", "replace", "clear", "fail"])
def test_an_id_that_changes_the_index(method: str, what: str) -> None:
    index = Index()
    for name in ("one", "two"):
        index.add(ConnectionPoint(name))

    acted: list[bool] = []

    def act() -> None:
        if acted:  # a dict that changes at each comparison would be looked through for ever
            return
        acted.append(True)
        if what == "fail":
            raise LookupError("evil")
        if index.get_by_id("one") is not None:
            index.remove("one")
        if what == "replace":
            index.add(ConnectionPoint("one"))
        if what == "clear" and index.get_by_id("two") is not None:
            index.remove("two")

    name = EvilName("one")
    name.act = act
    calls: dict[str, Callable[[], object]] = {
        "move": lambda: index.move(name, EvilNumber(3, act), EvilNumber(2, act)),
        "remove": lambda: index.remove(name),
        "get_by_id": lambda: index.get_by_id(name),
        "add": lambda: index.add(ConnectionPoint(name), EvilNumber(3, act), EvilNumber(2, act)),
    }
    with contextlib.suppress(UnknownPoint, LookupError, dimcore.DuplicatePoint):
        calls[method]()
    assert len(index) == sum(index.count_at(spiral, layer) for spiral in range(64) for layer in range(1, 8))
    for point_id in ("one", "two"):
        point = index.get_by_id(point_id)
        if point is not None:
            assert point in index.get_at(point.spiral, point.layer)
            index.remove(point_id)
    assert len(index) == 0


def test_a_coordinate_that_takes_the_point_in() -> None:
    index, other = Index(), Index()
    point = ConnectionPoint("one")
    with pytest.raises(dimcore.DuplicatePoint):
        index.add(point, EvilNumber(3, lambda: other.add(point)), 2)
    assert (len(index), len(other)) == (0, 1)


def test_a_snapshot_compared_with_a_set_that_changes_the_index() -> None:
    index = Index()
    points = [ConnectionPoint(str(number)) for number in range(5)]
    for point in points:
        index.add(point)

    class Evil(AbstractSet[Any]):
        def __contains__(self, point: object) -> bool:
            return point in points

        def __iter__(self) -> Iterator[Any]:
            for point in points:
                if index.get_by_id(point.id) is not None:
                    index.remove(point.id)
            return iter(points)

        def __len__(self) -> int:
            return len(points)

    snapshot = index.get_at(0, 1)
    assert snapshot == Evil()
    assert len(snapshot & Evil()) == 5
    assert len(index) == 0


@pytest.mark.parametrize("what", ["close", "archive", "move"])
def test_a_socket_whose_close_changes_the_pools(what: str) -> None:
    pools = ConnectionPoolManifold()

    class Evil:
        def close(self) -> None:
            for number in range(3):
                with contextlib.suppress(dimcore.DimcoreError):
                    if what == "move":
                        pools.move_connection(f"c{number}", "http")
                    else:
                        pools.transition(f"c{number}", 6 if what == "close" else 7)

    for number in range(3):
        pools.manifest_connection(Evil(), None, "http", f"c{number}")
    with contextlib.suppress(dimcore.DimcoreError):
        pools.transition("c0", 6)
    with contextlib.suppress(dimcore.DimcoreError):
        pools.transition("c1", 7)
    pools.cleanup_idle(0.0)
    assert len(pools.index) == sum(pools.index.count_at(row, layer) for row in range(64) for layer in range(1, 8))


class Changing:
    """Header fields that act while they are read."""

    def __init__(self, act: Callable[[], object], pairs: list[tuple[Any, Any]]) -> None:
        self.act = act
        self.pairs = pairs

    def items(self) -> Iterator[tuple[Any, Any]]:
        for pair in self.pairs:
            self.act()
            yield pair


def test_headers_that_are_read_while_they_are_laid_out() -> None:
    pairs = [("One", "1"), ("Two", b"2"), ("Three", bytearray(b"3"))]
    depth = [0]

    def read() -> None:
        if depth[0] < 3:
            depth[0] += 1
            request.headers.to_dict()

    request = RequestPoint(path="/a?b=c", headers=Changing(read, pairs))  # type: ignore[arg-type]
    assert request.headers.to_dict() == {"one": "1", "two": "2", "three": "3"}
    assert (request.path, request.query_string) == ("/a", "b=c")
    request = RequestPoint(headers=Changing(lambda: request.headers, pairs))  # type: ignore[arg-type]
    with pytest.raises(RecursionError):
        _ = request.headers


def test_headers_that_make_their_request_anew() -> None:
    def renew() -> None:
        if renewed.append(True) or len(renewed) == 2:
            request.__init__("id", "POST", "/" + "longer" * 1000, {"New": "value"}, b"body")  # type: ignore[misc]

    renewed: list[bool] = []
    request = RequestPoint(path="/a", headers=Changing(renew, [("One", "1"), ("Two", "2")]))  # type: ignore[arg-type]
    assert set(request.headers) <= {"one", "two", "new"}
    assert request.raw_target == "/" + "longer" * 1000
    assert (request.method, request.body) == ("POST", b"body")


class Text(str):
    """Text that is something else when it is asked for its bytes."""

    __slots__ = ()

    def encode(self, *_: Any) -> Any:
        return 5


def test_values_of_subclasses() -> None:
    with contextlib.suppress(UsageError, TypeError):
        RequestPoint(headers={Text("Name"): Text("value")}).headers.to_dict()
    with contextlib.suppress(UsageError, TypeError):
        RequestPoint(path=Text("/path"))


@pytest.mark.parametrize("kind", [MessageReader, dimcore.ChunkedDecoder, dimcore.HeadParser])
def test_a_buffer_that_is_resized_while_it_is_fed(kind: Any) -> None:
    buffer = bytearray(b"5\r\nhello\r\n" * 3)

    class Owner:
        def inflate(self, piece: bytes, room: int, final: bool) -> bytes:  # noqa: ARG002
            buffer.clear()
            buffer.extend(b"z" * 100_000)
            return piece

    if kind is MessageReader:
        buffer[:] = frame(2, b"payload", compressed=True) + frame(2, b"second")
        assert MessageReader(inflater=Owner()).feed(buffer) == [(2, b"payload"), (2, b"second")]
        return
    with contextlib.suppress(dimcore.DimcoreError, ValueError):
        kind().feed(memoryview(buffer))
    buffer.clear()  # nothing is exported any more


def test_a_composite_whose_parts_call_back() -> None:
    parts: list[Any] = [b"one", b"two"]

    def given() -> Iterator[bytes]:
        for part in list(parts):
            parts.clear()
            yield part

    composite = Composite(given())
    assert (composite.parts, composite.length) == ((b"one", b"two"), 6)


# --- routers ---------------------------------------------------------------------------------------


def test_handlers_that_add_routes_while_they_are_looked_at() -> None:
    router = Router()

    class Handler:
        def __init__(self, deep: int) -> None:
            self.deep = deep

        def __call__(self, request: Any) -> None:
            """Never called."""

        def __repr__(self) -> str:
            router.add("GET", f"/repr/{self.deep}", self)
            return "handler"

    class NotCallable:
        def __repr__(self) -> str:
            router.add("GET", "/{other}/below", Handler(1))
            return "none"

    router.add("GET", "/{one}/below", Handler(0))
    with pytest.raises(dimcore.RouteConflict):  # of the inner one
        router.add("GET", "/x", NotCallable())  # type: ignore[arg-type]
    assert router.lookup("GET", "/a/below") is not None
    assert len(router) == 1


def test_a_handler_that_adds_routes_while_it_serves(serve: Serve) -> None:
    def handle(request: Any) -> str:
        for number in range(200):
            rig.router.add("GET", f"/{request.query_string}/{number}/{{name}}", handle)
            rig.router.add("GET", f"/fixed/{request.query_string}/{number}", handle)
        return request.params.get("name", "none")  # type: ignore[no-any-return]

    rig = serve({"GET /{name}": handle})
    client = rig.connect()
    for number in range(3):
        assert client.ask(GET.replace(b"/ ", b"/abc?%d " % number)).body == b"abc"
    assert client.ask(GET.replace(b"/ ", b"/1/7/xyz?9 ")).body == b"xyz"
