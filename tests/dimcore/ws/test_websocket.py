"""WebSockets over real sockets: messages, goodbyes, slow readers, limits, and what is left behind."""
# ruff: noqa: ARG002 - handlers take what they do not need

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

from dimcore import Endpoint, MessageReader, UsageError, WebSocket, encode_frame

Serve = Callable[..., Any]
KEY = b"\x11\x22\x33\x44"
UPGRADE = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
HEADERS = {"Upgrade": "websocket"}
OPEN, ACTIVE, CLOSING = (1, 4), (1, 3), (1, 5)


def frame(opcode: int, payload: bytes | str = b"", **more: Any) -> bytes:
    return encode_frame(opcode, payload, mask=KEY, **more)


def goodbye(code: int, reason: str = "") -> bytes:
    return frame(8, code.to_bytes(2, "big") + reason.encode())


class Heard:
    """A handler that notes everything and echoes messages."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.ws: Any = None

    def on_open(self, ws: WebSocket) -> None:
        self.ws = ws
        self.events.append("open")

    def on_message(self, ws: WebSocket, message: str | bytes) -> None:
        self.events.append(message)
        ws.send(message)

    def on_close(self, ws: WebSocket, code: int, reason: str) -> None:
        self.events.append((code, reason))

    def on_drain(self, ws: WebSocket) -> None:
        self.events.append("drain")


class Peer:
    """The client's end."""

    def __init__(self, rig: Any, ask: bytes = UPGRADE, **options: Any) -> None:
        self.rig = rig
        self.client = rig.connect(**options)
        self.answer = self.client.ask(ask)
        self.reader = MessageReader(from_client=False)
        self.got: list[tuple[int, str | bytes]] = []

    def send(self, data: bytes) -> Peer:
        self.client.send(data)
        return self

    def next(self) -> tuple[int, str | bytes]:
        """The next message or control frame."""
        while not self.got:
            self.client.wait(lambda: bool(self.client.left))
            data, self.client.left = self.client.left, b""
            self.got += self.reader.feed(data)
        return self.got.pop(0)

    def closed(self) -> int:
        """The code of the server's goodbye, after which it closes."""
        opcode, _ = self.next()
        assert opcode == 8
        assert self.client.rest() == b""
        return self.reader.close_code


def route(handler: Any, **limits: Any) -> Callable[[Any], Any]:
    endpoint = Endpoint(handler, **limits)

    def handle(request: Any) -> Any:
        if not request.connection.upgrade(request, endpoint, endpoint.make(), headers=HEADERS):
            return 503, {}, "full"
        return None

    return handle


# --- messages -------------------------------------------------------------------------------------


def test_a_handshake_and_an_echo(serve: Serve) -> None:
    heard = Heard()
    rig = serve(route(heard))
    peer = Peer(rig)
    assert peer.answer.status == 101
    assert peer.answer["upgrade"] == "websocket"
    assert peer.answer["connection"] == "upgrade"
    assert "content-length" not in peer.answer
    assert "date" in peer.answer
    assert rig.cells() == {OPEN: 1}
    assert rig.in_flight == {}
    peer.send(frame(1, "hello") + frame(2, b"\0\xff"))
    assert [peer.next(), peer.next()] == [(1, "hello"), (2, b"\0\xff")]
    assert heard.events == ["open", "hello", b"\0\xff"]
    (connection,) = rig.connections()
    assert connection.socket is heard.ws
    assert heard.ws.connection is connection
    assert (heard.ws.open, heard.ws.subprotocol, heard.ws.buffered) == (True, None, 0)
    assert (connection.requests, connection.request) == (1, None)


