"""Messages out of bytes: however they are cut, in whatever frames they come, and what breaks a rule is told at once."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dimcore import MessageReader, UsageError, WebSocketError, close_payload, encode_frame

MASK = b"\x12\x34\x56\x78"
Events = list[tuple[int, str | bytes]]


def client(opcode: int, payload: str | bytes = b"", *, final: bool = True, compressed: bool = False) -> bytes:
    return encode_frame(opcode, payload, final=final, compressed=compressed, mask=MASK)


def read(*pieces: bytes, **options: object) -> tuple[Events, MessageReader]:
    reader = MessageReader(**options)  # type: ignore[arg-type]
    events: Events = []
    for piece in pieces:
        events += reader.feed(piece)
    return events, reader


def fault(data: bytes, step: int = 0, **options: object) -> tuple[int, str, int, Events]:
    """The code and reason of the fault in `data`, where it was seen, and what was read before."""
    reader = MessageReader(**options)  # type: ignore[arg-type]
    events: Events = []
    for at in range(0, len(data), step or len(data)):
        try:
            events += reader.feed(data[at : at + (step or len(data))])
        except WebSocketError as error:
            return error.code, error.reason, at, events + error.events
    pytest.fail("no fault was found")


class Zlib:
    """An inflater that keeps to the rules of `MessageReader`, and no more."""

    def __init__(self) -> None:
        self.stream = zlib.decompressobj(-15)

    def inflate(self, piece: bytes, room: int, final: bool) -> bytes:
        return self.stream.decompress(piece + (b"\0\0\xff\xff" if final else b""), room + 1)


def deflated(data: bytes) -> bytes:
    stream = zlib.compressobj(6, zlib.DEFLATED, -15)
    return (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


# --- whole, and in pieces -------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 300_000])
def test_one_message(size: int) -> None:
    data = os.urandom(size)
    events, reader = read(client(2, data))
    assert events == [(2, data)]
    assert reader.pending == 0
    text = "aä€😀"[:4] * (size // 10)
    assert read(client(1, text))[0] == [(1, text)]


def test_a_server_is_read_without_masks() -> None:
    assert read(encode_frame(1, "hi") + encode_frame(9, b"p"), from_client=False)[0] == [(1, "hi"), (9, b"p")]


STREAM = b"".join(
    [
        client(1, "first"),
        client(9, b"ping"),
        client(1, "ä€".encode()[:3], final=False),
        client(10, b"pong"),
        client(0, b"", final=False),
        client(0, "ä€".encode()[3:]),
        client(2, bytes(range(256)) * 2),
        client(2, b"", final=False),
        client(0, b""),
        client(8, close_payload(3000, "bye")),
    ]
)
READ: Events = [
    (1, "first"),
    (9, b"ping"),
    (10, b"pong"),
    (1, "ä€"),
    (2, bytes(range(256)) * 2),
    (2, b""),
    (8, "bye"),
]


def test_split_at_every_byte() -> None:
    for at in range(len(STREAM) + 1):
        events, reader = read(STREAM[:at], STREAM[at:])
        assert events == READ, at
        assert (reader.close_code, reader.pending) == (3000, 0)


@pytest.mark.parametrize("step", [1, 2, 3, 5, 7, 11])
def test_in_small_steps(step: int) -> None:
    events, reader = read(*(STREAM[at : at + step] for at in range(0, len(STREAM), step)))
    assert events == READ
    assert reader.pending == 0


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, Events]:
    """Messages in any number of frames with control frames between them, and what they mean."""
    raw, events = b"", []
    for _ in range(draw(st.integers(1, 4))):
        payload = draw(st.one_of(st.text(max_size=80), st.binary(max_size=200)))
        data = payload.encode() if isinstance(payload, str) else payload
        cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=4)))
        pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        for number, piece in enumerate(pieces):
            opcode = 0 if number else 1 if isinstance(payload, str) else 2
            mask = draw(st.binary(min_size=4, max_size=4))
            raw += encode_frame(opcode, piece, final=number == len(pieces) - 1, mask=mask)
            if number < len(pieces) - 1 and draw(st.booleans()):
                ping = draw(st.binary(max_size=125))
                raw += encode_frame(9, ping, mask=mask)
                events.append((9, ping))
        events.append((1 if isinstance(payload, str) else 2, payload))
    return raw, events


@settings(deadline=None)
@given(streams(), st.lists(st.integers(0, 2000), max_size=8))
def test_any_stream_cut_anywhere(stream: tuple[bytes, Events], cuts: list[int]) -> None:
    raw, expected = stream
    places = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts)})
    events, reader = read(*(raw[a:b] for a, b in pairwise(places)))
    assert events == expected
    assert reader.pending == 0


def test_memory_grows_with_what_arrives() -> None:
    announced = encode_frame(2, bytes(16 << 20), mask=MASK)[:14]
    _, reader = read(announced, b"x" * 1000)
    assert reader.pending == 1000


def test_what_is_given_is_not_changed() -> None:
    data = client(1, "hello")
    copy = bytes(bytearray(data))
    read(data)
    assert data == copy


# --- faults ---------------------------------------------------------------------------------------


def raw(first: int, second: int, rest: bytes = MASK) -> bytes:
    return bytes([first, second]) + rest


@pytest.mark.parametrize(
    ("data", "reason", "seen_at"),
    [
        (raw(0x91, 0x80), "a reserved bit", 0),
        (raw(0xA1, 0x80), "a reserved bit", 0),
        (raw(0xC1, 0x80), "a reserved bit", 5),  # a message that is compressed, and nobody agreed to that
        (raw(0xC9, 0x80), "a reserved bit", 0),
        *((raw(0x80 | opcode, 0x80), "an opcode", 0) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
        (raw(0x09, 0x80), "in pieces", 0),
        (raw(0x89, 0xFE, b"\0\x7e"), "more than 125", 1),
        (raw(0x81, 0x05), "without a mask", 1),
        (raw(0x81, 0xFE, b"\0\x7d"), "longer form", 3),
        (raw(0x81, 0xFF, bytes(6) + b"\xff\xff"), "longer form", 9),
        (raw(0x81, 0xFF, b"\x80" + bytes(7)), "longer form", 9),
        (raw(0x80, 0x80), "continuation of nothing", 5),
        (client(1, b"a", final=False) + client(1, b"b"), "inside another", 12),
        (client(1, b"a", final=False) + raw(0xC0, 0x80), "a reserved bit", 12),
        (client(8, b"x"), "half a code", 6),
    ],
)
def test_protocol_faults(data: bytes, reason: str, seen_at: int) -> None:
    for step in (0, 1):
        code, text, at, events = fault(data, step)
        assert code == 1002
        assert reason in text
        assert len(text.encode()) <= 123
        assert events == []
        if step:
            assert at == seen_at


def test_a_server_that_masks() -> None:
    assert fault(client(1, "x"), from_client=False)[:2] == (1002, "a frame of a server with a mask")


@pytest.mark.parametrize("code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
def test_codes_that_no_close_frame_carries(code: int) -> None:
    assert fault(client(8, code.to_bytes(2, "big")))[0] == 1002
    with pytest.raises(UsageError, match=f"{code} is no code"):
        close_payload(code)


@pytest.mark.parametrize("code", [*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999])
def test_codes_that_one_may_carry(code: int) -> None:
    events, reader = read(client(8, close_payload(code, "ä")), client(1, "ignored"))
    assert events == [(8, "ä")]
    assert reader.close_code == code


def test_a_close_frame_without_a_code() -> None:
    events, reader = read(client(8) + client(1, "ignored"))
    assert events == [(8, "")]
    assert reader.close_code == 1005


def test_a_reason_that_is_no_text_or_too_long() -> None:
    assert fault(client(8, b"\x03\xe8\xff"))[0] == 1007
    with pytest.raises(UsageError, match="124 bytes"):
        close_payload(1000, "x" * 124)


@pytest.mark.parametrize("prefix", [b"", b"abcdefghi", "κόσμε".encode()])
def test_bad_text_is_told_at_its_first_byte(prefix: bytes) -> None:
    bad = prefix + b"\xed\xa0\x80" + b"x" * 50
    data = client(1, bad)
    head = len(data) - len(bad)
    code, _, at, _ = fault(data, 1)
    assert (code, at) == (1007, head + len(prefix) + 1)
    assert fault(data)[0] == 1007
    in_pieces = client(1, prefix, final=False) + client(0, b"\xed", final=False) + client(0, b"\xa0\x80", final=False)
    assert fault(in_pieces)[0] == 1007


def test_text_that_ends_within_a_character() -> None:
    assert fault(client(1, b"\xe2\x82"))[0] == 1007
    assert fault(client(1, b"\xe2", final=False) + client(0, b"\x82"))[0] == 1007


def test_what_came_before_a_fault_is_not_lost() -> None:
    assert fault(client(1, "good") + raw(0x83, 0x80))[3] == [(1, "good")]


# --- limits ---------------------------------------------------------------------------------------


def test_the_longest_message() -> None:
    assert read(client(2, bytes(1000)), max_message=1000)[0] == [(2, bytes(1000))]
    for data in (
        client(2, bytes(1001)),
        client(2, bytes(1001))[:8],  # told by the announcement alone
        client(2, bytes(600), final=False) + client(0, bytes(401))[:8],
        encode_frame(2, b"", mask=MASK)[:1] + b"\xff" + b"\x7f" + b"\xff" * 7 + MASK,
    ):
        assert fault(data, max_message=1000)[0] == 1009


def test_the_most_frames() -> None:
    flood = client(1, b"", final=False) + client(0, b"", final=False) * 9
    assert read(flood, max_frames=10)[0] == []
    assert fault(flood + client(0, b"", final=False), max_frames=10)[0] == 1009
    # Control frames between them are not of the message.
    pinged = client(1, b"", final=False) + (client(9) + client(0, b"", final=False)) * 9 + client(9) * 50
    assert len(read(pinged, max_frames=10)[0]) == 59


def test_control_frames_have_a_limit_of_their_own() -> None:
    ping = client(9, b"p" * 125)
    for pieces in ([ping], [ping[:1], ping[1:]]):
        assert read(*pieces, max_message=10)[0] == [(9, b"p" * 125)]


def test_the_same_fault_however_it_comes() -> None:
    """Compressed where nothing was agreed on, and too long as well."""
    data = client(2, b"x" * 20, compressed=True)
    assert fault(data, max_message=10)[0] == fault(data, 3, max_message=10)[0] == 1002


@pytest.mark.parametrize("before", range(17))
def test_payloads_at_every_alignment(before: int) -> None:
    """Of the memory, and of the mask where a payload comes in two pieces."""
    for size in range(70):
        payload = bytes(range(200, 200 + size)) if size < 56 else bytes(size)
        data = client(2, payload)
        assert read(client(2, bytes(before)) + data)[0][1] == (2, payload)
        at = min(len(data) - 1, 6 + before)
        assert read(data[:at], data[at:])[0] == [(2, payload)]


@pytest.mark.parametrize("options", [{"max_message": 0}, {"max_frames": 0}, {"max_frames": 1 << 32}])
def test_limits_that_are_none(options: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        MessageReader(**options)  # type: ignore[arg-type]


# --- compressed -----------------------------------------------------------------------------------


def frames_of(payload: bytes, size: int, opcode: int = 1) -> Iterator[bytes]:
    for at in range(0, len(payload), size):
        yield client(0 if at else opcode, payload[at : at + size], final=at + size >= len(payload), compressed=at == 0)


@pytest.mark.parametrize("size", [1, 3, 1000, 1 << 20])
@pytest.mark.parametrize("step", [0, 1, 17])
def test_compressed_messages(size: int, step: int) -> None:
    text = "a text that repeats itself, ä€😀, " * 100
    stream = b"".join(frames_of(deflated(text.encode()), size)) + client(9, b"p")
    pieces = [stream] if not step else [stream[at : at + step] for at in range(0, len(stream), step)]
    assert read(*pieces, inflater=Zlib())[0] == [(1, text), (9, b"p")]


def test_an_empty_compressed_message() -> None:
    assert read(client(2, b"\0", compressed=True), inflater=Zlib())[0] == [(2, b"")]
    in_pieces = client(2, b"\0", final=False, compressed=True) + client(0, b"")
    assert read(in_pieces, inflater=Zlib())[0] == [(2, b"")]


def test_a_bomb_stops_at_the_limit() -> None:
    bomb = deflated(bytes(50 << 20))
    for data in (client(2, bomb, compressed=True), b"".join(frames_of(bomb, 1000, 2))):
        assert fault(data, inflater=Zlib(), max_message=1 << 20)[0] == 1009
    exact = deflated(bytes(1 << 20))
    assert read(client(2, exact, compressed=True), inflater=Zlib(), max_message=1 << 20)[0] == [(2, bytes(1 << 20))]


def test_compressed_text_that_is_no_text() -> None:
    for data in (
        client(1, deflated(b"\xff"), compressed=True),
        b"".join(frames_of(deflated(b"ab\xff"), 1)),
    ):
        assert fault(data, inflater=Zlib())[0] == 1007


def test_a_message_that_is_not_compressed_although_it_might_be() -> None:
    assert read(client(1, "plain"), inflater=Zlib())[0] == [(1, "plain")]


@pytest.mark.parametrize("size", [3, 5000])
@pytest.mark.parametrize("pieces", [1, 2, 7])
def test_an_inflater_cannot_feed_its_own_reader(size: int, pieces: int) -> None:
    """What is half done would be moved and freed below it."""
    refused = []

    class Again:
        threshold = 0

        def inflate(self, data: bytes, *_: Any) -> bytes:
            for more in (b"", b"\x02\x7e\x40\x00" + bytes(0x4000), b"\x80\x00", b"\x88\x00", b"\x89\x00"):
                try:
                    reader.feed(more)
                except UsageError as error:
                    refused.append(str(error))
            return data

    reader = MessageReader(from_client=False, inflater=Again())
    payload = b"x" * size
    head = b"\xc2" + (bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big"))
    data = head + payload
    events = []
    step = -(-len(data) // pieces)
    for at in range(0, len(data), step):
        events += reader.feed(data[at : at + step])
    assert events == [(2, payload)]
    assert len(refused) % 5 == 0
    assert refused
    assert all("its inflater cannot feed it" in text for text in refused)
    assert reader.pending == 0
    assert reader.feed(b"\x89\x01a") == [(9, b"a")]


@pytest.mark.parametrize("returned", [None, "text", 5, bytearray(b"a")])
def test_an_inflater_returns_bytes(returned: Any) -> None:
    class Wrong:
        def inflate(self, *_: Any) -> Any:
            return returned

    reader = MessageReader(from_client=False, inflater=Wrong())
    with pytest.raises((TypeError, UsageError)):
        reader.feed(b"\xc2\x01a")
