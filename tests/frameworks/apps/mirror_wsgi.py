"""A WSGI app that says what it was given, and answers in every way there is."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Environ = dict[str, Any]
Start = Callable[..., Any]
PLAIN = [("Content-Type", "text/plain")]

closed: list[str] = []


class Closing:
    """An iterable that tells when it was closed."""

    def __init__(self, name: str, pieces: Iterable[bytes]) -> None:
        self.name = name
        self.pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.pieces)

    def close(self) -> None:
        closed.append(self.name)


def environ(given: Environ, start: Start) -> Iterable[bytes]:
    told = {name: value if isinstance(value, (str, bool, tuple)) else type(value).__name__
            for name, value in given.items()}  # fmt: skip
    body = given["wsgi.input"].read()
    told["body"] = body.decode("latin-1")
    told["native strings"] = all(type(value) is str for name, value in given.items() if "." not in name)
    start("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]


def reads(given: Environ, start: Start) -> Iterable[bytes]:
    stream = given["wsgi.input"]
    told = [stream.readline(), stream.read(3), stream.readline(2), *stream.readlines()[:2], *stream, stream.read()]
    start("200 OK", PLAIN)
    return [repr(told).encode()]


def sized(given: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", [*PLAIN, ("Content-Length", "5")])
    return [b"he", b"llo"]


def pieces(given: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", PLAIN)
    return Closing("pieces", iter([b"one ", b"", b"two ", b"three"]))


def writes(given: Environ, start: Start) -> Iterable[bytes]:
    write = start("200 OK", PLAIN)
    write(b"written ")
    write(b"twice ")
    return [b"and returned"]


def empty(given: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", PLAIN)
    return []


def no_content(given: Environ, start: Start) -> Iterable[bytes]:
    start("204 No Content", [])
    return []


def not_modified(given: Environ, start: Start) -> Iterable[bytes]:
    start("304 Not Modified", [("ETag", '"a"')])
    return []


def headers(given: Environ, start: Start) -> Iterable[bytes]:
    start("299 Sort Of OK", [*PLAIN, ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("x-lower", "caf\xe9")])
    return [b"x"]


def fails(given: Environ, start: Start) -> Iterable[bytes]:
    raise ValueError("secret detail")


def fails_after_start(given: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", PLAIN)
    raise ValueError("secret detail")


def fails_in_its_iterator(given: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", PLAIN)
    yield b"first"
    raise ValueError("secret detail")


def replaces_its_answer(given: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", PLAIN)
    try:
        raise ValueError("secret detail")
    except ValueError:
        start("503 Service Unavailable", [*PLAIN, ("X-Why", "replaced")], sys.exc_info())
    return [b"sorry"]


def too_few(given: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", [*PLAIN, ("Content-Length", "10")])
    return [b"four"]


def too_many(given: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", [*PLAIN, ("Content-Length", "4")])
    return [b"four and more"]


def never_starts(given: Environ, start: Start) -> Iterable[bytes]:
    return [b"body"]


def bad_header(given: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", [("X-Bad", "a\r\nSet-Cookie: b=c")])
    return [b"x"]


def closes(given: Environ, start: Start) -> Iterable[bytes]:
    start("200 OK", PLAIN)
    return [json.dumps(sorted(set(closed))).encode()]


def app(given: Environ, start: Start) -> Iterable[bytes]:
    name = given["PATH_INFO"].split("/")[1] if given["PATH_INFO"].count("/") else "environ"
    return (globals().get(name) or environ)(given, start)  # type: ignore[no-any-return]