def test_every_split(serve: Serve) -> None:
    """Handshake and frames arrive in two pieces, cut anywhere."""
    heard = Heard()
    rig = serve(route(heard))
    data = UPGRADE + frame(1, "hé") + frame(9, b"p") + frame(1, "a", final=False) + frame(0, "b") + goodbye(1000)
    for at in range(1, len(data)):
        heard.events.clear()
        peer = Peer.__new__(Peer)
        peer.rig, peer.client, peer.reader, peer.got = rig, rig.connect(), MessageReader(from_client=False), []
        peer.client.send(data[:at]).send(data[at:])
        assert peer.client.answer().status == 101
        assert [peer.next() for _ in range(3)] == [(1, "hé"), (10, b"p"), (1, "ab")]
        assert peer.closed() == 1000
        assert heard.events == ["open", "hé", "ab", (1000, "")]
    assert rig.cells() == {}


def test_byte_by_byte(serve: Serve) -> None:
    rig = serve(route(Heard()))
    peer = Peer(rig)
    for byte in frame(1, "x" * 126) + frame(2, b"y" * 3) + goodbye(1001):
        peer.send(bytes([byte]))
    assert [peer.next(), peer.next()] == [(1, "x" * 126), (2, b"yyy")]
    assert peer.closed() == 1001


@pytest.mark.parametrize("size", [0, 125, 126, 16383, 16384, 65535, 65536, 300_000])
def test_messages_of_every_size(serve: Serve, size: int) -> None:
    peer = Peer(serve(route(Heard())))
    peer.send(frame(2, b"x" * size) + frame(1, "y" * size))
    assert [peer.next(), peer.next()] == [(2, b"x" * size), (1, "y" * size)]


def test_what_is_sent_together_is_answered_with_one_send(serve: Serve) -> None:
    peer = Peer(serve(route(Heard())))
    peer.send(frame(1, "x") * 1000)
    assert peer.client.sock.recv(1 << 20) == encode_frame(1, "x") * 1000


def test_frames_behind_a_handshake_in_one_packet(serve: Serve) -> None:
    heard = Heard()
    peer = Peer(serve(route(heard)), UPGRADE + frame(1, "at once"))
    assert peer.next() == (1, "at once")


def test_a_request_before_the_handshake(serve: Serve) -> None:
    rig = serve({"GET /": route(Heard()), "GET /plain": lambda request: "plain"})
    client = rig.connect()
    client.send(b"GET /plain HTTP/1.1\r\nHost: test\r\n\r\n" + UPGRADE + frame(1, "x"))
    assert client.answer().body == b"plain"
    assert client.answer().status == 101
    client.wait(lambda: client.left == encode_frame(1, "x"))


def test_a_ping_is_answered_and_one_can_be_sent(serve: Serve) -> None:
    heard = Heard()
    peer = Peer(serve(route(heard)))
    assert peer.send(frame(9, b"are you there")).next() == (10, b"are you there")
    heard.ws.ping(b"and you")
    assert peer.next() == (9, b"and you")
    with pytest.raises(UsageError, match="at most 125 bytes"):
        heard.ws.ping(b"x" * 126)


def test_sending_from_outside_an_event(serve: Serve) -> None:
    heard = Heard()
    peer = Peer(serve(route(heard)))
    assert heard.ws.send("now") is True
    assert heard.ws.send(bytearray(b"then")) is True
    assert [peer.next(), peer.next()] == [(1, "now"), (2, b"then")]
    with pytest.raises(UsageError, match="must be str, bytes"):
        heard.ws.send(1)
    with pytest.raises(UnicodeEncodeError):
        heard.ws.send("\ud800")


def test_sending_to_another_socket_from_a_handler(serve: Serve) -> None:
    """The bytes of one connection must not land in the other's."""
    sockets: list[Any] = []

    class Chat:
        def on_open(self, ws: Any) -> None:
            sockets.append(ws)

        def on_message(self, ws: Any, message: str) -> None:
            for number, socket in enumerate(sockets):
                socket.send(f"{number}: {message}")

    rig = serve(route(Chat))
    peers = [Peer(rig) for _ in range(3)]
    peers[1].send(frame(1, "hi"))
    assert [peer.next() for peer in peers] == [(1, "0: hi"), (1, "1: hi"), (1, "2: hi")]


