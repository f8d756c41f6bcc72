"""A body on its way from the loop to a handler's thread."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest

from dimcore import BadRequest, UsageError
from dimserver.http.body_stream import HIGH_WATER, LOW_WATER, BodyStream


class Calls:
    """Counts what the stream asks of its connection."""

    def __init__(self) -> None:
        self.paused = 0
        self.resumed = 0

    def pause(self) -> None:
        self.paused += 1

    def resume(self) -> None:
        self.resumed += 1


def make() -> tuple[BodyStream, Calls]:
    calls = Calls()
    return BodyStream(calls.pause, calls.resume), calls


@pytest.mark.parametrize("take", [next, BodyStream.read])
def test_a_stream_that_begins_paused_goes_on_when_it_is_wanted(take: Callable[[BodyStream], bytes]) -> None:
    calls = Calls()

    def resume() -> None:
        calls.resume()
        stream.feed(b"a")
        stream.end()

    stream = BodyStream(calls.pause, resume, paused=True)
    assert calls.resumed == 0
    assert take(stream) == b"a"
    assert list(stream) == []
    assert (calls.paused, calls.resumed) == (0, 1)


def test_pieces_in_order() -> None:
    stream, calls = make()
    stream.feed(b"a")
    stream.feed(b"b")
    stream.end()
    assert iter(stream) is stream
    assert list(stream) == [b"a", b"b"]
    assert list(stream) == []
    assert (calls.paused, calls.resumed) == (0, 0)


def test_all_of_it() -> None:
    stream, _ = make()
    stream.feed(b"a")
    stream.feed(b"b")
    stream.end("")
    assert stream.read() == b"ab"


def test_an_empty_one() -> None:
    stream, _ = make()
    stream.end()
    assert stream.read() == b""


def test_a_part_is_not_the_whole() -> None:
    stream, _ = make()
    stream.feed(b"a")
    stream.feed(b"b")
    stream.end()
    assert next(stream) == b"a"
    with pytest.raises(UsageError, match="has been read"):
        stream.read()


def test_a_body_that_will_never_be_complete() -> None:
    stream, _ = make()
    stream.feed(b"a")
    stream.end("the client left")
    assert next(stream) == b"a"
    for _ in range(2):
        with pytest.raises(BadRequest, match="the client left"):
            next(stream)
    stream, _ = make()
    stream.feed(b"a")
    stream.end("the client left")
    with pytest.raises(BadRequest):
        stream.read()


def test_reading_stops_at_the_high_mark_and_goes_on_at_the_low_one() -> None:
    stream, calls = make()
    piece = b"x" * (HIGH_WATER // 8)
    for number in range(10):
        assert calls.paused == (number >= 8)
        stream.feed(piece)
    assert (calls.paused, calls.resumed) == (1, 0)
    waiting = 10 * len(piece)
    while waiting:
        assert calls.resumed == (waiting <= LOW_WATER)
        assert next(stream) == piece
        waiting -= len(piece)
    assert (calls.paused, calls.resumed) == (1, 1)
    for _ in range(8):
        stream.feed(piece)
    assert calls.paused == 2


def test_a_handler_waits_for_what_comes() -> None:
    stream, _ = make()
    got: list[Any] = []

    def take() -> None:
        try:
            got.extend(stream)
        except BadRequest as error:
            got.append(str(error))

    thread = Thread(target=take)
    thread.start()
    for number in range(100):
        stream.feed(b"%d" % number)
    stream.end("broken off")
    thread.join(10)
    assert not thread.is_alive()
    assert got == [*(b"%d" % number for number in range(100)), "broken off"]
