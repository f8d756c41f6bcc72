"""What connections hold is counted, and who goes when it is too much: over real sockets, each way to hold something."""

from __future__ import annotations

import pathlib
import time
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from dimcore import Endpoint, FileBody, RequestPoint, encode_frame
from dimcore.budget import Holder
from dimserver.ws.deflate import DeflateOptions, accept_deflate
from dimserver.ws.extensions import parse_offers

KIB = 1024
MIB = 1024 * KIB
SOON = 0.15  # seconds; what pays for a rate in advance here
HURRY = {"seconds": {"body_credit": SOON, "send_credit": SOON}, "body_rate": 1000, "send_rate": 1000}
PATIENT = {"body_rate": 1000, "send_rate": 1000}  # deadlines off: what ends somebody is the budget
GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
LATER = b"\x88\x1d\x03\xf5the server is short of memory"[:4]

Serve = Callable[..., Any]


def post(size: int, path: str = "/") -> bytes:
    return b"POST %s HTTP/1.1\r\nHost: test\r\nContent-Length: %d\r\n\r\n" % (path.encode(), size)


def echo(request: RequestPoint) -> bytes:
    return b"%d" % len(request.body)


def fast(rig: Any, seconds: float = SOON) -> None:
    """What pays for a rate in advance lasts no longer than this, without a deadline that would end anybody."""
    rig.core.configure(seconds={"body_credit": seconds})
    rig.core.configure(body_rate=1000, send_rate=1000)


