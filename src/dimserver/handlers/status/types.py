"""What the built-in endpoints read and use of the server, the request and its connection."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any, Protocol

    from dimcore import Board, Index, SegmentSet

    class Headers(Protocol):
        """The part of a request's headers that is read here."""

        def getall(self, name: str) -> list[str]: ...
        def __contains__(self, name: object, /) -> bool: ...
        def __iter__(self) -> Iterator[str]: ...

    class QueryParams(Protocol):
        """The decoded query."""

        @property
        def pairs(self) -> list[tuple[str, str]]: ...

    class Connection(Protocol):
        """The connection of a request."""

        @property
        def spiral(self) -> int: ...
        @property
        def address(self) -> tuple[str, int] | str | None: ...  # a path or None: a Unix socket

    class Request(Protocol):
        """The part of a RequestPoint that is read here."""

        @property
        def query_params(self) -> QueryParams: ...
        @property
        def raw_target(self) -> str: ...
        @property
        def http_version(self) -> str: ...
        @property
        def headers(self) -> Headers: ...
        @property
        def params(self) -> Mapping[str, str]: ...
        @property
        def body(self) -> bytes: ...
        @property
        def connection(self) -> Connection | None: ...

    class Pools(Protocol):
        """The pools of connections."""

        @property
        def index(self) -> Index: ...

    class Gate(Protocol):
        """Who may do what; see `access.Access`."""

        def may_read(self, request: Request) -> bool: ...
        def may_act(self, request: Request) -> bool: ...

    class Options(Protocol):
        """The settings that are read here."""

        @property
        def max_connections(self) -> int: ...

    class Later(Protocol):
        """The loop's way to put something off."""

        def call_later(self, delay: float, call: Callable[[], object]) -> None: ...
        def call_soon(self, call: Callable[[], object]) -> None: ...
        def call_from_thread(self, call: Callable[[], object]) -> None: ...

    class Others(Protocol):
        """The other processes; see `net.worker_rpc.Peers`."""

        def ask(
            self,
            numbers: Iterable[int],
            question: tuple[Any, ...],
            done: Callable[[dict[int, Any], dict[int, str]], object],
            seconds: float = ...,
        ) -> None: ...

    class Server(Protocol):
        """What is known of the server as a whole, and can be done to it; by its supervisor, or by one that is alone.

        What begins something is told who asks for it, and raises `resource.Refused` where that is not possible.
        """

        def servers(self) -> list[Row]: ...  # one
        def workers(self) -> list[Row]: ...
        def reloads(self) -> list[Row]: ...
        def reload(self, who: str) -> None: ...
        def drain(self) -> None: ...
        def scale(self, workers: int) -> None: ...
        def reopen_logs(self) -> None: ...
        def restart(self, worker: int, who: str) -> None: ...

    class Notes(Protocol):
        """The log."""

        def info(self, message: str) -> None: ...

    class TopicFigures(Protocol):
        """The topics of a worker; see `worker.topic_links.TopicService`."""

        def figures(self) -> dict[str, int]: ...
        def counts(self) -> dict[str, int]: ...

    class Context(Protocol):
        """The process that the endpoints belong to, a worker or the supervisor, and through it all of them."""

        @property
        def number(self) -> int: ...  # a worker's record of the board, or `net.worker_rpc.SUPERVISOR`
        @property
        def is_worker(self) -> bool: ...
        @property
        def server(self) -> Server | None: ...  # None in a worker that has a supervisor
        @property
        def pools(self) -> Pools: ...
        @property
        def access(self) -> Gate: ...
        @property
        def settings(self) -> Options: ...
        @property
        def version(self) -> str: ...
        @property
        def board(self) -> Board: ...
        @property
        def segments(self) -> SegmentSet: ...  # of shared memory
        @property
        def loop(self) -> Later: ...
        @property
        def peers(self) -> Others: ...
        @property
        def topics(self) -> TopicFigures | None: ...  # a worker's
        @property
        def log(self) -> Notes: ...
        def publish(self) -> None: ...  # have the board show this moment
        def descriptors_allow(self) -> int | None: ...  # connections of each worker

    Row = dict[str, Any]
    Answer = tuple[int, dict[str, str], bytes]
    Handler = Callable[[Request], Answer]

    class Reply(Protocol):
        """See `http.deferred.Reply`."""

        def __call__(self, result: Answer | None, error: BaseException | None = None) -> object: ...
