"""A whole connection over a real socket: what a client may send, in any pieces, to handlers of every kind.

The model reads the same bytes with the same parsers, which have harnesses of their own, and knows nothing of a
connection: one request after the other, each with its body, says what answers must come, and where they end.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import socket
import tempfile
from collections import deque
from collections.abc import Iterator
from typing import Any

from tests.fuzz.inputs import bytewise, cut, split_choices

from dimcore import (
    Acceptor,
    BadRequest,
    ConnectionPoolManifold,
    Core,
    Endpoint,
    FileBody,
    HeadParser,
    MessageReader,
    Push,
    RequestSubstrate,
    Router,
    Site,
    decode_chunked,
    tick,
)
from dimserver.net.loop import Selector

MAX_BODY = 3000  # bytes: a larger one is refused
BODY_MEMORY = 200  # a larger one goes to a file, or to its handler as it comes
LARGE = 70_000  # more than is gathered for one send
BYTEWISE = 200
MOST_ROUNDS = 10_000  # of the loop for one input: more are a loop that spins

# Bits of the last choice; 64 is `STRETCHED`.
HALF_CLOSE = 1  # when all is sent the client says so; else it says nothing more
LATE_JOBS = 2  # threads, and whoever pushes a body, move when the client has sent all
BY_BYTES = 4  # one byte at a time, if there are few
DEAF = 8  # the client reads nothing before it has sent all
LEAVE = 16  # it leaves without reading anything

BODIES: dict[str, bytes] = {
    "/": b"hello",
    "/large": b"x" * LARGE,
    "/pieces": b"one two three",
    "/file": b"0123456789" * 10,
    "/push": b"pushed later",
    "/empty": b"",
}
ECHOES = ("/echo", "/job", "/stream")
FAULTS = ("/raise", "/nonsense")  # answered 500, and reported
CUT = "/cut"  # its source fails in the middle
CLOSES = "/close"  # closes its own connection behind its answer
SOCKET = "/ws"


class Sink:
    """A body on its way to a handler on a thread."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.ended = False
        self.error = ""

    def feed(self, chunk: bytes) -> None:
        assert not self.ended
        self.chunks.append(chunk)

    def end(self, error: str) -> None:
        assert not self.ended
        self.ended, self.error = True, error

    def read(self) -> bytes:
        assert self.ended
        if self.error:
            raise BadRequest(self.error, 400)
        return b"".join(self.chunks)


class Echo:
    """A WebSocket's handler."""

    def on_message(self, ws: Any, message: str | bytes) -> None:
        ws.send(message)
        if message == "bye":
            ws.close(1000, "as asked")


