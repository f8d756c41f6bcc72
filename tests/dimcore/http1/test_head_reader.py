"""The resumable parser as an object: what it tells, what it keeps, and how it refuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimcore import BadRequest, UsageError
from dimcore.http1.head_reader import HeadParser

HEAD = (
    b"POST /a%20b?c=d HTTP/1.1\r\nHost: example.com:81\r\nX-A:  b \r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
)


def test_a_head_at_once() -> None:
    parser = HeadParser()
    assert not parser.complete
    assert parser.feed(HEAD + b"hello") == len(HEAD)
    assert parser.complete
    assert not parser.failed
    assert (parser.method, parser.target, parser.path, parser.query) == (b"POST", b"/a%20b?c=d", b"/a%20b", b"c=d")
    assert (parser.host, parser.minor) == (b"example.com:81", 1)
    assert parser.fields == [
        (b"Host", b"example.com:81"),
        (b"X-A", b"b"),
        (b"Content-Length", b"5"),
        (b"Expect", b"100-continue"),
    ]
    assert parser.content_length == 5
    assert (parser.chunked, parser.keep_alive, parser.upgrade) == (False, True, False)
    assert (parser.expects_continue, parser.expects_other) == (True, False)


def test_chunked_upgrade_and_close() -> None:
    parser = HeadParser()
    parser.feed(
        b"GET http://a HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\nConnection: upgrade, close\r\n"
        b"Upgrade: x\r\nExpect: y\r\n\r\n"
    )
    assert (parser.path, parser.query, parser.host) == (b"/", b"", b"a")
    assert parser.content_length is None
    assert (parser.chunked, parser.keep_alive, parser.upgrade, parser.expects_other) == (True, False, True, True)


def test_http_1_0() -> None:
    parser = HeadParser()
    parser.feed(b"GET / HTTP/1.0\r\n\r\n")
    assert (parser.minor, parser.host, parser.keep_alive) == (0, b"", False)


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_any_bytes_like(make: type) -> None:
    parser = HeadParser()
    assert parser.feed(make(HEAD[:10])) is None
    assert parser.feed(make(HEAD[10:])) == len(HEAD) - 10
    assert parser.method == b"POST"


def test_what_was_given_may_change_afterwards() -> None:
    data = bytearray(HEAD)
    parser = HeadParser()
    parser.feed(data)
    data[:] = bytes(len(data))
    assert parser.target == b"/a%20b?c=d"


@given(st.lists(st.integers(0, len(HEAD)), max_size=6).map(sorted))
def test_cut_anywhere(places: list[int]) -> None:
    parser = HeadParser()
    data = HEAD + b"hello"
    used = 0
    for start, end in zip([0, *places], [*places, len(data)], strict=True):
        piece = data[start:end]
        if parser.complete:
            break
        result = parser.feed(piece)
        used += len(piece) if result is None else result
    assert used == len(HEAD)
    assert parser.path == b"/a%20b"
    assert parser.content_length == 5


def test_empty_pieces() -> None:
    parser = HeadParser()
    assert parser.feed(b"") is None
    assert parser.feed(HEAD[:30]) is None
    assert parser.feed(b"") is None
    assert parser.feed(HEAD[30:]) == len(HEAD) - 30


def test_reset() -> None:
    parser = HeadParser()
    parser.feed(HEAD[:20])
    parser.reset()
    assert parser.feed(HEAD) == len(HEAD)
    parser.reset()
    assert not parser.complete
    assert parser.feed(b"GET / HTTP/1.0\r\n\r\n") == 18
    assert parser.fields == []
    assert parser.content_length is None


def test_not_complete_yet() -> None:
    parser = HeadParser()
    parser.feed(HEAD[:-1])
    for name in (
        "method", "target", "path", "query", "host", "minor", "fields", "content_length", "chunked", "keep_alive",
        "upgrade", "expects_continue", "expects_other",
    ):  # fmt: skip
        with pytest.raises(UsageError, match="not complete"):
            getattr(parser, name)


def test_complete_already() -> None:
    parser = HeadParser()
    parser.feed(HEAD)
    with pytest.raises(UsageError, match="reset"):
        parser.feed(b"x")


def test_a_refusal_stays() -> None:
    parser = HeadParser()
    with pytest.raises(BadRequest) as refusal:
        parser.feed(b"GET / HTTP/2.0\r\n\r\n")
    assert refusal.value.status == 505
    assert parser.failed
    with pytest.raises(BadRequest, match="version"):
        parser.feed(HEAD)
    parser.reset()
    assert not parser.failed
    assert parser.feed(HEAD) == len(HEAD)


@pytest.mark.parametrize("limit", ["request_line", "head", "field", "fields"])
@pytest.mark.parametrize("value", [0, -1, 65536])
def test_limits_out_of_range(limit: str, value: int) -> None:
    with pytest.raises(UsageError, match=limit):
        HeadParser(**{limit: value})


@pytest.mark.parametrize(
    ("limits", "status"),
    [({"request_line": 23}, 414), ({"head": len(HEAD) - 1}, 431), ({"field": 19}, 431), ({"fields": 3}, 431)],
)
@pytest.mark.parametrize("step", [1, 7, len(HEAD)])
def test_limits(limits: dict[str, int], status: int, step: int) -> None:
    def feed(parser: HeadParser) -> None:
        for start in range(0, len(HEAD), step):
            parser.feed(HEAD[start : start + step])

    with pytest.raises(BadRequest) as refusal:
        feed(HeadParser(**limits))
    assert refusal.value.status == status
    feed(HeadParser(**{name: value + 1 for name, value in limits.items()}))


@pytest.mark.parametrize("wrong", ["text", 5, None])
def test_not_bytes(wrong: object) -> None:
    with pytest.raises(TypeError):
        HeadParser().feed(wrong)  # type: ignore[arg-type]
