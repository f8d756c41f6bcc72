"""Reading requests: beside httptools (llhttp, compiled) and h11 (pure Python).

Run:  pytest bench/micro/test_parser.py --benchmark-only

A group is one task; a row is one way to do it.  `per_request_ns` includes the call from Python and, for dimcore's
`parse_request`, the making of the request object; `HeadParser` makes none, and is the nearest one gets to the
parser itself.  The browser's GET is 703 bytes with 9 headers, the one many parsers are measured with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dimcore import ChunkedDecoder, parse_request
from dimcore.http1.head_reader import HeadParser

CALLS = 1_000  # in one measured call

BROWSER = (
    b"GET /wp-content/uploads/2010/03/hello-kitty-darth-vader-pink.jpg HTTP/1.1\r\n"
    b"Host: www.kittyhell.com\r\n"
    b"User-Agent: Mozilla/5.0 (Macintosh; U; Intel Mac OS X 10.6; ja-JP-mac; rv:1.9.2.3) Gecko/20100401 "
    b"Firefox/3.6.3 Pathtraq/0.9\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    b"Accept-Language: ja,en-us;q=0.7,en;q=0.3\r\n"
    b"Accept-Encoding: gzip,deflate\r\n"
    b"Accept-Charset: Shift_JIS,utf-8;q=0.7,*;q=0.7\r\n"
    b"Keep-Alive: 115\r\n"
    b"Connection: keep-alive\r\n"
    b"Cookie: wp_ozh_wsa_visits=2; wp_ozh_wsa_visit_lasttime=xxxxxxxxxx; "
    b"__utma=xxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.xxxxxxxxxx.x; "
    b"__utmz=xxxxxxxxx.xxxxxxxxxx.x.x.utmccn=(referral)|utmcsr=reader.livedoor.com|utmcct=/reader/|"
    b"utmcmd=referral\r\n\r\n"
)
SMALL = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"
BODY = b'{"name": "value", "numbers": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], "text": "' + b"x" * 900 + b'"}'
POST = (
    b"POST /api/items HTTP/1.1\r\nHost: example.com\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
    % (len(BODY), BODY)
)
QUERY = b"GET /search?q=a+few+words&page=2&lang=en&filter=%C3%A4&sort=asc HTTP/1.1\r\nHost: h\r\n\r\n"
CHUNKS = b"".join(b"%x\r\n%s\r\n" % (4096, b"x" * 4096) for _ in range(16)) + b"0\r\n\r\n"
SMALL_CHUNKS = b"10\r\n0123456789abcdef\r\n" * 256 + b"0\r\n\r\n"

REQUESTS = {"browser": BROWSER, "small": SMALL, "post": POST}


def measure(benchmark: BenchmarkFixture, group: str, read: Callable[[bytes], object], data: bytes) -> None:
    """Time CALLS readings; `per_request_ns` is for one."""
    benchmark.group = group

    def run() -> None:
        for _ in range(CALLS):
            read(data)

    benchmark(run)
    if benchmark.stats is not None:
        benchmark.extra_info["per_request_ns"] = round(benchmark.stats.stats.min / CALLS * 1e9, 1)


def request_of(data: bytes) -> Any:
    """The request, which is complete."""
    parsed = parse_request(data)
    assert parsed is not None
    return parsed[0]


def test_browser_get_is_the_known_one() -> None:
    assert len(BROWSER) == 703
    assert len(request_of(BROWSER).headers) == 9


@pytest.mark.parametrize("name", REQUESTS)
class TestHeadAndFraming:
    def test_dimcore_head_parser(self, benchmark: BenchmarkFixture, name: str) -> None:
        parser = HeadParser()
        reset, feed = parser.reset, parser.feed

        def read(data: bytes) -> None:
            reset()
            feed(data)

        measure(benchmark, f"head {name}", read, REQUESTS[name])

    def test_dimcore_request(self, benchmark: BenchmarkFixture, name: str) -> None:
        measure(benchmark, f"head {name}", parse_request, REQUESTS[name])

    def test_httptools_bare(self, benchmark: BenchmarkFixture, name: str) -> None:
        # One parser for all of them, as for the requests of one connection.
        httptools = pytest.importorskip("httptools")
        parser = httptools.HttpRequestParser(object())
        measure(benchmark, f"head {name}", parser.feed_data, REQUESTS[name])

    def test_h11(self, benchmark: BenchmarkFixture, name: str) -> None:
        h11 = pytest.importorskip("h11")

        def read(data: bytes) -> None:
            connection = h11.Connection(h11.SERVER)
            connection.receive_data(data)
            while type(connection.next_event()) is not h11.EndOfMessage:
                pass

        measure(benchmark, f"head {name}", read, REQUESTS[name])


class _Collector:
    """What a server that uses httptools does: a dict of names and values, and the path."""

    fields: dict[str, str]

    def on_message_begin(self) -> None:
        self.fields = {}

    def on_url(self, url: bytes) -> None:
        self.path = url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields[name.decode("latin-1").lower()] = value.decode("latin-1")


class TestAllHeaders:
    def test_dimcore_to_dict(self, benchmark: BenchmarkFixture) -> None:
        measure(benchmark, "headers browser", lambda data: request_of(data).headers.to_dict(), BROWSER)

    def test_dimcore_to_dict_parsed_already(self, benchmark: BenchmarkFixture) -> None:
        request = request_of(BROWSER)
        measure(benchmark, "headers browser", lambda data: request.headers.to_dict(), BROWSER)

    def test_dimcore_one(self, benchmark: BenchmarkFixture) -> None:
        measure(benchmark, "headers browser", lambda data: request_of(data).headers["user-agent"], BROWSER)

    def test_httptools_callbacks(self, benchmark: BenchmarkFixture) -> None:
        httptools = pytest.importorskip("httptools")
        parser = httptools.HttpRequestParser(_Collector())
        measure(benchmark, "headers browser", parser.feed_data, BROWSER)


def test_path_and_query(benchmark: BenchmarkFixture) -> None:
    def read(data: bytes) -> None:
        request = request_of(data)
        assert request.path == "/search"
        assert request.query_params["lang"] == "en"

    measure(benchmark, "query", read, QUERY)


def test_path_and_query_standard_library(benchmark: BenchmarkFixture) -> None:
    from urllib.parse import parse_qsl, unquote

    target = "/search?q=a+few+words&page=2&lang=en&filter=%C3%A4&sort=asc"

    def read(data: bytes) -> None:
        path, _, query = target.partition("?")
        assert unquote(path) == "/search"
        assert dict(parse_qsl(query, keep_blank_values=True))["lang"] == "en"

    measure(benchmark, "query", read, QUERY)


def test_cookies(benchmark: BenchmarkFixture) -> None:
    measure(benchmark, "cookies browser", lambda data: request_of(data).cookies["wp_ozh_wsa_visits"], BROWSER)


def test_cookies_standard_library(benchmark: BenchmarkFixture) -> None:
    from http.cookies import SimpleCookie

    line = request_of(BROWSER).headers["cookie"]
    measure(benchmark, "cookies browser", lambda data: SimpleCookie(line)["wp_ozh_wsa_visits"].value, BROWSER)


@pytest.mark.parametrize(
    ("name", "data"), [("16 x 4 KiB", CHUNKS), ("256 x 16 B", SMALL_CHUNKS)], ids=["16-of-4096", "256-of-16"]
)
class TestChunked:
    def test_dimcore(self, benchmark: BenchmarkFixture, name: str, data: bytes) -> None:
        benchmark.group = f"chunked {name}"
        _, used = benchmark(lambda: ChunkedDecoder().feed(data))
        assert used == len(data)

    def test_httptools(self, benchmark: BenchmarkFixture, name: str, data: bytes) -> None:
        httptools = pytest.importorskip("httptools")
        whole = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + data

        class Body:
            def __init__(self) -> None:
                self.pieces: list[bytes] = []

            def on_body(self, piece: bytes) -> None:
                self.pieces.append(piece)

        def read() -> bytes:
            body = Body()
            httptools.HttpRequestParser(body).feed_data(whole)
            return b"".join(body.pieces)

        benchmark.group = f"chunked {name}"
        assert len(benchmark(read)) in (65536, 4096)

    def test_h11(self, benchmark: BenchmarkFixture, name: str, data: bytes) -> None:
        h11 = pytest.importorskip("h11")
        whole = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + data

        def read() -> int:
            connection = h11.Connection(h11.SERVER)
            connection.receive_data(whole)
            size = 0
            while type(event := connection.next_event()) is not h11.EndOfMessage:
                size += len(event.data) if type(event) is h11.Data else 0
            return size

        benchmark.group = f"chunked {name}"
        assert benchmark(read) in (65536, 4096)
