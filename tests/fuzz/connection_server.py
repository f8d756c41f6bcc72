"""What the connection fuzzer talks to: a worker's core with handlers of every kind, over sockets or in memory."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from dimcore import (
    Acceptor,
    AccessLines,
    BadRequest,
    Composite,
    ConnectionPoolManifold,
    Core,
    Endpoint,
    FileBody,
    Host,
    Push,
    RequestSubstrate,
    Router,
    Site,
)
from dimserver.handlers.static import StaticFiles
from dimserver.net.loop import Selector

memory: Any
try:
    memory = import_module("dimcore_fuzz_memory")
except ImportError:  # an ordinary build: all connections are sockets
    memory = None

MAX_BODY = 3000  # bytes: a larger one is refused
BODY_MEMORY = 200  # a larger one goes to a file, or to its handler as it comes
LARGE = 66_000  # more than is gathered for one send, and than one receive takes
PIECE = 20_000  # of a body: sent from where it lies

FILE = bytes(at * 7 & 0xFF for at in range(LARGE))
BODIES: dict[str, bytes] = {
    "/": b"hello",
    "/large": b"x" * LARGE,
    "/pieces": b"one two three",
    "/rows": b"r" * (4 * PIECE),
    "/file": FILE,
    "/parts": b"--a" + FILE[:30_000] + b"--b" + FILE[40_000:] + b"--c",
    "/push": b"pushed later",
    "/empty": b"",
    "/keep": b"kept",
}
ON_THREADS: dict[str, bytes] = {"/job": b"from a thread", "/job-file": FILE, "/job-push": b"p" * (3 * PIECE)}
ECHOES = ("/echo", "/job", "/stream")
FAULTS = ("/raise", "/nonsense")  # answered 500, and reported
CUT = "/cut"  # its source fails in the middle
CLOSES = "/close"  # closes its own connection behind its answer
ARCHIVES = "/archive"  # ends its own connection, and is not answered
SOCKET = "/ws"
STATIC = "/static/big.bin"  # with ranges, conditions, a multipart answer

PROXIED = b"PROXY TCP4 192.0.2.1 192.0.2.2 40001 80\r\n"  # where every connection has to begin so

# Queries with which a request makes trouble.
GONE = "gone"  # the access log ends the connection
WATCH = "watch"  # a thread's: the connection is closed when its client is done


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
    """A worker's core and its loop; the same for all inputs, so that what one leaves behind is seen.

    Args:
        sockets: connections are sockets, else they are in memory.
    """

    def __init__(self, sockets: bool) -> None:
        self.reports: list[str] = []
        self.logged: list[tuple[str, str, str | None]] = []
        self.kept: list[tuple[Any, str, str | None]] = []
        self.jobs: deque[tuple[Any, Any, Any]] = deque()
        self.pushes: deque[tuple[Push, list[bytes]]] = deque()
        self.sinks: dict[Any, Sink] = {}
        self.core = Core(ConnectionPoolManifold(), RequestSubstrate())
        self.core.configure(max_body=MAX_BODY, body_memory=BODY_MEMORY)
        self.lines = AccessLines("json", self.core.pools)
        self.file = os.memfd_create("body")
        os.write(self.file, FILE)
        self.place = tempfile.mkdtemp()
        served = Path(self.place) / "static"
        served.mkdir()
        (served / "big.bin").write_bytes(FILE)
        self.static = StaticFiles(self.place)
        self.site = Site(self.core, self._routes())
        self.listener: socket.socket | None = None
        self.selector: Any = Selector() if sockets else memory
        if sockets:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(f"{self.place}/socket")
            self.listener.listen(8)
            self.listener.setblocking(False)
            self.accept = Acceptor(self.site, self.listener.fileno(), self._full).on_ready
            self.selector.register(self.listener.fileno(), 1, self.accept)
        else:
            behind = Site(self.core, self.site.router, trusts=lambda address: True)
            memory.use(self.site)
            memory.use(behind)
            self.accept = Acceptor(self.site, 1, self._full).on_ready
            self.accept_proxied = Acceptor(behind, 2, self._full).on_ready
        self.turn: Callable[[], bool] = self._turn if sockets else memory.turn
        self.log_with(self._log)

    def close(self) -> None:
        """Give back what it holds, also in the middle of something."""
        watched = self.selector.calls() if self.listener is None else list(self.selector.keys.values())
        for call in watched:
            if call is not self.accept:
                call.__self__.close()
        self.core.drain()
        if self.listener is not None:
            self.selector.close()
            self.listener.close()
        else:
            memory.remember_input(self.site)
        shutil.rmtree(self.place)
        os.close(self.file)

    def log_with(self, log: Any) -> None:
        """Attach the core to the loop, with an access log."""
        self.access_log = log
        self.core.attach(
            Host(
                register=self.selector.register,
                modify=self.selector.modify,
                unregister=self.selector.unregister,
                mute=self.selector.mute,
                offload=self._offload,
                open_stream=self._open_sink,
                report=lambda message, request, error: self.reports.append(f"{message}: {error!r}"),
                access_log=log,
            )
        )

    def log_in(self, c: bool) -> None:
        """The access log is the core's own, or a callable."""
        log = self.lines if c else self._log
        if self.access_log is not log and self.access_log != log:
            self.log_with(log)

    @property
    def watched(self) -> int:
        """How many connections the loop watches."""
        return len(self.selector.calls()) if self.listener is None else len(self.selector.keys) - 1

    def take_log(self) -> list[tuple[str, str, str | None]]:
        """Method, target and user agent of what was logged; empty text where there was no whole head."""
        logged, self.logged = self.logged, []
        for line in self.lines.take()[0].splitlines():
            entry = json.loads(line)
            logged.append((entry["method"], entry["target"], entry["user_agent"]))
        return logged

    def _full(self) -> None:
        raise AssertionError("out of descriptors")

    def _log(self, request: Any, *_: object) -> None:
        self.logged.append((request.method, request.raw_target, request.headers.get("user-agent")))
        if request.query_string == GONE:
            self._archive(request)

    def _offload(self, connection: Any, request: Any, handler: Any) -> None:
        if request.query_string == WATCH:
            request.on_peer_done = connection.close
        self.jobs.append((connection, request, handler))

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
        router.add("GET", "/job", lambda request: ON_THREADS["/job"], blocking=True)
        router.add("GET", "/job-file", self._file, blocking=True)
        router.add("GET", "/job-push", self._job_push, blocking=True)
        router.add("GET", "/raise", lambda request: 1 / 0)
        router.add("GET", "/nonsense", lambda request: object())
        router.add("GET", CUT, self._cut)
        router.add("GET", CLOSES, self._close)
        router.add("GET", ARCHIVES, self._archive)
        router.add("GET", SOCKET, self._upgrade)
        router.add("GET", "/static/", self.static, exact=False)
        return router

    def _pieces(self, _: Any) -> Iterator[bytes]:
        yield b"one"
        yield b" two"
        yield b" three"

    def _rows(self, _: Any) -> Iterator[bytes]:
        for _ in range(4):
            yield b"r" * PIECE

    def _stretch(self, start: int, end: int) -> FileBody:
        return FileBody(os.dup(self.file), start, end - start)

    def _file(self, _: Any) -> Any:
        return 200, {}, self._stretch(0, LARGE)

    def _parts(self, _: Any) -> Any:
        parts = (b"--a", self._stretch(0, 30_000), b"--b", self._stretch(40_000, LARGE), b"--c")
        return 200, {}, Composite(parts)

    def _push(self, _: Any) -> Any:
        push = Push()
        self.pushes.append((push, [b"pushe", b"d lat", b"er"]))
        return 200, {"Content-Length": str(len(BODIES["/push"]))}, push

    def _job_push(self, _: Any) -> Any:
        push = Push()
        self.pushes.append((push, [b"p" * PIECE] * 3))
        return 200, {}, push

    def _keep(self, request: Any) -> bytes:
        self.kept.append((request, request.raw_target, request.headers.get("user-agent")))
        return b"kept"

    def _cut(self, _: Any) -> Iterator[bytes]:
        yield b"half an answer"
        raise LookupError("the rest")

    def _close(self, request: Any) -> bytes:
        request.connection.close()
        return b"goodbye"

    def _archive(self, request: Any) -> bytes:
        self._keep(request)
        try:
            self.core.pools.transition(request.connection.id, 7)
        except (KeyError, AttributeError):  # it is closed already
            pass
        return b"too late"

    def _upgrade(self, request: Any) -> Any:
        if request.headers.get("upgrade") != "websocket":
            return 426, {}, b"a WebSocket lives here"
        endpoint = Endpoint(Echo(), max_message=MAX_BODY, max_frames=20)
        assert request.connection.upgrade(request, endpoint, endpoint.make(), headers={"Upgrade": "websocket"})
        return None

    # --- the loop -------------------------------------------------------------------------------

    def _turn(self) -> bool:
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
            error = None  # else its traceback would keep this frame, and the client
            moved = True
        while self.pushes:
            push, pieces = self.pushes.popleft()
            for piece in pieces:
                push.write(piece)
            push.end()
            moved = True
        return moved


class SocketClient:
    """The other end of a socket; as `MemoryClient` of memory.pyx."""

    room = bytearray(1 << 16)

    def __init__(self, server: Server, wait: Callable[[], None]) -> None:
        assert server.listener is not None
        self.ended = self.left = False
        self.parts: list[bytes] = []
        self.wait = wait
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(server.listener.getsockname())
        self.sock.setblocking(False)

    @property
    def received(self) -> bytes:
        return b"".join(self.parts)

    def receive(self) -> bool:
        if self.ended:
            return False
        try:
            size = self.sock.recv_into(self.room)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            size = 0
        self.parts.append(bytes(self.room[:size]))
        self.ended = not size
        return True

    def send(self, data: bytes) -> bool:
        """Whether the server takes it."""
        while data and not self.ended:
            try:
                data = data[self.sock.send(data) :]
            except BlockingIOError:
                # A server that neither reads nor has anything to say waits for a thread, or for its client to read.
                self.wait()
            except (BrokenPipeError, ConnectionResetError):
                return False
        return not data

    def finish(self) -> None:
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def leave(self, reset: bool = True) -> None:
        if not reset and not self.ended:
            self.finish()
        self.sock.close()
        self.ended = True
