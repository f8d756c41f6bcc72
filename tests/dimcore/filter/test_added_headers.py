"""Fields that are added to answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dimcore import ResponseError
from dimcore.filter.added_headers import AddedHeaders

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"

Serve = Callable[..., Any]


def fields(serve: Serve, added: list[tuple[str, str]], *given: tuple[str, str]) -> list[tuple[str, str]]:
    rig = serve(lambda request: (200, given, b""))
    for route in rig.router.routes():
        route.filters = (AddedHeaders(added),)
    own = ("date", "content-length")
    return [(name, value) for name, value in rig.connect().ask(GET).fields if name not in own]


def test_an_answer_without_it_gets_it(serve: Serve) -> None:
    added = [("X-Frame-Options", "DENY"), ("Vary", "A"), ("Vary", "B")]
    expected = [("x-frame-options", "DENY"), ("vary", "A"), ("vary", "B"), ("server", "dimserver")]
    assert fields(serve, added) == expected


def test_what_the_handler_gave_stays(serve: Serve) -> None:
    given = ("x-FRAME-options", "SAMEORIGIN"), ("X-Frame", "x")
    assert fields(serve, [("X-Frame-Options", "DENY"), ("X-Fra", "y")], *given) == [
        ("x-frame-options", "SAMEORIGIN"),
        ("x-frame", "x"),
        ("x-fra", "y"),
        ("server", "dimserver"),
    ]


def test_the_servers_name(serve: Serve) -> None:
    assert fields(serve, [("Server", "other")]) == [("server", "other")]


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Connection", "Date", "Upgrade"])
def test_what_frames_an_answer_is_not_added(name: str) -> None:
    with pytest.raises(ResponseError, match="the server sets it itself"):
        AddedHeaders([(name, "1")])


@pytest.mark.parametrize("pair", [("X y", "1"), ("X", "a\r\nb"), ("", "1"), ("X", "\0")])
def test_what_must_not_be_sent_is_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(ResponseError):
        AddedHeaders([pair])
