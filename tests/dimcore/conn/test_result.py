"""What a handler may return, and what each form becomes on the wire."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NamedTuple

import pytest

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
BINARY = "application/octet-stream"
Serve = Callable[..., Any]


class Named(NamedTuple):
    status: int
    headers: dict[str, str]
    body: str


class Result:
    def __init__(self, status: Any, headers: Any, body: Any) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class LyingBytes(bytes):
    def __bytes__(self) -> bytes:
        return self


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("result", "status", "kind", "body"),
    [
        (b"raw", 200, BINARY, b"raw"),
        (bytearray(b"raw"), 200, BINARY, b"raw"),
        (memoryview(b"raw"), 200, BINARY, b"raw"),
        (memoryview(b"r-a-w-")[::2], 200, BINARY, b"raw"),
        (LyingBytes(b"raw"), 200, BINARY, b"raw"),
        ("caf\u00e9", 200, TEXT, "caf\u00e9".encode()),
        (Text("x"), 200, TEXT, b"x"),
        ({"a": "\u20ac", "b": [1, None]}, 200, JSON, '{"a":"\u20ac","b":[1,null]}'.encode()),
        (OrderedDict(a=1), 200, JSON, b'{"a":1}'),
        ([], 200, JSON, b"[]"),
        ({"name": "\udc80"}, 200, JSON, b'{"name":"\\udc80"}'),
        ((201, {}, b"x"), 201, None, b"x"),
        ((201, None, "x"), 201, TEXT, b"x"),
        ((201, {"Content-Type": "a/b"}, "x"), 201, "a/b", b"x"),
        ((201, [("content-type", "a/b")], {"a": 1}), 201, "a/b", b'{"a":1}'),
        ((201, (), [1]), 201, JSON, b"[1]"),
        ((200, {}, None), 200, None, b""),
        ((200, {}, bytearray(b"x")), 200, None, b"x"),
        ((200, {}, memoryview(b"x")), 200, None, b"x"),
        ((200, {}, LyingBytes(b"x")), 200, None, b"x"),
        ((200, {}, Text("x")), 200, TEXT, b"x"),
        ((HTTPStatus.CREATED, {}, b"x"), 201, None, b"x"),
        (Result(202, {"A": "b"}, "x"), 202, TEXT, b"x"),
        (Named(202, {}, "x"), 202, TEXT, b"x"),
    ],
    ids=repr,
)
def test_every_form(serve: Serve, result: Any, status: int, kind: str | None, body: bytes) -> None:
    rig = serve(lambda request: result)
    client = rig.connect()
    for _ in range(2):
        answer = client.ask(GET)
        assert (answer.status, answer.body) == (status, body)
        assert [value for name, value in answer.fields if name == "content-type"] == ([kind] if kind else [])
    assert rig.reports == []


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (None, "not NoneType"),
        (lambda: None, "not function"),
        ((200, None), "not tuple"),
        ((200, None, 5), "not int"),
        ((200, None, (1,)), "a piece of a body must be bytes or str"),
        (("200", None, b""), "must be an int"),
        ((True, None, b""), "must be an int"),
        ((20, None, b""), "between 200 and 599"),
        ((1 << 80, None, b""), "between 200 and 599"),
        ((-1, None, b""), "between 200 and 599"),
        ({"a": float("inf")}, "JSON compliant"),
        ({"a": {1, 2}}, "not JSON serializable"),
    ],
)
def test_the_report_says_what_is_wrong(serve: Serve, result: Any, message: str) -> None:
    rig = serve(lambda request: result)
    assert rig.connect().ask(GET).status == 500
    ((what, request, error),) = rig.reports
    assert what == "a handler failed"
    assert request.path == "/"
    assert message in str(error)


def test_endless_structures(serve: Serve) -> None:
    loop: list[Any] = []
    loop.append(loop)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    results = [loop, deep]
    rig = serve(lambda request: results.pop())
    client = rig.connect()
    assert [client.ask(GET).status for _ in range(2)] == [500, 500]
    assert client.is_open()