class Server:
    """A worker's core, its loop, and a listener; the same for all inputs, so that what one leaves behind is seen."""

    def __init__(self) -> None:
        self.reports: list[str] = []
        self.jobs: deque[tuple[Any, Any, Any]] = deque()
        self.pushes: deque[Push] = deque()
        self.sinks: dict[Any, Sink] = {}
        self.selector = Selector()
        self.core = Core(ConnectionPoolManifold(), RequestSubstrate())
        self.core.attach(
            register=self.selector.register,
            modify=self.selector.modify,
            unregister=self.selector.unregister,
            mute=self.selector.mute,
            offload=lambda *job: self.jobs.append(job),
            open_stream=self._open_sink,
            report=lambda message, request, error: self.reports.append(f"{message}: {error!r}"),
        )
        self.core.configure(max_body=MAX_BODY, body_memory=BODY_MEMORY)
        self.file, path = tempfile.mkstemp()
        os.unlink(path)  # noqa: PTH108
        os.write(self.file, BODIES["/file"])
        site = Site(self.core, self._routes())
        self.place = tempfile.mkdtemp()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(f"{self.place}/socket")
        self.listener.listen(8)
        self.listener.setblocking(False)
        self.selector.register(self.listener.fileno(), 1, Acceptor(site, self.listener.fileno(), self._full).on_ready)

    def close(self) -> None:
        """Give back what it holds, also in the middle of something."""
        listening = self.listener.fileno()
        for call in [call for descriptor, call in self.selector.keys.items() if descriptor != listening]:
            call.__self__.close()
        self.core.drain()
        self.selector.close()
        self.listener.close()
        shutil.rmtree(self.place)
        os.close(self.file)

    def _full(self) -> None:
        raise AssertionError("out of descriptors")

    def _open_sink(self, connection: Any) -> Sink:
        self.sinks[connection.request] = sink = Sink()
        return sink

    def _routes(self) -> Router:
        router = Router()
        for path in BODIES:
            handler = getattr(self, f"_{path.strip('/')}", None) or (lambda request: BODIES[request.path])
            router.add("GET", path, handler)
        for path in ECHOES:
            route = router.add("POST", path, lambda request: request.body, blocking=path != "/echo")
            route.streaming = path == "/stream"
        router.add("GET", "/job", lambda request: b"from a thread", blocking=True)
        router.add("GET", "/raise", lambda request: 1 / 0)
        router.add("GET", "/nonsense", lambda request: object())
        router.add("GET", CUT, self._cut)
        router.add("GET", CLOSES, self._close)
        router.add("GET", SOCKET, self._upgrade)
        return router

    def _pieces(self, _: Any) -> Iterator[bytes]:
        yield b"one"
        yield b" two"
        yield b" three"

    def _file(self, _: Any) -> Any:
        return 200, {}, FileBody(os.dup(self.file), 0, len(BODIES["/file"]))

    def _push(self, _: Any) -> Any:
        push = Push()
        self.pushes.append(push)
        return 200, {"Content-Length": str(len(BODIES["/push"]))}, push

    def _cut(self, _: Any) -> Iterator[bytes]:
        yield b"half an answer"
        raise LookupError("the rest")

    def _close(self, request: Any) -> bytes:
        request.connection.close()
        return b"goodbye"

    def _upgrade(self, request: Any) -> Any:
        if not is_upgrade(request.headers):
            return 426, {}, b"a WebSocket lives here"
        endpoint = Endpoint(Echo(), max_message=MAX_BODY, max_frames=20)
        assert request.connection.upgrade(request, endpoint, endpoint.make(), headers={"Upgrade": "websocket"})
        return None

    # --- the loop -------------------------------------------------------------------------------

    def turn(self) -> bool:
        """One round, if there is something to do."""
        events = self.selector.poll(0, 64)
        for descriptor, event in events:
            call = self.selector.keys.get(descriptor)
            if call is not None:
                call(self.selector.meaning(event))
        return bool(events)

    def move(self) -> bool:
        """What threads and sources do, once, if they can go on."""
        moved = False
        for _ in range(len(self.jobs)):
            connection, request, handler = self.jobs.popleft()
            sink = self.sinks.get(request)
            if sink is not None and not sink.ended:
                if connection.body_paused:  # the client waits to be told to go on
                    connection.resume_body()
                    moved = True
                self.jobs.append((connection, request, handler))
                continue
            self.sinks.pop(request, None)
            result = error = None
            try:
                result = handler(request)
            except BadRequest as raised:
                error = raised
            connection.complete(request, result, error)
            moved = True
        while self.pushes:
            push = self.pushes.popleft()
            for at in range(0, len(BODIES["/push"]), 5):
                push.write(BODIES["/push"][at : at + 5])
            push.end()
            moved = True
        return moved


class Client:
    """The other end."""

    def __init__(self, server: Server, sock: socket.socket, choices: int) -> None:
        self.server = server
        self.choices = choices
        self.received = b""
        self.ended = False
        self.rounds = 0
        self.sock = sock
        self.sock.connect(server.listener.getsockname())
        self.sock.setblocking(False)
        self.settle()

    def settle(self, move: bool = False, deaf: bool = False) -> None:
        """Let everything happen that can."""
        while self.server.turn() or (move and self.server.move()) or (not deaf and self.receive()):
            self.rounds += 1
            assert self.rounds < MOST_ROUNDS, "the loop spins"

    def receive(self) -> bool:
        if self.ended:
            return False
        try:
            data = self.sock.recv(1 << 20)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            data = b""
        self.received += data
        self.ended = not data
        return True

    def send(self, data: bytes) -> bool:
        """Whether the server takes it."""
        while data and not self.ended:
            try:
                data = data[self.sock.send(data) :]
            except BlockingIOError:
                # A server that neither reads nor has anything to say waits for a thread, or for its client to read.
                self.settle(move=True)
            except (BrokenPipeError, ConnectionResetError):
                return False
        return not data

    def say(self, pieces: list[bytes]) -> None:
        late, deaf = bool(self.choices & LATE_JOBS), bool(self.choices & DEAF)
        for piece in pieces:
            if not self.send(piece):
                break
            self.settle(move=not late, deaf=deaf)
        if self.choices & LEAVE:
            self.leave()
            return
        self.settle(move=True)
        if self.choices & HALF_CLOSE and not self.ended:
            try:
                self.sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            self.settle(move=True)

    def leave(self) -> None:
        self.sock.close()
        self.ended = True
        self.settle(move=True)
        self.settle(move=True)


