"""A running server for tests: in this process on a thread, or as a user starts it, in one of its own."""

from __future__ import annotations

import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest

import dimserver
from dimserver import App
from dimserver.config import SETTINGS, Setting
from dimserver.config.types import (
    Charset,
    Choice,
    Duration,
    Endpoint,
    FieldName,
    Flag,
    Hosts,
    Integer,
    Kind,
    Mode,
    Name,
    Networks,
    Size,
    SocketPath,
    Token,
)
from dimserver.testing import Server

# A value of each setting that is not its default, as text: by name where its kind does not tell one.
OTHER = {
    "static": ".",
    "api-token-file": "./token",
    "spool-dir": ".",
    "port": "1",
    "fd": "7",
    "pubsub": "valkey://localhost:6379/1",
    "pubsub-prefix": "other:",
    "pidfile": "./pid",
    "access-log-file": "./log",
    "log-file": "./log",
    "root-path": "/below",
    "threads": "7",
}
OF_A_KIND: dict[type[Kind], str] = {
    Duration: "700ms",
    Size: "4KiB",
    Mode: "0640",
    Name: "::1",
    Endpoint: "[::1]:9",
    SocketPath: "./x",
    Token: "secret",
    Networks: "10.0.0.0/8,unix",
    Hosts: "my.host,10.0.0.1",
    FieldName: "X-Request-Id",
    Charset: "utf-8",
}
FIXED: set[str] = set()  # settings with one value only

PATIENCE = 20.0  # seconds; for what normally takes milliseconds, on a machine that is busy
SOURCES = pathlib.Path(dimserver.__file__).parents[1]
PROC = pathlib.Path("/proc")


def other_value(setting: Setting) -> str:
    """As text, a value of `setting` that is not its default."""
    kind, default = setting.kind, setting.default
    if setting.name in OTHER:
        return OTHER[setting.name]
    if isinstance(kind, Choice):
        return next(word for word in kind.words if word != default)
    if isinstance(kind, Flag):
        return "false" if default else "true"
    if isinstance(kind, Integer):
        return str(next(number for number in (7, 8, kind.high, kind.low) if kind.low <= number <= kind.high))
    for of, text in OF_A_KIND.items():
        if isinstance(kind, of) and kind.read(text) != default:
            return text
    raise AssertionError(f"say in OTHER what {setting.name} may be besides its default")


class Wire:
    """A raw connection that reads whole answers."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(PATIENCE)
        self.left = b""

    def send(self, data: bytes) -> Wire:
        self.sock.sendall(data)
        return self

    def get(self, target: str = "/", *fields: str, method: str = "GET") -> Wire:
        lines = "".join(f"{field}\r\n" for field in fields)
        return self.send(f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode())

    def answer(self, head_only: bool = False) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (names in lower case) and body of the next answer; () is the end of the stream."""
        while b"\r\n\r\n" not in self.left:
            self._more()
        head, _, self.left = self.left.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        size = 0 if head_only else int(headers.get("content-length", 0))
        while len(self.left) < size:
            self._more()
        body, self.left = self.left[:size], self.left[size:]
        return int(first.split()[1]), headers, body

    def ended(self) -> bool:
        """Whether the server closed the connection and sent nothing more."""
        try:
            return self.left == b"" and self.sock.recv(1) == b""
        except ConnectionResetError:
            return True

    def _more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise EOFError(f"the connection ended after {self.left!r:.200}")
        self.left += data

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def connect(url: str) -> Wire:
    """Connect to ``http://host:port`` or ``unix:path``."""
    if url.startswith("unix:"):
        wire = Wire(socket.socket(socket.AF_UNIX))
        wire.sock.connect(url.removeprefix("unix:"))
        return wire
    host, _, port = url.removeprefix("http://").rpartition(":")
    return Wire(socket.create_connection((host.strip("[]"), int(port)), PATIENCE))


