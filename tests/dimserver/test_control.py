"""`dimserver status` and `dimserver reload` as a user types them, with servers that run, fail, hang and are gone."""

from __future__ import annotations

import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.servers import child_environment
from tests.support.waiting import until

Start = Callable[..., Any]

APP = """
import os, time
from dimserver import App
app = App()
VERSION = 1

@app.get("/")
def index(request):
    return f"{os.getpid()} {VERSION}"

@app.get("/stuck")
def stuck(request):
    time.sleep(60)
"""
# The command, which looks at no other place than ours: other servers of this user may run on this machine.
ALONE = """
import os, sys
from dimserver.cli.main import main
from dimserver.net import control_socket
control_socket._where = lambda: iter([os.environ["XDG_RUNTIME_DIR"]])
sys.exit(main(sys.argv[1:]))
"""


class Place:
    """A directory with an app, and servers and commands that have it as XDG_RUNTIME_DIR."""

    def __init__(self, child: Start, path: pathlib.Path) -> None:
        self.path = path
        self._child = child
        self.variables = {"XDG_RUNTIME_DIR": str(path), "TMPDIR": str(path)}
        self.write()

    def write(self, more: str = "", version: int = 1) -> None:
        (self.path / "shop.py").write_text(APP.replace("VERSION = 1", f"VERSION = {version}") + more)
        stamp = 1_000_000_000 + 10 * version + len(more)  # a compiled copy of the same second would pass for it
        os.utime(self.path / "shop.py", (stamp, stamp))

    def serve(self, *words: str, **options: Any) -> Any:
        words = words or ("run", "shop", "--port", "0")
        return self._child(*words, **{"cwd": self.path, "variables": self.variables, **options})

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-X", "dev", "-W", "error", "-c", ALONE, *words], capture_output=True, text=True,
            cwd=self.path, env=child_environment(**{**self.variables, **variables}), timeout=60, check=False,
        )  # fmt: skip


@pytest.fixture
def place(child: Start) -> Iterator[Place]:
    path = pathlib.Path(tempfile.mkdtemp(dir="/tmp"))  # short enough for a socket
    yield Place(child, path)
    shutil.rmtree(path, ignore_errors=True)


def answer(server: Any) -> str:
    with server.connect() as wire:
        return str(wire.get("/").answer()[2].decode())


def last(done: subprocess.CompletedProcess[str]) -> str:
    return done.stderr.splitlines()[-1]


def test_without_a_server(place: Place) -> None:
    for command in ("status", "reload"):
        done = place.run(command)
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr.startswith("dimserver: no server of this user runs")
        assert done.stderr.count("\n") == 1
        assert place.run(command, "--admin", "./none").returncode == 3


def test_one_that_is_well(place: Place) -> None:
    server = place.serve("run", "shop", "--port", "0", "--workers", "2", "--admin", "127.0.0.1:0")
    answer(server)
    done = place.run("status")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].endswith(f"process {server.pid}, serving shop")
    assert server.urls[0] in lines[1]
    assert lines[-1] == "well"
    assert len(lines) < 24
    found = json.loads(place.run("status", "--json").stdout)
    assert (found["well"], found["problems"], found["missing"]) == (True, [], [])
    assert (found["server"]["pid"], len(found["workers"])) == (server.pid, 2)
    assert found["stats"]["requests"]["total_requests"] >= 1
    admin = server.urls[1].removeprefix("http://")
    assert place.run("status", "--admin", admin).returncode == 0
    assert place.run("status", "--pid", str(server.pid)).returncode == 0
    assert place.run("status", "--pid", str(server.worker if len(server.workers) < 2 else 1)).returncode == 3


def test_a_reload_that_succeeds(place: Place) -> None:
    server = place.serve("run", "shop", "--port", "0", "--workers", "2")
    before = server.workers
    place.write(version=2)
    done = place.run("reload")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"dimserver: process {server.pid} has reloaded in ")
    assert {answer(server).split()[1] for _ in range(8)} == {"2"}  # at once: it was waited for
    until(lambda: not set(before) & set(server.workers))


def test_a_reload_whose_app_does_not_import(place: Place) -> None:
    server = place.serve()
    place.write("import no_such_thing\n", 2)
    done = place.run("reload")
    assert (done.returncode, done.stdout) == (1, "")
    assert last(done) == "dimserver: the reload failed: 'shop' raised ModuleNotFoundError while it was loaded"
    assert "ModuleNotFoundError: No module named 'no_such_thing'" in done.stderr
    assert answer(server).endswith(" 1")
    assert "  last reload  failed, " in place.run("status").stdout
    place.write(version=3)
    assert place.run("reload").returncode == 0
    assert answer(server).endswith(" 3")


def test_a_reload_whose_configuration_is_wrong(place: Place) -> None:
    (place.path / "settings.toml").write_text("drain = 3\n")
    server = place.serve("run", "shop", "--port", "0", "--config", "settings.toml")
    (place.path / "settings.toml").write_text("drian = 3\n")
    done = place.run("reload")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("dimserver: the reload failed: ")
    assert "drian" in done.stderr
    assert answer(server).endswith(" 1")


def test_a_reload_whose_worker_dies(place: Place) -> None:
    place.serve()
    place.write("os._exit(7)\n", 2)
    done = place.run("reload")
    assert done.returncode == 1
    assert done.stderr.startswith("dimserver: the reload failed: worker ")
    assert "ended with exit code 7 before it served" in done.stderr