def test_a_class_is_made_for_each_socket(serve: Serve) -> None:
    made: list[Any] = []

    class Counting:
        def __init__(self) -> None:
            self.count = 0
            made.append(self)

        def on_message(self, ws: Any, message: str) -> None:
            self.count += 1
            ws.send(str(self.count))

    rig = serve(route(Counting))
    one, other = Peer(rig), Peer(rig)
    assert one.send(frame(1, "") * 2).next() == (1, "1")
    assert other.send(frame(1, "")).next() == (1, "1")
    assert [each.count for each in made] == [2, 1]


# --- the request ----------------------------------------------------------------------------------


def test_the_request_is_there_in_on_open_and_kept_for_who_looked(serve: Serve) -> None:
    seen: list[Any] = []

    class Looks(Heard):
        def on_open(self, ws: Any) -> None:
            self.ws = ws
            seen.append(ws.request.path)

    looks, other = Looks(), Heard()
    rig = serve({"GET /": route(looks), "GET /other": route(other)})
    Peer(rig)
    Peer(rig, UPGRADE.replace(b"/ ", b"/other ", 1))
    assert seen == ["/"]
    assert looks.ws.request.headers["upgrade"] == "websocket"
    assert other.ws.request is None


def test_a_handshake_only_from_the_handler_of_its_request(serve: Serve) -> None:
    endpoint = Endpoint(Heard())
    kept: list[Any] = []

    def twice(request: Any) -> None:
        kept.append(request)
        request.connection.upgrade(request, endpoint, Heard(), headers=HEADERS)
        request.connection.upgrade(request, endpoint, Heard(), headers=HEADERS)

    rig = serve({"GET /": twice, "GET /plain": lambda request: "plain"})
    Peer(rig)
    (report,) = rig.reports
    assert isinstance(report[2], UsageError)
    (connection,) = rig.connections()
    with pytest.raises(UsageError, match="only the handler"):
        connection.upgrade(kept[0], endpoint, None)


def test_headers_that_must_not_be_sent_are_a_500(serve: Serve) -> None:
    def handle(request: Any) -> Any:
        return request.connection.upgrade(request, Endpoint(Heard()), None, headers={"A": "b\r\nc"})

    rig = serve(handle)
    assert rig.connect().ask(UPGRADE).status == 500
    assert rig.cells() == {(0, 4): 1}


def test_a_full_pool_and_a_draining_server(serve: Serve) -> None:
    rig = serve(route(Heard()))
    rig.core.pools.set_cap("websocket", 1)
    Peer(rig)
    refused = rig.connect()
    assert refused.ask(UPGRADE).status == 503
    assert rig.cells() == {OPEN: 1, (0, 4): 1}
    rig.core.pools.set_cap("websocket", None)
    rig.core.drain()
    assert refused.ask(UPGRADE).status == 503


# --- goodbyes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "answer", "told"),
    [
        (goodbye(1000, "bye"), 1000, (1000, "bye")),
        (goodbye(4999), 4999, (4999, "")),
        (frame(8), 1005, (1005, "")),
        (goodbye(1005), 1002, (1002, "the code 1005 is not for close frames")),
        (frame(8, b"\3"), 1002, (1002, "a close frame with half a code")),
        (b"\x83\x80abcd", 1002, (1002, "an opcode that means nothing")),
        (encode_frame(1, "x"), 1002, (1002, "a frame of a client without a mask")),
        (frame(1, b"\xff"), 1007, (1007, "the text is not UTF-8")),
        (frame(1, b"\xff", final=False), 1007, (1007, "the text is not UTF-8")),
        (frame(2, b"x" * 1001), 1009, (1009, "the message is too long")),
        (
            frame(2, b"x", final=False) + frame(0, b"", final=False) * 10,
            1009,
            (1009, "the message is in too many pieces"),
        ),
        (frame(1, "x", compressed=True), 1002, (1002, "a reserved bit is set")),
    ],
)
def test_the_peer_ends_it(serve: Serve, data: bytes, answer: int, told: tuple[int, str]) -> None:
    heard = Heard()
    rig = serve(route(heard, max_message=1000, max_frames=8))
    peer = Peer(rig).send(data + frame(1, "too late"))
    opcode, _ = peer.next()
    assert (opcode, peer.reader.close_code) == (8, answer)
    peer.client.wait_for_end()  # half of it: what still comes is read, so that no reset destroys the close frame
    peer.client.sock.close()
    rig.turn_until(lambda: not rig.cells())
    assert heard.events == ["open", told]
    assert rig.cells() == {}
    assert heard.ws.send("gone") is False
    assert not heard.ws.open