def until(condition: Callable[[], bool], what: str = "") -> None:
    """Wait for something that will be so in a moment."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {PATIENCE} s: {what or condition}")
        time.sleep(0.005)


class Local(Server):
    """A server on a thread of this process; its log goes to standard error."""

    thread_name = "server under test"

    def __init__(self, app: App | None, **settings: object) -> None:
        super().__init__(app, **{"log_file": None, **settings})
        self.wires: list[Wire] = []
        self.start()

    def connect(self, which: int = 0) -> Wire:
        self.wires.append(connect(self.urls[which]))
        return self.wires[-1]


def _stat(pid: str) -> list[str]:
    """The fields of /proc/PID/stat that follow its name: state, parent …; [] once it is gone."""
    try:
        return (PROC / pid / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _is_zombie(pid: str) -> bool:
    return _stat(pid)[:1] in ([], ["Z"])


def _parent(pid: str) -> int:
    return int(stat[1]) if (stat := _stat(pid)) else 0


class Child:
    """A server in a process of its own, started as a user would, in development mode and with warnings as errors."""

    def __init__(
        self,
        *words: str,
        cwd: pathlib.Path | None = None,
        python: tuple[str, ...] = ("-X", "dev", "-W", "error"),
        module: tuple[str, ...] = ("-m", "dimserver"),
        announced: bool = True,
        variables: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *python, *module, *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd=cwd, env=child_environment(**(variables or {})), **more,
        )  # fmt: skip
        self.pid = self.process.pid
        self.first = ""
        self.urls: list[str] = []
        self.wires: list[Wire] = []
        if announced:
            self.first = self._announcement()
            self.urls = re.findall(r"http://[^\s,]+|unix:[^\s,]+", self.first)

    def _announcement(self) -> str:
        """The line that says where it listens, on whichever stream it comes."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        streams = [self.process.stdout, self.process.stderr]
        end = time.monotonic() + PATIENCE
        seen = dict.fromkeys(streams, b"")
        while streams and time.monotonic() < end:
            for stream in select.select(streams, [], [], 0.1)[0]:
                data = os.read(stream.fileno(), 1)  # what follows the line is left for `end`
                if not data:
                    streams.remove(stream)
                seen[stream] += data
                line = seen[stream].decode("utf-8", "replace").rpartition("dimserver: serving ")
                if line[1] and "\n" in line[2]:
                    return line[1] + line[2]
        rest = self.end(signal.SIGKILL)
        raise AssertionError(f"the server did not start: {list(seen.values())!r} {rest}")

    def connect(self, which: int = 0) -> Wire:
        self.wires.append(connect(self.urls[which]))
        return self.wires[-1]

    @property
    def workers(self) -> list[int]:
        """The process ids of its workers; of itself where it serves in its own process."""
        if PROC.exists():
            try:
                # Asked again and again by tests that wait.
                found = (PROC / f"{self.pid}/task/{self.pid}/children").read_text().split()
            except (FileNotFoundError, ProcessLookupError):  # a kernel without such a file; or it has ended
                found = [each.name for each in PROC.glob("[1-9]*") if _parent(each.name) == self.pid]
            return sorted(int(pid) for pid in found if not _is_zombie(pid)) or [self.pid]
        listed = subprocess.run(["ps", "-A", "-o", "ppid=,pid=,stat="], capture_output=True, text=True, check=True)
        rows = [line.split() for line in listed.stdout.splitlines()]
        children = [int(pid) for parent, pid, stat in rows if int(parent) == self.pid and not stat.startswith("Z")]
        return sorted(children) or [self.pid]

    @property
    def worker(self) -> int:
        """The process id of its only worker."""
        (pid,) = self.workers
        return pid

    def hint(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Send a signal unless it ended already; exit code and the rest of both streams."""
        if self.process.poll() is None and number:
            self.process.send_signal(number)
        try:
            out, err = self.process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, err = self.process.communicate()
            raise AssertionError(f"the server did not end: {out!r} {err!r}") from None
        return self.process.returncode, out.decode(), err.decode()


@pytest.fixture(scope="session")
def other() -> dict[str, str]:
    """Of each setting that has more than one value: its name, and a value as text that is not its default."""
    return {setting.name: other_value(setting) for setting in SETTINGS if setting.name not in FIXED}


def child_environment(**more: str) -> dict[str, str]:
    """The variables for a child process, which may run in another directory."""
    variables = {**os.environ, "COLUMNS": "80", **more}
    if "PYTHONPATH" in variables:
        variables["PYTHONPATH"] = os.pathsep.join([str(SOURCES), variables["PYTHONPATH"]])
    return variables


@pytest.fixture
def serve() -> Iterator[Callable[..., Local]]:
    """``serve(app, **settings)`` starts a `Local`, stopped at the end."""
    running: list[Local] = []

    def start(app: App | None = None, **settings: object) -> Local:
        running.append(Local(app, **settings))
        return running[-1]

    yield start
    for server in running:
        for wire in server.wires:  # first: a stop waits for who still sends
            wire.close()
        server.stop()


@pytest.fixture
def child() -> Iterator[Callable[..., Child]]:
    """``child("run", …)`` starts a `Child`, killed at the end if it still runs."""
    running: list[Child] = []

    def start(*words: str, **options: Any) -> Child:
        running.append(Child(*words, **options))
        return running[-1]

    yield start
    for process in running:
        if process.process.poll() is None:
            process.process.kill()
        for stream in (process.process.stdout, process.process.stderr):
            stream.close()
        process.process.wait()
        for wire in process.wires:
            wire.close()
