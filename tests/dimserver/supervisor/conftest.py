"""What the tests of supervisors share: an app to be changed and served, and questions to its server."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.waiting import PATIENCE, until

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


class Control:
    """A server whose control socket is in a place of its own, and questions to it."""

    def __init__(self, child: Callable[..., Any], place: pathlib.Path, *words: str, **options: Any) -> None:
        variables = {"XDG_RUNTIME_DIR": str(place), "TMPDIR": str(place)}
        self.server = child(*words, variables=variables, **options)
        self.place = place
        self.pid = self.server.pid
        self.path = place / "dimserver" / str(self.pid) / "control"

    def open(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(PATIENCE)
        try:
            sock.connect(str(self.path))
        except OSError:
            sock.close()
            raise
        return sock

    def ask(self, target: str, method: str = "GET", body: object = None, **fields: str) -> tuple[int, Any]:
        """Status and content of the answer to one question."""
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = {"Host": "localhost", "Connection": "close", "Content-Length": str(len(data)), **fields}
        if data:
            lines.setdefault("Content-Type", "application/json")
        head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
        with self.open() as sock:
            sock.sendall(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + data)
            whole = b"".join(iter(lambda: sock.recv(65536), b""))
        first, _, rest = whole.partition(b"\r\n")
        content = rest.partition(b"\r\n\r\n")[2]
        return int(first.split()[1]), json.loads(content) if content[:1] == b"{" else content

    def do(self, what: str, body: object = None) -> tuple[int, Any]:
        return self.ask(f"/api/{what}", "POST", body)

    def rows(self, name: str) -> list[Any]:
        status, content = self.ask(f"/api/{name}")
        assert status == 200, content
        return list(content[name])

    @property
    def row(self) -> Any:
        (row,) = self.rows("servers")
        return row

    def outcome(self, number: str) -> Any:
        """A reload, once it is over."""

        def over() -> Any:
            found = next(row for row in self.rows("reloads") if row["id"] == number)
            return found if found["state"] in ("done", "failed") else None

        return until(over)


@pytest.fixture
def control(child: Callable[..., Any], shop: pathlib.Path) -> Iterator[Callable[..., Control]]:
    """``control("run", …)`` starts a server in the directory of `shop`."""
    place = pathlib.Path(tempfile.mkdtemp(dir="/tmp"))  # short enough for a socket
    yield lambda *words, **options: Control(child, place, *words, **{"cwd": shop, **options})
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def change() -> Callable[..., Any]:
    return _change


@pytest.fixture
def ask() -> Callable[..., Any]:
    return _ask


@pytest.fixture
def seen() -> Callable[..., Any]:
    return _seen
