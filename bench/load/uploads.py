"""``python -m bench.load.uploads``: 100 slow uploads to a Flask app on 8 threads; and what other clients notice."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial

from bench.load import peers, stand, wrk
from bench.load.client import TIMEOUT_SECONDS
from bench.load.process import Running
from bench.load.results import Results, Sample, Values
from bench.load.stand import OURS, Bench, Column, Stand, Target

UPLOADS = 100
OTHERS = 64  # connections of the others
RATE = 300  # bytes a second, of each upload
TURN_SECONDS = 0.1
THREADS = "8"
HEAD = b"POST /upload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"

COMMANDS = {
    OURS: ("-m", "dimserver", "run", "upload_flask:app", "--port", "{port}", "--threads", THREADS),
    "gunicorn (gthread)": (
        *("-m", "gunicorn", "-b", "127.0.0.1:{port}", "-w", "1", "-k", "gthread", "--threads", THREADS),
        "upload_flask:app",
    ),
}


class Uploads:
    """Chunked uploads that all go on at once, at `RATE` each, until they are told to end."""

    def __init__(self, port: int, count: int) -> None:
        self.sent = 0  # bytes of each, framing not counted
        self.clients = [socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS) for _ in range(count)]
        for client in self.clients:
            client.sendall(HEAD)

    def go_on(self, stop: threading.Event) -> None:
        """A chunk on each, turn by turn; what the server closed stays behind."""
        size = int(RATE * TURN_SECONDS)
        chunk = b"%x\r\n%s\r\n" % (size, b"u" * size)
        while not stop.wait(TURN_SECONDS):
            for client in self.clients:
                try:
                    client.sendall(chunk)
                except OSError:
                    continue  # `finish` tells
            self.sent += size

    def finish(self) -> int:
        """End all bodies; return how many were answered with the bytes that were sent."""
        for client in self.clients:
            try:
                client.sendall(b"0\r\n\r\n")
            except OSError:
                continue
        return sum(self._answered(client) for client in self.clients)

    def _answered(self, client: socket.socket) -> bool:
        data = b""
        try:
            while piece := client.recv(65536):
                data += piece
        except OSError:
            return False
        return data.startswith(b"HTTP/1.1 200") and data.endswith(b"\r\n\r\n%d" % self.sent)

    def leave(self) -> None:
        for client in self.clients:
            client.close()


def measure(running: Running, stand_: Stand) -> Values:
    """p99 of others without the uploads, then with them, and how many of the uploads were answered."""

    def others() -> wrk.Load:
        return wrk.run(running.port, OTHERS, stand_.seconds, 1, stand_.client_cpu, stand_.scratch)

    without = others()
    uploads = Uploads(running.port, stand_.scaled(UPLOADS))
    stop = threading.Event()
    thread = threading.Thread(target=uploads.go_on, args=(stop,))
    try:
        thread.start()
        time.sleep(0.5)  # each of them has come as far as the server lets it
        beside = others()
        stop.set()
        thread.join()
        answered = uploads.finish()
    finally:
        stop.set()
        thread.join()
        uploads.leave()
    if not without.requests:
        raise wrk.LoadError("no answers at all")
    values: Values = {
        "uploads": float(len(uploads.clients)),
        "answered": float(answered),
        "p99_without_us": without.p99_us,
        "per_second_without": without.per_second,
        "per_second": beside.per_second,
    }
    if beside.requests:
        values |= {"p99_us": beside.p99_us, "p99_ratio": beside.p99_us / without.p99_us}
    return values


def take(stand_: Stand, results: Results) -> Iterator[Sample]:
    results.versions |= peers.versions(stand_.peers_python, "flask")

    def one(name: str) -> Values:
        with stand_.serve(name, COMMANDS[name]) as running:
            return measure(running, stand_)

    for number in range(stand_.rounds):
        for name in filter(stand_.takes, COMMANDS):
            yield stand.attempt("uploads", name, number, partial(one, name))


def unanswered(results: Results) -> float | None:
    uploads, answered = (results.median("uploads", OURS, key) for key in ("uploads", "answered"))
    return None if uploads is None or answered is None else uploads - answered


BENCH = Bench(
    key="uploads",
    title="Slow uploads to an app on threads",
    text=(
        f"{UPLOADS} chunked uploads of {RATE} bytes a second each to a Flask app on {THREADS} threads, which reads "
        "them piece by piece, while wrk asks for another page over 64 connections."
    ),
    take=take,
    scenarios={
        "uploads": (
            "The p99 of others",
            (
                Column("answered", "uploads answered", "{:.0f}".format),
                Column("per_second_without", "others, req/s without", "{:,.0f}".format),
                Column("per_second", "req/s with", "{:,.0f}".format),
                Column("p99_without_us", "p99 µs without", "{:,.0f}".format),
                Column("p99_us", "p99 µs with", "{:,.0f}".format),
                Column("p99_ratio", "ratio", "{:.2f}".format),
            ),
        )
    },
    targets=(
        Target("slow uploads without their answer", "none", unanswered, lambda left: left == 0, "{:.0f}".format),
        Target(
            "p99 of other clients, against a run without uploads",
            "≤ 1.5 ×",
            stand.median_of("uploads", "p99_ratio"),
            lambda ratio: ratio <= 1.5,
            "{:.2f}".format,
        ),
    ),
    seconds=10,
)

if __name__ == "__main__":
    sys.exit(stand.main(BENCH))
