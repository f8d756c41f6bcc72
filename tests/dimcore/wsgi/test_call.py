"""Calls of WSGI apps: what they may say and do, and what becomes of it on the wire."""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.validate import validator

import pytest
from tests.dimcore.sources import Source

from dimcore import FileBody, RequestPoint, ResponseError, UsageError, parse_request
from dimcore.wsgi.call import Call, Caller, FileWrapper, Pieces

Serve = Callable[..., Any]
Start = Callable[..., Any]
Environ = dict[str, Any]

GET = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
OLD = b"GET / HTTP/1.0\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: test\r\n\r\n"
PLAIN = [("Content-Type", "text/plain")]

COMMON = {
    "SERVER_NAME": "test",
    "SERVER_PORT": "80",
    "wsgi.version": (1, 0),
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": False,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
}


def app_of(body: Any, headers: list[tuple[str, str]] = PLAIN, status: str = "200 OK") -> Any:
    def app(environ: Environ, start: Start) -> Any:
        start(status, headers)
        return body() if callable(body) else body

    return app


def caller(app: Any, **more: Any) -> Caller:
    made = Caller(app)
    made.prepare(COMMON, "", "", **more)
    return made


def serving(serve: Serve, app: Any) -> Any:
    """A rig whose reports are those of the calls too."""
    rig = serve({})
    gateway = caller(app, report=lambda *what: rig.reports.append(what))
    for method in ("GET", "POST", "HEAD"):
        rig.router.add(method, "/", gateway, exact=False)
    return rig


def told(rig: Any) -> list[str]:
    return [f"{message}: {error}" if error else message for message, _, error in rig.reports]


def chunks(data: bytes) -> list[bytes]:
    found = []
    while data:
        size, _, data = data.partition(b"\r\n")
        found.append(data[: int(size, 16)])
        data = data[int(size, 16) + 2 :]
    return found


# --- bodies that are there ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [([b"abc"], b"abc"), ((b"abc",), b"abc"), ([], b""), ([b"a", b"", b"bc"], b"abc"), ([b""], b""), ((), b"")],
)
@pytest.mark.parametrize("length", [False, True])
def test_a_list(serve: Serve, body: Any, expected: bytes, length: bool) -> None:
    headers = [*PLAIN, ("Content-Length", str(len(expected)))] if length else PLAIN
    rig = serving(serve, app_of(body, headers))
    client = rig.connect()
    for _ in range(3):
        answer = client.ask(GET)
        assert (answer.status, answer.body, answer["content-type"]) == (200, expected, "text/plain")
        assert answer["content-length"] == str(len(expected))
    assert rig.reports == []


def test_statuses_and_reasons(serve: Serve) -> None:
    says = iter(
        ["200 OK", "404 Not Found", "404 Nothing here", "299 Odd", "500", "418 I'm a teapot", "200 Gr\xfc\xdfe"]
    )
    rig = serving(serve, lambda environ, start: start(next(says), []) and [b"x"])
    client = rig.connect()
    found = [client.ask() for _ in range(7)]
    assert [(answer.status, answer.reason) for answer in found] == [
        (200, "OK"), (404, "Not Found"), (404, "Nothing here"), (299, "Odd"), (500, "Internal Server Error"),
        (418, "I'm a teapot"), (200, "Gr\xfc\xdfe"),
    ]  # fmt: skip


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("body", [[b"never sent"], [], lambda: Source(b"never", b"sent"), Source])
def test_no_body(serve: Serve, status: str, body: Any) -> None:
    rig = serving(serve, app_of(body, [("X-A", "b")], status))
    client = rig.connect()
    for _ in range(2):
        answer = client.send(GET).answer()
        assert (answer.status, answer["x-a"], "content-length" in answer) == (int(status[:3]), "b", False)
        assert "transfer-encoding" not in answer
    assert client.is_open()
    assert rig.reports == []


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        ([b"abc"], PLAIN, "3"),
        ([b"abc"], [("Content-Length", "3")], "3"),
        ([], [("Content-Length", "3")], "3"),
        ([], PLAIN, None),
        (lambda: Source(b"abc"), [("Content-Length", "3")], "3"),
        (lambda: Source(b"abc"), PLAIN, None),
        (lambda: Source(b"much more"), [("Content-Length", "3")], "3"),
    ],
)
def test_head(serve: Serve, body: Any, headers: Any, expected: str | None) -> None:
    rig = serving(serve, app_of(body, headers))
    client = rig.connect()
    for _ in range(2):
        answer = client.ask(HEAD, head_only=True)
        assert answer.status == 200
        assert [value for name, value in answer.fields if name == "content-length"] == [expected] * (
            expected is not None
        )
    assert client.is_open()
    assert rig.reports == []


