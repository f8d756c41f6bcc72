"""What stands above a carrier: an exchange that nothing carries, and the frame of an event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dimcore import Push, RequestPoint, UsageError
from dimcore.conn.exchange import Exchange

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"

Serve = Callable[..., Any]


def test_one_that_nothing_carries_is_closed() -> None:
    exchange = Exchange()
    request = RequestPoint(None, "GET", "/")
    closed: list[bool] = []

    def pieces() -> Any:
        try:
            yield b""
        finally:
            closed.append(True)

    assert exchange.closing
    assert exchange.half_closed
    assert exchange.request is None
    exchange.on_ready(3)
    exchange.complete(request, (200, None, pieces()))
    assert exchange.push(Push(), b"nobody") is True
    exchange.end_push(Push(), None)
    exchange.pause_body()
    exchange.resume_body()
    exchange.read_on()
    exchange.tell_end()
    assert not exchange.body_paused


def test_an_event_within_an_event_is_refused(serve: Serve) -> None:
    raised: list[str] = []

    def nested(request: RequestPoint) -> str:
        with pytest.raises(UsageError) as refused:
            request.connection.on_ready(1)
        raised.append(str(refused.value))
        return "whole"

    client = serve(nested).connect()
    assert client.ask(GET).body == b"whole"
    assert "is being served already" in raised[0]


def test_an_interrupt_ends_the_connection_and_goes_on(serve: Serve) -> None:
    def interrupt(request: RequestPoint) -> str:
        raise KeyboardInterrupt

    rig = serve(interrupt)
    client = rig.connect()
    with pytest.raises(KeyboardInterrupt):
        client.send(GET)
    client.wait_for_end()
    assert rig.reports == []
    assert rig.cells() == {}
