"""A running server: in this process on a thread, or as a user starts it, in one of its own."""

from __future__ import annotations

import os
import pathlib
import re
import select
import signal
import subprocess
import sys
import time
from typing import Any

from tests.support.processes import children_of
from tests.support.waiting import PATIENCE
from tests.support.wire import Wire, connect

import dimserver
from dimserver import App
from dimserver.testing import Server

SOURCES = pathlib.Path(dimserver.__file__).parents[1]


def child_environment(**more: str) -> dict[str, str]:
    """The variables for a child process, which may run in another directory."""
    variables = {**os.environ, "COLUMNS": "80", **more}
    if "PYTHONPATH" in variables:
        variables["PYTHONPATH"] = os.pathsep.join([str(SOURCES), variables["PYTHONPATH"]])
    return variables


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
        return children_of(self.pid) or [self.pid]

    @property
    def worker(self) -> int:
        """The process id of its only worker."""
        (pid,) = self.workers
        return pid

    def hint(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Send a signal unless it ended already; exit code and the rest of both streams.

        Idle connections are given up: a server that stops keeps them for a while, for a request on its way.
        """
        if self.process.poll() is None and number:
            self.process.send_signal(number)
        for wire in self.wires:
            wire.leave_if_idle()
        try:
            out, err = self.process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, err = self.process.communicate()
            raise AssertionError(f"the server did not end: {out!r} {err!r}") from None
        return self.process.returncode, out.decode(), err.decode()
