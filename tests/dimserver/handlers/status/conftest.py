"""A worker as the built-in endpoints see it: real figures, and a loop, peers and requests of the test's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from dimcore import Board, ConnectionPoolManifold, Core, Entry, RequestSubstrate, SegmentSet
from dimserver.handlers.status.access import Access

LOCAL = ("127.0.0.1", 40000)
REMOTE = ("203.0.113.9", 40000)


class Peer:
    """The client's connection."""

    def __init__(self, address: tuple[str, int] | str | None = LOCAL, spiral: int = 0) -> None:
        self.address = address
        self.spiral = spiral


class Headers:
    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self.fields = fields

    def getall(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name]

    def __contains__(self, name: object) -> bool:
        return any(key == name for key, _ in self.fields)

    def __iter__(self) -> Iterator[str]:
        return iter([key for key, _ in self.fields])


class Query:
    def __init__(self, text: str) -> None:
        self.pairs = [(pair.partition("=")[0], pair.partition("=")[2]) for pair in text.split("&") if pair]


class Request:
    def __init__(
        self, query: str, connection: Peer | None, params: dict[str, str], fields: dict[str, str | list[str]]
    ) -> None:
        self.query_params = Query(query)
        self.raw_target = "/?" + query
        self.http_version = "1.1"
        self.connection = connection
        self.params = params
        self.body = b""
        each = [(name, [value] if isinstance(value, str) else value) for name, value in fields.items()]
        self.headers = Headers([(name.replace("_", "-"), value) for name, values in each for value in values])


class Loop:
    """What is put off is done when the test says so."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []

    def call_later(self, delay: float, call: Callable[[], object]) -> None:  # noqa: ARG002 - as the real one
        self.calls.append(call)

    def call_soon(self, call: Callable[[], object]) -> None:
        self.calls.append(call)

    def call_from_thread(self, call: Callable[[], object]) -> None:
        self.calls.append(call)

    def run(self) -> None:
        while self.calls:
            self.calls.pop(0)()


class Peers:
    """Other workers; `answers` and `missing` are what they say."""

    def __init__(self) -> None:
        self.asked: list[tuple[list[int], tuple[Any, ...]]] = []
        self.answers: dict[int, Any] = {}
        self.missing: dict[int, str] = {}
        self.patience = 0.0

    def ask(
        self, numbers: Iterable[int], question: tuple[Any, ...], done: Callable[..., object], seconds: float = 0.2
    ) -> None:
        self.asked.append((list(numbers), question))
        self.patience = seconds
        done(self.answers, self.missing)


class TopicFigures:
    def __init__(self) -> None:
        self.subscribers: dict[str, int] = {}

    def figures(self) -> dict[str, int]:
        return {"topics": len(self.subscribers), "subscriptions": sum(self.subscribers.values()), "published": 5}

    def counts(self) -> dict[str, int]:
        return self.subscribers


class Options:
    max_connections = 100


class Notes:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, message: str) -> None:
        self.lines.append(message)


class Server:
    """The server as a whole; what it is told to do is kept."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []
        self.refusal: Exception | None = None
        self.listed = [{"id": "0", "worker": 0, "pid": 10, "state": "starting"},
                       {"id": "1", "worker": 1, "pid": 11, "state": "serving"}]  # fmt: skip

    def _do(self, *what: Any) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.done.append(what)

    def servers(self) -> list[dict[str, Any]]:
        return [{"id": "77", "done": len(self.done)}]

    def workers(self) -> list[dict[str, Any]]:
        return self.listed

    def reloads(self) -> list[dict[str, Any]]:
        return [{"id": str(number), "state": "done"} for number in range(1, 13)]

    def reload(self, who: str) -> None:
        self._do("reload", who)

    def drain(self) -> None:
        self._do("drain")

    def scale(self, workers: int) -> None:
        self._do("scale", workers)

    def reopen_logs(self) -> None:
        self._do("reopen")

    def restart(self, worker: int, who: str) -> None:
        self._do("restart", worker, who)


class Context:
    version = "1.2.3"
    is_worker = True

    def __init__(self) -> None:
        self.settings = Options()
        self.access = Access()
        self.pools = ConnectionPoolManifold()
        self.requests = RequestSubstrate()
        self.core = Core(self.pools, self.requests)
        self.segments = SegmentSet([Board.segment(4)])
        self.board = Board(4, self.segments["board"])
        self.board.allot(0)  # record 0 is of a worker that is starting: this one is 1
        self.entry = Entry(self.board, self.board.allot(1), self.core)
        self.entry.enter("serving")
        self.number = self.entry.record
        self.loop = Loop()
        self.peers = Peers()
        self.topics: TopicFigures | None = TopicFigures()
        self.log = Notes()
        self.server: Server | None = None

    def publish(self) -> None:
        self.entry.publish()

    def descriptors_allow(self) -> int | None:
        return 960

    def lead(self) -> Server:
        """Be the supervisor: no worker, and who knows of the server."""
        self.number = -1
        self.is_worker = False
        self.topics = None
        self.server = Server()
        return self.server

    def another(self, connections: int = 0, state: str = "serving") -> Entry:
        """One more worker, with as many connections at (0, 1)."""
        core = Core(ConnectionPoolManifold(), RequestSubstrate())
        entry = Entry(self.board, self.board.allot(2), core)
        for _ in range(connections):
            core.pools.manifest_connection()
        entry.enter(state)
        return entry


@pytest.fixture
def context() -> Context:
    return Context()


@pytest.fixture
def ask() -> Callable[..., Any]:
    """``ask(query, peer, params, header=value, …)`` makes a request; from this machine unless said otherwise."""

    def make(query: str = "", peer: Any = Peer(), params: Any = None, **fields: Any) -> Request:  # noqa: B008
        return Request(query, peer, params or {}, {"host": "localhost", **fields})

    return make


@pytest.fixture
def peer() -> Callable[..., Any]:
    """``peer(address, spiral)`` makes the connection of a request."""
    return Peer


@pytest.fixture
def admin() -> Peer:
    """A connection of the admin listener."""
    return Peer(LOCAL, 3)


@pytest.fixture
def stranger() -> Peer:
    """A remote one of the main listener."""
    return Peer(REMOTE)


@pytest.fixture
def read() -> Callable[..., Any]:
    """``read(answer, status)`` is its content."""

    def check(answer: tuple[int, dict[str, str], bytes], status: int = 200) -> Any:
        assert answer[0] == status, answer
        assert answer[1]["Content-Type"] == "application/json"
        assert answer[1]["Cache-Control"] == "no-store"
        return json.loads(answer[2])

    return check


@pytest.fixture
def later(context: Context) -> Callable[..., Any]:
    """``later(handler, request)`` is the one answer of a deferred handler."""

    def wait(handler: Any, request: Any) -> Any:
        answers: list[Any] = []
        handler.begin(request, answers.append)
        context.loop.run()
        assert len(answers) == 1
        return answers[0]

    return wait