def is_upgrade(headers: Any) -> bool:
    return bool(headers.get("upgrade") == "websocket")


# --- what comes back ----------------------------------------------------------------------------


class Answer:
    """One answer as it was read: status, fields by name in lower case, body, whether it is whole."""

    def __init__(self, head: bytes) -> None:
        line, *lines = head.decode("latin-1").split("\r\n")
        version, status, _ = line.split(" ", 2)
        assert version == "HTTP/1.1", line
        self.status = int(status)
        self.fields: dict[str, str] = {}
        for field in lines:
            name, colon, value = field.partition(": ")
            assert colon, field
            assert name.lower() not in self.fields, field
            self.fields[name.lower()] = value
        self.body = b""
        self.whole = True

    @property
    def closes(self) -> bool:
        return self.fields.get("connection", "").lower() == "close"

    def __repr__(self) -> str:
        return f"{self.status} {self.body[:40]!r}{'' if self.whole else ' ...'}{' and close' if self.closes else ''}"


def read_answers(data: bytes, ended: bool, methods: list[str]) -> tuple[list[Answer], bytes]:
    """The answers in `data`, without 100 Continue, and what follows a 101.

    Args:
        data: all that came.
        ended: whether the server closed.
        methods: of the requests, in order; an answer to HEAD has no body.
    """
    found: list[Answer] = []
    while data:
        head, end, rest = data.partition(b"\r\n\r\n")
        assert end, f"half a head came: {data!r:.200}"
        answer = Answer(head)
        data = rest
        if answer.status == 100:
            assert set(answer.fields) == set()
            continue
        method = methods[len(found)] if len(found) < len(methods) else "GET"
        found.append(answer)
        if answer.status == 101:
            return found, data
        assert "date" in answer.fields
        if method == "HEAD":
            continue
        length = answer.fields.get("content-length")
        if answer.fields.get("transfer-encoding") == "chunked":
            assert length is None
            decoded = decode_chunked(data, 1 << 30)
            if decoded is None:
                answer.body, answer.whole = data, False
                data = b""
            else:
                answer.body = decoded[0]
                data = data[decoded[1] :]
        elif length is not None:
            answer.body, data = data[: int(length)], data[int(length) :]
            answer.whole = len(answer.body) == int(length)
        else:
            assert answer.closes, "nothing frames this body"
            answer.body, data = data, b""
            answer.whole = ended
        if answer.closes:
            assert data == b"", "something follows the last answer"
    return found, b""


# --- what should come back ----------------------------------------------------------------------


class Expected:
    """What an answer may be.

    Attributes:
        statuses: any of these.
        body: exactly, or None for whatever it is.
        closes: it is the last one; None: it may be.
        whole: whether all of it comes.
        optional: it need not come at all.
    """

    def __init__(
        self,
        method: str,
        *statuses: int,
        body: bytes | None = None,
        closes: bool | None = False,
        whole: bool = True,
        optional: bool = False,
    ) -> None:
        self.method = method
        self.statuses = statuses
        self.body = body
        self.closes = closes
        self.whole = whole
        self.optional = optional

    def __repr__(self) -> str:
        return f"{self.method}: {self.statuses} {self.body!r:.40} closes={self.closes} whole={self.whole}"


