"""Server-sent events, as a browser reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dimcore import ResponseError
from dimserver import App
from dimserver.http.events import Event, event_stream

Serve = Callable[..., Any]


@pytest.mark.parametrize(
    ("event", "encoded"),
    [
        (Event(), "data: \n\n"),
        (Event("a"), "data: a\n\n"),
        (Event("a\nb\r\nc\rd"), "data: a\ndata: b\ndata: c\ndata: d\n\n"),
        (Event("a\n"), "data: a\ndata: \n\n"),
        (Event("\u2028\x85\x0b"), "data: \u2028\x85\x0b\n\n"),  # line ends to Python alone
        (Event(": no comment"), "data: : no comment\n\n"),
        (Event("é"), "data: é\n\n"),
        (Event("a", "tick"), "event: tick\ndata: a\n\n"),
        (Event("a", id="7", retry=0), "id: 7\nretry: 0\ndata: a\n\n"),
        (Event("a", id=""), "id: \ndata: a\n\n"),
        (Event("a", "e", "i", 1500), "event: e\nid: i\nretry: 1500\ndata: a\n\n"),
    ],
)
def test_encoding(event: Event, encoded: str) -> None:
    assert event.encode() == encoded.encode()


@pytest.mark.parametrize("break_", ["\r", "\n", "\r\n", "\0"])
@pytest.mark.parametrize("name", ["event", "id"])
def test_nothing_can_be_smuggled_in(name: str, break_: str) -> None:
    fields: dict[str, Any] = {name: f"a{break_}data: b"}
    with pytest.raises(ResponseError, match=f"the {name} of an event"):
        Event("x", **fields)


def test_a_wait_below_nothing() -> None:
    with pytest.raises(ResponseError, match="retry is -1"):
        Event("x", retry=-1)


def test_the_source_is_closed_with_the_answer() -> None:
    ended: list[int] = []

    def source() -> Iterator[Event | str]:
        try:
            while True:
                yield "a"
        finally:
            ended.append(1)

    response = event_stream(source(), 201)
    assert response.status == 201
    body: Any = response.body
    assert next(body) == b"data: a\n\n"
    body.close()
    assert ended == [1]
    assert list(event_stream(["a", Event("b")]).body) == [b"data: a\n\n", b"data: b\n\n"]  # type: ignore[arg-type]


@pytest.mark.parametrize("blocking", [False, True])
def test_on_the_wire(serve: Serve, blocking: bool) -> None:
    app = App()
    app.get("/", blocking=blocking)(lambda request: event_stream(["one", Event("two", "e")]))
    wire = serve(app).connect().get()
    _, headers, _ = wire.answer()
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-store"
    expected = b"b\r\ndata: one\n\n\r\n" + b"14\r\nevent: e\ndata: two\n\n\r\n" + b"0\r\n\r\n"
    merged = b"1f\r\ndata: one\n\nevent: e\ndata: two\n\n\r\n0\r\n\r\n"  # what a thread made at once may go at once
    while not wire.left.endswith(b"0\r\n\r\n"):
        wire.left += wire.sock.recv(1000)
    assert wire.left in (expected, merged)
