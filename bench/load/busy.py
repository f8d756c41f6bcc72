"""``python -m bench.load.busy``: new connections while a worker does not accept, dies, or the server is stopped.

    python -m bench.load.busy held      200 new connections while one of 2 workers is held up for 4 s
    python -m bench.load.busy kills     kill -9 of a worker each 0.5 s for 30 s, 2 workers, fresh connections
    python -m bench.load.busy share     which part of 20,000 fresh connections each of 2 and of 4 workers gets
    python -m bench.load.busy group     SIGTERM to the process group with 100 requests of 2 s in flight

What counts is how many wait, not how fast the others are: so it says the same on a busy machine.  Linux only.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from bench.load.process import free_port
from bench.load.reload import dimserver, running

APP = """
import os, time
from dimserver import App
app = App()

app.get("/")(lambda request: "Hello, World!")
app.get("/who")(lambda request: str(os.getpid()))

@app.get("/held")
def held(request):
    time.sleep(4)
    return "held"

@app.get("/slow", blocking=True)
def slow(request):
    time.sleep(2)
    return "slow"
"""
PATIENCE = 60.0  # seconds


def begin(port: int, path: str) -> socket.socket:
    """A request on a connection of its own."""
    client = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    return client


def finish(client: socket.socket) -> bytes:
    """The body of its answer; empty where there is none."""
    data = b""
    with client:
        while piece := client.recv(65536):
            data += piece
    return data.rpartition(b"\r\n\r\n")[2]


def timed(port: int) -> float:
    """Seconds for one request on a connection of its own."""
    begun = time.monotonic()
    try:
        finish(begin(port, "/"))
    except OSError:
        pass  # of a worker that was killed: counted by its time alone
    return time.monotonic() - begun


def report(what: str, taken: list[float]) -> None:
    taken.sort()
    print(
        f"{what}: {len(taken)} connections, over 0.1 s: {sum(each > 0.1 for each in taken)}, "
        f"over 1 s: {sum(each > 1 for each in taken)}, worst {taken[-1] * 1000:.0f} ms"
    )


def workers_of(process: subprocess.Popen[bytes]) -> list[int]:
    """The process ids of a server's workers."""
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def held(python: str, directory: Path) -> None:
    """One of two workers in a handler that sleeps; then one that is stopped."""
    port = free_port()
    with running(dimserver(python, port, "--workers", "2"), directory, port) as process:
        busy = begin(port, "/held")
        time.sleep(0.1)
        report("one of 2 workers held up by a handler", [timed(port) for _ in range(200)])
        finish(busy)
        stopped = workers_of(process)[0]
        os.kill(stopped, signal.SIGSTOP)
        report("one of 2 workers stopped", [timed(port) for _ in range(200)])
        os.kill(stopped, signal.SIGCONT)


def kills(python: str, directory: Path) -> None:
    """Either worker in turn, each half second."""
    port = free_port()
    with running(dimserver(python, port, "--workers", "2"), directory, port) as process:
        done = threading.Event()
        taken: list[float] = []

        def client() -> None:
            while not done.is_set():
                taken.append(timed(port))
                time.sleep(0.005)

        threads = [threading.Thread(target=client) for _ in range(2)]
        for thread in threads:
            thread.start()
        for number in range(60):
            workers = workers_of(process)
            if workers:
                os.kill(workers[number % len(workers)], signal.SIGKILL)
            time.sleep(0.5)
        done.set()
        for thread in threads:
            thread.join()
    report("kill -9 of a worker each 0.5 s for 30 s", taken)


def share(python: str, directory: Path) -> None:
    """One client, one connection after the other."""
    for number in (2, 4):
        port = free_port()
        with running(dimserver(python, port, "--workers", str(number)), directory, port):
            time.sleep(0.5)  # all of them serve
            found = Counter(finish(begin(port, "/who")) for _ in range(20_000))
        print(f"{number} workers: " + ", ".join(f"{each / 200:.1f} %" for each in found.values()))


def group(python: str, directory: Path) -> None:
    """As systemd's default does."""
    port = free_port()
    with running(dimserver(python, port, "--workers", "2", "--threads", "100"), directory, port) as process:
        clients = [begin(port, "/slow") for _ in range(100)]
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGTERM)
        print(f"SIGTERM to the group: {sum(finish(client) == b'slow' for client in clients)} of 100 answered")


def main() -> None:
    """Run one of them."""
    parser = argparse.ArgumentParser(prog="python -m bench.load.busy", description=__doc__.splitlines()[0])
    kinds = {each.__name__: each for each in (held, kills, share, group)}
    parser.add_argument("what", choices=kinds)
    parser.add_argument("--python", default=sys.executable)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "bench_app.py").write_text(APP)
        kinds[options.what](options.python, Path(directory))


if __name__ == "__main__":
    main()