# --- bodies that are made -----------------------------------------------------------------------


def test_a_generator_is_chunked(serve: Serve) -> None:
    body = Source(b"", b"one", b"", b"two", b"")
    rig = serving(serve, app_of(body))
    client = rig.connect()
    answer = client.ask(GET)
    assert answer["transfer-encoding"] == "chunked"
    client.wait(lambda: client.left.endswith(b"0\r\n\r\n"))
    assert chunks(client.left[:-5]) == [b"one", b"two"]
    assert (body.closed, rig.reports) == (1, [])


def test_to_an_old_client_it_ends_with_the_connection(serve: Serve) -> None:
    rig = serving(serve, app_of(lambda: Source(b"one", b"two")))
    client = rig.connect().send(OLD)
    answer = client.answer()
    assert "transfer-encoding" not in answer
    assert client.rest() == b"onetwo"


@pytest.mark.parametrize("cut", [(b"abcdef",), (b"abc", b"def"), (b"", b"abcde", b"", b"f", b"")])
def test_a_length_the_app_knows(serve: Serve, cut: tuple[bytes, ...]) -> None:
    bodies: list[Source] = []

    def app(environ: Environ, start: Start) -> Source:
        start("200 OK", [("Content-Length", "6")])
        bodies.append(Source(*cut))
        return bodies[-1]

    rig = serving(serve, app)
    client = rig.connect()
    for _ in range(3):
        answer = client.ask(GET)
        assert (answer["content-length"], answer.body) == ("6", b"abcdef")
    assert [(body.closed, body.pulled) for body in bodies] == [(1, len(cut))] * 3
    assert rig.reports == []


def test_one_piece_that_has_a_length(serve: Serve) -> None:
    """PEP 3333: of an iterable that says its ``len`` is one, the piece is all."""

    class Single(Source):
        def __len__(self) -> int:
            return 1

    rig = serving(serve, app_of(lambda: Single(b"all of it")))
    answer = rig.connect().ask(GET)
    assert (answer["content-length"], answer.body) == ("9", b"all of it")


def test_start_response_in_the_first_step(serve: Serve) -> None:
    def app(environ: Environ, start: Start) -> Iterator[bytes]:
        yield b""
        start("201 Created", PLAIN)
        yield b"late"

    rig = serving(serve, app)
    client = rig.connect()
    answer = client.ask(GET)
    assert answer.status == 201
    client.wait(lambda: client.left == b"4\r\nlate\r\n0\r\n\r\n")
    client.left = b""
    assert client.ask(HEAD, head_only=True).status == 201
    assert client.is_open()


def test_what_is_done_after_the_answer(serve: Serve) -> None:
    """Nobody waits for what follows the last piece, nor for `close`."""
    seen: list[bytes] = []

    class Ending(Source):
        def close(self) -> None:
            super().close()
            seen.append(b"closed")

    def after() -> bytes:
        seen.append(client.sock.recv(1000))  # what was sent is there
        return b""

    body = Ending(b"hello", after)
    rig = serving(serve, app_of(body, [("Content-Length", "5")]))
    client = rig.connect()
    client.send(GET)
    assert seen[0].endswith(b"\r\n\r\nhello")
    assert (seen[1:], body.closed, rig.reports) == ([b"closed"], 1, [])


