"""permessage-deflate: what is agreed on, and that both sides then understand each other."""

from __future__ import annotations

import os
import zlib

import pytest

from dimcore import MessageReader, WebSocketError, encode_frame
from dimserver.ws.deflate import Deflate, DeflateOptions, accept_deflate
from dimserver.ws.extensions import parse_offers

LARGEST = DeflateOptions(server_max_window_bits=15, client_max_window_bits=15)


def agree(offers: str, options: DeflateOptions = LARGEST) -> str | None:
    accepted = accept_deflate(parse_offers(offers), options)
    return None if accepted is None else accepted[0]


def codec(offers: str = "permessage-deflate", options: DeflateOptions = LARGEST) -> Deflate:
    accepted = accept_deflate(parse_offers(offers), options)
    assert accepted is not None
    return accepted[1]


@pytest.mark.parametrize(
    ("offers", "answer"),
    [
        ("permessage-deflate", "permessage-deflate"),
        ("Permessage-Deflate", "permessage-deflate"),
        ("permessage-deflate; client_max_window_bits", "permessage-deflate"),
        (
            "permessage-deflate; client_max_window_bits=9; server_max_window_bits=10",
            "permessage-deflate; server_max_window_bits=10; client_max_window_bits=9",
        ),
        ("permessage-deflate; client_max_window_bits=8", "permessage-deflate; client_max_window_bits=8"),
        (
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        ),
        # The first offer that can be met.
        ("x, permessage-deflate; nonsense, permessage-deflate; server_max_window_bits=12",
         "permessage-deflate; server_max_window_bits=12"),
        ("permessage-deflate; server_max_window_bits=8, permessage-deflate", "permessage-deflate"),
    ],
)  # fmt: skip
def test_what_is_agreed(offers: str, answer: str) -> None:
    assert agree(offers) == answer


@pytest.mark.parametrize(
    "offers",
    [
        "",
        "permessage-bzip2",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=08",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=x",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover=true",
        "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; unheard_of",
    ],
)
def test_what_is_declined(offers: str) -> None:
    assert agree(offers) is None


def test_the_server_asks_for_less() -> None:
    assert agree("permessage-deflate; client_max_window_bits", DeflateOptions()) == (
        "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12"
    )
    # A client that did not offer to use a smaller window is not asked to.
    assert agree("permessage-deflate", DeflateOptions()) == "permessage-deflate; server_max_window_bits=12"
    frugal = DeflateOptions(server_context_takeover=False, client_context_takeover=False)
    assert agree("permessage-deflate; server_max_window_bits=9", frugal) == (
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("threshold", -1), ("level", 0), ("level", 10), ("memory_level", 0), ("server_max_window_bits", 8),
     ("client_max_window_bits", 16)],
)  # fmt: skip
def test_options_out_of_range(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=rf"{name} is {value}; \d+ to \d+ is allowed"):
        DeflateOptions(**{name: value})


@pytest.mark.parametrize("bits", [9, 12, 15])
@pytest.mark.parametrize("keeps", [True, False])
def test_both_directions(bits: int, keeps: bool) -> None:
    offer = f"permessage-deflate; server_max_window_bits={bits}; client_max_window_bits={bits}"
    if not keeps:
        offer += "; server_no_context_takeover; client_no_context_takeover"
    server = codec(offer)
    reading = zlib.decompressobj(-bits)
    writing = zlib.compressobj(6, zlib.DEFLATED, -bits)
    sizes = []
    for data in (b"first message " * 50, b"first message " * 50, os.urandom(3000), b""):
        sent = server.deflate(data)
        sizes.append(len(sent))
        assert reading.decompress(sent + b"\0\0\xff\xff") == data
        if not keeps:
            reading = zlib.decompressobj(-bits)
            writing = zlib.compressobj(6, zlib.DEFLATED, -bits)
        came = (writing.compress(data) + writing.flush(zlib.Z_SYNC_FLUSH))[:-4]
        assert server.inflate(came[:5], 10_000, False) + server.inflate(came[5:], 10_000, True) == data
    assert (sizes[1] < sizes[0]) is keeps  # the second refers to the first


def test_no_more_than_is_wanted_comes_out() -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = (bomb.compress(bytes(64 << 20)) + bomb.flush(zlib.Z_SYNC_FLUSH))[:-4]
    assert len(codec().inflate(data, 1000, True)) == 1001


