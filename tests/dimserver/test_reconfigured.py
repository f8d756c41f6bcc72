"""A file of settings that changes, and SIGHUP: what a running server takes up, and what it says it cannot."""

from __future__ import annotations

import os
import pathlib
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.waiting import until

Start = Callable[..., Any]

APP = """
import os, threading
from dimserver import App
app = App()

@app.get("/")
def index(request):
    return f"{os.getpid()} NAME {threading.current_thread().name}"
"""


class Site:
    """A server with a file of settings in a directory of its own."""

    def __init__(self, child: Start, directory: pathlib.Path) -> None:
        self.directory = directory
        for name in ("shop", "bar"):
            (directory / f"{name}.py").write_text(APP.replace("NAME", name))
        self._child = child
        self.err = ""

    def start(self, text: str, *words: str) -> None:
        self.write(text)
        self.server = self._child("run", "--config", "site.toml", *words, cwd=self.directory)
        os.set_blocking(self.server.process.stderr.fileno(), False)

    def write(self, text: str) -> None:
        (self.directory / "site.toml").write_text(text)

    def reload(self, text: str, said: str = "") -> None:
        """Change the file and wait for the last worker of the new generation, or for what the log says."""
        self.write(text)
        before = set(self.server.workers)
        self.server.hint(signal.SIGHUP)
        until(lambda: said in self.read() if said else not before & set(self.server.workers), self.read)

    def read(self) -> str:
        """All that the log said so far."""
        self.err += (self.server.process.stderr.read() or b"").decode()
        return self.err

    def get(self, path: str = "/") -> tuple[int, str]:
        with self.server.connect() as wire:
            status, _, body = wire.get(path).answer()
        return status, body.decode()

    def end(self) -> str:
        self.read()
        code, _, err = self.server.end()
        assert code == 0
        return self.err + str(err)


@pytest.fixture
def site(child: Start, tmp_path: pathlib.Path) -> Site:
    return Site(child, tmp_path)


def test_threads_and_static_files(site: Site) -> None:
    for name in ("one", "two"):
        (site.directory / name).mkdir()
        (site.directory / name / "a.txt").write_text(name)
    site.start('app = "shop"\nport = 0\nstatic = "one"\n')
    assert site.get()[1].endswith(" shop MainThread")
    assert site.get("/a.txt") == (200, "one")
    site.reload('app = "shop"\nport = 0\nstatic = "two"\nthreads = 2\n')
    assert " shop dimserver-" in site.get()[1]
    assert site.get("/a.txt") == (200, "two")
    site.reload('app = "shop"\nport = 0\n')  # what is not said any more has its default again
    assert site.get()[1].endswith(" shop MainThread")
    assert site.get("/a.txt")[0] == 404
    assert "error" not in site.end()


def test_limits_of_time_and_size(site: Site) -> None:
    site.start('app = "shop"\nport = 0\n')
    kept = site.server.connect()
    assert kept.get().answer()[0] == 200
    site.reload('app = "shop"\nport = 0\ntimeout = "200ms"\nlimit-request-line = 64\n')
    with site.server.connect() as wire:
        assert wire.get().answer()[0] == 200
        begun = time.monotonic()
        assert wire.ended()
        assert time.monotonic() - begun < 5
    assert site.get("/" + "x" * 60)[0] == 414
    site.end()


def test_the_number_of_workers(site: Site) -> None:
    site.start('app = "shop"\nport = 0\nworkers = 1\n')
    for number in (3, 2, 1):
        site.reload(f'app = "shop"\nport = 0\nworkers = {number}\n')
        until(lambda number=number: len(site.server.workers) == number)  # type: ignore[misc]
        assert site.get()[0] == 200
    site.end()


