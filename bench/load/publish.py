"""``python -m bench.load.publish``: one message to 10,000 WebSockets, and what others notice meanwhile."""

from __future__ import annotations

import select
import socket
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from bench.load import peers, stand, wrk
from bench.load.peers import APPS
from bench.load.process import Running
from bench.load.results import Results, Sample, Values
from bench.load.stand import OURS, Bench, Column, Stand, Target

SOCKETS = 10_000
SIZE = 1024  # bytes of a message
PUBLISHES = 30  # one at a time
BURST = 20  # at once
EVERY = 0.25  # seconds between two publishes, while others' times are taken
ASKED = 2000  # questions of one other client, in each case
PATIENCE = 120.0  # seconds
WEBSOCKETS, UVLOOP = "websockets", "websockets (uvloop)"

COMMANDS = {
    OURS: (
        "-m",
        "dimserver",
        "run",
        str(APPS / "publish_native.py"),
        "--port",
        "{port}",
        "--max-connections",
        "20000",
        "--ws-ping",
        "0",
    ),
    WEBSOCKETS: ("publish_websockets.py", "{port}"),
    UVLOOP: ("publish_websockets.py", "{port}", "--uvloop"),
}
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Listeners:
    """Sockets that count what they get."""

    def __init__(self, port: int, count: int) -> None:
        self._poll = select.epoll()
        self._left: dict[int, int] = {}
        self._sockets: dict[int, socket.socket] = {}
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
            sock.sendall(HANDSHAKE)
            head = b""
            while b"\r\n\r\n" not in head:
                head += sock.recv(1)
            if b" 101 " not in head:
                raise wrk.LoadError(f"no WebSocket: {head[:80]!r}")
            sock.setblocking(False)
            self._sockets[sock.fileno()] = sock
            self._poll.register(sock, select.EPOLLIN)

    def expect(self, size: int) -> None:
        """So many more bytes are to come on each."""
        for descriptor in self._sockets:
            self._left[descriptor] = self._left.get(descriptor, 0) + size

    def wait(self) -> None:
        """Until all of them have come."""
        end = time.monotonic() + PATIENCE
        buffer = bytearray(1 << 20)
        missing = {descriptor for descriptor, left in self._left.items() if left}
        while missing:
            if time.monotonic() > end:
                raise wrk.LoadError(f"{len(missing)} sockets did not get everything")
            for descriptor, _ in self._poll.poll(1.0, 1024):
                got = self._sockets[descriptor].recv_into(buffer)
                if not got:
                    raise wrk.LoadError("the server closed a socket")
                self._left[descriptor] -= got
                if self._left[descriptor] <= 0:
                    missing.discard(descriptor)
        if any(self._left.values()):
            raise wrk.LoadError("more came than was published")

    def close(self) -> None:
        for sock in self._sockets.values():
            sock.close()
        self._poll.close()


@contextmanager
def listening(running: Running, count: int) -> Iterator[Listeners]:
    listeners = Listeners(running.port, count)
    try:
        yield listeners
    finally:
        listeners.close()


