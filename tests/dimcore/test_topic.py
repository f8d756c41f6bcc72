"""Topics over real sockets: who gets what, in which order, what a slow reader costs, and what is left behind."""
# ruff: noqa: ARG002 - handlers take what they do not need

from __future__ import annotations

import gc
import socket
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any

import pytest

from dimcore import Endpoint, MessageReader, Topic, TopicLimit, Topics, UsageError, WebSocket, encode_frame

Serve = Callable[..., Any]
KEY = b"\x11\x22\x33\x44"
UPGRADE = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
TAIL = b"\x00\x00\xff\xff"
NAMES = "ab" * 127 + "c"  # 255 bytes


class Codec:
    """permessage-deflate as a server has it, with its context kept."""

    threshold = 8

    def __init__(self, kind: str = "one") -> None:
        self.shared = kind
        self.apart = 0
        self.restarts = 0
        self._deflater: Any = None

    def inflate(self, piece: bytes, room: int, final: bool) -> bytes:
        raise AssertionError("nobody sends compressed messages here")

    def deflate(self, data: bytes) -> bytes:
        if self._deflater is None:
            self._deflater = zlib.compressobj(6, zlib.DEFLATED, -15)
        return (self._deflater.compress(data) + self._deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]

    def deflate_apart(self, data: bytes) -> bytes:
        self.apart += 1
        deflater = zlib.compressobj(6, zlib.DEFLATED, -15)
        return (deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]

    def restart(self) -> None:
        self.restarts += 1
        self._deflater = None