def test_the_program_ends_it(serve: Serve) -> None:
    heard = Heard()
    rig = serve(route(heard))
    peer = Peer(rig)
    heard.ws.close(4000, "enough")
    heard.ws.close(4001, "again")
    assert not heard.ws.open
    assert heard.ws.send("x") is False
    assert rig.cells() == {CLOSING: 1}
    assert peer.next() == (8, "enough")
    peer.send(frame(1, "still on its way") + frame(9, b"?"))
    assert rig.cells() == {CLOSING: 1}
    peer.send(goodbye(4000, "yes"))
    assert peer.client.rest() == b""
    assert heard.events == ["open", (4000, "yes")]
    assert rig.cells() == {}
    with pytest.raises(UsageError, match="no code to close with"):
        heard.ws.close(1005)
    with pytest.raises(UsageError, match="at most 123"):
        heard.ws.close(1000, "x" * 124)


def test_a_connection_that_is_just_gone(serve: Serve) -> None:
    heard = Heard()
    rig = serve(route(heard))
    peer = Peer(rig)
    peer.client.reset()
    rig.turn_until(lambda: not rig.cells())
    assert heard.events == ["open", (1006, "")]
    other = Peer(rig)
    other.client.sock.close()
    rig.turn_until(lambda: not rig.cells())
    assert heard.events[2:] == ["open", (1006, "")]
    assert rig.cells() == {}


def test_closing_the_connection_says_goodbye_and_again_cuts_it(serve: Serve) -> None:
    heard = Heard()
    rig = serve(route(heard))
    peer = Peer(rig)
    (connection,) = rig.connections()
    rig.core.drain(1012)
    connection.close()
    assert peer.next() == (8, "")
    assert peer.reader.close_code == 1012
    assert rig.cells() == {CLOSING: 1}
    connection.close()
    assert rig.cells() == {}
    assert heard.events == ["open", (1006, "")]


def test_nothing_is_left_of_a_socket(serve: Serve) -> None:
    class Own:
        def __init__(self) -> None:
            self.ws: Any = None

        def on_open(self, ws: Any) -> None:
            self.ws = ws
            self.request = ws.request

    rig = serve(route(Own))
    for _ in range(3):
        Peer(rig).client.sock.close()
        rig.turn_until(lambda: not rig.cells())
    gc.collect()
    assert [found for found in gc.get_objects() if type(found) is Own] == []


# --- handlers that fail ---------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["on_open", "on_message", "on_close", "on_drain"])
def test_a_handler_that_fails(serve: Serve, where: str) -> None:
    def fail(self: Any, ws: Any, *rest: Any) -> None:
        raise ValueError(where)

    handler = type("Fails", (Heard,), {where: fail})()
    rig = serve(route(handler, high_water=1000))
    peer = Peer(rig)
    if where == "on_drain":
        handler.ws.send(b"x" * (8 << 20))
        assert peer.next()[0] == 2
    else:
        peer.send(frame(1, "x"))
    if where == "on_close":
        assert peer.next() == (1, "x")
        peer.send(goodbye(1000))
        assert peer.closed() == 1000
    else:
        assert peer.next() == (8, "")
        assert peer.reader.close_code == 1011
        peer.send(goodbye(1011))
    rig.turn_until(lambda: not rig.cells())
    assert [(what, str(error)) for what, _, error in rig.reports] == [("a WebSocket's handler failed", where)]
    asked = rig.reports[0][1]
    assert (asked.method, asked.raw_target, asked.client_ip) == ("GET", "/", "127.0.0.1")
    assert rig.cells() == {}


