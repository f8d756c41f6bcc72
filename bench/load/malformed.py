"""``python -m bench.load.malformed``: 200,000 malformed requests at full speed, and what others notice of them."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from bench.load import bodies, client, peers, stand, wrk
from bench.load.process import Running, is_up, pinned
from bench.load.results import Results, Sample, Values
from bench.load.stand import OURS, Bench, Column, Stand, Target

REQUESTS = 200_000
WARM_UP = 20_000
CONNECTIONS = 64
OTHERS = 8
PAUSE_SECONDS = 0.0005  # of the others, between an answer and the next request
BACKGROUND = 19  # niceness of the pressure
LINGER_SECONDS = 3  # a little more than the server waits for a client to have read its 400
FLAT_BYTES = 1 << 20

# Each breaks a rule of its own.  Every one is complete, so that the refusal needs no time limit.
MALFORMED = (
    rb"GET / HTTP/1.1\r\n\r\n",  # no Host
    rb"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    rb"GET / HTTP/1.1\r\nHost: a\r\n folded: x\r\n\r\n",
    rb"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    rb"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
    rb"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    rb"G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
    rb"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
    rb"GET / http/1.1\r\nHost: a\r\n\r\n",
    rb"GET\r\n\r\n",
    rb"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    rb"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
    rb"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
    rb"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    rb"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, x\r\n\r\n",
    rb"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
    rb"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",  # TLS to a port that speaks none
)

SERVERS = {name: bodies.SERVERS[name] for name in (OURS, "uvicorn", "granian (ASGI)")}


def script(requests: tuple[bytes, ...]) -> str:
    """Return wrk's script that sends one after the other; wrk opens a new connection when one was closed."""
    # Bytes above 127 as decimal escapes: Lua 5.1 knows no others.
    quoted = []
    for raw in requests:
        data = raw.decode("ascii").encode().decode("unicode_escape").encode("latin-1")
        quoted.append('"' + "".join(f"\\{byte:03d}" for byte in data) + '"')
    return (
        f"local bad = {{{', '.join(quoted)}}}\n"
        "local turn = 0\n"
        "request = function()\n"
        "  turn = turn % #bad + 1\n"
        "  return bad[turn]\n"
        "end\n"
    )


PROPER = script((rb"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",))