def test_a_large_one_waits_for_its_peer(serve: Serve) -> None:
    body = Source(*[b"x" * 65536] * 400)
    rig = serving(serve, app_of(body))
    client = rig.connect()
    client.send(GET)
    rig.turn_for(0.1)
    assert 0 < body.pulled < 300
    client.answer()
    client.wait(lambda: client.left.endswith(b"0\r\n\r\n"))
    assert (body.pulled, body.closed) == (400, 1)


# --- write --------------------------------------------------------------------------------------


@pytest.mark.parametrize("returned", [[], [b"end"], lambda: Source(b"", b"end"), Source])
@pytest.mark.parametrize("length", [False, True])
def test_write(serve: Serve, returned: Any, length: bool) -> None:
    expected = b"onetwo" + (b"end" if _yields(returned) else b"")

    def app(environ: Environ, start: Start) -> Any:
        write = start("200 OK", [("Content-Length", str(len(expected)))] if length else PLAIN)
        assert write(b"one") is None
        write(b"")
        write(b"two")
        return returned() if callable(returned) else returned

    rig = serving(serve, app)
    client = rig.connect()
    for _ in range(2):
        answer = client.ask(GET)
        if "content-length" in answer:
            assert answer.body == expected
        else:
            client.wait(lambda: client.left.endswith(b"0\r\n\r\n"))
            assert b"".join(chunks(client.left[:-5])) == expected
            client.left = b""
    assert rig.reports == []


def _yields(returned: Any) -> bool:
    return b"".join(returned() if callable(returned) else returned) != b""


def test_write_for_head(serve: Serve) -> None:
    rig = serving(serve, lambda environ, start: start("200 OK", PLAIN)(b"body") or [])
    client = rig.connect()
    assert client.ask(HEAD, head_only=True).status == 200
    assert client.is_open()


# --- faults -------------------------------------------------------------------------------------


def failing(environ: Environ, start: Start) -> Iterable[bytes]:
    raise RuntimeError("on purpose")


def failing_later(environ: Environ, start: Start) -> Iterator[bytes]:
    start("200 OK", PLAIN)
    yield b""
    raise RuntimeError("on purpose")


@pytest.mark.parametrize("app", [failing, failing_later, app_of(lambda: Source(b"", RuntimeError("on purpose")))])
def test_an_exception_before_the_first_byte(serve: Serve, app: Any) -> None:
    rig = serving(serve, app)
    client = rig.connect()
    for _ in range(2):
        answer = client.ask(GET)
        assert (answer.status, answer.body) == (500, b"Internal Server Error\n")
    assert told(rig) == ["a handler failed: on purpose"] * 2
    assert client.is_open()


@pytest.mark.parametrize("headers", [PLAIN, [("Content-Length", "100")]])
def test_an_exception_after_it(serve: Serve, headers: Any) -> None:
    body = Source(b"some", RuntimeError("on purpose"))
    rig = serving(serve, app_of(body, headers))
    client = rig.connect().send(GET)
    client.wait_for_end()
    assert b"some" in client.left
    assert not client.left.endswith(b"0\r\n\r\n")
    assert told(rig) == ["a streamed body failed: on purpose"]
    assert body.closed == 1


def test_an_exception_behind_the_declared_end(serve: Serve) -> None:
    body = Source(b"some", RuntimeError("on purpose"))
    rig = serving(serve, app_of(body, [("Content-Length", "4")]))
    client = rig.connect()
    assert client.ask(GET).body == b"some"
    assert told(rig) == ["a WSGI app failed after its answer: on purpose"]
    assert (body.closed, client.is_open()) == (1, True)


def test_an_exception_in_close(serve: Serve) -> None:
    class Bad(Source):
        def close(self) -> None:
            raise RuntimeError("on purpose")

    rig = serving(serve, app_of(lambda: Bad(b"a", b"b")))
    client = rig.connect().send(GET)
    client.wait(lambda: client.left.endswith(b"0\r\n\r\n"))
    assert told(rig) == ["a WSGI app failed in close: on purpose"]


