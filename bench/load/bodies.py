"""``python -m bench.load.bodies``: bodies of 100 MiB, sent and made in chunks, against uvicorn and granian."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

from bench.load import client, peers, stand, wrk
from bench.load.process import Running
from bench.load.results import Results, Sample, Values
from bench.load.stand import OURS, Bench, Column, Stand, Target

BODY_BYTES = 100 << 20
PIECE_BYTES = 64 << 10
PIECES_A_SEND = 16  # the client must not be what is measured

UVICORN = ("-m", "uvicorn", "--port", "{port}", *peers.UVICORN, "large_asgi:app")
PEERS = ("uvicorn", "granian (ASGI)", "granian (RSGI)", "granian (WSGI)")


def _granian(interface: str) -> tuple[str, ...]:
    words = ("-m", "granian", "--interface", interface, "--port", "{port}", *peers.GRANIAN)
    return (*words, f"large_{interface}:app")


SERVERS: dict[str, tuple[str, ...]] = {
    OURS: ("-m", "dimserver", "run", "large_native:app", "--port", "{port}", "--limit-body", "1GiB"),
    "uvicorn": UVICORN,
    "granian (ASGI)": _granian("asgi"),
    "granian (RSGI)": _granian("rsgi"),
    "granian (WSGI)": _granian("wsgi"),
}
LOOP = f"{OURS}, on the loop"
THREAD = f"{OURS}, on a thread"

_frame = b"%x\r\n%b\r\n" % (PIECE_BYTES, bytes(PIECE_BYTES))


def chunked(size: int) -> Iterator[bytes]:
    """Yield a chunked body of at least `size` bytes, many chunks at a time."""
    frames = _frame * PIECES_A_SEND
    whole, rest = divmod(-(-size // PIECE_BYTES), PIECES_A_SEND)
    for _ in range(whole):
        yield frames
    yield _frame * rest + b"0\r\n\r\n"


def upload(port: int, size: int) -> int:
    """Send a body and return the bytes the handler says it had.

    Raises:
        LoadError: it had others than were sent.
    """
    expected = -(-size // PIECE_BYTES) * PIECE_BYTES
    head = client.head_of("POST", "/count", "Transfer-Encoding: chunked")
    answer = client.exchange(port, head, chunked(size), keep=1024)
    if answer.status != 200 or str(expected).encode() not in answer.body:
        raise wrk.LoadError(f"{answer.status} {answer.body!r}, not 200 and {expected}")
    return expected


def download(port: int, size: int, path: str) -> int:
    """Read a body that is made, and return its bytes.

    Raises:
        LoadError: some are missing.
    """
    pieces = -(-size // PIECE_BYTES)
    answer = client.exchange(port, client.head_of("GET", f"{path}?pieces={pieces}"))
    if answer.status != 200 or answer.received < pieces * PIECE_BYTES:
        raise wrk.LoadError(f"{answer.status} with {answer.received} of {pieces * PIECE_BYTES} bytes")
    return pieces * PIECE_BYTES


def again(running: Running, seconds: float, once: Callable[[], int]) -> Values:
    """Repeat an exchange for some seconds, the first one not counted."""
    once()
    before, began = running.cpu_seconds(), time.perf_counter()
    size = once()
    while (elapsed := time.perf_counter() - began) < seconds:
        size += once()
    spent = running.cpu_seconds() - before
    return {"mib_per_second": size / elapsed / 2**20, "cpu_ms_per_gib": spent / (size / 2**30) * 1e3}


def take(stand_: Stand, results: Results) -> Iterator[Sample]:
    size = stand_.scaled(BODY_BYTES)
    results.versions |= peers.versions(stand_.peers_python)

    def measured(name: str, path: str, up: bool) -> Values:
        with stand_.serve(name, SERVERS[name]) as running:
            if up:
                return again(running, stand_.seconds, lambda: upload(running.port, size))
            return again(running, stand_.seconds, lambda: download(running.port, size, path))

    for number in range(stand_.rounds):
        for name in filter(stand_.takes, SERVERS):
            yield stand.attempt("upload", name, number, partial(measured, name, "", True))
        for name in filter(stand_.takes, SERVERS):
            if name != OURS:
                yield stand.attempt("download", name, number, partial(measured, name, "/make", False))
                continue
            yield stand.attempt("download", LOOP, number, partial(measured, OURS, "/make", False))
            yield stand.attempt("download", THREAD, number, partial(measured, OURS, "/make/thread", False))


def _against_the_best(scenario: str, mine: str) -> Callable[[Results], float | None]:
    def read(results: Results) -> float | None:
        own = results.median(scenario, mine, "mib_per_second")
        theirs = [value for name in PEERS if (value := results.median(scenario, name, "mib_per_second"))]
        return None if own is None or not theirs else own / max(theirs)

    return read


def _target(what: str, scenario: str, mine: str) -> Target:
    read = _against_the_best(scenario, mine)
    return Target(what, "≥ 1.0 × the best of the peers", read, lambda ratio: ratio >= 1.0, "{:.2f}".format)


_COLUMNS = (
    Column("mib_per_second", "MiB/s", "{:,.0f}".format),
    Column("cpu_ms_per_gib", "CPU ms/GiB", "{:,.0f}".format),
)

BENCH = Bench(
    key="bodies",
    title="Bodies of 100 MiB against uvicorn and granian",
    text=(
        "One connection after the other.  Sent in chunks of 64 KiB to a handler that counts the bytes as they come; "
        "made by a handler in pieces of 64 KiB of which the length is not told before, and read by a client that only "
        "counts."
    ),
    take=take,
    scenarios={"upload": ("Upload in chunks", _COLUMNS), "download": ("Streamed answer", _COLUMNS)},
    targets=(
        _target("upload of 100 MiB in chunks", "upload", OURS),
        _target("streamed answer of 100 MiB, made on the loop", "download", LOOP),
        _target("streamed answer of 100 MiB, made on a thread", "download", THREAD),
    ),
    seconds=3,
)

if __name__ == "__main__":
    sys.exit(stand.main(BENCH))
