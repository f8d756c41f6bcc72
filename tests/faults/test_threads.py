"""Threads of an app's own that close connections while the loop serves them."""

from __future__ import annotations

import pathlib
import random
import threading
import time
from typing import Any

import pytest
from tests.support.servers import Local

from dimserver import App

SECONDS = 1.5


@pytest.mark.parametrize("threads", [0, 4])
@pytest.mark.parametrize("seconds", [SECONDS, pytest.param(20.0, marks=pytest.mark.slow)])
def test_a_storm_of_closing(tmp_path: pathlib.Path, threads: int, seconds: float) -> None:
    """Each is closed, nobody else notices, and the log has nothing to say."""
    seen: list[Any] = []
    app = App()

    @app.get("/")
    def hello(request: Any) -> str:
        seen.append(request.connection)
        if request.query_string:
            time.sleep(0.001)
        return "hello"

    log = tmp_path / "errors"
    server = Local(app, threads=threads, log_file=str(log))
    end = time.monotonic() + seconds
    asked = [0, 0]

    def close() -> None:
        while time.monotonic() < end:
            if seen:
                try:
                    seen.pop(random.randrange(len(seen))).close()
                except IndexError:
                    continue
            else:
                time.sleep(0)

    def ask() -> None:
        while time.monotonic() < end:
            wire = server.connect()
            try:
                for number in range(5):
                    asked[0] += 1
                    assert wire.get(f"/?{number}" if number % 2 else "/").answer()[2] == b"hello"
            except (EOFError, OSError):
                asked[1] += 1
            finally:
                wire.close()

    workers = [threading.Thread(target=target) for target in (close, close, ask, ask, ask)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    with server.connect() as wire:
        assert wire.get().answer()[2] == b"hello"
    server.stop()
    assert asked[0] > 100
    assert asked[1] > 10
    assert not log.exists() or log.read_text() == ""
