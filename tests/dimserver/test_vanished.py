"""Directories that somebody takes away while the server runs: it goes on, reloads, and replaces its workers."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.waiting import until

from dimserver.supervisor.slots import AT_ONCE

Start = Callable[..., Any]

APP = """
import os
from dimserver import App
app = App()
app.get("/")(lambda request: f"{os.getpid()}")
"""


@pytest.fixture
def place() -> Iterator[pathlib.Path]:
    """A directory whose name is short enough for a socket in it."""
    path = pathlib.Path(tempfile.mkdtemp(dir="/tmp"))
    (path / "app.py").write_text(APP)
    for name in ("run", "logs", "bodies"):
        (path / name).mkdir()
    yield path
    shutil.rmtree(path, ignore_errors=True)


def replaced(server: Any) -> None:
    """Kill each worker, more often than is needed for back-off, and see that there are others."""
    for _ in range(AT_ONCE):
        before = server.workers
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        until(lambda before=before: len(server.workers) == len(before) and not set(before) & set(server.workers))
        until(lambda: answers(server))


def answers(server: Any) -> bool:
    try:
        return bool(server.connect().get("/").answer()[0] == 200)
    except (OSError, EOFError):
        return False


def listed(server: Any) -> dict[str, Any]:
    """The operator's list of connections, of all workers."""
    return dict(json.loads(server.connect(1).get("/api/connections?limit=5").answer()[2]))


@pytest.mark.parametrize("whole", [False, True])
def test_the_directory_of_private_sockets(child: Start, place: pathlib.Path, whole: bool) -> None:
    server = child(
        "run", "app", "--port", "0", "--workers", "2", "--admin", "127.0.0.1:0", cwd=place,
        variables={"XDG_RUNTIME_DIR": str(place / "run"), "TMPDIR": str(place)},
    )  # fmt: skip
    (private,) = (place / "run").glob("dimsock-*")
    shutil.rmtree(place / "run" if whole else private)  # an XDG_RUNTIME_DIR that is unmounted; a /tmp that is cleaned
    one, two = server.workers
    os.kill(one, signal.SIGKILL)
    until(lambda: len(server.workers) == 2 and one not in server.workers)
    # The one that lives and the one that is new find each other.
    until(lambda: not listed(server).get("missing"))
    server.hint(signal.SIGHUP)
    until(lambda: len(server.workers) == 2 and two not in server.workers)
    until(lambda: answers(server))
    (found,) = (place if whole else place / "run").glob("dimsock-*")
    code, _, err = server.end()
    assert code == 0
    assert f"warning: the directory of private sockets was removed: {found} is new" in err
    assert "Traceback" not in err
    assert not found.exists()


def test_directories_of_logs_bodies_and_the_pid_file(child: Start, place: pathlib.Path) -> None:
    server = child(
        "run", "app", "--port", "0", "--pidfile", "logs/pid", "--log-file", "logs/errors", "--access-log", "common",
        "--access-log-file", "logs/access", "--spool-dir", "bodies", cwd=place,
    )  # fmt: skip
    shutil.rmtree(place / "logs")
    shutil.rmtree(place / "bodies")
    replaced(server)
    server.hint(signal.SIGUSR1)
    assert answers(server)
    code, _, err = server.end()
    assert code == 0
    assert "error: cannot open the log '" in err
    assert "error: cannot open the access log '" in err
    assert "Traceback" not in err
