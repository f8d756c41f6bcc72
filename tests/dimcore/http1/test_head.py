"""The grammar of heads: whole and in pieces, and beside h11.  The cases one by one are in tests/wire/corpus."""

from __future__ import annotations

from fnmatch import fnmatch
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.dimcore.h11_view import h11_reads
from tests.fuzz.heads import outcome
from tests.wire.cases import load

from dimcore import BadRequest, parse_request

CASES = load()

# --- whole is the same as in pieces -----------------------------------------------------------------

WORDS = [
    b"GET", b"POST", b"HEAD", b"CONNECT", b"OPTIONS", b"X" * 33, b" ", b"  ", b"\t", b"/", b"*", b"?", b"#",
    b"%41", b"%",
    b"http://h", b"h:443", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"http/1.1", b"\r\n", b"\r", b"\n", b"\r\n\r\n", b":",
    b"Host: h\r\n", b"Host:", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n",
    b"Expect: 100-continue\r\n", b"Upgrade: x\r\n", b"a" * 20, b"A: b\r\n", b"\x00", b"\x7f", b"\xff", b",", b"[::1]",
]  # fmt: skip
HEADS = [case.request for case in CASES if len(case.request) < 2000]


@st.composite
def nearly_heads(draw: st.DrawFn) -> bytes:
    """A head of the corpus with something put in, taken out or repeated; or words in any order."""
    if draw(st.integers(0, 4)) == 0:
        return b"".join(draw(st.lists(st.sampled_from(WORDS), max_size=30)))
    data = draw(st.sampled_from(HEADS))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 6)))
        put = draw(st.one_of(st.sampled_from(WORDS), st.binary(max_size=3), st.just(data[start:end] * 2)))
        data = data[:start] + put + data[end:]
    return data