def test_a_reload_that_takes_long(place: Place) -> None:
    place.serve()
    place.write("time.sleep(1.5)\n", 2)
    assert place.run("reload", "--no-wait").returncode == 0
    done = place.run("reload", "--timeout", "100ms")
    assert done.returncode == 1
    assert done.stderr == "dimserver: the reload is not done within 0.1 s; it goes on\n"
    until(lambda: "last reload  done" in place.run("status").stdout)


def test_two_servers(place: Place) -> None:
    one, other = place.serve(), place.serve()
    for command in ("status", "reload"):
        done = place.run(command)
        assert (done.returncode, done.stdout) == (2, "")
        low, high = sorted((one.pid, other.pid))
        assert done.stderr == f"dimserver: 2 servers run; say which: --pid {low}, --pid {high}\n"
        assert place.run(command, "--pid", str(other.pid)).returncode == 0
    other.end(signal.SIGKILL)
    assert place.run("status").returncode == 0
    one.end()
    assert place.run("status").returncode == 3


def test_pid_files(place: Place) -> None:
    server = place.serve("run", "shop", "--port", "0", "--pidfile", "pid")
    place.write(version=2)
    done = place.run("reload", "--pidfile", "pid")
    assert (done.returncode, answer(server)[-1]) == (0, "2")
    place.write("1 / 0\n", 3)
    assert place.run("reload", "--pidfile", "pid").returncode == 1
    place.write(version=4)
    # Whose control socket is elsewhere: by signal, and nobody tells what becomes of it.
    done = place.run("reload", "--pidfile", "pid", XDG_RUNTIME_DIR=str(place.path / "pid"))
    assert done.stdout == f"dimserver: reload asked of process {server.pid} by signal; its log says how it went\n"
    until(lambda: answer(server).endswith(" 4"))


def test_a_stale_pid_file(place: Place) -> None:
    server = place.serve()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        for content, message in (
            (gone.pid, f"names process {gone.pid}, which is not running"),
            (sleeper.pid, f"process {sleeper.pid} is not a dimserver"),
            ("x", "contains no process id"),
        ):
            (place.path / "stale").write_text(f"{content}\n")
            done = place.run("reload", "--pidfile", "stale")
            assert (done.returncode, done.stderr.count("\n")) == (1, 1)
            assert message in done.stderr
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()
    assert "reload" not in server.end()[2]


def test_a_worker_that_hangs(place: Place) -> None:
    server = place.serve("run", "shop", "--port", "0", "--drain", "1")
    hung = server.worker
    wire = server.connect().get("/stuck")
    time.sleep(0.2)
    done = place.run("status")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "not well: worker 0 does not answer: no answer within 0.2 s"
    assert f"  0       {hung}" in done.stdout
    place.write(version=2)
    assert place.run("reload").returncode == 0
    assert answer(server).endswith(" 2")
    until(lambda: place.run("status").returncode == 0)
    assert wire.ended()


def test_a_supervisor_that_hangs(place: Place) -> None:
    server = place.serve("run", "shop", "--port", "0", "--admin", "127.0.0.1:0")
    admin = server.urls[1].removeprefix("http://")
    os.kill(server.pid, signal.SIGSTOP)
    try:
        done = place.run("status", "--admin", admin)
        assert done.returncode == 1
        assert done.stdout.splitlines()[-1] == "not well: the supervisor does not answer"
        done = place.run("reload", "--admin", admin)
        assert done.returncode == 1
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert place.run("reload", "--admin", admin).returncode == 0


def test_a_token(place: Place) -> None:
    server = place.serve("run", "shop", "--port", "0", "--admin", "127.0.0.1:0", "--api-token", "s3cret")
    admin = server.urls[1].removeprefix("http://")
    (place.path / "token").write_text("s3cret\n")
    assert place.run("status").returncode == 0  # the control socket's mode decides
    done = place.run("reload", "--admin", admin)
    assert done.returncode == 1
    assert "forbidden" in done.stderr
    assert place.run("reload", "--admin", admin, "--api-token", "s3cret").returncode == 0
    assert place.run("status", "--admin", admin, "--api-token-file", "token").returncode == 0
    assert place.run("status", "--admin", admin, DIMSERVER_API_TOKEN="s3cret").returncode == 0


def test_a_program_that_serves_itself(place: Place) -> None:
    (place.path / "program.py").write_text("from shop import app\napp.run(port=0)\n")
    server = place.serve(module=("program.py",))
    assert place.run("status").returncode == 0
    done = place.run("reload")
    assert done.returncode == 1
    assert "this program serves in its own process" in done.stderr
    assert server.end()[0] == 0
    assert place.run("status").returncode == 3


def test_after_a_change_of_a_source(place: Place) -> None:
    pytest.importorskip("watchfiles")
    server = place.serve("run", "shop", "--port", "0", "--reload")
    versions = itertools.count(2)

    def changed() -> bool:  # a change that is made before it watches goes unnoticed
        place.write(version=next(versions))
        time.sleep(0.5)
        return not answer(server).endswith(" 1")

    until(changed)
    until(lambda: "last reload  done" in place.run("status").stdout)
    assert json.loads(place.run("status", "--json").stdout)["server"]["reload"]["by"] == "--reload"
    assert place.run("reload").returncode == 0
    assert server.end()[0] == 0