def test_logs(site: Site) -> None:
    site.start('app = "shop"\nport = 0\n')
    site.get()
    site.reload(
        'app = "shop"\nport = 0\naccess-log = "common"\naccess-log-file = "access"\n'
        'log-file = "errors"\nlog-format = "json"\n'
    )
    site.get()
    site.reload('app = "shop"\nport = 0\naccess-log = "json"\naccess-log-file = "access"\nlog-file = "errors"\n')
    site.get()
    err = site.end()
    assert "reload: starting a worker with the new configuration and code" in err  # where the log was then
    common, json = (site.directory / "access").read_text().splitlines()
    assert '"GET / HTTP/1.1" 200' in common
    assert json.startswith("{")
    errors = (site.directory / "errors").read_text().splitlines()
    assert any(line.startswith("{") and "the others follow" in line for line in errors)
    assert any(not line.startswith("{") and "the others follow" in line for line in errors)


def test_another_app(site: Site) -> None:
    site.start('app = "shop"\nport = 0\nworkers = 2\n')
    assert " shop " in site.get()[1]
    site.reload('app = "bar"\nport = 0\nworkers = 2\n')
    assert {site.get()[1].split()[1] for _ in range(20)} == {"bar"}
    site.reload('app = "none"\nport = 0\nworkers = 2\n', said="nothing changes")
    assert " bar " in site.get()[1]
    site.reload("port = 0\nworkers = 2\n")  # the built-in endpoints
    assert site.get("/api/status")[0] == 200
    err = site.end()
    assert "info: reload: the new worker serves bar; the others follow" in err
    assert "error: reload: no module named 'none'" in err
    assert "info: reload: the new worker serves the built-in API; the others follow" in err


def test_the_app_of_the_command_line_is_the_stronger_one(site: Site) -> None:
    site.start("port = 0\n", "shop")
    site.reload('port = 0\napp = "bar"\n')
    assert " shop " in site.get()[1]
    site.end()


def test_what_is_opened_at_the_start_stays_and_is_named(site: Site) -> None:
    site.start('app = "shop"\nport = 0\npidfile = "one"\nuds-mode = "0600"\nhost = "127.0.0.1"\n')
    site.reload(
        'app = "shop"\nport = 1\npidfile = "two"\nuds-mode = "0640"\nhost = "::"\nadmin = "127.0.0.1:1"\n'
        'admin-mode = "0640"\nreload = true\n'
    )
    assert site.get()[0] == 200
    assert (site.directory / "one").exists()
    assert not (site.directory / "two").exists()
    err = site.end()
    names = ("host", "port", "uds-mode", "admin", "admin-mode", "pidfile", "reload")
    assert (
        f"warning: reload: {', '.join('--' + name for name in names)} stay as they are until the server restarts" in err
    )
    assert err.count("until the server restarts") == 1


def test_a_mistake_changes_nothing(site: Site) -> None:
    site.start('app = "shop"\nport = 0\n')
    worker = site.get()[1].split()[0]
    for text, complaint in (
        ("threads = -1\n", "site.toml:threads: -1 is not allowed"),
        ("thread = 1\n", "unknown setting 'site.toml:thread'; did you mean 'threads'?"),
        ("threads = \n", "site.toml:3:"),
        ('static = "none"\n', "site.toml:static: no such directory"),
        ("proxy-protocol = true\n", "--proxy-protocol needs --trusted-proxies"),
    ):
        site.reload('app = "shop"\nport = 0\n' + text, said=complaint)
        assert site.get()[1].split()[0] == worker
        site.err = ""
    (site.directory / "site.toml").unlink()
    site.server.hint(signal.SIGHUP)
    until(lambda: "nothing changes" in site.read())
    assert site.get()[1].split()[0] == worker
    site.reload('app = "shop"\nport = 0\nthreads = 1\n')
    assert " shop dimserver-" in site.get()[1]
    site.end()


def test_old_workers_have_the_time_they_were_started_with(site: Site) -> None:
    """A shorter limit is not one for who has begun under a longer one."""
    (site.directory / "slow.py").write_text(
        "import time\nfrom dimserver import App\napp = App()\n"
        "@app.get('/', blocking=True)\ndef slow(request):\n    time.sleep(2.5)\n    return 'slow'\n"
    )
    site.start('app = "slow"\nport = 0\n')
    wire = site.server.connect().get()
    time.sleep(0.2)
    site.server.hint(signal.SIGHUP)
    site.write('app = "slow"\nport = 0\ndrain = "200ms"\n')
    assert wire.answer()[2] == b"slow"
    assert "was killed" not in site.end()
