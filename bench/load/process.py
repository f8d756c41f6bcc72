"""One server process: start it on a CPU of its own, watch what it costs, stop it.

Linux only, as the whole comparison is: affinity and ``/proc`` are its means.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.load.peers import APPS

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"
BODY = b"Hello, World!"

START_SECONDS = 20.0
STOP_SECONDS = 5.0
POLL_SECONDS = 0.001
TICK = os.sysconf("SC_CLK_TCK")


class ServerError(Exception):
    """A server that did not start, or did not answer; the message holds the end of its log."""


def free_port() -> int:
    """Return a port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def ask(connection: socket.socket) -> bool:
    """Send one GET and read the answer to its end; False when the peer closed first."""
    connection.sendall(REQUEST)
    got = b""
    while not got.endswith(BODY):
        more = connection.recv(65536)
        if not more:
            return False
        got += more
    return got.startswith(b"HTTP/1.1 200")


def is_up(port: int) -> bool:
    """Return whether the server answers now."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            return ask(connection)
    except OSError:
        return False


@dataclass(frozen=True)
class Running:
    """A server that has answered once.

    Attributes:
        pid: the process that was started; its descendants count with it.
        port: where it listens on the loopback interface.
        cold_start_s: seconds from the start of the process to the end of its first answer.
    """

    pid: int
    port: int
    cold_start_s: float

    def cpu_seconds(self) -> float:
        """Return user and system time of the whole process tree so far (granularity: one tick, mostly 10 ms)."""
        ticks = 0
        for pid in tree(self.pid):
            fields = _read(pid, "stat").rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12]) if fields else 0
        return ticks / TICK

    def resident_bytes(self) -> int:
        """Return the resident memory of the whole process tree."""
        return self._memory("VmRSS:")

    def peak_bytes(self) -> int:
        """Return the sum of what each process of the tree had resident at most, since `reset_peak`."""
        return self._memory("VmHWM:")

    def _memory(self, name: str) -> int:
        total = 0
        for pid in tree(self.pid):
            for line in _read(pid, "status").splitlines():
                if line.startswith(name):
                    total += int(line.split()[1]) * 1024
        return total

    def reset_peak(self) -> None:
        """Begin the peak anew, at what is resident now.

        Raises:
            OSError: it is not ours to reset.
        """
        for pid in tree(self.pid):
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def descriptors(self) -> int:
        """Return how many files the process tree has open."""
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in tree(self.pid))


def tree(pid: int) -> list[int]:
    """Return the process and all its descendants; children hang on the thread that made them."""
    found = [pid]
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = path.read_text().split()
        except OSError:
            continue
        for child in children:
            found += tree(int(child))
    return found


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:  # it ended meanwhile
        return ""


@contextmanager
def pinned(cpu: int | None) -> Iterator[None]:
    """Let what is started inside run on this CPU alone; `None` leaves it to the kernel."""
    if cpu is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def serving(
    command: list[str],
    port: int,
    cpu: int | None,
    log: Path,
    python_path: str = "",
    up: Callable[[int], bool] = is_up,
    slowness: float = 1.0,
) -> Iterator[Running]:
    """Start a server, wait for its first answer, and stop it at the end.

    Args:
        command: as given by `Server.argv`.
        cpu: the CPU it is bound to.
        log: file that takes what it prints.
        python_path: appended to the directory of the applications.
        up: asked with the port whether it answers now.
        slowness: how many times longer than others it may take to start and to end.

    Raises:
        ServerError: it exited, or did not answer in time.
    """
    path = os.pathsep.join(filter(None, (str(APPS), python_path)))
    environment = os.environ | {"PYTHONPATH": path}
    with log.open("wb") as output, pinned(cpu):
        began = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=APPS, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield Running(process.pid, port, _first_answer(process, port, log, began, up, START_SECONDS * slowness))
    finally:
        _stop(process, STOP_SECONDS * slowness)


def _first_answer(
    process: subprocess.Popen[bytes],
    port: int,
    log: Path,
    began: float,
    up: Callable[[int], bool],
    patience: float,
) -> float:
    while not up(port):
        if process.poll() is not None:
            raise ServerError(f"exited with status {process.returncode}: {_tail(log)}")
        if time.perf_counter() - began > patience:
            raise ServerError(f"no answer within {patience:.0f} s: {_tail(log)}")
        time.sleep(POLL_SECONDS)
    return time.perf_counter() - began


def _tail(log: Path) -> str:
    return " / ".join(log.read_text(errors="replace").strip().splitlines()[-3:]) or "it printed nothing"


def _stop(process: subprocess.Popen[bytes], patience: float) -> None:
    """End the session this process leads: workers that outlive their master would disturb the next run."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
    process.wait()