NOT_CALLED = "a handler failed: the app "


@pytest.mark.parametrize(
    ("app", "message"),
    [
        (lambda e, s: [b"x"], "the app returned without having called start_response"),
        (lambda e, s: [], "the app returned without having called start_response"),
        (lambda e, s: Source(b"x"), "the app did not call start_response, or only after its first piece of the body"),
        (lambda e, s: Source(), "the app did not call start_response, or only after its first piece of the body"),
        (lambda e, s: s("200 OK", []) and None, "the app must return an iterable of bytes, not NoneType"),
        (lambda e, s: s("200 OK", []) and "text", "the body of a WSGI app must be bytes, not str"),
        (lambda e, s: s("200 OK", []) and ["text"], "the body of a WSGI app must be bytes, not str"),
        (lambda e, s: s("200 OK", []) and [b"", None], "the body of a WSGI app must be bytes, not NoneType"),
        (lambda e, s: s("200 OK", []) and Source("text"), "the body of a WSGI app must be bytes, not str"),
        (lambda e, s: s("200 OK", [])("text"), "the body of a WSGI app must be bytes, not str"),
        (lambda e, s: s("200 OK", []) and s("200 OK", []), "start_response was called before"),
    ],
)
def test_what_is_not_wsgi(serve: Serve, app: Any, message: str) -> None:
    rig = serving(serve, app)
    client = rig.connect()
    for _ in range(2):
        assert client.ask(GET).status == 500
    assert len(rig.reports) == 2
    assert message in told(rig)[0]


@pytest.mark.parametrize(
    ("status", "headers", "message"),
    [
        (b"200 OK", [], "a status must be str"),
        (200, [], "a status must be str"),
        ("", [], "three digits"),
        ("OK", [], "three digits"),
        ("20", [], "three digits"),
        ("2000 OK", [], "three digits"),
        ("200OK", [], "three digits"),
        ("\u0662\u0660\u0660 OK", [], "not Latin-1"),
        ("199 Low", [], "between 200 and 599"),
        ("101 Switching Protocols", [], "between 200 and 599"),
        ("600 High", [], "between 200 and 599"),
        ("200 O\r\nK", [], "control character"),
        ("200 O\0K", [], "control character"),
        ("200 \u20ac", [], "not Latin-1"),
        ("200 OK", None, "a list of pairs"),
        ("200 OK", (("A", "b"),), "a list of pairs"),
        ("200 OK", {"A": "b"}, "a list of pairs"),
        ("200 OK", ["A: b"], "a tuple of name and value"),
        ("200 OK", [["A", "b"]], "a tuple of name and value"),
        ("200 OK", [("A", "b", "c")], "a tuple of name and value"),
        ("200 OK", [("A", 1)], "must be str"),
        ("200 OK", [(b"A", b"b")], "must be str"),
        ("200 OK", [("A", "b\r\nX: y")], "control character"),
        ("200 OK", [("A", "b\0")], "control character"),
        ("200 OK", [("A\r\n", "b")], "not a token"),
        ("200 OK", [("A b", "b")], "not a token"),
        ("200 OK", [("", "b")], "not a token"),
        ("200 OK", [("A", "\u20ac")], "not Latin-1"),
        ("200 OK", [("Transfer-Encoding", "chunked")], "the server's to set"),
        ("200 OK", [("Upgrade", "x")], "the server's to set"),
        ("200 OK", [("te", "x")], "the server's to set"),
        ("200 OK", [("Trailers", "x")], "the server's to set"),
        ("200 OK", [("Proxy-Authenticate", "x")], "the server's to set"),
        ("200 OK", [("Proxy-Authorization", "x")], "the server's to set"),
        ("200 OK", [("Content-Length", "x")], "not a decimal number"),
        ("200 OK", [("Content-Length", "")], "not a decimal number"),
        ("200 OK", [("Content-Length", "-1")], "not a decimal number"),
        ("200 OK", [("Content-Length", "9" * 30)], "not a decimal number"),
        ("200 OK", [("Content-Length", "1"), ("content-length", "1")], "given twice"),
    ],
)
def test_what_must_not_be_sent(serve: Serve, status: Any, headers: Any, message: str) -> None:
    raised: list[BaseException] = []

    def app(environ: Environ, start: Start) -> list[bytes]:
        try:
            start(status, headers)
        except ResponseError as error:
            raised.append(error)
            raise
        return [b"x"]

    rig = serving(serve, app)
    client = rig.connect()
    for _ in range(2):
        assert client.ask(GET).status == 500
    assert message in str(raised[0])  # in `start_response`, so that the traceback has the line of the app
    assert len(rig.reports) == 2


