"""A worker's part in its server: its record of the board, the other processes, and the built-in endpoints."""

from __future__ import annotations

from functools import partial

from dimcore import Board, Entry, SegmentSet
from dimserver.config import operator_token
from dimserver.http.deferred import Deferred
from dimserver.net.descriptors import allowed
from dimserver.net.worker_rpc import Peers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from dimcore import Connection, ConnectionPoolManifold, Core, RequestPoint
    from dimserver.config import Settings
    from dimserver.handlers.status import StatusAPI
    from dimserver.handlers.status.access import Access
    from dimserver.handlers.status.types import Server
    from dimserver.log import Log
    from dimserver.net.loop import Loop
    from dimserver.worker.topic_links import TopicService

    Submit = Callable[[Connection, RequestPoint, Callable[[RequestPoint], Any]], object]

__all__ = ["Operations", "Place", "offload"]


class Place:
    """Where a worker stands among the others.

    Args:
        board: the server's; one for this worker alone when None.
        record: the worker's on it, as `Board.allot` gave it.
        directory: where the workers have their private sockets; None for one that is alone.
        again: whether a worker has served with the same settings before.  A directory for logs or bodies that is not
            there any more is then no mistake of whoever starts the server, and no reason to serve less.
        first: whether the server has opened no sockets yet.
        segments: the shared memory of its generation; a worker that is alone makes its own.

    Attributes:
        alone: whether there is no supervisor, and no other worker.
    """

    __slots__ = ("again", "alone", "board", "directory", "first", "record", "segments")

    def __init__(
        self,
        board: Board | None = None,
        record: int = 0,
        directory: str | None = None,
        again: bool = False,
        first: bool = False,
        segments: SegmentSet | None = None,
    ) -> None:
        self.alone = board is None
        if board is None:
            segments = SegmentSet([Board.segment(1)])
            board = Board(1, segments["board"])
            record = board.allot(0)
        self.segments = segments or SegmentSet(())
        self.board = board
        self.record = record
        self.directory = directory
        self.again = again
        self.first = first


class Operations:
    """What operators see and can have done, as far as one worker goes; the context of its `StatusAPI`.

    Args:
        place: where it stands.
        core, loop, settings, version, log: of the worker.
        drain: begins the end of the whole server.
        trouble: told of faults that nobody else is told of.
        topics: of the worker's app.
        server: what is known and done of the server as a whole, by a worker that is alone; None: its supervisor has it.

    Attributes:
        drain_server: as `drain`; whoever knows of more than this worker puts something else there.
        loopback_only: whether nobody but programs on this machine can reach the main listener; `Listeners` tells.

    Raises:
        ConfigError: the operator's token cannot be read.
        OSError: the private socket cannot be made.

    Thread-safety: the loop's thread.
    """

    is_worker = True

    def __init__(
        self,
        place: Place,
        core: Core,
        loop: Loop,
        settings: Settings,
        version: str,
        log: Log,
        drain: Callable[[], object],
        trouble: Callable[[Exception], object],
        topics: TopicService,
        server: Server | None = None,
    ) -> None:
        self.segments = place.segments
        self.board = place.board
        self.entry = Entry(place.board, place.record, core)
        self.number = place.record
        self.server = server
        self.pools: ConnectionPoolManifold = core.pools
        self.loop = loop
        self.settings = settings
        self.log = log
        self._token = operator_token(settings)
        self.loopback_only = False
        self.topics = topics
        self.version = version
        self.drain_server: Callable[[], object] = drain
        self.peers = Peers(place.directory, place.record, loop, self._asked, trouble)
        self._api: StatusAPI | None = None
        self._access: Access | None = None

    @property
    def has_token(self) -> bool:
        """Whether there is an operator's token."""
        return self._token is not None

    @property
    def access(self) -> Access:
        """Who may read and act; made when it is first asked for, which is when a request is there."""
        if self._access is None:
            from dimserver.handlers.status.access import Access

            settings = self.settings
            # Each of these means that a peer on this machine may be somebody else's proxy.
            proxied = bool(settings.trusted_proxies) or settings.proxy_protocol
            local = self.loopback_only and not proxied
            self._access = Access(self._token, settings.local_hosts, local=local)
        return self._access

    @property
    def api(self) -> StatusAPI:
        """The built-in endpoints; made, and imported, for whoever serves them or is asked by a worker that does."""
        if self._api is None:
            from dimserver.handlers.status import StatusAPI

            context: Any = self  # typed otherwise there: an index may hold any point, this one holds connections
            self._api = StatusAPI(context)
        return self._api

    def publish(self) -> None:
        """Have the board show this worker's figures of this moment."""
        self.entry.publish()

    def descriptors_allow(self) -> int | None:
        """How many connections the limit of descriptors allows; None: any number."""
        return allowed()

    def move(self, directory: str | None) -> None:
        """The directory of the private sockets was made anew, or is no more.

        Raises:
            OSError: the private socket cannot be made.
        """
        self.topics.move(directory)
        self.peers.move(directory)

    def _asked(self, *question: Any) -> Any:
        return self.api.question(*question)

    def offload(self, submit: Submit) -> Submit:
        """What the core calls for a blocking handler: a deferred one begins here, another is given to `submit`."""
        # The figures are shown at once: it may be long before the next round.
        return offload(submit, self.publish)

    def close(self) -> None:
        """Show the last figures and leave; again is fine."""
        self.peers.close()
        self.entry.enter("ended")


def offload(submit: Submit, answered: Callable[[], object]) -> Submit:
    """What a core calls for a blocking handler, see `Core.attach`: a deferred one begins at once.

    Args:
        submit: is given any other one.
        answered: called after the answer of a deferred one.
    """

    def reply(connection: Connection, request: RequestPoint, result: Any, error: BaseException | None = None) -> None:
        connection.complete(request, result, error)
        answered()

    def begin(connection: Connection, request: RequestPoint, handler: Callable[[RequestPoint], Any]) -> None:
        if isinstance(handler, Deferred):
            handler.begin(request, partial(reply, connection, request))
        else:
            submit(connection, request, handler)

    return begin