def keeps_alive(head: HeadParser) -> bool:
    """RFC 9112 9.3."""
    values = b",".join(value for name, value in head.fields if name.lower() == b"connection").lower()
    options = {option.strip(b" \t") for option in values.split(b",")}
    return b"close" not in options and (head.minor >= 1 or b"keep-alive" in options)


def model(text: bytes, half_closed: bool) -> list[Expected]:
    """The answers to a stream of requests."""
    expected: list[Expected] = []
    while text:
        head = HeadParser()
        try:
            length = head.feed(text)
        except BadRequest as error:
            return [*expected, Expected(method_in(text), error.status, closes=True)]
        if length is None:
            if half_closed:
                # Empty lines may be taken for the beginning of a request or not.
                optional = not text.strip(b"\r\n")
                expected.append(Expected(method_in(text), 400, closes=True, optional=optional))
            return expected
        text = text[length:]
        one, used = exchange(head, text, half_closed)
        if one is not None:
            expected.append(one)
        if one is None or one.closes or one.statuses == (101,):
            return expected
        text = text[used:]
    return expected


def method_in(text: bytes) -> str:
    """Of a head that is not whole: an answer to HEAD has no body, a refusal neither."""
    return "HEAD" if re.match(rb"(?:\r\n){0,4}HEAD ", text) else "GET"


def exchange(head: HeadParser, text: bytes, half_closed: bool) -> tuple[Expected | None, int]:
    """The answer to one request, whose head is read, and how much of `text` is its body; None while that is missing."""
    method = head.method.decode()
    path = head.path.decode("latin-1")
    body, used, refusal = body_of(head, text)
    if head.expects_other:
        return Expected(method, 417, closes=True), 0
    if (head.content_length or 0) > MAX_BODY:
        return Expected(method, 413, closes=True), 0
    goes_on = keeps_alive(head) and method != "CONNECT"  # what follows one may be of another protocol
    handled = is_handled(method, path)
    if not handled:
        # With a body that did not come along it is answered at once, and ends the connection.
        has_body = head.chunked or bool(head.content_length)
        if has_body and (body is None or head.chunked):
            return Expected(method, 200, 404, 405, 501, closes=True), 0
        return Expected(method, 200, 404, 405, 501, closes=None if has_body and goes_on else not goes_on), used
    if refusal:
        statuses = {refusal, 400} if path in ECHOES[1:] else {refusal}
        return Expected(method, *statuses, closes=True), 0
    if body is None:
        return (Expected(method, 400, closes=True) if half_closed else None), 0
    closes = not goes_on
    if path == SOCKET:
        upgrades = any(name.lower() == b"upgrade" and value == b"websocket" for name, value in head.fields)
        only = sum(name.lower() == b"upgrade" for name, _ in head.fields)
        if upgrades and only >= 1 and first_upgrade(head) == b"websocket":
            return Expected(method, 101), used
        return Expected(method, 426, closes=closes), used
    if path == CUT and method == "HEAD":
        return Expected(method, 200, closes=closes or head.minor == 0), used
    if path == CUT:
        # Where the end of the connection is that of the body, a reset tells that it was cut; a Unix socket has none.
        return Expected(method, 200, closes=True, whole=head.minor == 0), used
    if path == CLOSES:
        return Expected(method, 200, body=b"goodbye", closes=True), used
    if path in FAULTS:
        return Expected(method, 500, closes=closes), used
    content = body if method == "POST" else b"from a thread" if path == "/job" else BODIES[path]
    if path in ("/pieces", "/push") and head.minor == 0:
        closes = True  # only the end of the connection ends such a body
    return Expected(method, 200, body=content, closes=closes), used


def first_upgrade(head: HeadParser) -> bytes:
    return next(value for name, value in head.fields if name.lower() == b"upgrade")


def is_handled(method: str, path: str) -> bool:
    if method == "POST":
        return path in ECHOES
    known = (*BODIES, "/job", *FAULTS, CUT, CLOSES, SOCKET)
    return method in ("GET", "HEAD") and path in known


