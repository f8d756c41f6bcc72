"""Fields that are added to answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dimcore import ResponseError, Router
from dimcore.filter.added_headers import AddedHeaders, AddedHeadersByPath

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


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Connection", "Date", "Upgrade", "Trailer"])
def test_what_frames_an_answer_is_not_added(name: str) -> None:
    with pytest.raises(ResponseError, match="the server sets it itself"):
        AddedHeaders([(name, "1")])


@pytest.mark.parametrize("pair", [("X y", "1"), ("X", "a\r\nb"), ("", "1"), ("X", "\0")])
def test_what_must_not_be_sent_is_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(ResponseError):
        AddedHeaders([pair])


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("text", "text/plain; charset=utf-8"),  # that of what the handler gave
        ({"a": 1}, "application/json"),
        ((200, {"Content-Type": "text/x"}, b"x"), "text/x"),
        ((200, None, b"x"), "text/added"),
        ((304, None, b""), None),  # it would take the place of what a cache has
        ((204, None, b""), None),
    ],
)
def test_one_content_type(serve: Serve, answer: Any, expected: str | None) -> None:
    rig = serve(lambda request: answer)
    for route in rig.router.routes():
        route.filters = (AddedHeaders([("Content-Type", "text/added"), ("X-A", "1")]),)
    found = rig.connect().ask(GET)
    assert [value for name, value in found.fields if name == "content-type"] == ([expected] if expected else [])
    assert found["x-a"] == "1"


# --- by path


def router(pattern: str, exact: bool = True) -> Router:
    found = Router()
    found.add("*", pattern, lambda: None, exact=exact)
    return found


def test_the_first_choice_that_fits_has_the_name(serve: Serve) -> None:
    choices = [
        (router("/a/{x}"), AddedHeaders([("X-A", "leaf"), ("Link", "1"), ("link", "2")])),
        (router("/a/", exact=False), AddedHeaders([("x-a", "below"), ("X-B", "below")])),
        (None, AddedHeaders([("X-A", "all"), ("X-C", "all"), ("Link", "3")])),
    ]
    rig = serve({"GET /": lambda request: "", "GET /a/{x}": lambda request: (200, {"X-C": "own"}, b"")})
    for route in rig.router.routes():
        route.filters = (AddedHeadersByPath(choices),)
    client = rig.connect()

    def found(path: str) -> list[tuple[str, str]]:
        answer = client.ask(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        return [field for field in answer.fields if field[0][:2] == "x-" or field[0] == "link"]

    assert found("/") == found("http://test") == [("x-a", "all"), ("x-c", "all"), ("link", "3")]
    leaf = [("x-c", "own"), ("x-a", "leaf"), ("link", "1"), ("link", "2"), ("x-b", "below")]
    assert found("/a/1") == found("/%61/1?query") == found("/a/b%2Fc") == leaf


@pytest.mark.parametrize("choice", [(None, None), (1, AddedHeaders([])), (None, 1), (None,)])
def test_what_is_no_choice(choice: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        AddedHeadersByPath([choice])
