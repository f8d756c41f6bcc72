"""Clocks that jump, and a process that was stopped: time limits are those of the monotonic clock alone."""

from __future__ import annotations

import os
import pathlib
import re
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.waiting import until

import dimcore
import dimserver

Start = Callable[..., Any]
SOURCES = pathlib.Path(dimserver.__file__).parents[1]

# Every reading of the wall clock, each with what it is for; none of them may decide how long anything lasts.
WALL = re.compile(
    r"\btime\(NULL\)|(?<!\w)time\.time(?:_ns)?\(|from time import[^\n]*\btime(?:_ns)?\b|CLOCK_REALTIME"
    r"|\bgettimeofday\b|\bdatetime\.(?:now|utcnow|today)\b|\bdate\.today\b"
)
ALLOWED = {
    "dimcore/conn/core.pyx": "the Date field, before the first round of the loop",
    "dimcore/conn/deadlines.pyx": "the Date field",
    "dimcore/http1/head_writer.pyx": "the Date field of `format_head`",
    "dimcore/conn/access_log.h": "the time of a line of the access log",
    "dimserver/supervisor/reloads.py": "when a reload was asked for, as the operator reads it",
    "dimserver/cli/status.py": "how long ago that was",
}

APP = """
import time
from dimserver import App
app = App()

@app.get("/")
def index(request):
    return "index"

@app.get("/thread", blocking=True)
def thread(request):
    time.sleep(0.5)
    return "thread"
"""


def test_the_wall_clock_is_read_where_it_is_shown_and_nowhere_else() -> None:
    if not (SOURCES / "dimcore" / "conn" / "core.pyx").exists():
        pytest.skip("the sources of the core are not here")
    found = {}
    for path in sorted(SOURCES.rglob("*")):
        if path.suffix in (".py", ".pyx", ".pxd", ".h") and (lines := WALL.findall(path.read_text("utf-8"))):
            found[path.relative_to(SOURCES).as_posix()] = lines
    shown = {name for name in found if name not in ALLOWED and not is_a_stamp(name)}
    assert shown == set(), found
    assert ALLOWED.keys() <= found.keys()


def is_a_stamp(name: str) -> bool:
    """Modules that write the time of day into lines or headers, or hold it against a file's."""
    return name.startswith(
        ("dimserver/log", "dimserver/filters/access_log", "dimserver/handlers/", "dimserver/net/private_dir")
    )


@pytest.mark.parametrize("jump", [-1e9, 1e9])
def test_a_wall_clock_that_jumps(serve_local: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, jump: float) -> None:
    """As far as Python code could read it: idle connections stay, new ones are served, deadlines still pass."""
    server = serve_local(timeout=60, timeout_head=0.3)
    idle, slow = server.connect(), server.connect()
    assert idle.get("/").answer()[2] == b"index"
    slow.send(b"GE")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + jump)
    monkeypatch.setattr(time, "time_ns", lambda: int((now + jump) * 1e9))
    assert slow.answer()[0] == 408
    assert idle.get("/").answer()[2] == b"index"
    assert server.connect().get("/").answer()[2] == b"index"


@pytest.fixture
def serve_local() -> Any:
    from tests.support.servers import Local

    made: list[Any] = []

    def start(**settings: object) -> Any:
        app = dimserver.App()
        app.get("/")(lambda request: "index")
        made.append(Local(app, **settings))
        return made[-1]

    yield start
    for server in made:
        for wire in server.wires:
            wire.close()
        server.stop()


def test_a_process_that_was_stopped_for_a_while(child: Start, tmp_path: pathlib.Path) -> None:
    """A laptop that slept, a debugger, a cgroup that was frozen: what ran out meanwhile ends, all else goes on."""
    (tmp_path / "clock.py").write_text(APP)
    server = child(
        "run",
        "clock",
        "--port",
        "0",
        "--timeout",
        "60s",
        "--timeout-head",
        "1s",
        "--timeout-connect",
        "1s",
        cwd=tmp_path,
    )
    idle, half, silent, threaded = (server.connect() for _ in range(4))
    assert idle.get("/").answer()[2] == b"index"
    half.send(b"GET / HTTP/1.1\r\nHo")
    threaded.get("/thread")
    time.sleep(0.1)
    os.kill(server.worker, signal.SIGSTOP)
    try:
        late = server.connect().get("/")  # the kernel takes it in
        time.sleep(2)
    finally:
        os.kill(server.worker, signal.SIGCONT)
    assert late.answer()[2] == b"index"
    assert threaded.answer()[2] == b"thread"
    assert half.answer()[0] == 408
    assert silent.ended()
    assert idle.get("/").answer()[2] == b"index"
    code, _, err = server.end()
    assert code == 0
    assert "Traceback" not in err
    until(lambda: server.process.poll() is not None)


def test_the_core_reads_the_clock_of_time_monotonic() -> None:
    point = dimcore.ConnectionPoint("a")
    before = time.monotonic()
    assert 0 <= point.age_seconds < 5
    index = dimcore.DimensionalConnectionIndex()
    index.add(point, 0, 1)
    assert list(index.expired(0, 1, before - 1)) == []
    assert list(index.expired(0, 1, time.monotonic() + 1)) == [point]