@pytest.mark.parametrize("proxied", [False, True])
@pytest.mark.parametrize("looks", [False, True])
def test_whose_handler_failed(serve: Serve, proxied: bool, looks: bool) -> None:
    """Sockets of one route, some with the same target: each is named by what it was asked for, and whom by."""
    asked: list[tuple[str, str]] = []

    class Fails:
        def on_open(self, ws: WebSocket) -> None:
            if looks:
                assert ws.request is not None

        def on_message(self, ws: WebSocket, message: str | bytes) -> None:
            assert (ws.request is not None) is looks
            raise ValueError(message)

    endpoint = Endpoint(Fails)

    def handle(request: Any) -> None:
        asked.append((request.request_id, request.raw_target))
        request.connection.upgrade(request, endpoint, Fails(), headers=HEADERS)

    def forwarded(address: Any, headers: Any) -> Any:
        return "10.0.0.1", None, None, f"{headers['host']}-id"

    rig = serve({"GET /*": handle}, options={"forwarded": forwarded} if proxied else {})
    targets = ("/a?one", "/a?one", "/b", "/" + "c" * 300)
    peers = [Peer(rig, UPGRADE.replace(b"GET /", b"GET " + target.encode())) for target in targets]
    for number in (1, 3, 0, 2):
        peers[number].send(frame(1, str(number)))
        assert peers[number].next() == (8, "")
        what, found, error = rig.reports.pop()
        assert (what, str(error)) == ("a WebSocket's handler failed", str(number))
        assert (found.request_id, found.method) == (asked[number][0], "GET")
        assert found.raw_target == (targets[number] if looks else targets[number][:256])
        assert found.client_ip == ("10.0.0.1" if proxied else "127.0.0.1")
    assert len({request_id for request_id, _ in asked}) == (1 if proxied else 4)


def test_an_interrupt_goes_through(serve: Serve) -> None:
    class Interrupted:
        def on_message(self, ws: Any, message: str) -> None:
            raise KeyboardInterrupt

    rig = serve(route(Interrupted))
    peer = Peer(rig)
    with pytest.raises(KeyboardInterrupt):
        peer.send(frame(1, "x"))
    assert rig.cells() == {}


# --- slow readers ---------------------------------------------------------------------------------


def fill(ws: Any, most: int = 64) -> int:
    """Send megabytes until `send` says no; how many were sent."""
    for number in range(most):
        if not ws.send(b"x" * (1 << 20)):
            return number
    raise AssertionError("everything was taken")


def test_a_slow_reader_with_wait(serve: Serve) -> None:
    heard = Heard()
    rig = serve(route(heard, high_water=1 << 20))
    peer = Peer(rig, receive_buffer=4096)
    taken = fill(heard.ws)
    assert heard.ws.buffered >= 1 << 20
    peer.client.sock.setblocking(False)
    peer.client.sock.send(frame(1, "not read"))
    rig.turn_for(0.02)
    assert heard.events == ["open"]  # nothing is read from who does not read
    for _ in range(taken + 1):
        assert peer.next()[0] == 2
    rig.turn_until(lambda: len(heard.events) == 3)
    assert heard.events == ["open", "drain", "not read"]
    assert heard.ws.buffered == 0
    assert rig.cells() == {OPEN: 1}


def test_a_program_that_does_not_heed_it_is_bounded(serve: Serve) -> None:
    heard = Heard()
    rig = serve(route(heard, high_water=1 << 20), seconds={"ws_close": 0.05})
    Peer(rig, receive_buffer=4096)
    for _ in range(100):
        heard.ws.send(b"x" * (1 << 20))
    assert heard.ws.buffered <= 6 << 20
    assert not heard.ws.open
    rig.turn_until(lambda: not rig.cells())
    assert heard.events == ["open", (1006, "")]


