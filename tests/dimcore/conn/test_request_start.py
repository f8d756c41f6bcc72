"""Bodies that come with their request or behind it, and what is refused before they do."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from dimcore import RequestPoint

POST = b"POST / HTTP/1.1\r\nHost: test\r\n"
Serve = Callable[..., Any]


def get(path: str, *fields: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: test", *fields, "", ""]).encode()


def echo_body(request: RequestPoint) -> bytes:
    return request.body


@pytest.mark.parametrize("size", [0, 1, 1000, 65536, 1_000_000])
def test_bodies_by_length(serve: Serve, size: int) -> None:
    rig = serve({"POST /": echo_body})
    body = os.urandom(size)
    client = rig.connect()
    for _ in range(2):
        assert client.ask(POST + b"Content-Length: %d\r\n\r\n" % size + body).body == body
    assert client.ask(POST + b"Content-Length: 3\r\n\r\nabc" + get("/nowhere")).body == b"abc"
    assert client.answer().status == 404


def test_bodies_in_chunks(serve: Serve) -> None:
    rig = serve({"POST /": echo_body})
    client = rig.connect()
    head = POST + b"Transfer-Encoding: chunked\r\n\r\n"
    assert client.ask(head + b"3\r\nabc\r\n0\r\n\r\n").body == b"abc"
    client.send(head)
    client.send(b"FFF0\r\n" + b"x" * 0xFFF0 + b"\r\n")
    assert client.ask(b"1\r\ny\r\n0\r\nTrailer-A: b\r\n\r\n").body == b"x" * 0xFFF0 + b"y"
    answer = client.ask(head + b"zz\r\n")
    assert (answer.status, answer["connection"]) == (400, "close")
    assert client.rest() == b""


def test_continue_is_said_when_the_body_is_wanted(serve: Serve) -> None:
    rig = serve({"POST /": echo_body})
    client = rig.connect()
    expects = POST + b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    answer = client.ask(expects)
    assert (answer.status, answer.fields) == (100, [])
    assert client.ask(b"body").body == b"body"
    assert client.ask(expects + b"body").status == 200  # it came unasked: nothing to say
    assert client.ask(expects.replace(b" / ", b" /nowhere ")).status == 404  # nor for a body nobody wants
    assert client.rest() == b""


def test_refused_before_the_body(serve: Serve) -> None:
    rig = serve({"POST /": echo_body}, max_body=10)
    for head, status in (
        (POST + b"Content-Length: 11\r\n\r\n", 413),
        (POST + b"Content-Length: 11\r\nExpect: 100-continue\r\n\r\n", 413),
        (POST + b"Expect: miracles\r\nContent-Length: 1\r\n\r\n", 417),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nb\r\n", 413),
    ):
        client = rig.connect()
        answer = client.ask(head)
        assert (answer.status, answer["connection"]) == (status, "close")
        client.send(b"x" * 100_000)  # what it sends all the same is read, so that no reset destroys the answer
        assert client.rest() == b""
    assert rig.core.requests.get_stats()["total_errors"] == 4


@pytest.mark.parametrize("blocking", ["", "!"])
def test_a_route_has_a_limit_of_its_own(serve: Serve, blocking: str) -> None:
    rig = serve({f"POST {blocking}/{name}": echo_body for name in ("small", "large", "")}, max_body=10)
    small, large, _ = rig.router.routes()
    small.max_body, large.max_body = 4, 100_000
    for path, size, status in (
        ("/small", 4, 200), ("/small", 5, 413), ("/", 10, 200), ("/", 11, 413), ("/large", 11, 200),
        ("/large", 100_000, 200), ("/large", 100_001, 413), ("/nowhere", 10, 404), ("/nowhere", 11, 413),
    ):  # fmt: skip
        chunked = b"%x\r\n" % size + b"x" * size + b"\r\n0\r\n\r\n"
        framings = [(f"Content-Length: {size}", b"x" * size), ("Transfer-Encoding: chunked", chunked)]
        for framing, body in framings[: 1 if path == "/nowhere" else 2]:  # nothing of the latter is read there
            client = rig.connect()
            client.send(get(path, framing, method="POST"))
            client.send(body)
            if rig.jobs:
                rig.run_job()
            answer = client.answer()
            assert (path, size, framing, answer.status) == (path, size, framing, status)
            assert status != 200 or answer.body == b"x" * size
            client.reset()


def test_a_limit_of_nothing(serve: Serve) -> None:
    rig = serve({"POST /": echo_body})
    rig.router.routes()[0].max_body = 0
    assert rig.connect().ask(POST + b"Content-Length: 0\r\n\r\n").status == 200
    assert rig.connect().ask(POST + b"Content-Length: 1\r\n\r\n").status == 413
    assert rig.connect().ask(POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n").status == 200
    assert rig.connect().ask(POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n").status == 413
