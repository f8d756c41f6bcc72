"""What a worker does for the topics of its app."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread, get_ident
from typing import Any

from dimserver import App

Serve = Callable[..., Any]


def test_the_settings_and_the_loop_are_the_workers(serve: Serve) -> None:
    app = App()
    threads: list[int] = []
    app.topics.add_outlet(lambda *message: threads.append(get_ident()))

    @app.get("/")
    def publish(request: Any) -> str:
        threads.append(get_ident())
        return str(app.topic("x").publish("on the loop"))

    @app.get("/blocking", blocking=True)
    def publish_blocking(request: Any) -> str:
        return str(app.topic("x").publish("on a thread"))

    server = serve(app, max_topics=5, topics_per_socket=6, topic_buffer=7000)
    wire = server.connect()
    assert wire.get("/").answer()[2] == b"True"
    topics = app.topics
    assert (topics.max_topics, topics.max_per_socket, topics.max_waiting) == (5, 6, 7000)
    assert wire.get("/blocking").answer()[2] == b"True"
    thread = Thread(target=lambda: app.topic("x").publish("another thread"))
    thread.start()
    thread.join()
    wire.get("/").answer()
    assert len(threads) == 6
    assert len(set(threads)) == 1
    assert topics.waiting == 0


def test_behind_the_end_nothing_is_published(serve: Serve) -> None:
    app = App()
    server = serve(app)
    server.connect().get("/").answer()
    assert app.topic("x").publish("y") is True
    server.stop()
    assert app.topic("x").publish("y") is False
    again = serve(app)
    again.connect().get("/").answer()
    assert app.topic("x").publish("y") is True
