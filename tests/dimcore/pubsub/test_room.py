"""What waits for the subscribers of a topic: in one send, in slices, and to those who lag."""

from __future__ import annotations

import socket
import time
import tracemalloc

import pytest
from tests.dimcore.topic_hall import Hall, Peer, Serve


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
