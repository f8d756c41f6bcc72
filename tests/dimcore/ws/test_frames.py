"""Frame heads and masks, beside the examples of RFC 6455 and a model of one line each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimcore import UsageError, apply_mask, encode_frame

MASK = bytes([0x37, 0xFA, 0x21, 0x3D])


@pytest.mark.parametrize(
    ("frame", "raw"),
    [
        (encode_frame(1, "Hello"), "810548656c6c6f"),
        (encode_frame(1, "Hello", mask=MASK), "818537fa213d7f9f4d5158"),
        (encode_frame(1, "Hel", final=False), "010348656c"),
        (encode_frame(0, "lo"), "80026c6f"),
        (encode_frame(9, b"Hello"), "890548656c6c6f"),
        (encode_frame(10, b"Hello", mask=MASK), "8a8537fa213d7f9f4d5158"),
        (encode_frame(2, bytes(256))[:4], "827e0100"),
        (encode_frame(2, bytes(65536))[:10], "827f0000000000010000"),
        (encode_frame(1, b"\xf2\x48", compressed=True), "c102f248"),
    ],
)
def test_the_examples_of_the_rfcs(frame: bytes, raw: str) -> None:
    assert frame.hex() == raw


@pytest.mark.parametrize(
    ("size", "head"), [(0, 2), (125, 2), (126, 4), (65535, 4), (65536, 10), (100_000, 10)], ids=str
)
def test_the_shortest_form_of_a_length(size: int, head: int) -> None:
    frame = encode_frame(2, bytes(size))
    assert len(frame) == head + size
    assert len(encode_frame(2, bytes(size), mask=MASK)) == head + 4 + size


@given(st.binary(max_size=200), st.binary(min_size=4, max_size=4), st.integers(0, 1 << 40))
def test_the_mask(data: bytes, mask: bytes, offset: int) -> None:
    masked = apply_mask(data, mask, offset)
    assert masked == bytes(byte ^ mask[(offset + at) % 4] for at, byte in enumerate(data))
    assert apply_mask(masked, mask, offset) == data


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_any_bytes_like(make: type) -> None:
    assert encode_frame(2, make(b"abc"), mask=make(MASK)) == encode_frame(2, b"abc", mask=MASK)
    assert apply_mask(make(b"abc"), make(MASK)) == apply_mask(b"abc", MASK)


@pytest.mark.parametrize("opcode", [-1, 3, 7, 11, 15, 16])
def test_opcodes_that_mean_nothing(opcode: int) -> None:
    with pytest.raises(UsageError, match=f"opcode {opcode} means nothing"):
        encode_frame(opcode)


def test_what_cannot_be_sent() -> None:
    with pytest.raises(UsageError, match="at most 125"):
        encode_frame(9, bytes(126))
    with pytest.raises(UsageError, match="never in pieces"):
        encode_frame(8, b"", final=False)
    for mask in (b"", b"abc", b"abcde"):
        with pytest.raises(UsageError, match="a mask has 4 bytes"):
            encode_frame(1, b"x", mask=mask)
        with pytest.raises(UsageError, match="a mask has 4 bytes"):
            apply_mask(b"x", mask)
