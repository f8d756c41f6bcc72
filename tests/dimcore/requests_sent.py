"""Requests as bytes, and the handlers that say what came of them."""

from __future__ import annotations

from dimcore import RequestPoint

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: test\r\n"


def get(path: str, *fields: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: test", *fields, "", ""]).encode()


def echo_path(request: RequestPoint) -> str:
    return request.path


def echo_body(request: RequestPoint) -> bytes:
    return request.body
