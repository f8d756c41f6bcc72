"""Handlers that raise or return nonsense at every point, on the loop and on a thread.

Each is asked twice on a connection of its own, between requests of a bystander.
What must come of it is a 500 without a word of the cause, or, once bytes of the
answer are out, an answer that is visibly cut; one line in the log each time; and
nothing left behind.
"""

from __future__ import annotations

import bisect
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.processes import open_files
from tests.support.servers import Local
from tests.support.waiting import PATIENCE, until
from tests.support.wire import Wire

from dimcore import Composite, FileBody, Push
from dimserver import App, Response

REFUSED = "500"
CUT = "cut"
FINE = "200"


class Secret(Exception):
    """What a client must never read of."""


def explode(*_: Any) -> Any:
    raise Secret("secret detail")


class Headers:
    """A mapping that fails where it is told to."""

    def __init__(self, items: Any) -> None:
        self.items = items


class BadResponse:
    def __init__(self, name: str) -> None:
        self.name = name

    def __getattr__(self, name: str) -> Any:
        if name == self.name:
            explode()
        return {"status": 200, "headers": None, "body": b"x"}[name]


class BadIterator:
    """Pieces, and a fault at one point of its life."""

    def __init__(self, at: str, pieces: int = 3) -> None:
        self.at = at
        self.left = pieces

    def __iter__(self) -> BadIterator:
        if self.at == "iter":
            explode()
        return self

    def __next__(self) -> bytes:
        if self.at == "first" or (self.at == "middle" and self.left == 1):
            explode()
        if not self.left:
            raise StopIteration
        self.left -= 1
        return b"piece"

    def close(self) -> None:
        if self.at == "close":
            explode()


class Text(str):
    """A str whose own methods must not be asked."""

    __slots__ = ()
    encode = explode  # type: ignore[assignment]
    __str__ = explode


def recursive(request: Any) -> Any:
    return recursive(request)


def exits(request: Any) -> Any:
    sys.exit("secret detail")


def generator_that(*steps: Any) -> Callable[[Any], Iterator[Any]]:
    def handler(request: Any) -> Iterator[Any]:
        for step in steps:
            if isinstance(step, BaseException):
                raise step
            yield step

    return handler


def generator_that_fails_at_its_end(request: Any) -> Iterator[bytes]:
    try:
        yield b"piece"
    finally:
        explode()


def short_file(request: Any) -> Any:
    return 200, None, FileBody(os.open(bisect.__file__, os.O_RDONLY), 0, 1 << 30)


def closed_file(request: Any) -> Any:
    body = FileBody(os.open(__file__, os.O_RDONLY), 0, 10)
    body.close()
    return 200, None, body


def file_in_two_parts(request: Any) -> Any:
    body = FileBody(os.open(__file__, os.O_RDONLY), 0, 10)
    return 200, None, Composite([body, body])


def endless(value: Any) -> Any:
    value.append(value)
    return value