@pytest.mark.parametrize("slow", ["wait", "drop", "close-1013"])
@pytest.mark.parametrize("message", [b"x" * 100, "é" * 10_000], ids=["small", "text"])
def test_what_one_event_sends_is_bounded_as_well(serve: Serve, slow: str, message: str | bytes) -> None:
    """A handler that sends without end learns of it in time, and holds no more than the mark."""

    class Endless(Heard):
        def on_message(self, ws: WebSocket, asked: str | bytes) -> None:
            for _ in range(1_000_000):
                if not ws.send(message):
                    break
            self.most = ws.buffered
            self.said = ws.send(message)

    heard = Endless()
    rig = serve(route(heard, high_water=1 << 18, slow=slow))
    peer = Peer(rig, receive_buffer=4096)
    peer.send(frame(1, "go"))
    rig.turn_until(lambda: hasattr(heard, "said"))
    assert heard.said is False
    assert heard.most + (1 << 17) >= 1 << 18
    assert heard.most <= (1 << 18) + (1 << 17)


def test_small_messages_count_for_what_they_cost(serve: Serve) -> None:
    heard = Heard()
    rig = serve(route(heard, high_water=1 << 20))
    Peer(rig, receive_buffer=4096)
    while heard.ws.buffered == 0:
        heard.ws.send(b"x" * 65536)
    before = heard.ws.buffered
    sent = 0
    while heard.ws.send(b""):
        sent += 1
    assert heard.ws.buffered - before <= 2 * sent + 2
    assert sent < (1 << 20) // 64


def test_a_slow_reader_with_drop(serve: Serve) -> None:
    heard = Heard()
    rig = serve(route(heard, high_water=1 << 20, slow="drop"))
    peer = Peer(rig, receive_buffer=4096)
    taken = fill(heard.ws)
    waiting = heard.ws.buffered
    assert heard.ws.send(b"lost") is False
    assert heard.ws.buffered == waiting
    for _ in range(taken + 1):
        assert peer.next()[0] == 2
    rig.turn_until(lambda: len(heard.events) == 2)
    assert heard.events == ["open", "drain"]
    assert heard.ws.send("on again") is True
    assert peer.next() == (1, "on again")


@pytest.mark.parametrize("code", [1008, 1013])
def test_a_slow_reader_that_is_closed(serve: Serve, code: int) -> None:
    heard = Heard()
    rig = serve(route(heard, high_water=1 << 20, slow=f"close-{code}"))
    peer = Peer(rig, receive_buffer=4096)
    taken = fill(heard.ws)
    assert heard.ws.send(b"too much") is False
    assert not heard.ws.open
    for _ in range(taken + 1):
        assert peer.next()[0] == 2
    assert peer.next() == (8, "too slow")
    assert peer.reader.close_code == code
    peer.send(goodbye(code))
    assert heard.events[-1] == (code, "")
    assert rig.cells() == {}


@pytest.mark.parametrize("slow", ["wait", "drop", "close-1013"])
@pytest.mark.parametrize("size", [0, 125])
def test_somebody_who_asks_and_does_not_read(serve: Serve, slow: str, size: int) -> None:
    """Pongs are bounded as messages are, whatever the policy."""
    heard = Heard()
    rig = serve(route(heard, high_water=1 << 18, slow=slow), seconds={"ws_close": 0.2})
    peer = Peer(rig, receive_buffer=4096)
    (connection,) = rig.connections()
    pings = frame(9, b"p" * size) * (1 << 20 >> 7)
    most = idle = 0
    left = b""
    for _ in range(2000):
        try:
            left = left or pings
            left = left[peer.client.sock.send(left) :]
        except BlockingIOError:
            pass
        except OSError:
            break  # the server has closed it
        idle = 0 if rig.turn() else idle + 1
        if connection.fileno < 0 or idle > 20:
            break
        most = max(most, heard.ws.buffered)
    assert most <= (1 << 18) + (1 << 17)
    assert most > 1 << 14
    peer.client.sock.close()
    rig.turn_until(lambda: not rig.cells())


