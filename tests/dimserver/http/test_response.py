"""The answer as an object, and what becomes of it on the wire."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from dimcore import Composite, FileBody
from dimserver import App, Response

Serve = Callable[..., Any]


def test_what_it_holds() -> None:
    response = Response()
    assert (response.status, response.headers, response.body) == (200, [], b"")
    response = Response("a", 404, {"A": "b"}, content_type="text/css")
    assert (response.status, response.body) == (404, "a")
    assert response.headers == [("A", "b"), ("Content-Type", "text/css")]
    pairs = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
    response = Response(b"", headers=iter(pairs))
    assert response.headers == pairs
    with pytest.raises(AttributeError):
        response.reason = "x"  # type: ignore[attr-defined]


def test_repr_is_short() -> None:
    assert repr(Response(b"a", 201)) == "Response(201, [], b'a')"
    assert len(repr(Response(b"a" * 1000))) < 100


def test_the_headers_given_are_not_changed() -> None:
    given = [("A", "b")]
    Response(headers=given, content_type="text/css").headers.append(("C", "d"))
    assert given == [("A", "b")]


@pytest.mark.parametrize(
    ("body", "kind", "sent"),
    [
        (b"bytes", None, b"bytes"),
        ("téxt", "text/plain; charset=utf-8", "téxt".encode()),
        ({"a": [1, "é"]}, "application/json", '{"a":[1,"é"]}'.encode()),
        ([], "application/json", b"[]"),
        (None, None, b""),
        (Composite([b"a", b"b"]), None, b"ab"),
    ],
)
def test_bodies(serve: Serve, body: Any, kind: str | None, sent: bytes) -> None:
    app = App()
    app.route("/", lambda request: Response(body))
    app.route("/typed", lambda request: Response(body, content_type="text/x-mine"))
    app.route("/own", lambda request: Response(body, headers={"content-type": "text/x-own"}))
    wire = serve(app).connect()
    status, headers, got = wire.get().answer()
    assert (status, got, headers.get("content-type")) == (200, sent, kind)
    assert headers["content-length"] == str(len(sent))
    assert wire.get("/typed").answer()[1]["content-type"] == "text/x-mine"
    assert wire.get("/own").answer()[1]["content-type"] == "text/x-own"


def test_a_file(serve: Serve, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    app = App()
    app.route("/", lambda request: Response(FileBody(os.open(path, os.O_RDONLY), 2, 5)))
    assert serve(app).connect().get().answer()[2] == b"23456"


@pytest.mark.parametrize(
    "response",
    [
        Response(b"", 99), Response(b"", 600), Response(b"", True), Response(b"", "200"),  # type: ignore[arg-type]
        Response(b"", headers={"A": "b\r\nC: d"}), Response(b"", headers={"A\r\n": "b"}),
        Response(b"", headers=[("A", "b\0")]), Response(b"", headers=[("A",)]),  # type: ignore[list-item]
        Response(object()), Response(3.5),  # type: ignore[arg-type]
        Response({"a": object()}), Response("\ud800"),
    ],
    ids=repr,
)  # fmt: skip
def test_what_cannot_be_sent_is_a_500(serve: Serve, response: Response, capfd: pytest.CaptureFixture[str]) -> None:
    app = App()
    app.route("/", lambda request: response)
    app.route("/fine", lambda request: "fine")
    wire = serve(app).connect()
    status, headers, sent = wire.get().answer()
    assert (status, sent) == (500, b"Internal Server Error\n")
    assert "c" not in headers
    assert wire.get("/fine").answer()[2] == b"fine"
    assert "a handler failed: GET /" in capfd.readouterr().err