def measure(running: Running, stand_: Stand) -> Values:
    """One server: alone, beside as many proper requests, beside malformed ones."""
    flood = script(MALFORMED)
    wanted = stand_.scaled(REQUESTS)

    def press(lua: str, seconds: int) -> wrk.Load:
        # The CPU is shared with the others: without a niceness what they would wait for is that CPU, not the server.
        return wrk.run(
            running.port, CONNECTIONS, seconds, 1, stand_.client_cpu, stand_.scratch, lua=lua, niceness=BACKGROUND
        )

    def others(seconds: float) -> float:
        """Return the p99 of those who ask properly, microseconds."""
        with pinned(stand_.client_cpu):
            waits = client.ask_quietly(running.port, OTHERS, seconds, PAUSE_SECONDS)
        return waits[len(waits) * 99 // 100] * 1e6

    def together(lua: str, seconds: int) -> tuple[wrk.Load, float]:
        with ThreadPoolExecutor(1) as pool:
            pressing = pool.submit(press, lua, seconds)
            time.sleep(0.3)  # until it presses
            seen = others(max(0.5, seconds - 0.8))  # within the pressure
            return pressing.result(), seen

    alone = others(stand_.seconds)
    _, beside_proper = together(PROPER, stand_.seconds)
    warm, _ = together(flood, max(1, math.ceil(WARM_UP * stand_.scale / 5_000)))
    # As long as it takes at the pace of the warm-up, which had others beside it too.
    seconds = max(1, math.ceil(wanted * 1.1 / max(1.0, answers(warm) / warm.seconds)))
    time.sleep(LINGER_SECONDS if stand_.scale == 1 else 0.5)
    before_bytes, before_open = running.resident_bytes(), running.descriptors()
    beside, sent = 0.0, 0
    while sent < wanted:
        pressed, seen = together(flood, min(seconds, 60))
        if not answers(pressed):
            raise wrk.LoadError(f"no answer after {sent} malformed requests")
        sent += answers(pressed)
        beside = max(beside, seen)
    time.sleep(LINGER_SECONDS if stand_.scale == 1 else 0.5)
    if not is_up(running.port):
        raise wrk.LoadError(f"it does not answer any more, after {sent} malformed requests")
    end = time.monotonic() + LINGER_SECONDS  # the connection that just asked is let go in the next rounds
    while running.descriptors() > before_open and time.monotonic() < end:
        time.sleep(0.05)
    return {
        "sent": float(sent),
        "sent_per_second": answers(pressed) / pressed.seconds,
        "p99_alone_us": alone,
        "p99_proper_us": beside_proper,
        "p99_us": beside,
        "p99_ratio": beside / beside_proper,
        "growth_bytes": float(running.resident_bytes() - before_bytes),
        "growth_descriptors": float(running.descriptors() - before_open),
        "resident_bytes": float(running.resident_bytes()),
    }


def answers(seen: wrk.Load) -> int:
    """Return how many requests came to an end: answered, or cut off without a word."""
    return seen.requests + seen.errors.get("read", 0)


def take(stand_: Stand, results: Results) -> Iterator[Sample]:
    results.versions |= peers.versions(stand_.peers_python)

    def one(name: str) -> Values:
        with stand_.serve(name, SERVERS[name]) as running:
            return measure(running, stand_)

    for number in range(stand_.rounds):
        for name in filter(stand_.takes, SERVERS):
            yield stand.attempt("flood", name, number, partial(one, name))


BENCH = Bench(
    key="malformed",
    title="Malformed requests at full speed",
    text=(
        "wrk sends 200,000 requests, each malformed in one of 17 ways, over 64 connections, a new one after each "
        "refusal, at niceness 19; meanwhile a client that makes no load itself asks properly by turns over 8 kept "
        "connections, every half a millisecond.  Its p99 is set beside the one it has while as many clients send "
        "*proper* requests at full speed, each over a connection of its own: a server with one core has queues under "
        "any pressure, and the question is whether malformed requests are worse."
    ),
    take=take,
    scenarios={
        "flood": (
            "What the flood left behind, and what others noticed",
            (
                Column("sent", "malformed", "{:,.0f}".format),
                Column("sent_per_second", "a second", "{:,.0f}".format),
                Column("growth_bytes", "growth, KiB", lambda value: f"{value / 1024:+,.0f}"),
                Column("growth_descriptors", "descriptors left", "{:+,.0f}".format),
                Column("p99_alone_us", "p99 of others alone, µs", "{:,.0f}".format),
                Column("p99_proper_us", "beside proper requests", "{:,.0f}".format),
                Column("p99_us", "beside malformed", "{:,.0f}".format),
            ),
        )
    },
    targets=(
        Target(
            "growth of resident memory over 200,000",
            f"≤ {FLAT_BYTES >> 10} KiB",
            stand.median_of("flood", "growth_bytes"),
            lambda grown: grown <= FLAT_BYTES,
            lambda grown: f"{grown / 1024:+,.0f} KiB",
        ),
        Target(
            "descriptors left open",
            "none",
            stand.median_of("flood", "growth_descriptors"),
            lambda left: left <= 0,
            "{:+,.0f}".format,
        ),
        Target(
            "p99 of others, against the same pressure of proper requests",
            "≤ 1.1 ×",
            stand.median_of("flood", "p99_ratio"),
            lambda ratio: ratio <= 1.1,
            "{:.2f}".format,
        ),
    ),
    seconds=4,
    rounds=3,
)

if __name__ == "__main__":
    sys.exit(stand.main(BENCH))
