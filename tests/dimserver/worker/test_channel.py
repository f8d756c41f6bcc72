"""The conversation of a supervisor and its worker: messages whole, in order, with sockets, and its end."""

from __future__ import annotations

import marshal
import os
import socket
from collections.abc import Iterator

import pytest

from dimserver.worker import channel as module
from dimserver.worker.channel import Channel

Pair = tuple[Channel, Channel]


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = Channel.pair()
    yield one, other
    one.close()
    other.close()


def test_messages_come_whole_and_in_order(pair: Pair) -> None:
    one, other = pair
    assert other.receive() == ([], True)
    assert one.send("ready")
    assert one.send("failed", 1, "größer\n", None, {"a": (1, 2.5)})
    assert other.receive() == ([("ready",), ("failed", 1, "größer\n", None, {"a": (1, 2.5)})], True)
    assert other.send("drain", 2.0, True)
    assert one.wait() == ("drain", 2.0, True)


def test_a_message_may_come_in_pieces() -> None:
    left, right = socket.socketpair()
    channel = Channel(right)
    data = marshal.dumps(("ready", "x" * 1000))
    whole = module.HEADER.pack(len(data)) + data
    for at in range(0, len(whole), 7):
        left.sendall(whole[at : at + 7])
        messages, more = channel.receive()
        assert more
    assert messages == [("ready", "x" * 1000)]
    left.sendall(whole + whole[:9])
    left.close()
    assert channel.receive() == ([("ready", "x" * 1000)], False)
    channel.close()
    channel.close()


def test_waiting_keeps_what_else_has_come(pair: Pair) -> None:
    one, other = pair
    one.send("first")
    one.send("second")
    one.send("third")
    assert other.wait() == ("first",)
    assert other.wait() == ("second",)
    assert other.kept() == [("third",)]
    assert other.kept() == []
    one.send("fourth")
    one.send("fifth")
    assert other.wait() == ("fourth",)
    assert other.receive() == ([("fifth",)], True)
    one.close()
    assert other.wait() is None
    assert other.receive() == ([], False)


def test_sockets_are_passed(pair: Pair) -> None:
    one, other = pair
    with socket.socket() as first, socket.socket() as second:
        for sock in (first, second):
            sock.bind(("127.0.0.1", 0))
        names = [sock.getsockname() for sock in (first, second)]
        assert one.send("serve", 1, [], descriptors=[first.fileno(), second.fileno()])
    assert other.wait() == ("serve", 1, [])
    for name in names:
        (fd,) = other.take_descriptors(1)
        with socket.socket(fileno=fd) as sock:
            assert sock.getsockname() == name
    assert other.take_descriptors(1) == []


def test_descriptors_nobody_took_are_closed() -> None:
    one, other = Channel.pair()
    reader, writer = os.pipe()
    one.send("serve", descriptors=[writer])
    os.close(writer)
    other.wait()
    other.close()
    one.close()
    assert os.read(reader, 1) == b""  # no writer is left
    os.close(reader)


def test_an_end_that_is_gone_or_does_not_read(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = pair
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    for _ in range(100):
        if not one.send("x" * 100_000):
            break
    else:
        pytest.fail("a channel nobody reads took 10 MB")
    other.close()
    assert not one.send("anything")