def test_connection_is_the_servers(serve: Serve) -> None:
    rig = serving(serve, app_of([b"x"], [("Connection", "keep-alive"), ("Keep-Alive", "timeout=5"), ("A", "b")]))
    client = rig.connect()
    answer = client.ask(GET)
    assert "connection" not in answer
    assert "keep-alive" not in answer
    assert client.is_open()
    rig = serving(serve, app_of([b"x"], [("Connection", "close")]))
    client = rig.connect()
    assert client.ask(GET)["connection"] == "close"
    client.wait_for_end()


def test_names_the_server_would_set_itself(serve: Serve) -> None:
    rig = serving(
        serve, app_of([b"x"], [("Server", "mine"), ("Date", "today"), ("Set-Cookie", "a"), ("Set-Cookie", "b")])
    )
    answer = rig.connect().ask(GET)
    assert (answer["server"], answer["date"]) == ("mine", "today")
    assert [value for name, value in answer.fields if name == "set-cookie"] == ["a", "b"]


def test_many_headers(serve: Serve) -> None:
    headers = [(f"X-{number}", "v" * number) for number in range(300)]
    rig = serving(serve, app_of([b"x"], headers))
    client = rig.connect()
    for _ in range(2):
        answer = client.ask(GET)
        assert [answer[name.lower()] for name, _ in headers] == [value for _, value in headers]
    few = serving(serve, app_of([b"x"], PLAIN)).connect().ask(GET)
    assert "x-1" not in few


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ([b"too", b"long"], b"tool"),
        (lambda: Source(b"too", b"long"), b"tool"),
        (lambda: Source(b"toolong"), b"tool"),
        (lambda: Source(b"tool", b"ong"), b"tool"),
        (lambda: Source(b"tool", b"", b"o", b"ng"), b"tool"),
    ],
)
def test_too_many_bytes(serve: Serve, body: Any, expected: bytes) -> None:
    rig = serving(serve, app_of(body, [("Content-Length", "4")]))
    client = rig.connect()
    for _ in range(2):
        assert client.ask(GET).body == expected
    assert client.is_open()
    assert told(rig) == ["a WSGI app gave more bytes than its Content-Length says: the rest is dropped"] * 2


@pytest.mark.parametrize("body", [[b"sho", b"rt"], [], Source, lambda: Source(b"")])
def test_too_few_bytes_that_are_known_before(serve: Serve, body: Any) -> None:
    rig = serving(serve, app_of(body, [("Content-Length", "10")]))
    assert rig.connect().ask(GET).status == 500
    assert "Content-Length is 10, but the body has" in told(rig)[0]


def test_too_few_bytes_that_are_not(serve: Serve) -> None:
    body = Source(b"sho", b"rt")
    rig = serving(serve, app_of(body, [("Content-Length", "10")]))
    client = rig.connect().send(GET)
    client.wait_for_end()
    assert client.left.endswith(b"short")
    assert told(rig) == ["a streamed body failed: the body ended after 5 of 10 bytes its Content-Length says"]
    assert body.closed == 1


