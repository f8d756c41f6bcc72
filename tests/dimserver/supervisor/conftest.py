"""What the tests of supervisors share: an app to be changed and served, and questions to its server."""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Callable
from typing import Any

import pytest

PATIENCE = 60.0  # seconds, for what takes milliseconds, or a second or two where the machine is busy

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


def _until(condition: Callable[[], bool], what: str = "") -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"not within {PATIENCE} s: {what or condition}"
        time.sleep(0.01)


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
    _until(lambda: bool(found.add(_ask(server))) or len(found) >= number, f"{number} different answers")
    return found


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.fixture
def until() -> Callable[..., Any]:
    return _until


@pytest.fixture
def change() -> Callable[..., Any]:
    return _change


@pytest.fixture
def ask() -> Callable[..., Any]:
    return _ask


@pytest.fixture
def seen() -> Callable[..., Any]:
    return _seen


@pytest.fixture
def is_gone() -> Callable[..., Any]:
    return _is_gone