CASES: dict[str, tuple[Callable[[Any], Any], str]] = {
    # before there is a result
    "raises": (explode, REFUSED),
    "exits": (exits, REFUSED),
    "recursion": (recursive, REFUSED),
    "memory": (lambda request: bytearray(1 << 62), REFUSED),
    "generator exit": (lambda request: (_ for _ in ()).throw(GeneratorExit), REFUSED),
    "stop iteration": (lambda request: next(iter(())), REFUSED),
    "index": (lambda request: b"abc"[len(request.path) + 3], REFUSED),
    "takes two": (lambda request, more: "x", REFUSED),  # type: ignore[dict-item, misc]
    # the result itself
    "none": (lambda request: None, REFUSED),
    "number": (lambda request: 200, REFUSED),
    "float": (lambda request: 1.5, REFUSED),
    "set": (lambda request: {1}, REFUSED),
    "type": (lambda request: Response, REFUSED),
    "pair": (lambda request: (200, b"x"), REFUSED),
    "four": (lambda request: (200, None, b"x", 1), REFUSED),
    "object": (lambda request: object(), REFUSED),
    "bad json": (lambda request: {"a": {1, 2}}, REFUSED),
    "nan": (lambda request: [float("nan")], REFUSED),
    "endless json": (lambda request: endless([]), REFUSED),
    "a status attribute that fails": (lambda request: BadResponse("status"), REFUSED),
    "a headers attribute that fails": (lambda request: BadResponse("headers"), REFUSED),
    "a body attribute that fails": (lambda request: BadResponse("body"), REFUSED),
    # status
    "status text": (lambda request: ("200", None, b"x"), REFUSED),
    "status 99": (lambda request: (99, None, b"x"), REFUSED),
    "status 101": (lambda request: (101, None, b"x"), REFUSED),
    "status 600": (lambda request: (600, None, b"x"), REFUSED),
    "status bool": (lambda request: (True, None, b"x"), REFUSED),
    "status huge": (lambda request: (1 << 80, None, b"x"), REFUSED),
    # headers
    "header with a line end": (lambda request: (200, {"A": "b\r\nC: d"}, b"x"), REFUSED),
    "header with a nul": (lambda request: (200, {"A": "b\0"}, b"x"), REFUSED),
    "header name with a space": (lambda request: (200, {"A b": "c"}, b"x"), REFUSED),
    "header name empty": (lambda request: (200, {"": "c"}, b"x"), REFUSED),
    "header beyond latin-1": (lambda request: (200, {"A": "\u20ac"}, b"x"), REFUSED),
    "header number": (lambda request: (200, {"A": 5}, b"x"), FINE),
    "header none": (lambda request: (200, {None: None}, b"x"), REFUSED),
    "headers text": (lambda request: (200, "A: b", b"x"), REFUSED),
    "headers number": (lambda request: (200, 5, b"x"), REFUSED),
    "headers of three": (lambda request: (200, [("a", "b", "c")], b"x"), REFUSED),
    "headers raise": (lambda request: (200, Headers(explode), b"x"), REFUSED),
    "headers raise late": (lambda request: (200, generator_that(("A", "b"), Secret())(None), b"x"), REFUSED),
    "length that is none": (lambda request: (200, {"Content-Length": "five"}, b"x"), REFUSED),
    "length twice": (lambda request: (200, [("Content-Length", "1"), ("content-length", "2")], b"x"), REFUSED),
    # a body that is there
    "body number": (lambda request: (200, None, 5), REFUSED),
    "body object": (lambda request: (200, None, object()), REFUSED),
    "closed file": (closed_file, REFUSED),
    "one file as two parts": (file_in_two_parts, REFUSED),
    "short file": (short_file, CUT),
    "a str that lies": (lambda request: (200, None, Text("fine")), FINE),
    # a body that is made
    "iter fails": (lambda request: (200, None, BadIterator("iter")), REFUSED),
    "first piece fails": (lambda request: (200, None, BadIterator("first")), REFUSED),
    "later piece fails": (lambda request: (200, None, BadIterator("middle")), CUT),
    "first piece of a generator fails": (generator_that(Secret("secret detail")), REFUSED),
    "later piece of a generator fails": (generator_that(b"piece", Secret("secret detail")), CUT),
    "generator exits": (generator_that(b"piece", SystemExit("secret detail")), CUT),
    "first piece is no piece": (generator_that(5), REFUSED),
    "later piece is no piece": (generator_that(b"piece", None), CUT),
    "pieces of a list": (lambda request: (200, None, (b"piece", 5)), CUT),
    "pieces beyond the length": (lambda request: (200, {"Content-Length": "7"}, BadIterator("")), CUT),
    "pieces short of the length": (lambda request: (200, {"Content-Length": "99"}, BadIterator("")), CUT),
    "fails at its end": (generator_that_fails_at_its_end, CUT),
    "push that is no body": (lambda request: (200, None, Push), REFUSED),
}


class Told:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def error(self, message: str, error: BaseException | None = None, request: Any = None) -> None:  # noqa: ARG002
        self.lines.append(message if request is None else f"{message}: {request.method} {request.raw_target}")


def outcome(wire: Wire) -> str:
    """What came: the status, or `cut` for an answer that is visibly not all there."""
    received = b""
    wire.sock.settimeout(PATIENCE)
    try:
        while data := wire.sock.recv(65536):
            received += data
    except ConnectionResetError:
        return CUT
    assert b"secret" not in received
    assert received.startswith(b"HTTP/1.1 "), received
    assert received.count(b"HTTP/1.1 ") == 1, received
    head, _, body = received.partition(b"\r\n\r\n")
    if b"\r\nTransfer-Encoding: chunked" in head:
        whole = body.endswith(b"0\r\n\r\n")
    else:
        size = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        whole = len(body) >= size
    return received[9:12].decode() if whole else CUT


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Local, Told]]:
    app = App()
    app.get("/")(lambda request: "index")
    for number, (handler, _) in enumerate(CASES.values()):
        app.get(f"/{number}")(handler)
        app.get(f"/{number}/thread", blocking=True)(handler)
    server = Local(app)
    told = Told()
    server.worker.log.error = told.error  # type: ignore[method-assign]
    yield server, told
    server.stop()


# The descriptors and threads of the module's own server are there before and after each test.
@pytest.fixture(autouse=True)
def _nothing_is_left(served: Any) -> None:
    pass


@pytest.mark.parametrize("where", ["loop", "thread"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_nonsense(served: tuple[Local, Told], case: str, where: str) -> None:
    server, told = served
    expected = CASES[case][1]
    path = f"/{list(CASES).index(case)}" + ("/thread" if where == "thread" else "")
    with server.connect() as bystander:
        assert bystander.get("/").answer()[2] == b"index"
        before = open_files()
        for _ in range(2):
            told.lines.clear()
            with server.connect() as wire:
                wire.get(path, "Connection: close")
                assert outcome(wire) == expected
            assert bystander.get("/").answer()[2] == b"index"
            if expected != FINE and case != "short file":
                until(lambda: len(told.lines) >= 1)
                assert len(told.lines) == 1, told.lines
                assert f"GET {path}" in told.lines[0] or expected == CUT
        worker = server.worker
        until(lambda: worker.pools.index.total_connections() == 1 and worker._threads.in_flight == 0)
        assert worker.pipeline.get_stats()["in_flight"] == 0
        until(lambda: open_files().keys() <= before.keys())


def test_a_500_is_no_reason_to_close(served: tuple[Local, Told]) -> None:
    server, _ = served
    with server.connect() as wire:
        for number, (_, expected) in enumerate(CASES.values()):
            if expected == REFUSED:
                assert wire.get(f"/{number}").answer()[0] == 500
        assert wire.get("/").answer()[2] == b"index"