def test_the_client_leaves(serve: Serve) -> None:
    body = Source(*[b"x" * 65536] * 400)
    rig = serving(serve, app_of(body))
    client = rig.connect(receive_buffer=4096)
    client.send(GET)
    client.reset()
    rig.turn_for(0.1)
    assert body.closed == 1
    assert body.pulled < 400


# --- exc_info -----------------------------------------------------------------------------------


def test_another_answer_before_the_head_is_out(serve: Serve) -> None:
    def app(environ: Environ, start: Start) -> list[bytes]:
        start("200 OK", [("X-First", "1"), ("Content-Length", "100")])
        try:
            raise ValueError("on purpose")
        except ValueError:
            start("503 Sorry", [("X-Second", "2")], sys.exc_info())
        return [b"sorry"]

    answer = serving(serve, app).connect().ask(GET)
    assert (answer.status, answer.reason, answer["x-second"], answer.body) == (503, "Sorry", "2", b"sorry")
    assert "x-first" not in answer


def test_another_answer_when_it_is(serve: Serve) -> None:
    def app(environ: Environ, start: Start) -> Iterator[bytes]:
        start("200 OK", PLAIN)
        yield b"begun"
        try:
            raise ValueError("on purpose")
        except ValueError:
            start("500 Sorry", [], sys.exc_info())
        yield b"never"

    rig = serving(serve, app)
    client = rig.connect().send(GET)
    client.wait_for_end()
    assert b"never" not in client.left
    assert told(rig) == ["a streamed body failed: on purpose"]


def test_a_fault_in_the_second(serve: Serve) -> None:
    def app(environ: Environ, start: Start) -> list[bytes]:
        start("200 OK", PLAIN)
        try:
            start("bad", [], (ValueError, ValueError("x"), None))
        except ResponseError:
            start("200 Mended", PLAIN)  # the bad one did not count, and took the first with it
        return [b"x"]

    assert serving(serve, app).connect().ask(GET).reason == "Mended"


# --- calls that are kept ------------------------------------------------------------------------


def test_a_call_serves_again_unless_it_is_kept() -> None:
    kept: list[Any] = []
    seen: list[Any] = []

    def app(environ: Environ, start: Start) -> list[bytes]:
        seen.append(id(start))
        if len(seen) == 3:
            kept.append(start)
        start("200 OK", PLAIN)
        return [b"x"]

    gateway = caller(app)
    for _ in range(5):
        gateway(RequestPoint())
    assert seen[0] == seen[1] == seen[2]
    assert seen[3] == seen[4] != seen[2]
    with pytest.raises(UsageError, match="the answer is over"):
        kept[0]("200 OK", [])


def test_write_when_it_is_over() -> None:
    kept: list[Any] = []

    def app(environ: Environ, start: Start) -> list[bytes]:
        kept.append(start("200 OK", PLAIN))
        return [b"x"]

    caller(app)(RequestPoint())
    with pytest.raises(UsageError, match="the answer is over"):
        kept[0](b"x")