class Chat:
    """A WebSocket route whose program takes what comes."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.opened: list[Any] = []
        self.closed: list[int] = []
        self.codec = options.pop("codec", None)

    def __call__(self, request: RequestPoint) -> None:
        chat = self

        class Program:
            def on_open(self, ws: Any) -> None:
                chat.opened.append(ws)

            def on_message(self, ws: Any, message: Any) -> None:
                ws.send(message[:8])

            def on_close(self, ws: Any, code: int, reason: str) -> None:  # noqa: ARG002
                chat.closed.append(code)

        endpoint = Endpoint(Program, **self.options)
        codec = self.codec() if self.codec is not None else None
        request.connection.upgrade(request, endpoint, endpoint.make(), headers={"Upgrade": "websocket"}, codec=codec)

    def enter(self, rig: Any, **options: Any) -> Any:
        client = rig.connect(**options)
        client.ask(GET, head_only=True)
        return client


def wait(rig: Any, ready: Callable[[], bool], seconds: float = 5.0) -> None:
    until = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < until
        rig.turn(0.005)


# --- counting -----------------------------------------------------------------------------------


def test_an_idle_connection_and_a_plain_exchange_hold_nothing(serve: Serve) -> None:
    rig = serve()
    client = rig.connect()
    for _ in range(3):
        assert client.ask().status == 200
    assert (rig.core.memory.used, rig.core.memory.peak) == (0, 0)


def test_a_body_is_counted_as_it_arrives_and_until_it_is_answered(serve: Serve) -> None:
    rig = serve({"POST /": echo})
    client = rig.connect().put(post(500 * KIB) + bytes(100 * KIB))
    assert 100 * KIB <= rig.core.memory.used <= 260 * KIB
    client.put(bytes(400 * KIB - 1))
    assert 500 * KIB <= rig.core.memory.used <= 501 * KIB
    assert client.ask(b"x").body == b"%d" % (500 * KIB)
    assert rig.core.memory.used == 0


def test_a_body_that_waits_for_a_thread_is_counted(serve: Serve) -> None:
    rig = serve({"POST !/": echo})
    client = rig.connect().put(post(300 * KIB) + bytes(300 * KIB))
    assert len(rig.jobs) == 1
    assert 300 * KIB <= rig.core.memory.used <= 310 * KIB
    rig.run_job()
    assert client.answer().status == 200
    assert rig.core.memory.used == 0


def test_half_a_head_is_counted(serve: Serve) -> None:
    rig = serve()
    rig.connect().put(b"GET / HTTP/1.1\r\nHost: test\r\nX: " + b"x" * 7000)
    assert 7000 <= rig.core.memory.used <= 16 * KIB


def test_what_is_read_ahead_is_counted_and_bounded(serve: Serve) -> None:
    rig = serve({"GET !/": lambda request: "done"})
    client = rig.connect()
    client.put(GET)
    client.sock.send(GET * 3000)
    rig.turn()
    rig.turn()
    assert 60 * KIB <= rig.core.memory.used <= 140 * KIB
    rig.run_job()
    while rig.jobs:
        rig.run_job()
        rig.turn()
    client.reset()
    assert rig.core.memory.used == 0


def test_a_body_in_a_file_is_counted_as_disk_until_it_is_answered(serve: Serve) -> None:
    rig = serve({"POST /": echo}, body_memory=10 * KIB)
    client = rig.connect().put(post(300 * KIB) + bytes(200 * KIB))
    assert rig.core.disk.used == 200 * KIB
    assert rig.core.memory.used == 0
    assert client.ask(bytes(100 * KIB)).body == b"%d" % (300 * KIB)
    assert rig.core.disk.used == 0


def test_an_answer_that_is_not_read_is_counted(serve: Serve) -> None:
    rig = serve(lambda request: bytes(12 * MIB))
    client = rig.connect(receive_buffer=256 * KIB).put(GET)
    held = rig.core.memory.used
    assert 4 * MIB <= held <= 12 * MIB + KIB
    assert client.answer().status == 200
    rig.turn()
    assert rig.core.memory.used == 0


def test_a_body_that_the_app_keeps_for_all_is_counted_in_shares(serve: Serve) -> None:
    kept = bytes(8 * MIB)
    rig = serve(lambda request: kept)
    clients = [rig.connect(receive_buffer=4096).put(GET) for _ in range(40)]
    assert 4 * MIB <= rig.core.memory.used <= 70 * MIB  # 40 times as much, were each counted
    for client in clients:
        client.reset()


def test_a_file_that_is_not_read_is_no_memory(serve: Serve, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(12 * MIB))
    with path.open("rb") as file:
        rig = serve(lambda request: FileBody(file.fileno(), 0, 12 * MIB))
        client = rig.connect(receive_buffer=4096).put(GET)
        assert rig.core.memory.used <= 2 * KIB
        client.reset()


def test_bombs_take_turns_with_everybody_else(serve: Serve) -> None:
    """A round of the loop inflates so much and no more, whatever arrives; every byte is inflated in the end."""
    chat = Chat(codec=make_codec)
    calls: list[Callable[[], object]] = []
    rig = serve(chat, options={"call_soon": calls.append})
    deflater = zlib.compressobj(9, zlib.DEFLATED, -12)
    payload = deflater.compress(bytes(8 * MIB)) + deflater.flush(zlib.Z_SYNC_FLUSH)
    frame = encode_frame(2, payload[:-4], final=False, compressed=True, mask=b"abcd")
    clients = [chat.enter(rig) for _ in range(4)]
    for client in clients:
        client.sock.setblocking(True)
        client.sock.sendall(frame)
    used, rounds, most = rig.core.memory.used, 0, 0
    while rounds < 2000 and (rounds < 5 or calls):
        rig.turn()
        due, calls[:] = calls[:], []
        for call in due:
            call()
        rounds += 1
        grown = rig.core.memory.used - used
        most = max(most, grown)
        used = rig.core.memory.used
    assert used >= 4 * 8 * MIB
    assert rounds >= 4 * 8 * MIB // (1100 * KIB)
    for client in clients:
        client.put(encode_frame(0, b"", mask=b"abcd"))
    while calls:
        calls.pop()()
    for client in clients:
        client.wait(lambda client=client: len(client.left) >= 5)
        assert client.left[:1] in (b"\x82", b"\xc2")
        client.reset()
    rig.turn()
    assert rig.core.memory.used == 0


def test_one_that_leaves_while_others_have_their_turn(serve: Serve) -> None:
    chat = Chat(codec=make_codec)
    calls: list[Callable[[], object]] = []
    rig = serve(chat, options={"call_soon": calls.append})
    deflater = zlib.compressobj(9, zlib.DEFLATED, -12)
    payload = deflater.compress(bytes(8 * MIB)) + deflater.flush(zlib.Z_SYNC_FLUSH)
    client = chat.enter(rig)
    client.put(encode_frame(2, payload, final=False, compressed=True, mask=b"abcd"))
    assert calls
    assert 0 < rig.core.memory.used < 4 * MIB
    (connection,) = rig.connections()
    connection.close()
    connection.close()
    while calls:
        calls.pop()()
    client.wait_for_end()
    rig.turn()
    assert rig.core.memory.used == 0


def test_half_a_message_is_counted(serve: Serve) -> None:
    chat = Chat()
    rig = serve(chat)
    client = chat.enter(rig)
    assert rig.core.memory.used == 0
    frame = encode_frame(2, bytes(200 * KIB), mask=b"abcd")
    client.put(frame[: 100 * KIB])
    assert 99 * KIB <= rig.core.memory.used <= 260 * KIB
    client.put(frame[100 * KIB :])
    assert rig.core.memory.used == 0
    fragments = b"".join(encode_frame(2 if at == 0 else 0, bytes(KIB), final=False, mask=b"abcd") for at in range(64))
    client.put(fragments)
    assert 64 * KIB <= rig.core.memory.used <= 132 * KIB
    client.reset()
    assert rig.core.memory.used == 0


def make_codec() -> Any:
    agreed = accept_deflate(parse_offers("permessage-deflate; client_max_window_bits"), DeflateOptions())
    assert agreed is not None
    return agreed[1]


def test_an_inflated_message_and_the_contexts_of_compression_are_counted(serve: Serve) -> None:
    chat = Chat(codec=make_codec)
    rig = serve(chat)
    client = chat.enter(rig)
    assert rig.core.memory.used == 0
    deflater = zlib.compressobj(9, zlib.DEFLATED, -12)
    payload = deflater.compress(bytes(4 * MIB)) + deflater.flush(zlib.Z_SYNC_FLUSH)
    frame = encode_frame(2, payload[:-4], final=False, compressed=True, mask=b"abcd")
    client.put(frame)
    assert len(frame) < 20 * KIB
    assert rig.core.memory.used >= 4 * MIB
    client.put(encode_frame(0, b"", mask=b"abcd"))
    assert 10 * KIB <= rig.core.memory.used <= 50 * KIB
    client.reset()
    assert rig.core.memory.used == 0


def test_what_waits_for_a_slow_reader_of_a_websocket_is_counted(serve: Serve) -> None:
    chat = Chat(high_water=16 * MIB)
    rig = serve(chat)
    client = chat.enter(rig, receive_buffer=4096)
    for _ in range(200):  # from without any event of its own
        chat.opened[0].send(bytes(60 * KIB))
    rig.turn()
    assert chat.opened[0].buffered <= rig.core.memory.used <= chat.opened[0].buffered + 200 * 64
    assert rig.core.memory.used >= 4 * MIB
    client.reset()
    wait(rig, lambda: rig.core.memory.used == 0)


# --- who goes -----------------------------------------------------------------------------------


def test_a_body_that_stands_still_is_answered_503_for_others(serve: Serve) -> None:
    rig = serve({"POST /": echo}, memory=2 * MIB)
    fast(rig)
    rig.core.configure(seconds={"body_credit": SOON})
    slow = [rig.connect().put(post(500 * KIB) + bytes(400 * KIB)) for _ in range(2)]
    rig.turn_for(SOON / 2)
    for _ in range(5):
        client = rig.connect()
        client.put(post(900 * KIB) + bytes(600 * KIB))
        assert client.ask(bytes(300 * KIB)).body == b"%d" % (900 * KIB)
        rig.turn_for(SOON / 3)
    statuses = [client.answer().status for client in slow]
    assert set(statuses) <= {503, 408}


def test_503_says_when_to_come_back(serve: Serve) -> None:
    rig = serve({"POST /": echo}, memory=1 * MIB, disk=1)
    clients = []
    for _ in range(4):
        clients.append(rig.connect().put(post(500 * KIB) + bytes(200 * KIB)))
        rig.turn()
    found = clients[-1].answer()
    assert (found.status, found["retry-after"], found["connection"]) == (503, "5", "close")
    assert rig.core.memory.used <= 1 * MIB


def test_a_body_that_is_streamed_and_finds_no_room_is_answered_503(serve: Serve) -> None:
    """Its handler runs already, and has not answered: what it makes goes nowhere."""

    class Sink:
        waiting = 0
        error: str | None = None

        def feed(self, data: bytes) -> None:
            self.waiting += len(data)

        def end(self, error: str) -> None:
            self.error = error

    sink = Sink()
    logged: list[tuple[str, int]] = []
    options = {
        "open_stream": lambda connection: sink,
        "access_log": lambda request, status, *more: logged.append((request.raw_target, status)),
    }
    rig = serve({"POST !/": echo}, memory=1 * MIB, disk=1, options=options)
    rig.router.find_route("POST", "/").streaming = 1
    client = rig.connect().put(post(4 * MIB))
    answer = client.put(bytes(2 * MIB)).answer()
    assert (answer.status, answer["retry-after"], answer["connection"]) == (503, "5", "close")
    assert sink.error == "the server holds too much for others at the moment"
    client.sock.close()
    rig.turn_for(0.05)
    assert logged == [("/", 503)]
    connection, request, _ = rig.jobs.pop()
    connection.complete(request, b"too late")


def test_a_body_that_finds_no_room_goes_to_a_file(serve: Serve) -> None:
    rig = serve({"POST /": echo}, memory=1 * MIB)
    clients = [rig.connect().put(post(500 * KIB) + bytes(200 * KIB)) for _ in range(8)]
    assert rig.core.memory.used <= 1 * MIB
    assert rig.core.disk.used >= 5 * 200 * KIB
    for client in clients:
        assert client.ask(bytes(300 * KIB)).body == b"%d" % (500 * KIB)
    assert rig.core.memory.ended == rig.core.disk.ended == 0


@pytest.mark.parametrize("blocking", [False, True], ids=["answered, and waiting for its round", "with a handler"])
def test_the_last_bytes_of_a_request_that_had_room_are_borne(serve: Serve, blocking: bool) -> None:
    """It is there in full: to end it for others would lose an answer, and win little."""

    def slow(request: RequestPoint) -> bytes:
        until = time.perf_counter() + 0.0002  # others of its round are waited for
        while time.perf_counter() < until:
            pass
        return echo(request)

    calls: list[Callable[[], object]] = []
    rig = serve({"POST !/" if blocking else "POST /": slow}, memory=2 * MIB, options={"call_soon": calls.append})

    def turn() -> None:
        rig.turn()
        while rig.jobs:
            rig.run_job()
        while calls:
            calls.pop()()

    client = rig.connect()
    for _ in range(100):  # the handler has shown how long it takes
        client.sock.sendall(post(1) + b"x")
        while not client.receive():
            turn()
        assert client.answer().status == 200
    client.put(post(300 * KIB) + bytes(250 * KIB))
    others = Holder(rig.core.memory)
    assert others.hold(rig.core.memory.limit - rig.core.memory.reserved - rig.core.memory.used)
    client.sock.sendall(bytes(50 * KIB))
    while not client.receive():
        turn()
    assert client.answer().body == b"%d" % (300 * KIB)
    others.hold(0)


def test_who_keeps_the_rate_is_never_ended(serve: Serve) -> None:
    rig = serve({"POST /": echo}, memory=1 * MIB, disk=1)
    fast(rig)
    steady = [rig.connect().put(post(300 * KIB) + bytes(200 * KIB)) for _ in range(3)]
    refused = 0
    left = 100 * KIB
    for _ in range(20):
        for client in steady:
            client.put(bytes(200))  # each twentieth of a second, of a thousand bytes a second
        left -= 200
        rig.turn_for(0.05)
        newcomer = rig.connect().put(post(800 * KIB) + bytes(600 * KIB))
        wait(rig, newcomer.receive)
        refused += newcomer.answer().status == 503
        newcomer.sock.close()
    assert refused == 20
    assert rig.core.memory.ended == 0
    for client in steady:
        client.sock.setblocking(False)
        assert client.is_open()
    rig.core.configure(memory=4 * MIB)
    for client in steady:
        assert client.ask(bytes(left)).status == 200


def test_an_answer_nobody_reads_is_cut_for_others(serve: Serve) -> None:
    rig = serve({"GET /": lambda request: bytes(10 * MIB), "POST /": echo}, memory=20 * MIB)
    fast(rig)
    lazy = [rig.connect(receive_buffer=256 * KIB).put(GET) for _ in range(2)]
    rig.turn_for(SOON * 3)
    for _ in range(4):
        client = rig.connect()
        assert len(client.ask().body) == 10 * MIB
        rig.turn_for(SOON)
    assert rig.core.memory.ended >= 1
    ended = 0
    for client in lazy:
        client.sock.setblocking(True)
        client.sock.settimeout(0.5)  # what came is here, and so is a reset
        try:
            while client.sock.recv(1 << 20):
                pass
        except ConnectionResetError:
            ended += 1
        except TimeoutError:
            pass
    assert ended >= 1


def test_half_a_message_that_stands_still_is_closed_with_1013_for_others(serve: Serve) -> None:
    chat = Chat()
    rig = serve({"GET /": chat, "POST /": echo}, memory=2 * MIB)
    fast(rig)
    frame = encode_frame(2, bytes(1000 * KIB), mask=b"abcd")
    slow = chat.enter(rig).put(frame[: 900 * KIB])
    rig.turn_for(SOON * 2)
    client = rig.connect().put(post(900 * KIB) + bytes(800 * KIB))
    assert client.ask(bytes(100 * KIB)).status == 200
    slow.wait(lambda: len(slow.left) >= 4)
    assert slow.left[:1] + slow.left[2:4] == b"\x88\x03\xf5"
    assert chat.closed == [1013]
    assert rig.core.memory.used == 0


def test_a_message_that_finds_no_room_is_closed_with_1013(serve: Serve) -> None:
    chat = Chat()
    rig = serve({"GET /": chat, "POST /": echo}, memory=1 * MIB)
    holder = rig.connect().put(post(600 * KIB) + bytes(590 * KIB))
    client = chat.enter(rig).put(encode_frame(2, bytes(1 * MIB), mask=b"abcd")[: 500 * KIB])
    client.wait(lambda: len(client.left) >= 4)
    assert client.left[:1] + client.left[2:4] == b"\x88\x03\xf5"
    assert holder.ask(bytes(10 * KIB)).status == 200


def test_input_is_not_read_ahead_without_room(serve: Serve) -> None:
    rig = serve({"GET !/": lambda request: "done", "POST /": echo}, memory=1 * MIB, body_memory=2 * MIB)
    holders = [rig.connect().put(post(600 * KIB) + bytes(250 * KIB)) for _ in range(3)]
    client = rig.connect().put(GET)
    client.sock.send(GET * 1500)
    for _ in range(5):
        rig.turn()
    assert rig.core.memory.used <= 1 * MIB
    for holder in holders:
        holder.reset()
    for _ in range(1501):  # read on when there is an answer
        wait(rig, lambda: bool(rig.jobs))
        rig.run_job()
        rig.turn()
    for _ in range(1501):
        assert client.answer().status == 200


def test_one_answer_larger_than_the_budget_is_borne(serve: Serve) -> None:
    rig = serve(lambda request: bytes(12 * MIB), memory=2 * MIB)
    client = rig.connect(receive_buffer=256 * KIB).put(GET)
    assert len(client.answer().body) == 12 * MIB


# --- a message that is not complete ---------------------------------------------------------------


@pytest.mark.parametrize("sent", [1, 6, 1000], ids=["half a frame head", "a frame head", "half a payload"])
def test_a_message_has_a_time_limit(serve: Serve, sent: int) -> None:
    chat = Chat()
    rig = serve(chat, seconds={"ws_message": 0.1})
    client = chat.enter(rig).put(encode_frame(2, bytes(2000), mask=b"abcd")[:sent])
    began = time.monotonic()
    client.wait(lambda: len(client.left) >= 4)
    assert 0.05 < time.monotonic() - began < 2
    assert client.left[:1] + client.left[2:4] == b"\x88\x03\xf0"
    assert chat.closed == [1008]


def test_pings_do_not_stretch_the_time_of_a_message(serve: Serve) -> None:
    chat = Chat()
    rig = serve(chat, seconds={"ws_message": 0.2}, body_rate=100)
    client = chat.enter(rig).put(encode_frame(2, bytes(200), final=False, mask=b"abcd"))
    until = time.monotonic() + 3
    while not chat.closed:
        assert time.monotonic() < until
        client.put(encode_frame(9, b"are you there?" * 8, mask=b"abcd"))
        rig.turn_for(0.02)
        while not client.ended and client.receive():
            pass
    assert chat.closed == [1008]


def test_a_long_message_that_comes_at_its_rate_is_waited_for(serve: Serve) -> None:
    chat = Chat()
    rig = serve(chat, seconds={"ws_message": 0.1}, body_rate=1000)
    client = chat.enter(rig)
    frame = encode_frame(2, bytes(4000), mask=b"abcd")
    for at in range(0, len(frame), 200):
        client.put(frame[at : at + 200])
        rig.turn_for(0.05)
    client.wait(lambda: len(client.left) >= 10)
    assert client.left == b"\x82\x08" + bytes(8)


def test_between_two_messages_there_is_no_limit(serve: Serve) -> None:
    chat = Chat()
    rig = serve(chat, seconds={"ws_message": 0.05})
    client = chat.enter(rig)
    for _ in range(3):
        client.put(encode_frame(2, b"a message", mask=b"abcd"))
        rig.turn_for(0.15)
    client.wait(lambda: len(client.left) >= 30)
    assert chat.closed == []
