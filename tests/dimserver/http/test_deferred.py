"""Deferred answers: over a worker, without a thread, and for clients that do not wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.waiting import until

from dimserver import App
from dimserver.http.deferred import Deferred

Serve = Callable[..., Any]


class Later(Deferred):
    """Keeps what it is to answer."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Any, Any]] = []
        self.threads: list[str] = []

    def begin(self, request: Any, reply: Any) -> None:
        self.threads.append(threading.current_thread().name)
        self.waiting.append((request, reply))

    def __call__(self, request: Any) -> str:  # noqa: ARG002 - every handler takes it
        return "at once"


def test_a_base_answers_nothing() -> None:
    with pytest.raises(NotImplementedError):
        Deferred().begin(None, print)  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError):
        Deferred()(None)  # type: ignore[arg-type]


def test_an_answer_that_comes_later(serve: Serve) -> None:
    app = App()
    later = Later()
    app.route("/later", later, blocking=True)
    app.route("/now", lambda request: "now")
    server = serve(app, threads=0)
    one, other = server.connect(), server.connect()
    one.get("/later?a")
    until(lambda: len(later.waiting) == 1)
    assert other.get("/now").answer()[2] == b"now"  # nobody waits for it
    request, reply = later.waiting[0]
    assert request.raw_target == "/later?a"
    server.worker.loop.call_from_thread(lambda: reply((201, {}, b"done")))
    assert one.answer()[::2] == (201, b"done")
    assert later.threads == ["server under test"]


def test_an_error_that_comes_later(serve: Serve) -> None:
    app = App()
    later = Later()
    app.route("/later", later, blocking=True)
    server = serve(app)
    wire = server.connect().get("/later")
    until(lambda: len(later.waiting) == 1)
    server.worker.loop.call_from_thread(lambda: later.waiting[0][1](None, ValueError("x")))
    assert wire.answer()[0] == 500


def test_a_client_that_left(serve: Serve) -> None:
    app = App()
    later = Later()
    app.route("/later", later, blocking=True)
    app.route("/now", lambda request: "now")
    server = serve(app)
    wire = server.connect().get("/later")
    until(lambda: len(later.waiting) == 1)
    wire.close()
    server.worker.loop.call_from_thread(lambda: later.waiting[0][1]("nobody reads it"))
    assert server.connect().get("/now").answer()[2] == b"now"


def test_a_fault_of_its_beginning(serve: Serve) -> None:
    class Faulty(Deferred):
        def begin(self, request: Any, reply: Any) -> None:
            raise ValueError(request.path, reply)

    app = App()
    app.route("/later", Faulty(), blocking=True)
    assert serve(app).connect().get("/later").answer()[0] == 500