def test_answers_that_overlap(serve: Serve) -> None:
    """A stream that waits for its peer, and other requests meanwhile."""
    streams = {"GET /slow": 400, "GET /": 1}

    def app(environ: Environ, start: Start) -> Any:
        start("200 OK", [("X-Path", environ["PATH_INFO"])])
        return Source(*[b"x" * 65536] * streams["GET " + environ["PATH_INFO"]])

    rig = serving(serve, app)
    slow = rig.connect().send(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
    for _ in range(3):
        client = rig.connect()
        assert client.ask(GET)["x-path"] == "/"
        client.wait(lambda client=client: client.left.endswith(b"0\r\n\r\n"))
    assert slow.answer()["x-path"] == "/slow"
    slow.wait(lambda: slow.left.endswith(b"0\r\n\r\n"))


@pytest.mark.parametrize(
    "app",
    [
        app_of([b"x"]),
        app_of(lambda: Source(b"a", b"b")),
        app_of(lambda: Source(b"a"), [("Content-Length", "1")]),
        failing,
        failing_later,
        lambda e, s: [],
        lambda e, s: s("200 OK", PLAIN)(b"x") or [],
        lambda e, s: e.update(kept=s) or (s("200 OK", PLAIN) and [b"x"]),
    ],
)
def test_nothing_is_left_behind(app: Any) -> None:
    gateway = caller(app)
    request = parse_request(GET)[0]

    def run() -> None:
        try:
            body = gateway(request)[2]
        except Exception:
            return
        if isinstance(body, Pieces):
            list(body)
            body.close()

    for _ in range(50):
        run()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(500):
        run()
    gc.collect()
    assert sys.getallocatedblocks() - before < 50


def test_pieces_nobody_asked_for_are_closed() -> None:
    body = Source(b"a", b"b")
    answer = caller(app_of(body))(RequestPoint())
    assert isinstance(answer[2], Pieces)
    del answer
    gc.collect()
    assert body.closed == 1


# --- the rest -----------------------------------------------------------------------------------


def test_pipelined_requests_are_answered_in_order(serve: Serve) -> None:
    rig = serving(serve, lambda environ, start: start("200 OK", PLAIN) and [environ["PATH_INFO"].encode()])
    client = rig.connect()
    client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % number for number in range(50)))
    assert [client.answer().body for _ in range(50)] == [b"/%d" % number for number in range(50)]


def test_connect_is_no_request_for_an_app(serve: Serve) -> None:
    rig = serve({})
    rig.router.add("CONNECT", "/", caller(failing), exact=False)
    assert rig.connect().ask(b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n").status in (404, 501)
    assert rig.reports == []


def test_file_wrapper() -> None:
    data = io.BytesIO(b"0123456789")
    wrapper = FileWrapper(data, 4)
    assert list(wrapper) == [b"0123", b"4567", b"89"]
    wrapper.close()
    assert data.closed
    FileWrapper(object()).close()  # without a `close`


def test_a_file_the_kernel_sends(serve: Serve, tmp_path: Any) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"0123456789")
    files: list[Any] = []

    def body_of(file: Any) -> FileBody:
        return FileBody(os.dup(file.fileno()), 2, 8)

    def app(environ: Environ, start: Start) -> Any:
        headers = [("Content-Length", environ["QUERY_STRING"])] if environ["QUERY_STRING"] else PLAIN
        start("200 OK", headers)
        files.append(path.open("rb"))
        return FileWrapper(files[-1])

    rig = serve({})
    for method in ("GET", "HEAD"):
        rig.router.add(method, "/", caller(app, file_body=body_of))
    client = rig.connect()
    assert client.ask(GET).body == b"23456789"
    assert client.ask(GET.replace(b"/ ", b"/?8 ")).body == b"23456789"
    assert client.ask(GET.replace(b"/ ", b"/?10 ")).body == b"0123456789"  # not what is left of it: read
    assert client.ask(GET.replace(b"/ ", b"/?3 ")).body == b"234"
    assert client.ask(GET.replace(b"/ ", b"/?0 ")).body == b""
    assert client.ask(HEAD, head_only=True)["content-length"] == "8"
    assert [file.closed for file in files] == [True] * 6
    assert rig.reports == []


def test_a_range_of_a_file_that_is_read(serve: Serve) -> None:
    """PEP 3333: no more than the Content-Length says, and that the file goes on is no fault of the app's."""

    def app(environ: Environ, start: Start) -> Any:
        file = io.BytesIO(b"0123456789")
        file.seek(4)
        start("206 Partial Content", [("Content-Length", "3"), ("Content-Range", "bytes 4-6/10")])
        return FileWrapper(file, 2)

    rig = serving(serve, app)
    client = rig.connect()
    for _ in range(2):
        answer = client.ask(GET)
        assert (answer.status, answer.body) == (206, b"456")
    assert told(rig) == []


