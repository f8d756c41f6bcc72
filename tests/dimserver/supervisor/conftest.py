"""What the tests of supervisors share: an app to be changed and served, and questions to its server."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.waiting import until

APP = """
import os, time
from dimserver import App
app = App()
VERSION = 1

@app.get("/")
def index(request):
    return f"{os.getpid()} {VERSION}"

@app.get("/slow", blocking=True)
def slow(request):
    time.sleep(float(request.query_params.get("seconds", "0.3")))
    return f"slow {VERSION}"

@app.get("/stuck")
def stuck(request):
    time.sleep(60)

@app.get("/stuck-thread", blocking=True)
def stuck_thread(request):
    time.sleep(60)

@app.get("/exit")
def leave(request):
    os._exit(3)
"""


@pytest.fixture
def shop(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "shop.py").write_text(APP)
    return tmp_path


def _change(shop: pathlib.Path, old: str, new: str) -> None:
    """Rewrite the app, with a time of its own: a compiled copy of the same second would pass for it."""
    path = shop / "shop.py"
    stamp = path.stat().st_mtime_ns + 2_000_000_000
    path.write_text(path.read_text().replace(old, new))
    os.utime(path, ns=(stamp, stamp))


def _ask(server: Any, path: str = "/") -> str:
    with server.connect() as wire:
        status, _, body = wire.get(path).answer()
    assert status == 200
    return str(body.decode())


def _seen(server: Any, number: int) -> set[str]:
    """What is answered by different workers, until so many have been met."""
    found: set[str] = set()
    until(lambda: bool(found.add(_ask(server))) or len(found) >= number, f"{number} different answers")
    return found


@pytest.fixture
def change() -> Callable[..., Any]:
    return _change


@pytest.fixture
def ask() -> Callable[..., Any]:
    return _ask


@pytest.fixture
def seen() -> Callable[..., Any]:
    return _seen