@settings(max_examples=400, deadline=None)
@given(nearly_heads(), st.lists(st.integers(0, 500), max_size=5).map(sorted))
@example(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", [15, 16])
def test_cut_anywhere_is_the_same(data: bytes, places: list[int]) -> None:
    whole = outcome([data])
    assert outcome([data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]) == whole
    assert outcome([data[i : i + 1] for i in range(len(data))]) == whole


@settings(max_examples=200, deadline=None)
@given(nearly_heads(), st.integers(16, 300), st.integers(16, 300), st.integers(16, 300), st.integers(1, 5))
def test_limits_do_not_depend_on_the_pieces(data: bytes, line: int, head: int, field: int, fields: int) -> None:
    limits = {"request_line": line, "head": head, "field": field, "fields": fields}
    assert outcome([data[i : i + 1] for i in range(len(data))], limits) == outcome([data], limits)


@settings(max_examples=200, deadline=None)
@given(nearly_heads(), st.binary(max_size=40))
def test_what_follows_a_verdict_does_not_change_it(data: bytes, more: bytes) -> None:
    verdict = outcome([data])
    if verdict is not None:
        assert outcome([data + more]) == verdict


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_at_all(data: bytes) -> None:
    assert outcome([data]) == outcome([data[i : i + 1] for i in range(len(data))])


def test_a_byte_is_looked_at_once() -> None:
    # 30,000 pieces: a parser that began anew with each of them would look at 450 million bytes.
    head = b"GET / HTTP/1.1\r\nHost: h\r\n" + b"".join(b"A: " + b"b" * 5990 + b"\r\n" for _ in range(5)) + b"\r\n"
    assert outcome([head[i : i + 1] for i in range(len(head))]) == outcome([head])


# --- beside h11 -------------------------------------------------------------------------------------

# Cases only one of the two takes, and why.  Patterns match names of the corpus; each must be needed.
STRICTER_THAN_H11 = {
    "host/*": "h11 leaves the value of Host to the application",
    "target/*": "h11 takes any visible bytes for a target of any method",
    "version/*": "h11 reads any digit.digit as a version, and HTTP/0.9 as an unfinished line",
    "method/*": "h11 has no limit for a method",
    "singletons/*": "h11 knows no fields beyond framing",
    "expect/*": "h11 leaves expectations and limits of bodies to the application",
    "limits/*": "h11 has one limit, for the whole event",
    "content_length/*twice*": "h11 merges equal lengths, as RFC 9110 8.6 lets a recipient do",
    "content_length/list*": "h11 merges equal lengths, as RFC 9110 8.6 lets a recipient do",
    "content_length/overflow-*": "Python's integers have no end",
    "transfer_encoding/with-length*": "h11 lets Transfer-Encoding win, as RFC 9112 6.3 lets a server do",
    "transfer_encoding/in-1-0*": "h11 reads chunks in HTTP/1.0",
    "fields/fold-*": "h11 unfolds obsolete line folding",
    "fields/bare-lf*": "h11 takes a bare LF for a line end, as RFC 9112 2.2 lets a recipient do",
    "fields/lf-line-start": "the same",
    "fields/bare-cr-end": "h11 waits for the rest of a line that has gone wrong",
    "fields/value-*": "h11 takes controls other than NUL and white space in values",
    "request_line/bare-lf*": "h11 takes a bare LF for a line end",
    "chunk_extensions/*": "h11 skips what stands behind a chunk size",
    "chunks/space-after": "h11 skips blanks behind a chunk size",
    "chunks/tab-after": "h11 skips blanks behind a chunk size",
    "chunks/seventeen-digits": "h11 takes twenty digits",
    "chunks/overflow*": "h11 takes twenty digits",
    "chunks/last-lf-end": "h11 takes a bare LF for a line end",
    "chunks/last-cr-end": "h11 waits for the rest of a line that has gone wrong",
    "chunks/not-chunks": "h11 waits for the end of the line",
    "trailers/*": "h11 takes any fields for trailers, and a bare LF for a line end",
}
LAXER_THAN_H11 = {
    "chunk_extensions/bws-before": "RFC 9112 7.1.1 has it; h11 allows blanks at the end of the line only",
    "request_line/*-empty-line*": "RFC 9112 2.2 asks for it; h11 leaves it to the application",
    "limits/line-longest-after-empty-lines": "the same",
}


def we_read(data: bytes) -> Any:
    """The same by this parser: None for more; "refused"."""
    try:
        parsed = parse_request(data)
        if parsed is None:
            return None
        request = parsed[0]
        try:
            body = request.body
        except BadRequest:  # incomplete
            return None
    except BadRequest:
        return "refused"
    fields = [
        # h11 hands out the lower-case form of the one coding there is.
        (name.encode(), b"chunked" if name == "transfer-encoding" else value.encode("latin-1"))
        for name, value in request.headers.items()
    ]
    return request.method.encode(), request.raw_target.encode(), request.http_version.encode(), fields, body


def test_h11_takes_the_rest_alike() -> None:
    pytest.importorskip("h11")
    used = set()
    for case in CASES:
        ours, theirs = we_read(case.request), h11_reads(case.request)
        if ours == theirs:
            continue
        assert not (isinstance(ours, tuple) and isinstance(theirs, tuple)), f"{case.name} is read in two ways"
        table = STRICTER_THAN_H11 if ours == "refused" else LAXER_THAN_H11
        if ours is None:
            assert case.name == "request_line/only-empty-lines"
            continue
        reasons = [pattern for pattern in table if fnmatch(case.name, pattern)]
        assert reasons, f"{case.name}: {ours!r}, h11 {theirs!r}"
        used.update(reasons)
    assert used == {*STRICTER_THAN_H11, *LAXER_THAN_H11}


@settings(max_examples=500, deadline=None)
@given(nearly_heads())
def test_what_h11_takes_too_is_read_alike(data: bytes) -> None:
    pytest.importorskip("h11")
    ours, theirs = we_read(data), h11_reads(data)
    if isinstance(ours, tuple) and isinstance(theirs, tuple):
        assert ours == theirs