class Inflater:
    """The client's side of it: one window for all messages."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(-15)

    def inflate(self, piece: bytes, room: int, final: bool) -> bytes:
        return self._inflater.decompress(piece + TAIL if final else piece)


class Hall:
    """A rig whose sockets are kept in `sockets`, and topics whose loop it is."""

    def __init__(self, serve: Serve, codecs: Callable[[], Any] | None = None, **limits: Any) -> None:
        self.sockets: list[WebSocket] = []
        self.calls: list[Callable[[], object]] = []
        self.handed: list[Callable[[], object]] = []
        self.reports: list[tuple[str, Exception]] = []
        self.closed: list[tuple[int, int]] = []
        self.topics = Topics(slice_us=1)
        self.topics.attach(
            soon=self.calls.append, from_thread=self.handed.append, report=lambda *what: self.reports.append(what)
        )
        self.topic = self.topics.topic("room")
        hall = self

        class Handler:
            def on_open(self, ws: WebSocket) -> None:
                hall.sockets.append(ws)

            def on_close(self, ws: WebSocket, code: int, reason: str) -> None:
                hall.closed.append((code, len(hall.topic)))

            def on_drain(self, ws: WebSocket) -> None:
                hall.closed.append((0, len(hall.topic)))

        endpoint = Endpoint(Handler, **limits)

        def handle(request: Any) -> None:
            codec = None if codecs is None else codecs()
            request.connection.upgrade(
                request, endpoint, endpoint.make(), headers={"Upgrade": "websocket"}, codec=codec
            )

        self.rig = serve(handle)

    def enter(self, inflater: Any = None, **options: Any) -> Peer:
        return Peer(self, inflater, **options)

    def turn(self) -> int:
        """The end of a round; the calls it made."""
        handed = self.handed[:]
        del self.handed[:]
        for call in handed:
            call()
        calls = self.calls[:]
        del self.calls[:]
        for call in calls:
            call()
        return len(calls)

    def settle(self) -> int:
        """Rounds until all is handed out."""
        rounds = 0
        while self.turn():
            rounds += 1
            self.rig.turn()
        return rounds


class Peer:
    """A client."""

    def __init__(self, hall: Hall, inflater: Any = None, **options: Any) -> None:
        self.hall = hall
        self.client = hall.rig.connect(**options)
        assert self.client.ask(UPGRADE).status == 101
        self.ws = hall.sockets[-1]
        self.reader = MessageReader(from_client=False, inflater=inflater)
        self.got: list[Any] = []

    def send(self, opcode: int, payload: bytes = b"") -> None:
        self.client.send(encode_frame(opcode, payload, mask=KEY))

    def next(self) -> Any:
        """The next message."""
        while not self.got:
            self.client.wait(lambda: bool(self.client.left))
            data, self.client.left = self.client.left, b""
            self.got += self.reader.feed(data)
        opcode, payload = self.got.pop(0)
        return payload if opcode < 8 else (opcode, payload, self.reader.close_code)

    def all(self) -> list[Any]:
        """What is there."""
        while self.client.receive():
            pass
        data, self.client.left = self.client.left, b""
        self.got += self.reader.feed(data)
        got, self.got = [payload for _, payload in self.got], []
        return got


@pytest.fixture
def hall(serve: Serve) -> Hall:
    return Hall(serve)


@pytest.fixture
def many(hall: Hall) -> Iterator[list[Peer]]:
    """Three hundred subscribers: several slices."""
    peers = [hall.enter() for _ in range(300)]
    for peer in peers:
        hall.topic.subscribe(peer.ws)
    yield peers
    for peer in peers:
        peer.client.sock.close()


def test_everybody_who_is_subscribed_gets_it(hall: Hall) -> None:
    one, two, other = hall.enter(), hall.enter(), hall.enter()
    assert [hall.topic.subscribe(peer.ws) for peer in (one, two, two)] == [True, True, False]
    assert hall.topics.topic("elsewhere").subscribe(other.ws)
    assert (len(hall.topic), hall.topic.subscribers) == (2, [one.ws, two.ws])
    assert (one.ws in hall.topic, other.ws in hall.topic) == (True, False)
    for message in ("héllo", b"\0\xff", bytearray(b"array"), memoryview(b"view")[1:], "", b"x" * 70000):
        assert hall.topic.publish(message) is True
    assert one.all() == []  # it goes out when the round is over
    assert hall.settle() == 1
    expected = ["héllo", b"\0\xff", b"array", b"iew", "", b"x" * 70000]
    assert [[peer.next() for _ in expected] for peer in (one, two)] == [expected, expected]
    assert other.all() == []
    topics = hall.topics
    assert (topics.published, topics.sent, topics.lost, topics.dropped, topics.waiting) == (6, 12, 0, 0, 0)
    assert (topics.active, topics.subscriptions, topics.counts()) == (2, 3, {"room": 2, "elsewhere": 1})


def test_a_message_is_what_it_was_when_it_was_published(hall: Hall) -> None:
    peer = hall.enter()
    hall.topic.subscribe(peer.ws)
    message = bytearray(b"before")
    hall.topic.publish(message)
    message[:] = b"behind"
    hall.settle()
    assert peer.next() == b"before"


def test_who_leaves_gets_nothing_more(hall: Hall) -> None:
    one, two = hall.enter(), hall.enter()
    for peer in (one, two):
        hall.topic.subscribe(peer.ws)
    assert [hall.topic.unsubscribe(one.ws), hall.topic.unsubscribe(one.ws)] == [True, False]
    assert hall.topics.topic("nobody is here").unsubscribe(one.ws) is False
    hall.topic.publish("x")
    hall.settle()
    assert (one.all(), two.next()) == ([], "x")
    hall.topic.publish("too late")
    hall.topic.unsubscribe(two.ws)
    assert (hall.topics.active, hall.topics.subscriptions, hall.topics.waiting) == (0, 0, 0)
    hall.topic.subscribe(two.ws)
    hall.settle()
    assert two.all() == []
    assert hall.topic.publish("again")
    hall.settle()
    assert two.next() == "again"


def test_the_one_it_came_from_can_be_left_out(hall: Hall) -> None:
    one, two = hall.enter(), hall.enter()
    for peer in (one, two):
        hall.topic.subscribe(peer.ws)
    for number in range(6):
        hall.topic.publish(str(number), exclude=(one.ws, two.ws, None)[number % 3])
    hall.settle()
    assert [one.next() for _ in range(4)] == ["1", "2", "4", "5"]
    assert [two.next() for _ in range(4)] == ["0", "2", "3", "5"]
    assert hall.topics.sent == 8


@pytest.mark.parametrize("how", ["peer", "program", "reset", "server"])
def test_membership_ends_with_the_socket(hall: Hall, how: str) -> None:
    stays, goes = hall.enter(), hall.enter()
    topics = [hall.topics.topic(name) for name in ("room", "b", "c")]
    for topic in topics:
        for peer in (stays, goes):
            topic.subscribe(peer.ws)
    topics[1].unsubscribe(goes.ws)  # from the middle of its list
    assert hall.topics.subscriptions == 5
    if how == "peer":
        goes.send(8, b"\x03\xe8")
    elif how == "program":
        goes.ws.close()
    elif how == "reset":
        goes.client.reset()
    else:
        goes.ws.connection.close()
    hall.topic.publish("x")
    hall.settle()
    assert hall.topics.counts() == {"room": 1, "b": 1, "c": 1}
    assert hall.topics.subscriptions == 3
    assert hall.topic.subscribe(goes.ws) is False
    assert stays.next() == "x"
    assert hall.topics.sent == 1
    if how in ("peer", "reset"):  # in `on_close` it is gone already
        assert hall.closed == [(1000 if how == "peer" else 1006, 1)]


def test_messages_of_one_round_leave_together(hall: Hall) -> None:
    peer = hall.enter()
    hall.topic.subscribe(peer.ws)
    expected = [str(number) for number in range(1000)]
    for message in expected:
        hall.topic.publish(message)
    hall.settle()
    sizes = []
    received = b""
    while len(received) < sum(len(message) + 2 for message in expected):
        received += peer.client.sock.recv(1 << 20, socket.MSG_DONTWAIT)
        sizes.append(len(received))
    assert [payload for _, payload in peer.reader.feed(received)] == expected
    assert hall.topics.sent == 1000


def test_slices_keep_the_order(hall: Hall, many: list[Peer]) -> None:
    """What is published, joins and leaves while a message is handed out."""
    hall.topic.publish(b"1" * 1000)
    hall.turn()
    rounds = 1
    assert hall.calls, "one slice was enough for three hundred sockets"
    late = hall.enter()
    hall.topic.subscribe(late.ws)
    hall.topic.publish(b"2" * 1000)
    gone = many.pop(-1)
    hall.topic.unsubscribe(gone.ws)
    hall.topic.publish(b"3" * 1000, exclude=many[0].ws)
    while hall.turn():
        rounds += 1
    assert rounds > 3
    assert {len(peer.all()) for peer in many[1:]} == {3}
    assert [payload[:1] for payload in many[0].all()] == [b"1", b"2"]
    assert [payload[:1] for payload in late.all()] == [b"2", b"3"]
    assert gone.all() == []
    assert hall.topics.waiting == 0


def test_sockets_that_close_during_a_slice(hall: Hall, many: list[Peer]) -> None:
    hall.topic.publish("x")
    for first, last in ((0, 10), (200, 300)):
        for peer in many[first:last]:
            peer.ws.close()
        hall.turn()
    hall.settle()
    assert len(hall.topic) == 190
    assert [peer.next() for peer in many[10:200]] == ["x"] * 190


def test_topics_take_turns(hall: Hall, many: list[Peer]) -> None:
    small = hall.topics.topic("small")
    small.subscribe(many[0].ws)
    hall.topic.publish("to many")
    hall.turn()
    small.publish("to one")
    hall.turn()
    hall.turn()
    assert hall.calls
    assert many[0].all() == ["to many", "to one"]
    hall.settle()


def test_from_threads(hall: Hall) -> None:
    peer = hall.enter()
    hall.topic.subscribe(peer.ws)

    def publish(name: str) -> None:
        for number in range(100):
            assert hall.topic.publish(f"{name}{number}")

    threads = [Thread(target=publish, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not hall.calls
    hall.settle()
    got = [peer.next() for _ in range(200)]
    assert [[each for each in got if each[0] == name] for name in "ab"] == [
        [f"{name}{number}" for number in range(100)] for name in "ab"
    ]
    assert hall.topics.waiting == 0


def test_what_lags_shares_the_bytes(serve: Serve) -> None:
    """The message waits once, however many wait for it."""
    hall = Hall(serve, high_water=64 << 20)
    peers = [hall.enter(receive_buffer=4096) for _ in range(20)]
    for peer in peers:
        hall.topic.subscribe(peer.ws)
    message = b"x" * (8 << 20)
    tracemalloc.start()
    try:
        hall.topic.publish(message)
        hall.settle()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert all(peer.ws.buffered > 1 << 20 for peer in peers)
    assert held < 9 << 20
    assert peers[3].next() == message
    for peer in peers:
        peer.client.reset()


@pytest.mark.parametrize("slow", ["wait", "drop", "close-1008", "close-1013"])
def test_a_slow_reader(serve: Serve, slow: str) -> None:
    """It loses messages, or is closed; nobody else notices, and it costs what `high_water` says."""
    hall = Hall(serve, slow=slow, high_water=1 << 20)
    lags, reads = hall.enter(receive_buffer=4096), hall.enter()
    for peer in (lags, reads):
        hall.topic.subscribe(peer.ws)
    message = b"x" * 100_000
    for _ in range(200):
        assert hall.topic.publish(message)
        hall.settle()
        assert reads.next() == message
    assert lags.ws.buffered < (1 << 20) + 2 * len(message)
    assert hall.topics.sent + hall.topics.lost == 400 if slow in ("wait", "drop") else hall.topics.lost == 1
    if slow in ("wait", "drop"):
        assert hall.topics.lost > 50
        got = 0
        while (0, 2) not in hall.closed:  # on_drain
            got += lags.next() == message
        got += sum(len(each) == len(message) for each in lags.all())
        assert got <= 200 - hall.topics.lost
        hall.topic.publish("in time again")
        hall.settle()
        while lags.next() != "in time again":
            pass
    else:
        assert len(hall.topic) == 1
        while (last := lags.next()) == message:
            pass
        assert last == (8, "too slow", int(slow[-4:]))
    lags.client.reset()


def test_compressed_once_for_all_that_agreed_on_the_same(serve: Serve) -> None:
    codecs = [Codec("one"), Codec("one"), Codec("two"), None]
    left = list(codecs)
    hall = Hall(serve, lambda: left.pop(0))
    peers = [hall.enter(None if codec is None else Inflater()) for codec in codecs]
    for peer in peers:
        hall.topic.subscribe(peer.ws)
    text = "all work and no play " * 20
    for message in (text, "short", b"bytes " * 50):
        hall.topic.publish(message)
    hall.settle()
    for peer in peers:
        assert [peer.next() for _ in range(3)] == [text, "short", b"bytes " * 50]
    assert [codec.apart for codec in codecs if codec] == [2, 0, 2]


def test_what_a_socket_is_sent_apart_does_not_break_its_own_compression(serve: Serve) -> None:
    """RFC 7692 7.2.3.2: the receiver's window has every message, this socket's compressor only its own."""
    codec = Codec()
    hall = Hall(serve, lambda: codec)
    peer, other = hall.enter(Inflater()), None
    hall.topic.subscribe(peer.ws)
    del other
    expected = []
    for number in range(50):
        own, shared, short = f"own {number} the same again " * 9, f"shared {number} the same again " * 9, "short"
        peer.ws.send(own)
        hall.topic.publish(shared, exclude=None)
        if number % 3 == 0:
            hall.topic.publish(short)
        hall.settle()
        peer.ws.send(own)
        expected += [own, shared, *([short] if number % 3 == 0 else []), own]
    assert [peer.next() for _ in expected] == expected
    assert codec.restarts == 50


def test_a_codec_that_fails_harms_nobody_else(serve: Serve) -> None:
    class Broken(Codec):
        def deflate_apart(self, data: bytes) -> bytes:
            raise MemoryError("no room")

    codecs = [Broken("broken"), Codec()]
    hall = Hall(serve, lambda: codecs.pop(0))
    one, two = hall.enter(Inflater()), hall.enter(Inflater())
    for peer in (one, two):
        hall.topic.subscribe(peer.ws)
    hall.topic.publish("long enough to be compressed")
    hall.settle()
    assert two.next() == "long enough to be compressed"
    assert one.all() == []
    assert [(what, str(error)) for what, error in hall.reports] == [
        ("a message of a topic could not be handed out", "no room")
    ]
    assert hall.topics.waiting == 0


def test_what_is_published_beyond_the_limit_is_dropped(hall: Hall) -> None:
    peer = hall.enter()
    hall.topic.subscribe(peer.ws)
    hall.topics.configure(max_topics=10, max_per_socket=10, max_waiting=1000)
    assert [hall.topic.publish("x" * 400) for _ in range(3)] == [True, False, False]
    assert 500 < hall.topics.waiting <= 1000
    with pytest.raises(UsageError, match="a message of 1001 bytes: at most 1000 may wait"):
        hall.topic.publish(b"x" * 1001)
    hall.settle()
    assert hall.topic.publish(b"y" * 1000) is True
    hall.settle()
    assert [peer.next(), peer.next()] == ["x" * 400, b"y" * 1000]
    assert (hall.topics.dropped, hall.topics.published, hall.topics.waiting) == (2, 2, 0)


def test_many_small_messages_are_counted_for_what_they_cost(hall: Hall) -> None:
    peer = hall.enter()
    hall.topic.subscribe(peer.ws)
    hall.topics.configure(max_topics=10, max_per_socket=10, max_waiting=10_000)
    taken = 0
    while hall.topic.publish(b""):
        taken += 1
    assert taken < 100
    hall.settle()
    assert len(peer.all()) == taken


def test_limits_of_subscriptions(hall: Hall) -> None:
    one, two = hall.enter(), hall.enter()
    hall.topics.configure(max_topics=3, max_per_socket=2, max_waiting=1000)
    a, b, c, d = (hall.topics.topic(name) for name in "abcd")
    assert a.subscribe(one.ws)
    assert b.subscribe(one.ws)
    with pytest.raises(TopicLimit, match="subscribed to 2 topics"):
        c.subscribe(one.ws)
    assert a.subscribe(one.ws) is False
    b.unsubscribe(one.ws)
    assert c.subscribe(one.ws)
    assert b.subscribe(two.ws)
    with pytest.raises(TopicLimit, match="3 topics have subscribers"):
        d.subscribe(two.ws)
    assert hall.topics.counts() == {"a": 1, "c": 1, "b": 1}
    two.ws.close()
    assert hall.topics.counts() == {"a": 1, "c": 1}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "has 1 to 255 bytes of UTF-8, '' has 0"),
        ("é" * 128, "has 256"),
        ("a\0b", "control characters"),
        ("a\x7f", "control characters"),
        ("\n", "control characters"),
        ("\ud800", "half a surrogate"),
    ],
)
def test_names(name: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        Topics().topic(name)


def test_names_that_are_fine(hall: Hall) -> None:
    peer = hall.enter()
    for name in ("a", " ", "é" * 127, NAMES, "room/7:*?[x]", "\U0001f600"):
        topic = hall.topics.topic(name)
        assert topic.subscribe(peer.ws)
        assert topic == hall.topics.topic(name)
        assert topic != hall.topic
        assert topic != name
        assert len({topic, hall.topics.topic(name)}) == 1
    assert bool(hall.topic) is True
    assert repr(hall.topic) == "<Topic 'room', 0 subscribers here>"


def test_wrong_use(hall: Hall) -> None:
    peer = hall.enter()
    for wrong in (None, "x", hall.topic):
        with pytest.raises(UsageError, match="only a WebSocket"):
            hall.topic.subscribe(wrong)
    with pytest.raises(UsageError, match="only a WebSocket"):
        hall.topic.publish("x", exclude="somebody")
    with pytest.raises(UsageError, match="a message must be str, bytes, bytearray or memoryview, not int"):
        hall.topic.publish(7)  # type: ignore[arg-type]
    with pytest.raises(UnicodeEncodeError):
        hall.topic.publish("\ud800")
    with pytest.raises(UsageError, match="each must be 1 or more"):
        Topics(max_topics=0)
    with pytest.raises(TypeError):
        Topic(None, "x")  # type: ignore[arg-type]
    assert hall.topic.subscribe(type("Wrapped", (), {"socket": peer.ws})())
    assert hall.topics.waiting == 0


def test_without_a_loop_nothing_is_published(hall: Hall) -> None:
    assert Topics().topic("x").publish("y") is False
    peer = hall.enter()
    hall.topic.subscribe(peer.ws)
    hall.topic.publish("x")
    hall.topics.detach()
    hall.settle()
    assert hall.topic.publish("y") is False
    assert (hall.topics.waiting, hall.topics.dropped, peer.all()) == (0, 1, [])
    hall.topics.attach(soon=hall.calls.append, from_thread=hall.handed.append, report=print)
    hall.topic.publish("z")
    hall.settle()
    assert peer.next() == "z"


def test_outlets_and_what_comes_from_elsewhere(hall: Hall) -> None:
    peer = hall.enter()
    hall.topic.subscribe(peer.ws)
    given: list[Any] = []
    hall.topics.add_outlet(lambda *what: given.append(what))
    hall.topic.publish("hé")
    hall.topics.topic("nobody here").publish(b"\0")
    thread = Thread(target=lambda: hall.topic.publish("from a thread"))
    thread.start()
    thread.join()
    assert given == [("room", True, "hé".encode()), ("nobody here", False, b"\0")]
    hall.settle()
    assert given[2:] == [("room", True, b"from a thread")]
    assert hall.topics.deliver("room", True, b"elsewhere")
    assert hall.topics.deliver("nobody here", False, b"")
    hall.settle()
    assert [peer.next() for _ in range(3)] == ["hé", "from a thread", "elsewhere"]
    assert len(given) == 3
    assert (hall.topics.received, hall.topics.published) == (2, 3)
    hall.topics.configure(max_topics=1, max_per_socket=1, max_waiting=500)
    assert [hall.topics.deliver("room", False, b"x" * 300) for _ in range(2)] == [True, False]
    hall.settle()


def test_an_outlet_that_fails_is_told_of_to_the_one_who_publishes(hall: Hall) -> None:
    def fail(*what: object) -> None:
        raise ValueError("outlet")

    hall.topics.add_outlet(fail)
    with pytest.raises(ValueError, match="outlet"):
        hall.topic.publish("x")
    thread = Thread(target=lambda: hall.topic.publish("y"))
    thread.start()
    thread.join()
    hall.settle()
    assert [str(error) for _, error in hall.reports] == ["outlet"]
    assert hall.topics.waiting == 0


def test_memory_stays_flat(hall: Hall) -> None:
    """Sockets that come and go, and thousands of messages."""
    stays = hall.enter()
    hall.topic.subscribe(stays.ws)

    def cycle() -> None:
        for _ in range(20):
            peer = hall.enter()
            for name in ("room", "a", "b"):
                hall.topics.topic(name).subscribe(peer.ws)
            for number in range(20):
                hall.topic.publish(b"x" * 500)
                hall.topics.topic("a").publish("y" * number, exclude=peer.ws)
            hall.settle()
            peer.client.reset()
            hall.rig.clients.remove(peer.client)
            stays.all()
        hall.sockets.clear()
        hall.closed.clear()
        gc.collect()

    cycle()
    tracemalloc.start()
    try:
        cycle()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(5):
            cycle()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 3000
    assert hall.topics.counts() == {"room": 1}


def test_a_publish_does_not_wait(hall: Hall, many: list[Peer]) -> None:
    """It puts a message into a queue, whoever is subscribed."""
    message = b"x" * 1000
    began = time.perf_counter()
    for _ in range(100):
        hall.topic.publish(message)
    took = time.perf_counter() - began
    assert took < 0.01  # sending would be 30,000 calls
    hall.settle()
    assert {len(peer.all()) for peer in many} == {100}
