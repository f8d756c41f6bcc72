"""The chunked decoder: whole, in pieces, and with bytes behind it.  The grammar's cases are in tests/wire/corpus."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz.chunks import outcome
from tests.wire.cases import load

from dimcore import BadRequest, ChunkedDecoder, UsageError, decode_chunked

BODIES = [
    case.request.partition(b"\r\n\r\n")[2]
    for case in load()
    if case.name.startswith(("chunks/", "chunk_extensions/", "trailers/")) and len(case.request) < 3000
]
TRAILERS = [b"", b"A: b\r\n", b"A:\r\nB: \t c\r\n"]
EXTENSIONS = [b"", b";a", b"; a=b", b' ;a="b;c" ; d']


def encode(pieces: list[bytes], extension: bytes = b"", trailer: bytes = b"") -> bytes:
    """A chunked body; empty pieces are left out, since one would end it."""
    chunks = b"".join(b"%x%s\r\n%s\r\n" % (len(piece), extension, piece) for piece in pieces if piece)
    return chunks + b"0" + extension + b"\r\n" + trailer + b"\r\n"


@st.composite
def nearly_bodies(draw: st.DrawFn) -> bytes:
    """A body of the corpus with something put in, taken out or repeated."""
    data = draw(st.sampled_from(BODIES))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 4)))
        words = [b"\r\n", b"\r", b"\n", b"0", b"5", b"f", b";", b"=", b'"', b"\\", b" ", b":", b"A", b"\x00", b"\xff"]
        data = data[:start] + draw(st.sampled_from([*words, data[start:end] * 2])) + data[end:]
    return data


@given(
    st.lists(st.binary(max_size=40), max_size=8), st.sampled_from(EXTENSIONS), st.sampled_from(TRAILERS),
    st.binary(max_size=9)
)  # fmt: skip
def test_what_was_encoded_comes_out(pieces: list[bytes], extension: bytes, trailer: bytes, more: bytes) -> None:
    data = encode(pieces, extension, trailer)
    assert decode_chunked(data) == (b"".join(pieces), len(data))
    assert decode_chunked(data + more) == (b"".join(pieces), len(data))
    assert all(decode_chunked(data[:end]) is None for end in range(len(data)))


@settings(max_examples=300, deadline=None)
@given(nearly_bodies(), st.lists(st.integers(0, 300), max_size=5).map(sorted))
def test_cut_anywhere_is_the_same(data: bytes, places: list[int]) -> None:
    whole = outcome([data])
    assert outcome([data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]) == whole
    assert outcome([data[i : i + 1] for i in range(len(data))]) == whole


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=6))
def test_the_limit_is_exact_in_whatever_pieces(pieces: list[bytes]) -> None:
    data = encode(pieces)
    size = sum(map(len, pieces))
    for way in ([data], [data[i : i + 1] for i in range(len(data))]):
        assert outcome(way, size) == (b"".join(pieces), len(data), True)
        assert outcome(way, size - 1) == (413, "the request body is too long")


def test_the_limit_goes_by_the_announced_size() -> None:
    with pytest.raises(BadRequest) as refusal:
        ChunkedDecoder(10).feed(b"b\r\n")
    assert refusal.value.status == 413


@pytest.mark.parametrize("size", [1, 8186, 8187])
def test_long_trailers_do_not_depend_on_the_pieces(size: int) -> None:
    data = b"0\r\nA: " + b"b" * size + b"\x00\r\n\r\n"
    assert outcome([data]) == outcome([data[i : i + 1] for i in range(len(data))])


def test_nothing_is_used_behind_the_end() -> None:
    decoder = ChunkedDecoder()
    assert decoder.feed(b"1\r\nx\r\n0\r\n\r\nGET ") == (b"x", 11)
    assert decoder.done
    assert decoder.feed(b"more") == (b"", 0)
    assert decoder.done


def test_a_fault_stays() -> None:
    decoder = ChunkedDecoder()
    for data in (b"x", b"0\r\n\r\n", b""):
        with pytest.raises(BadRequest, match="chunk size") as refusal:
            decoder.feed(data)
        assert refusal.value.status == 400
    assert not decoder.done


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_any_bytes_like(make: type) -> None:
    assert decode_chunked(make(b"2\r\nab\r\n0\r\n\r\n")) == (b"ab", 12)


def test_items_wider_than_a_byte() -> None:
    view = memoryview(b"2\r\nab\r\n0\r\n\r\n").cast("I")
    assert decode_chunked(view) == (b"ab", 12)


@pytest.mark.parametrize("wrong", ["text", 5, None])
def test_not_bytes(wrong: object) -> None:
    with pytest.raises(TypeError):
        ChunkedDecoder().feed(wrong)  # type: ignore[arg-type]


def test_a_limit_below_zero() -> None:
    with pytest.raises(UsageError, match="limit"):
        ChunkedDecoder(-1)


def test_no_body_at_all_is_allowed() -> None:
    assert decode_chunked(b"0\r\n\r\n", 0) == (b"", 5)