def body_of(head: HeadParser, text: bytes) -> tuple[bytes | None, int, int]:
    """The body, its length on the wire, and the status it is refused with; None: it is not whole."""
    if head.chunked:
        try:
            decoded = decode_chunked(text, MAX_BODY)
        except BadRequest as error:
            return None, 0, error.status
        return (None, 0, 0) if decoded is None else (decoded[0], decoded[1], 0)
    size = head.content_length or 0
    return (text[:size], size, 0) if len(text) >= size else (None, 0, 0)


def compare(expected: list[Expected], found: list[Answer], ended: bool, half_closed: bool) -> None:
    """The answers are the expected ones, up to one that may be the last and is."""
    for number, answer in enumerate(found):
        assert number < len(expected), f"nobody asked for {answer}"
        want = expected[number]
        assert answer.status in want.statuses, (answer, want)
        assert answer.whole == want.whole, (answer, want)
        if want.body is not None:
            assert answer.body == (b"" if want.method == "HEAD" else want.body), (answer, want)
        if want.method == "HEAD" and want.body is not None and "content-length" in answer.fields:
            assert int(answer.fields["content-length"]) == len(want.body)
        last = answer.closes or not answer.whole
        if want.closes is not None and want.statuses != (101,):
            assert last == want.closes, (answer, want)
        if last:
            assert ended, f"{answer} was the last one, and the connection is open"
            assert number == len(found) - 1
            return
    missing = [one for one in expected[len(found) :] if not one.optional]
    assert not missing, f"missing: {missing}"
    if not (found and found[-1].status == 101):
        assert ended == half_closed, "closed" if ended else "still open"


def read_frames(data: bytes) -> list[tuple[int, Any]]:
    """What a WebSocket's client gets, each frame right; of a goodbye its code, since what a fault is called depends
    on how much of it was seen."""
    reader = MessageReader(from_client=False)
    return [(opcode, reader.close_code if opcode == 8 else payload) for opcode, payload in reader.feed(data)]


# --- an input -----------------------------------------------------------------------------------

server: Server | None = None


def stop() -> None:
    """Give the server up; the next input gets another."""
    global server
    gone, server = server, None
    if gone is not None:
        gone.close()


atexit.register(stop)


def talk(server: Server, pieces: list[bytes], choices: int, expected: list[Expected]) -> list[tuple[int, Any]]:
    """One connection from its beginning to its end; the frames that came after a 101."""
    frames: list[tuple[int, Any]] = []
    with socket.socket(socket.AF_UNIX) as sock:
        client = Client(server, sock, choices)
        client.say(pieces)
        if not choices & LEAVE:
            found, rest = read_answers(client.received, client.ended, [one.method for one in expected])
            compare(expected, found, client.ended, bool(choices & HALF_CLOSE))
            frames = read_frames(rest)
        client.leave()
    check_clean(server)
    return frames


def check_clean(server: Server) -> None:
    """Nothing is left of a connection that ended."""
    assert server.core.pools.index.total_connections() == 0
    assert server.core.requests.get_stats()["in_flight"] == 0
    assert len(server.selector.keys) == 1
    assert not server.jobs
    server.sinks.clear()
    server.pushes.clear()
    for report in server.reports:
        assert report.startswith(("a handler failed: ", "a streamed body failed: LookupError")), report
        assert "ZeroDivisionError" in report or "ResponseError" in report or "LookupError" in report, report
    server.reports.clear()


def check(data: bytes) -> None:
    """Check one input.

    Raises:
        AssertionError: a connection does not do with it what it should.
    """
    global server
    if server is None:
        server = Server()
    try:
        check_with(server, data)
    except BaseException:
        stop()
        raise


def check_with(server: Server, data: bytes) -> None:
    """The same of a server."""
    choices, text = split_choices(data)
    # Behind a request empty lines are forgotten as they come, so how many make one too many depends on the pieces.
    text = re.sub(rb"(?:\r\n){4,}", b"\r\n\r\n\r\n", text)
    tick(server.core)
    how = choices[3]
    expected = model(text, bool(how & HALF_CLOSE))
    whole = talk(server, [text], how & HALF_CLOSE, expected)
    pieces = bytewise(text) if how & BY_BYTES and len(text) <= BYTEWISE else cut(text, choices)
    again = talk(server, pieces, how, expected)
    if not how & LEAVE:
        assert again == whole
