"""Instructions a request takes, counted by valgrind's callgrind: a figure that no other load on the machine moves.

Two servers answer a few and many requests; the difference of their instructions over that of their requests is what
one more request takes.  Start, warm-up and end are the same in both and fall out of it.  The app serves itself
(`App.run`), in one process: a supervisor forks its workers, and callgrind does not follow a fork whose title changes.
"""

from __future__ import annotations

import re
import shutil
import socket
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench.load.process import REQUEST, ServerError, free_port, serving

HINT = "valgrind is not on PATH: its callgrind counts the instructions (Debian and Ubuntu: apt-get install valgrind)"
PROGRAM = "import sys; from native import app; app.run(port=int(sys.argv[1]), max_connections=12000)"
FEW, MANY = 1, 9  # thousands of requests, about
SLOWNESS = 20.0  # a program runs up to fifty times slower under callgrind, and takes 3 s to start instead of 0.1 s
PATIENCE = 60.0  # seconds until an answer
TOTALS = re.compile(r"^(?:totals|summary): (\d+)", re.MULTILINE)


def instructions(python: str, python_path: str, connections: int, pipeline: int, keep: Path | None = None) -> float:
    """Return how many instructions one more request takes.

    Args:
        python: the interpreter that has dimserver.
        python_path: ``PYTHONPATH`` for it.
        connections: open at once.
        pipeline: requests sent in one write.
        keep: directory that gets the profiles.

    Raises:
        ServerError: valgrind is not installed, or the server did not start, answer or end under it.
    """
    if shutil.which("valgrind") is None:
        raise ServerError(HINT)
    found = []
    for thousands in (FEW, MANY):
        rounds = max(1, thousands * 1000 // (connections * pipeline))
        total = _counted(python, python_path, connections, pipeline, rounds, keep)
        found.append((rounds * connections * pipeline, total))
    (few, less), (many, more) = found
    return (more - less) / (many - few)


def _counted(python: str, python_path: str, connections: int, pipeline: int, rounds: int, keep: Path | None) -> int:
    """Return the instructions of a whole server process that answered so many rounds."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bench-callgrind-") as place:
        directory = keep or Path(place)
        directory.mkdir(parents=True, exist_ok=True)
        name = f"callgrind.{rounds}-rounds"
        # One seed for every hash: what a dict's look-up takes is then the same in each process.
        words = ["env", "PYTHONHASHSEED=0", "valgrind", "--tool=callgrind"]
        words += [f"--callgrind-out-file={directory}/{name}.%p", python, "-c", PROGRAM, str(port)]
        for old in directory.glob(f"{name}.*"):
            old.unlink()
        with serving(words, port, None, Path(place) / "log", python_path, slowness=SLOWNESS):
            try:
                rounds_of_requests(port, connections, pipeline, rounds)
            except OSError as error:
                raise ServerError(f"under callgrind: {error}") from error
        totals = [TOTALS.search(path.read_text()) for path in directory.glob(f"{name}.*")]
    if not totals or None in totals:
        raise ServerError("callgrind left no figures: the server did not end by itself")
    return sum(int(total[1]) for total in totals if total)


def rounds_of_requests(port: int, connections: int, pipeline: int, rounds: int) -> None:
    """Send on every connection, then read from every connection, so many times over.

    Raises:
        OSError: a connection failed or ended, or nothing came for a minute.
    """
    with ExitStack() as stack:
        opened = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE))
            for _ in range(connections)
        ]
        length = 0
        for _ in range(rounds):
            for client in opened:
                client.sendall(REQUEST * pipeline)
            for client in opened:
                length = length or _first_length(client)
                _read(client, length * pipeline)


def _first_length(client: socket.socket) -> int:
    """Return how long an answer is, without taking it: all of them are alike."""
    start = b""
    while (end := start.find(b"\r\n\r\n")) < 0:
        start = client.recv(65536, socket.MSG_PEEK)
        if not start:
            raise ConnectionError("the server closed a kept connection")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", start[:end])
    if length is None:
        raise ConnectionError(f"an answer without a length: {start[:200]!r}")
    return end + 4 + int(length[1])


def _read(client: socket.socket, size: int) -> None:
    while size:
        piece = client.recv(min(size, 1 << 16))
        if not piece:
            raise ConnectionError("the server closed a kept connection")
        size -= len(piece)