def test_validated(serve: Serve) -> None:
    """Nothing `wsgiref.validate` finds in what the server does."""
    results: list[Any] = []

    def app(environ: Environ, start: Start) -> Any:
        results.append(environ["wsgi.input"].read(3))
        results.append(environ["wsgi.input"].readline())
        results.append(environ["wsgi.input"].readlines())
        start("200 OK", PLAIN)
        return [b"valid"] if environ["QUERY_STRING"] else Source(b"val", b"id")

    rig = serving(serve, validator(app))
    client = rig.connect()
    post = b"POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\nX-A: b\r\n\r\nabc\ndef\ng"
    for target in (b"/?list", b"/?list"):
        client.send(post % target)
        client.wait(lambda: client.left.endswith(b"0\r\n\r\n"))
        client.left = b""
    client.send(post % b"/")
    client.wait(lambda: client.left.endswith(b"0\r\n\r\n"))
    assert results == [b"abc", b"\n", [b"def\n", b"g"]] * 3
    assert rig.reports == []


def test_what_cannot_be_made_by_hand() -> None:
    for kind in (Call, Pieces):
        with pytest.raises(UsageError):
            kind()
    with pytest.raises(TypeError):
        caller(failing)(None)  # type: ignore[arg-type]


# --- on a thread --------------------------------------------------------------------------------


class Give:
    """What the pool of threads gives a handler, and the sink it opens."""

    def __init__(self, stops_after: int = 1000) -> None:
        self.answers: list[Any] = []
        self.opened: list[int] = []
        self.pieces: list[bytes] = []
        self.ended: list[Any] = []
        self.left = stops_after

    def __call__(self, answer: Any) -> None:
        self.answers.append(answer)

    def open(self, status: int, headers: Any) -> Give:  # noqa: ARG002 - as the pool has it
        self.opened.append(status)
        return self

    def put(self, piece: bytes) -> bool:
        self.pieces.append(piece)
        self.left -= 1
        return self.left > 0

    def end(self, error: Any) -> None:
        self.ended.append(error)


def test_perform_gives_before_the_app_ends() -> None:
    order: list[Any] = []

    class Ending(Source):
        def close(self) -> None:
            order.append("closed")

    gateway = caller(app_of(lambda: Ending(b"all", lambda: order.append("behind") or b""), [("Content-Length", "3")]))
    gateway.perform(RequestPoint(), lambda answer: order.append(answer[2]))
    assert order == [b"all", "behind", "closed"]


def test_perform_with_pieces() -> None:
    body = Source(b"a", b"b")
    taken: list[bytes] = []

    def give(answer: Any) -> None:
        taken.extend(answer[2])
        answer[2].close()

    caller(app_of(body)).perform(RequestPoint(), give)
    assert (taken, body.closed) == ([b"a", b"b"], 1)


def test_perform_raises_what_the_app_does() -> None:
    give = Give()
    with pytest.raises(RuntimeError, match="on purpose"):
        caller(failing).perform(RequestPoint(), give)
    assert give.answers == []


def test_write_on_a_thread() -> None:
    give = Give()
    body = Source(b"", b"three")

    def app(environ: Environ, start: Start) -> Source:
        write = start("200 OK", PLAIN)
        write(b"one")
        assert give.pieces == [b"one"]
        write(b"two")
        return body

    caller(app).perform(RequestPoint(), give)
    assert (give.pieces, give.ended, give.opened) == ([b"one", b"two", b"three"], [None], [200])
    assert (give.answers, body.closed) == ([], 1)


def test_write_on_a_thread_and_then_an_exception() -> None:
    give = Give()

    def app(environ: Environ, start: Start) -> list[bytes]:
        start("200 OK", PLAIN)(b"one")
        raise RuntimeError("on purpose")

    caller(app).perform(RequestPoint(), give)
    assert [str(error) for error in give.ended] == ["on purpose"]


def test_write_to_nobody() -> None:
    give = Give(2)
    body = Source(b"b", b"c", b"d")
    caller(lambda environ, start: start("200 OK", PLAIN)(b"a") or body).perform(RequestPoint(), give)
    assert (give.pieces, body.closed) == ([b"a", b"b"], 1)