class Other:
    """A plain client on a connection of its own, which it opens anew where the server does not keep it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._sock: socket.socket | None = None

    def ask(self, path: str) -> float:
        """Return how many seconds the answer took."""
        if self._sock is None:
            self._sock = socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE)
        sock = self._sock
        began = time.perf_counter()
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._more(sock)
        head, _, body = data.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise wrk.LoadError(f"{path}: {head[:80]!r}")
        size = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        while len(body) < size:
            body += self._more(sock)
        took = time.perf_counter() - began
        if b"connection: close" in head.lower():
            self.close()
        return took

    def _more(self, sock: socket.socket) -> bytes:
        data = sock.recv(1 << 16)
        if not data:
            raise wrk.LoadError("the server closed the connection of another client")
        return data

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None


def hand_out(
    running: Running, listeners: Listeners, publisher: Other, publishes: int, at_once: int
) -> tuple[float, float]:
    """Publish, wait until everybody has it, and again; return CPU and wall-clock seconds of all."""
    frame = SIZE + (2 if SIZE < 126 else 4)
    cpu, began = running.cpu_seconds(), time.perf_counter()
    for _ in range(publishes):
        listeners.expect(frame * at_once)
        publisher.ask(f"/publish/{SIZE}/{at_once}")
        listeners.wait()
    return running.cpu_seconds() - cpu, time.perf_counter() - began


def beside(running: Running, listeners: Listeners, asked: int, publishing: bool) -> float:
    """Return p99 of another client in milliseconds; nobody reads what is published until that is over."""
    stop = threading.Event()
    published: list[int] = []
    failed: list[Exception] = []

    def publish() -> None:
        publisher = Other(running.port)
        try:
            while not stop.is_set():
                publisher.ask(f"/publish/{SIZE}/1")
                published.append(1)
                stop.wait(EVERY)
        except Exception as error:
            failed.append(error)
        finally:
            publisher.close()

    thread = threading.Thread(target=publish)
    other = Other(running.port)
    if publishing:
        thread.start()
    try:
        # Paced, so that the questions fall into every part of a publish, and the server is not busy with them alone.
        times = []
        for _ in range(asked):
            times.append(other.ask("/"))
            time.sleep(0.001)
    finally:
        stop.set()
        if publishing:
            thread.join()
        other.close()
    if failed:
        raise wrk.LoadError(f"publishing failed: {failed[0]}")
    if publishing:
        listeners.expect((SIZE + 4) * len(published))
        listeners.wait()
    return statistics.quantiles(times, n=100)[98] * 1e3


def measure(stand_: Stand, name: str) -> Values:
    count = stand_.scaled(SOCKETS)
    publishes = max(2, stand_.scaled(PUBLISHES))
    asked = max(50, stand_.scaled(ASKED))
    with stand_.serve(name, COMMANDS[name]) as running, listening(running, count) as listeners:
        publisher = Other(running.port)
        hand_out(running, listeners, publisher, 1, 1)
        cpu, seconds = hand_out(running, listeners, publisher, publishes, 1)
        burst_cpu, burst_seconds = hand_out(running, listeners, publisher, max(1, publishes // BURST), BURST)
        bursts = max(1, publishes // BURST) * BURST
        publisher.close()
        alone = beside(running, listeners, asked, False)
        meanwhile = beside(running, listeners, asked, True)
    return {
        "cpu_us": cpu * 1e6 / (publishes * count),
        "per_cpu_second": publishes * count / cpu if cpu else 0.0,
        "per_second": publishes * count / seconds,
        "publish_ms": seconds * 1e3 / publishes,
        "burst_cpu_us": burst_cpu * 1e6 / (bursts * count),
        "burst_per_cpu_second": bursts * count / burst_cpu if burst_cpu else 0.0,
        "burst_ms": burst_seconds * 1e3 / bursts,
        "alone_p99_ms": alone,
        "p99_ms": meanwhile,
        "p99_ratio": meanwhile / alone,
    }


def take(stand_: Stand, results: Results) -> Iterator[Sample]:
    results.versions |= peers.versions(stand_.peers_python)
    results.method["sockets"] = f"{stand_.scaled(SOCKETS):,}, one worker, no compression"
    for number in range(stand_.rounds):
        for name in filter(stand_.takes, COMMANDS):
            yield stand.attempt("publish", name, number, partial(measure, stand_, name))


BENCH = Bench(
    key="publish",
    title="One message to 10,000 WebSockets",
    text=(
        f"Messages of 1 KiB, first one at a time (the next one when everybody has the last), then {BURST} at once. "
        f"CPU is the server's for each message that reached a socket.  Then another client asks for a small page again "
        f"and again, without and with a publish every {EVERY * 1e3:.0f} ms beside it."
    ),
    take=take,
    scenarios={
        "publish": (
            "Publishing",
            (
                Column("cpu_us", "CPU µs a socket", "{:.2f}".format),
                Column("per_second", "sockets a second", "{:,.0f}".format),
                Column("publish_ms", "ms until all have it", "{:.0f}".format),
                Column("burst_cpu_us", f"CPU µs, {BURST} at once", "{:.2f}".format),
                Column("burst_ms", "ms each", "{:.0f}".format),
                Column("alone_p99_ms", "others' p99 alone, ms", "{:.2f}".format),
                Column("p99_ms", "while publishing, ms", "{:.2f}".format),
                Column("p99_ratio", "ratio", "{:.2f}".format),
            ),
        )
    },
    targets=(
        Target(
            "messages that reach a socket in a second, one at a time, against websockets.broadcast",
            "≥ 2 ×",
            stand.against("publish", "per_second", WEBSOCKETS, UVLOOP),
            lambda ratio: ratio >= 2,
            "{:.2f} ×".format,
        ),
        Target(
            f"the same in a second of CPU, {BURST} at once",
            "≥ 2 ×",
            stand.against("publish", "burst_per_cpu_second", WEBSOCKETS, UVLOOP),
            lambda ratio: ratio >= 2,
            "{:.2f} ×".format,
        ),
        Target(
            "p99 of others while publishing, against a run without",
            "≤ 2 ×",
            stand.median_of("publish", "p99_ratio"),
            lambda ratio: ratio <= 2,
            "{:.2f} ×".format,
        ),
    ),
)

if __name__ == "__main__":
    sys.exit(stand.main(BENCH))
