"""Messages that are compressed once for many."""
# ruff: noqa: ARG002 - handlers take what they do not need

from __future__ import annotations

from tests.dimcore.topic_hall import Codec, Hall, Inflater, Serve


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
