"""``python -m bench.load.slow``: 500 clients, slow in five ways, against default settings; and what others notice."""

from __future__ import annotations

import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from bench.load import peers, stand, wrk
from bench.load.process import Running
from bench.load.results import Results, Sample, Values
from bench.load.stand import OURS, Bench, Column, Stand, Target

CLIENTS = 100  # of each kind
OTHERS = 64
DROP_SECONDS = 0.5
WATCH_SECONDS = 66.0  # the longest deadline, and more than the seconds it may be off
SMALL_BUFFER = 4096


@dataclass(frozen=True)
class Kind:
    """One way of being slow.

    Attributes:
        key: its name in the samples.
        title: its name in the report.
        first: what is sent at once.
        drop: what is sent twice a second from then on.
        reads: whether it takes what comes; one that does not has a small receive buffer.
        deadline: seconds after which dimserver, by default, closes it.
    """

    key: str
    title: str
    first: bytes
    drop: bytes = b""
    reads: bool = True
    deadline: float = 10.0


KINDS = (
    Kind("nothing", "send nothing", b""),
    Kind("half", "half a head", b"GET / HTTP/1.1\r\nHost: localhost\r\n"),
    Kind("head", "a head by drops", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", b"x"),
    Kind(
        "body",
        "a body by drops",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n",
        b"x",
        deadline=60.5,  # `rate-credit`, and what two bytes a second earn
    ),
    # What its kernel buffers at first counts as read, but earns no more than `rate-credit`.
    Kind("read", "read nothing", b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n", reads=False, deadline=60.0),
)

DEFAULTS = {
    OURS: ("-m", "dimserver", "run", "large_native:app", "--port", "{port}"),
    "uvicorn": ("-m", "uvicorn", "--port", "{port}", "--no-access-log", "--log-level", "warning", "large_asgi:app"),
    "granian (ASGI)": (
        *("-m", "granian", "--interface", "asgi", "--port", "{port}", "--no-ws", "--log-level", "warning"),
        "large_asgi:app",
    ),
    "gunicorn (gthread)": (
        *("-m", "gunicorn", "-b", "127.0.0.1:{port}", "-w", "1", "-k", "gthread", "--threads", "4"),
        "large_wsgi:app",
    ),
}


@dataclass
class Client:
    """One slow client and when the server let go of it."""

    kind: Kind
    sock: socket.socket
    began: float
    closed: float | None = None


@dataclass
class Crowd:
    """All of them, each opened at once; `watch` waits until they are closed, or the time is over."""

    clients: dict[int, Client] = field(default_factory=dict)
    poll: select.epoll = field(default_factory=select.epoll)

    def join(self, port: int, each: int) -> None:
        """Open the connections, the kinds mixed."""
        for _ in range(each):
            for kind in KINDS:
                sock = socket.socket()
                if not kind.reads:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
                sock.settimeout(10)
                sock.connect(("127.0.0.1", port))
                began = time.monotonic()
                if kind.first:
                    sock.sendall(kind.first)
                sock.setblocking(False)
                self.clients[sock.fileno()] = Client(kind, sock, began)
                # Hang-ups and errors are told without being asked for.
                self.poll.register(sock, select.EPOLLIN if kind.reads else select.EPOLLRDHUP)

    def watch(self, seconds: float) -> None:
        """Send drops, take what comes, note who is closed."""
        end = time.monotonic() + seconds
        next_drop = time.monotonic() + DROP_SECONDS
        alive = len(self.clients)
        while alive and (now := time.monotonic()) < end:
            if now >= next_drop:
                next_drop += DROP_SECONDS
                for client in self.clients.values():
                    if client.closed is None and client.kind.drop:
                        try:
                            client.sock.send(client.kind.drop)
                        except OSError:
                            pass  # closed: the poll says so
            for descriptor, _ in self.poll.poll(max(0.0, min(next_drop, end) - time.monotonic())):
                client = self.clients[descriptor]
                if self._over(client):
                    client.closed = time.monotonic()
                    self.poll.unregister(descriptor)
                    alive -= 1

    def _over(self, client: Client) -> bool:
        if not client.kind.reads:
            return True  # nothing else was asked for
        try:
            return not client.sock.recv(65536)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def leave(self) -> None:
        """Close all that is left."""
        for client in self.clients.values():
            client.sock.close()
        self.poll.close()

    def times(self, kind: Kind) -> list[float | None]:
        """Return after how many seconds each of a kind was closed; `None`: it was not."""
        mine = (client for client in self.clients.values() if client.kind is kind)
        return [None if client.closed is None else client.closed - client.began for client in mine]


def measure(running: Running, stand_: Stand) -> Values:
    """p99 of others without the slow ones, then with them, and when these were closed."""
    seconds = WATCH_SECONDS if stand_.scale == 1 else max(2.0, WATCH_SECONDS * stand_.scale)

    def others() -> wrk.Load:
        return wrk.run(running.port, OTHERS, int(seconds), 1, stand_.client_cpu, stand_.scratch)

    without = others()
    crowd = Crowd()
    beside: list[wrk.Load] = []
    thread = threading.Thread(target=lambda: beside.append(others()))
    try:
        thread.start()
        crowd.join(running.port, stand_.scaled(CLIENTS))
        opened = len(crowd.clients)
        crowd.watch(seconds)
    finally:
        thread.join()
        crowd.leave()
    if not beside:
        raise wrk.LoadError("no figures of the others beside the slow clients")
    values: Values = {
        "opened": float(opened),
        "p99_without_us": without.p99_us,
        "p99_us": beside[0].p99_us,
        "p99_ratio": beside[0].p99_us / without.p99_us,
        "per_second_without": without.per_second,
        "per_second": beside[0].per_second,
    }
    worst = 0.0
    closed = 0
    for kind in KINDS:
        times = crowd.times(kind)
        done = sorted(value for value in times if value is not None)
        closed += len(done)
        values[f"{kind.key}_closed"] = float(len(done))
        if done:
            values[f"{kind.key}_first"], values[f"{kind.key}_last"] = done[0], done[-1]
            worst = max(worst, *(abs(value - kind.deadline) for value in done))
    values["left"] = float(opened - closed)
    if not values["left"]:
        values["off_seconds"] = worst
    return values


def take(stand_: Stand, results: Results) -> Iterator[Sample]:
    results.versions |= peers.versions(stand_.peers_python)

    def one(name: str) -> Values:
        with stand_.serve(name, DEFAULTS[name]) as running:
            return measure(running, stand_)

    for number in range(stand_.rounds):
        for name in filter(stand_.takes, DEFAULTS):
            yield stand.attempt("slow", name, number, partial(one, name))


def _closed(kind: Kind) -> Callable[[Results], str]:
    def cell(results: Results) -> str:
        first, last = (results.median("slow", OURS, f"{kind.key}_{end}") for end in ("first", "last"))
        return "–" if first is None or last is None else f"{first:.1f} to {last:.1f} s"

    return cell


def notes(results: Results) -> list[str]:
    lines = ["When dimserver closed them, by default settings:"]
    lines += [
        f"- {kind.title}: due after {kind.deadline:.0f} s, closed after {_closed(kind)(results)}" for kind in KINDS
    ]
    return ["\n".join([lines[0], "", *lines[1:]])]


BENCH = Bench(
    key="slow",
    title="Clients that are slow in every way",
    text=(
        "500 connections at once, 100 of each kind, against each server's default settings, while wrk asks over 64 "
        "connections; they are watched for 66 seconds.  A drop is one byte, twice a second."
    ),
    take=take,
    scenarios={
        "slow": (
            "Closed within 66 s, and the p99 of others",
            (
                *(Column(f"{kind.key}_closed", kind.title, "{:.0f}".format) for kind in KINDS),
                Column("left", "still open", "{:.0f}".format),
                Column("p99_without_us", "p99 µs without", "{:,.0f}".format),
                Column("p99_us", "p99 µs with", "{:,.0f}".format),
                Column("p99_ratio", "ratio", "{:.2f}".format),
            ),
        )
    },
    targets=(
        Target(
            "slow clients still open", "none", stand.median_of("slow", "left"), lambda left: left == 0, "{:.0f}".format
        ),
        Target(
            "seconds off their deadline, the worst of all",
            "≤ 1",
            stand.median_of("slow", "off_seconds"),
            lambda off: off <= 1.0,
            "{:.2f}".format,
        ),
        Target(
            "p99 of other clients, against a run without them",
            "≤ 1.5 ×",
            stand.median_of("slow", "p99_ratio"),
            lambda ratio: ratio <= 1.5,
            "{:.2f}".format,
        ),
    ),
    notes=notes,
    seconds=66,
)

if __name__ == "__main__":
    sys.exit(stand.main(BENCH))
