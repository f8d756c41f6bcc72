"""What the built-in endpoints read and use of the server, the request and its connection."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any, Protocol

    from dimcore import Board, Entry, Index, SegmentSet

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
        """The other workers; see `net.peers.Peers`."""

        def ask(
            self,
            numbers: Iterable[int],
            question: tuple[Any, ...],
            done: Callable[[dict[int, Any], dict[int, str]], object],
            seconds: float = ...,
        ) -> None: ...

    class TopicFigures(Protocol):
        """The topics of a worker; see `run.topics.TopicService`."""

        def figures(self) -> dict[str, int]: ...
        def counts(self) -> dict[str, int]: ...

    class Context(Protocol):
        """The worker that the endpoints belong to, and through it all of them."""

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
        def entry(self) -> Entry: ...  # this worker's record
        @property
        def segments(self) -> SegmentSet: ...  # of shared memory
        @property
        def loop(self) -> Later: ...
        @property
        def peers(self) -> Others: ...
        @property
        def topics(self) -> TopicFigures: ...
        def drain_server(self) -> None: ...

    Answer = tuple[int, dict[str, str], bytes]
    Handler = Callable[[Request], Answer]

    class Reply(Protocol):
        """See `http.deferred.Reply`."""

        def __call__(self, result: Answer | None, error: BaseException | None = None) -> object: ...