def test_other_threads_are_told_so(serve: Serve) -> None:
    heard = Heard()
    rig = serve(route(heard))
    peer = Peer(rig)
    errors: list[str] = []

    def run() -> None:
        for call in (lambda: heard.ws.send("x"), heard.ws.ping, heard.ws.close):
            try:
                call()
            except UsageError as error:
                errors.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert len(errors) == 3
    assert "call_from_thread" in errors[0]
    assert heard.ws.open
    with pytest.raises(UsageError, match="without `from_thread`"):
        heard.ws.call_from_thread(heard.ws.send, "x")
    assert peer.send(frame(1, "still fine")).next() == (1, "still fine")


def test_a_call_from_another_thread(serve: Serve) -> None:
    calls: list[Callable[[], object]] = []
    heard = Heard()
    rig = serve(route(heard), options={"from_thread": calls.append})
    peer = Peer(rig)
    thread = threading.Thread(target=lambda: heard.ws.call_from_thread(heard.ws.send, "news"))
    thread.start()
    thread.join()
    heard.ws.call_from_thread(heard.ws.ping)
    for call in calls:
        call()
    assert [peer.next(), peer.next()] == [(1, "news"), (9, b"")]


# --- limits of time -------------------------------------------------------------------------------


def test_a_silent_peer_is_asked_and_then_closed(serve: Serve) -> None:
    heard = Heard()
    rig = serve(route(heard), seconds={"ws_ping": 0.05, "ws_timeout": 0.3})
    peer = Peer(rig)
    assert peer.next() == (9, b"")
    assert rig.cells() == {ACTIVE: 1}
    peer.send(frame(10))
    assert rig.cells() == {OPEN: 1}
    assert peer.next() == (9, b"")
    peer.client.wait_for_end()
    assert heard.events == ["open", (1006, "")]


def test_a_peer_that_does_not_answer_a_goodbye_is_cut(serve: Serve) -> None:
    heard = Heard()
    rig = serve(route(heard), seconds={"ws_close": 0.1})
    peer = Peer(rig)
    heard.ws.close()
    assert peer.next() == (8, "")
    peer.client.wait_for_end()
    assert heard.events == ["open", (1006, "")]


def test_the_limits_of_http_are_not_its_own(serve: Serve) -> None:
    rig = serve(route(Heard()), seconds={"idle": 0.05, "connect": 0.05, "linger": 0.05})
    peer = Peer(rig)
    rig.turn_for(0.3)
    assert peer.send(frame(1, "still here")).next() == (1, "still here")


# --- what cannot be ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("handler", "limits", "message"),
    [
        (object(), {}, "has no method of on_open, on_message, on_close, on_drain"),
        (Heard, {"max_message": 0}, "each must be 1 or more"),
        (Heard, {"max_frames": 0}, "each must be 1 or more"),
        (Heard, {"high_water": 0}, "each must be 1 or more"),
        (Heard, {"slow": "sleep"}, "slow is 'sleep'; wait, drop, close-1008, close-1013 are allowed"),
    ],
)
def test_endpoints_that_cannot_be(handler: Any, limits: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Endpoint(handler, **limits)


def test_nobody_makes_one_by_hand() -> None:
    with pytest.raises(UsageError, match="answering a handshake"):
        WebSocket()


def test_an_endpoint_tells_what_it_has() -> None:
    endpoint = Endpoint(Heard, max_message=5, max_frames=6, high_water=7)
    assert (endpoint.handler, endpoint.max_message, endpoint.max_frames, endpoint.high_water) == (Heard, 5, 6, 7)
    assert type(endpoint.make()) is Heard
