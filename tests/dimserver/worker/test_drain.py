"""The end of a worker: who is waited for, how long, and who is counted as cut off."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dimserver import App

Serve = Callable[..., Any]
SOON = 5.0  # seconds


@pytest.fixture
def app() -> App:
    app = App()
    app.route("/", lambda request: "index")
    return app


def test_an_idle_connection_has_time_for_one_more_request(serve: Serve, app: App) -> None:
    server = serve(app)
    wire = server.connect()
    wire.get().answer()
    server.worker.stop(linger=0.5, last=False)
    time.sleep(0.1)
    status, fields, _ = wire.get().answer()
    assert (status, fields["connection"]) == (200, "close")
    assert wire.ended()


def test_the_loop_stops_once_all_is_done(serve: Serve, app: App) -> None:
    server = serve(app, drain=30)
    wire = server.connect()
    wire.get().answer()
    begun = time.monotonic()
    server.stop()
    assert time.monotonic() - begun < SOON
    assert wire.ended()
    assert server.worker.counts()["cut_off"] == 0


def test_a_stream_without_an_end_is_cut_and_counted(serve: Serve, app: App) -> None:
    closed = threading.Event()

    def numbers(request: object) -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 1000
                time.sleep(0.01)
        finally:
            closed.set()

    app.get("/stream", blocking=True)(numbers)
    server = serve(app, drain=0.4)
    wire = server.connect().get("/stream")
    while b"xxx" not in wire.left:
        wire.left += wire.sock.recv(65536)
    server.stop()
    assert closed.wait(SOON)
    assert server.worker.counts()["cut_off"] == 1


def test_a_thread_that_ends_after_the_stop_does_no_harm(serve: Serve, app: App) -> None:
    ended = threading.Event()

    def late(request: object) -> bytes:
        time.sleep(0.4)
        ended.set()
        return b"too late"

    app.get("/late", blocking=True)(late)
    server = serve(app, drain=0)
    server.connect().get("/late")
    time.sleep(0.1)
    server.stop()
    reader, writer = os.pipe()  # may have the numbers that were the loop's
    assert ended.wait(SOON)
    time.sleep(0.1)
    os.set_blocking(reader, False)
    with pytest.raises(BlockingIOError):
        os.read(reader, 1)
    os.close(reader)
    os.close(writer)
