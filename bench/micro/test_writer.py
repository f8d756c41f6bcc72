"""Writing the head of an answer: beside an f-string, h11, and what http.server does.

Run:  pytest bench/micro/test_writer.py --benchmark-only

The f-string checks nothing and has no date of its own: it is the floor of what
Python can do.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dimcore import format_head

FEW = {"Content-Type": "text/plain"}
MANY = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "public, max-age=3600",
    "ETag": '"0123456789abcdef"',
    "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'self'; img-src *; script-src 'self' https://cdn.example.com",
    "Set-Cookie": "session=0123456789abcdef0123456789abcdef; Path=/; HttpOnly; Secure; SameSite=Lax",
    "X-Request-Id": "0123456789abcdef",
}
HEADERS = {"few": FEW, "many": MANY}
DATE = formatdate(0, usegmt=True)


def measure(benchmark: BenchmarkFixture, count: str, write: Callable[[], bytes]) -> None:
    """Time one way to write a head, once it is seen to be one."""
    benchmark.group = f"head with {count} headers"
    head = write()
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert head.endswith(b"\r\n\r\n")
    for name in HEADERS[count]:
        assert name.lower().encode() in head.lower()
    benchmark(write)


@pytest.mark.parametrize("count", ["few", "many"])
class TestHead:
    def test_dimcore(self, benchmark: BenchmarkFixture, count: str) -> None:
        headers = HEADERS[count]
        measure(benchmark, count, lambda: format_head(200, headers, 13))

    def test_f_string(self, benchmark: BenchmarkFixture, count: str) -> None:
        headers = HEADERS[count]

        def write() -> bytes:
            lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
            return f"HTTP/1.1 200 OK\r\n{lines}Server: x\r\nDate: {DATE}\r\nContent-Length: {13}\r\n\r\n".encode(
                "latin-1"
            )

        measure(benchmark, count, write)

    def test_h11(self, benchmark: BenchmarkFixture, count: str) -> None:
        h11 = pytest.importorskip("h11")
        headers = [*HEADERS[count].items(), ("Server", "x"), ("Date", DATE), ("Content-Length", "13")]

        def write() -> bytes:
            connection = h11.Connection(h11.SERVER)
            connection.receive_data(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            connection.next_event()
            written: bytes = connection.send(h11.Response(status_code=200, headers=headers, reason=b"OK"))
            return written

        measure(benchmark, count, write)

    def test_http_server(self, benchmark: BenchmarkFixture, count: str) -> None:
        headers = HEADERS[count]
        handler = BaseHTTPRequestHandler.__new__(BaseHTTPRequestHandler)
        handler.request_version = handler.protocol_version = "HTTP/1.1"
        handler.requestline = handler.command = ""
        handler.client_address = ("", 0)
        handler.log_request = lambda *figures: None  # type: ignore[method-assign]

        def write() -> bytes:
            handler.wfile = out = io.BytesIO()
            handler.send_response(200)
            for name, value in headers.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", "13")
            handler.end_headers()
            return out.getvalue()

        measure(benchmark, count, write)
