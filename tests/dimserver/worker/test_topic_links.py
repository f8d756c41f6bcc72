"""What a worker does for the topics of its app."""

from __future__ import annotations

import http.client
import pathlib
from collections.abc import Callable
from contextlib import closing
from threading import Thread, get_ident
from typing import Any

from tests.support.waiting import until

from dimserver import App
from dimserver.config import Settings
from dimserver.worker.operator_api import Place
from dimserver.worker.worker import Worker

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


class Member:
    """A worker among others, on a thread of its own."""

    def __init__(self, directory: pathlib.Path, number: int, app: App, **settings: object) -> None:
        place = Place(record=number, directory=str(directory))
        self.app = app
        self.worker = Worker(app, Settings(port=0, drain=1, **settings), place=place)
        self._thread = Thread(target=self.worker.run)
        self._thread.start()

    def get(self, path: str) -> bytes:
        with closing(http.client.HTTPConnection(self.worker.urls[0].removeprefix("http://"), timeout=20)) as client:
            client.request("GET", path)
            return client.getresponse().read()

    def stop(self) -> None:
        self.worker.stop()
        self._thread.join(20)
        assert not self._thread.is_alive()


def publisher() -> App:
    app = App()
    app.get("/")(lambda request: "nothing")
    app.get("/loop")(lambda request: str(app.topic("x").publish("loop")))
    app.get("/thread", blocking=True)(lambda request: str(app.topic("x").publish("thread")))
    return app


def sockets(directory: pathlib.Path) -> int:
    return sum(path.name.startswith("t") for path in directory.iterdir())


def test_links_are_made_when_somebody_asks_for_a_topic(tmp_path: pathlib.Path) -> None:
    """On the loop or on a thread; who never does has none."""
    members = [Member(tmp_path, number, publisher()) for number in range(3)]
    try:
        for member in members:
            assert member.get("/") == b"nothing"
        assert sockets(tmp_path) == 0
        assert members[0].get("/loop") == b"True"
        assert members[1].get("/thread") == b"True"
        until(lambda: sockets(tmp_path) == 2)
        until(lambda: members[1].get("/loop") == b"True" and members[0].app.topics.received > 0)
        assert members[2].app.topics.received == 0
        figures = members[1].worker.operations.topics.figures()
        assert figures["relayed"] >= 1
        assert figures["published"] >= 2
    finally:
        for member in members:
            member.stop()
    assert sockets(tmp_path) == 0


def test_an_app_with_sockets_is_linked_from_the_start(tmp_path: pathlib.Path) -> None:
    app = publisher()
    app.websocket("/ws", type("Handler", (), {"on_message": lambda self, ws, message: None}))
    member = Member(tmp_path, 0, app)
    try:
        until(lambda: sockets(tmp_path) == 1)
    finally:
        member.stop()
    off = Member(tmp_path, 0, app, pubsub="off")
    try:
        assert off.get("/loop") == b"True"
        assert sockets(tmp_path) == 0
    finally:
        off.stop()


def test_without_a_place_for_sockets_messages_stay_in_the_worker(tmp_path: pathlib.Path, capfd: Any) -> None:
    directory = tmp_path / "gone"
    directory.mkdir()
    member = Member(directory, 0, publisher())
    try:
        for path in directory.iterdir():
            path.unlink()
        directory.rmdir()
        assert member.get("/loop") == b"True"
        assert member.get("/loop") == b"True"
    finally:
        member.stop()
    assert capfd.readouterr().err.count("messages to topics stay within this worker: No such file or directory") == 1
