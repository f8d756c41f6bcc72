"""``python -m bench.load.websockets``: echoes on WebSockets, beside other servers, and what a silent one takes."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.load import stand, wrk
from bench.load.process import Running
from bench.load.results import Results, Sample, Values
from bench.load.stand import OURS, Bench, Column, Stand, Target

HERE = Path(__file__).resolve().parent
CONNECTIONS = 64
SMALL, LARGE = 32, 16 * 1024  # bytes of a message
IDLE = 10_000
SETTLE_SECONDS = 1.0
COROUTINES = "dimserver (coroutine)"
ASGI = "dimserver (ASGI)"
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SAID = re.compile(r"(\d+) (\d+) (\d+)\n")


@dataclass(frozen=True)
class Peer:
    """A server.

    Attributes:
        name: what the report calls it; what begins with `OURS` runs from this checkout.
        command: words after the interpreter.
    """

    name: str
    command: tuple[str, ...]


def _ours(app: str, *more: str) -> tuple[str, ...]:
    return ("-m", "dimserver", "run", app, "--port", "{port}", "--max-connections", "12000", *more)


def _other(name: str) -> Peer:
    return Peer(name, ("ws_peers.py", name, "{port}"))


PEERS = (
    Peer(OURS, _ours("ws_native:app")),
    Peer(COROUTINES, _ours("ws_native:coroutines", "--loop", "uvloop")),
    Peer(ASGI, _ours("ws_asgi:app", "--loop", "uvloop")),
    _other("picows"),
    _other("websockets"),
    _other("aiohttp"),
    _other("socketify"),
    Peer("uvicorn", ("-m", "uvicorn", "--port", "{port}", "--no-access-log", "--log-level", "warning", "ws_asgi:app")),
    Peer(
        "granian (ASGI)",
        ("-m", "granian", "--interface", "asgi", "--port", "{port}", "--log-level", "warning", "ws_asgi:app"),
    ),
)


def is_up(port: int) -> bool:
    """Return whether a handshake is answered now."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as sock:
            return shake_hands(sock)
    except OSError:
        return False


def shake_hands(sock: socket.socket) -> bool:
    """Ask for a WebSocket; False where it is refused."""
    sock.sendall(HANDSHAKE)
    head = b""
    while b"\r\n\r\n" not in head:
        more = sock.recv(4096)
        if not more:
            return False
        head += more
    return head.startswith(b"HTTP/1.1 101")


def build_client(scratch: Path) -> Path:
    """Compile the client and return the program's path."""
    program = scratch / "wsload"
    compiler = os.environ.get("CC", "cc").split()
    subprocess.run([*compiler, "-O2", "-o", str(program), str(HERE / "wsload.c")], check=True)
    return program


def echoes(running: Running, client: Path, stand_: Stand, size: int) -> Values:
    """Load a server with messages of one size.

    Raises:
        LoadError: the client failed.
    """

    def load(seconds: float) -> re.Match[str]:
        words = [str(client), str(running.port), "/", str(CONNECTIONS), str(size), str(seconds)]
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=seconds + 60)
        found = SAID.fullmatch(done.stdout)
        if found is None:
            raise wrk.LoadError(done.stderr.strip() or f"wsload said {done.stdout!r}")
        return found

    load(0.5)
    before = running.cpu_seconds()
    said = load(stand_.seconds)
    spent = running.cpu_seconds() - before
    per_second = float(said[1])
    return {
        "cpu_us": spent / (per_second * stand_.seconds) * 1e6,
        "per_second": per_second,
        "p50_us": float(said[2]),
        "p99_us": float(said[3]),
    }


def silence(running: Running, count: int) -> Values:
    """Open sockets that say nothing; resident bytes of each."""
    held: list[socket.socket] = []
    try:
        before = running.resident_bytes()
        for _ in range(count):
            held.append(socket.create_connection(("127.0.0.1", running.port), timeout=20))
            if not shake_hands(held[-1]):
                raise wrk.LoadError(f"no handshake on connection {len(held)}")
        time.sleep(SETTLE_SECONDS)
        return {"bytes": (running.resident_bytes() - before) / count}
    finally:
        for sock in held:
            sock.close()


def take(stand_: Stand, results: Results) -> Iterator[Sample]:
    client = build_client(stand_.scratch)
    results.method["connections"] = f"{CONNECTIONS}; silent ones {stand_.scaled(IDLE):,}"
    for number in range(stand_.rounds):
        for peer in PEERS:
            if not stand_.takes(peer.name):
                continue
            for scenario, size in (("small", SMALL), ("large", LARGE)):

                def measure(peer: Peer = peer, size: int = size) -> Values:
                    with stand_.serve(peer.name, peer.command, is_up) as running:
                        return echoes(running, client, stand_, size)

                yield stand.attempt(scenario, peer.name, number, measure)

            def hold(peer: Peer = peer) -> Values:
                with stand_.serve(peer.name, peer.command, is_up) as running:
                    return silence(running, stand_.scaled(IDLE))

            yield stand.attempt("silent", peer.name, number, hold)


COLUMNS = (
    Column("cpu_us", "CPU µs a message", "{:.2f}".format),
    Column("per_second", "messages a second", "{:,.0f}".format),
    Column("p50_us", "p50, µs", "{:,.0f}".format),
    Column("p99_us", "p99, µs", "{:,.0f}".format),
)

BENCH = Bench(
    key="websockets",
    title="WebSockets",
    text=(
        f"{CONNECTIONS} connections each keep one masked binary message in flight, which the server sends back "
        f"(`wsload.c`); no compression.  Then 10,000 connections shake hands and say nothing.  picows, websockets and "
        f"aiohttp run on uvloop, as the coroutine form does here."
    ),
    take=take,
    scenarios={
        "small": (f"Echoes of {SMALL} bytes", COLUMNS),
        "large": (f"Echoes of {LARGE // 1024} KiB", COLUMNS),
        "silent": ("10,000 silent sockets", (Column("bytes", "resident bytes of each", "{:,.0f}".format),)),
    },
    targets=(
        Target(
            f"{SMALL} bytes, events, CPU µs", "≤ 4.5", stand.median_of("small", "cpu_us"), lambda us: us <= 4.5,
            "{:.2f}".format,
        ),
        Target(
            f"{LARGE // 1024} KiB, events, CPU µs", "≤ 10", stand.median_of("large", "cpu_us"), lambda us: us <= 10,
            "{:.2f}".format,
        ),
        Target(
            f"{SMALL} bytes, coroutine, CPU µs", "≤ 10", stand.median_of("small", "cpu_us", COROUTINES),
            lambda us: us <= 10, "{:.2f}".format,
        ),
        Target(
            f"{SMALL} bytes, ASGI, CPU µs", "≤ 10", stand.median_of("small", "cpu_us", ASGI),
            lambda us: us <= 10, "{:.2f}".format,
        ),
        Target(
            "a silent socket, resident bytes", "≤ 600", stand.median_of("silent", "bytes"), lambda size: size <= 600,
            "{:,.0f}".format,
        ),
    ),
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(stand.main(BENCH))
