"""A worker's part in its server: its record, its place among others, and what it hands over."""

from __future__ import annotations

import json
import os
import pathlib
import threading
from collections.abc import Callable
from typing import Any

import pytest

from dimcore import Board
from dimserver import App
from dimserver.config import Settings
from dimserver.worker.operator_api import Place
from dimserver.worker.worker import Worker

Serve = Callable[..., Any]


def test_a_worker_that_is_alone_has_a_board_too(serve: Serve) -> None:
    server = serve(App(), admin="127.0.0.1:0")
    wire = server.connect(1)
    assert json.loads(wire.get("/api/status").answer()[2])["workers"] == 1
    found = json.loads(wire.get("/api/connections?spiral=3").answer()[2])
    assert [row["id"].partition("-")[0] for row in found["points"]] == ["0"]
    assert found["missing"] == []
    assert [each["name"] for each in json.loads(wire.get("/api/stats").answer()[2])["shared"]] == ["board"]


def test_states_are_those_of_its_life(serve: Serve) -> None:
    worker = Worker(App(), Settings(port=0))
    board = worker.operations.board
    assert board.state(0) == "starting"
    states: list[str] = []
    worker.loop.call_later(0, lambda: states.append(board.state(0)))  # what waits for the first round finds it serving
    worker.loop.call_later(0, worker.stop)
    worker.run()
    assert states == ["serving"]
    assert board.state(0) == "ended"
    assert board.snapshot().workers[0]["connections"] == 0


def test_two_workers_of_one_board_ask_each_other(tmp_path: pathlib.Path) -> None:
    board = Board(2)
    workers = [
        Worker(App(), Settings(port=0, admin="127.0.0.1:0"), place=Place(board, board.allot(number), str(tmp_path)))
        for number in range(2)
    ]
    threads = [threading.Thread(target=worker.run) for worker in workers]
    from http.client import HTTPConnection

    try:
        for thread in threads:
            thread.start()
        clients = [
            HTTPConnection(*worker.urls[1].removeprefix("http://").split(":"), timeout=20)  # type: ignore[arg-type]
            for worker in workers
        ]
        for client in clients:
            client.request("GET", "/api/status")
            client.getresponse().read()
        clients[0].request("GET", "/api/connections?limit=10")
        found = json.loads(clients[0].getresponse().read())
        assert sorted(row["worker"] for row in found["points"]) == [0, 1]
        (other,) = [row["id"] for row in found["points"] if row["worker"] == 1]
        clients[0].request("POST", f"/api/connections/{other}/close")
        closed = json.loads(clients[0].getresponse().read())
        assert (closed["id"], closed["worker"]) == (other, 1)
        for client in clients:
            client.close()
    finally:
        for worker in workers:
            worker.stop()
        for thread in threads:
            thread.join(20)
    assert list(tmp_path.iterdir()) == []


def test_drain_stops_a_worker_that_is_alone(serve: Serve) -> None:
    server = serve(App(), admin="127.0.0.1:0")
    wire = server.connect(1)
    assert wire.get(f"/api/servers/{os.getpid()}/drain", method="POST").answer()[0] == 202
    server._thread.join(20)
    assert not server._thread.is_alive()


def test_without_a_private_socket_a_worker_serves_all_the_same(
    tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    board = Board(1)
    worker = Worker(App(), Settings(port=0), place=Place(board, board.allot(0), str(tmp_path / "no")))
    assert worker.operations.peers._listener is None
    worker._close()
    assert f"error: no private socket for this worker in {tmp_path}/no: No such file" in capfd.readouterr().err


def test_a_route_of_ones_own_is_not_a_deferred_one(serve: Serve) -> None:
    app = App()
    app.get("/thread", blocking=True)(lambda request: threading.current_thread().name)
    assert serve(app).connect().get("/thread").answer()[2] != b"server under test"


def test_the_figures_are_right_as_soon_as_a_deferred_answer_is_out(serve: Serve) -> None:
    server = serve(App(), admin="127.0.0.1:0")
    wire = server.connect(1)
    for number in range(1, 6):
        wire.get("/api/connections").answer()
        # No round of the loop comes after it that anything happens in.
        assert server.worker.operations.board.snapshot().requests()["total_processed"] == number