@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x07", b"not deflated at all"])
def test_what_cannot_be_inflated(data: bytes) -> None:
    with pytest.raises(WebSocketError) as caught:
        codec().inflate(data, 1000, True)
    assert caught.value.code == 1007


def ended(data: bytes) -> bytes:
    """A message whose stream ends with it (RFC 7692 7.2.3.4)."""
    stream = zlib.compressobj(6, zlib.DEFLATED, -15)
    return stream.compress(data) + stream.flush(zlib.Z_FINISH) + b"\0"


def test_a_stream_that_ends_with_its_message() -> None:
    server = codec()
    for data in (b"one", b"two" * 1000, b""):
        assert server.inflate(ended(data), 10_000, True) == data


def test_a_stream_that_ends_before_its_message_does() -> None:
    """What follows begins anew, whether the rest of the message is an empty piece or none."""
    for pieces in ([ended(b"one")], [ended(b"one")[:-1]], [ended(b"one")[:-1], b""], [ended(b"one")[:-2], b"\0\0"]):
        server = codec()
        assert b"".join(server.inflate(piece, 100, piece is pieces[-1]) for piece in pieces) == b"one"
        assert server.inflate(ended(b"two"), 100, True) == b"two"


def test_streams_without_end() -> None:
    with pytest.raises(WebSocketError, match="too many streams"):
        codec().inflate(b"\x03\x00" * 1000, 10_000, True)


def test_as_a_reader_uses_it() -> None:
    stream = zlib.compressobj(6, zlib.DEFLATED, -15)
    payload = (stream.compress("grüße".encode() * 99) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]
    reader = MessageReader(inflater=codec())
    assert reader.feed(encode_frame(1, payload, compressed=True, mask=b"abcd")) == [(1, "grüße" * 99)]


def test_what_is_shared() -> None:
    plain = codec()
    assert plain.shared == codec("permessage-deflate; server_no_context_takeover; client_max_window_bits=9").shared
    assert plain.shared != codec("permessage-deflate; server_max_window_bits=12").shared
    for other in (DeflateOptions(level=9), DeflateOptions(threshold=9), DeflateOptions(memory_level=9)):
        assert codec(options=other).shared != codec(options=DeflateOptions()).shared


@pytest.mark.parametrize("bits", [9, 12, 15])
def test_messages_made_apart_between_ones_own(bits: int) -> None:
    """One receiver, whose window has all of them; one of the codecs made what the other one sends."""
    one, other = (codec(f"permessage-deflate; server_max_window_bits={bits}") for _ in range(2))
    receiver = zlib.decompressobj(-bits)
    for number in range(100):
        text = f"the same again, but for {number} " * (1 + number)
        for payload in (one.deflate(text.encode()), other.deflate_apart(text.encode())):
            assert receiver.decompress(payload + b"\x00\x00\xff\xff") == text.encode()
        one.restart()
    # Without that the receiver gets other bytes, or none.
    text = b"something that both have in their windows, and one more in between"
    for payload in (one.deflate(text), other.deflate_apart(b"0123456789 " * 9)):
        receiver.decompress(payload + b"\x00\x00\xff\xff")
    assert receiver.decompress(one.deflate(text) + b"\x00\x00\xff\xff") != text


def test_what_the_contexts_hold_is_told() -> None:
    """By zlib's own figures; nothing before the first message, and nothing of a direction without takeover after it."""
    reading, writing = (1 << 12) + 7 * 1024, (1 << 14) + (1 << 14)
    found = codec("permessage-deflate; client_max_window_bits", DeflateOptions())
    assert found.held == 0
    payload = found.deflate(b"hello")
    assert found.held == writing
    assert found.inflate(payload, 100, True) == b"hello"
    assert found.held == writing + reading
    found.restart()
    assert found.held == reading
    found = codec("permessage-deflate; client_no_context_takeover; server_no_context_takeover", DeflateOptions())
    payload = found.deflate(b"hello")
    assert found.held == 0
    found.inflate(payload[:3], 100, False)
    assert found.held == (1 << 15) + 7 * 1024  # the full window: the client did not say it can do with less
    found.inflate(payload[3:], 100, True)
    assert found.held == 0
