"""How a worker comes to its end without losing anybody: what is in flight ends, what is idle is closed."""

from __future__ import annotations

from time import monotonic

from dimcore import Connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dimcore import ConnectionPoolManifold, RequestSubstrate
    from dimserver.net.loop import Loop

__all__ = ["LAST_REQUEST", "Drain"]

WEBSOCKET_POOL = 1
CLIENT_POOLS = 4  # spirals 0 to 3: points of other kinds end with what they belong to
NEW, HANDSHAKE, ACTIVE, IDLE, CLOSING = 1, 2, 3, 4, 5
LAYERS = range(1, 8)
RESPONSE_READY = 5  # the stage of a request whose answer is being sent
LAST_REQUEST = 0.2  # seconds: a stop waits so long for a request that is on its way on an idle connection
DRAIN_STEP = 0.05  # seconds between two looks at what is left
TOLD_BEFORE = 5.0  # seconds before the drain limit: ASGI apps are told, so that they can say goodbye to their clients
CUT_BEFORE = 1.0  # seconds before the drain limit: streams are ended, so that their sources have time to clean up
TOLD_SHARE, CUT_SHARE = 4, 8  # they are no more than a quarter and an eighth of the limit


class Drain:
    """See the module.

    Args:
        pools, pipeline, loop: of the worker.
        in_flight: how many requests are on threads.
        tasks: how many asyncio tasks of the app were begun while it served, and go on.

    Attributes:
        cut_off: connections that were in the middle of a request at the end.

    Thread-safety: the loop's thread.
    """

    def __init__(
        self,
        pools: ConnectionPoolManifold,
        pipeline: RequestSubstrate,
        loop: Loop,
        in_flight: Callable[[], int],
        tasks: Callable[[], int] = int,
    ) -> None:
        self._pools = pools
        self._pipeline = pipeline
        self._loop = loop
        self._in_flight = in_flight
        self._tasks = tasks
        self._limit = 0.0
        self._linger_ends = 0.0
        self._ends = 0.0
        self._told = False
        self.cut_off = 0

    @property
    def left(self) -> float:
        """Seconds until its limit; 0 where it did not begin."""
        return max(0.0, self._ends - monotonic())

    def begin(self, linger: float, limit: float) -> None:
        """Let requests in flight end, then stop the loop.

        Args:
            linger: seconds for which an idle connection is kept for one more request, which may be on its way.
            limit: seconds after which the loop stops whatever is left.
        """
        now = monotonic()
        self._limit = limit
        self._ends = now + limit
        self._linger_ends = min(now + linger, self._ends)
        # After one more round: a request that lies in the kernel already is one in flight.
        self._loop.call_later(0, self._look)

    def _look(self) -> None:
        now = monotonic()
        late = now >= self._ends - min(TOLD_BEFORE, self._limit / TOLD_SHARE)
        if now >= self._ends - min(CUT_BEFORE, self._limit / CUT_SHARE):
            # Their peers see that something is missing; their generators, on whichever thread, a GeneratorExit.
            self.cut_off += self._end_streams()
        elif late:
            for connection in self._streams():
                connection.tell_end()
        if late and not self._told:
            self._told = True
            for connection in self._sockets():
                connection.tell_end()
        if now >= self._linger_ends:
            # Whoever is not in the middle of a request has nothing to lose; who lingers has an answer to read yet.
            # Not at once: a client may be sending its next request at this very moment, and would lose it.
            self._close_connections(NEW, HANDSHAKE, IDLE)
            self._close_connections(ACTIVE, spirals=(WEBSOCKET_POOL,))  # asked whether they are alive
        runner = self._loop.runner
        waiting = runner is not None and runner.waiting  # of WebSockets that may be closed already
        # What is late is the lifespan's: an app ends its own tasks there.
        left = self._in_flight() or waiting or self._has_connections() or (not late and self._tasks())
        if now >= self._ends or not left:
            self._loop.stop()
        else:
            self._loop.call_later(DRAIN_STEP, self._look)

    def close_all(self) -> None:
        """Close every connection there is; those that are served at the moment are counted as cut off."""
        index = self._pools.index
        self.cut_off += sum(index.count_at(spiral, ACTIVE) for spiral in range(CLIENT_POOLS))
        self._close_connections(*LAYERS)
        self._close_connections(CLOSING)  # WebSockets, which were told but not waited for

    def _streams(self) -> list[Connection]:
        """The connections whose answer is on its way."""
        index = self._pipeline.index
        requests = [request for spiral in range(index.spirals) for request in index.get_at(spiral, RESPONSE_READY)]
        found = [getattr(request, "connection", None) for request in requests]
        return [connection for connection in found if isinstance(connection, Connection)]

    def _sockets(self) -> list[Connection]:
        """Those of another protocol, some of which may be an app's to read and write."""
        index = self._pools.index
        points = [point for layer in LAYERS for point in index.get_at(WEBSOCKET_POOL, layer)]
        return [point for point in points if isinstance(point, Connection)]

    def _end_streams(self) -> int:
        streams = self._streams()
        for connection in streams:
            connection.close()
        return len(streams)

    def _has_connections(self) -> bool:
        index = self._pools.index
        if not len(index):
            return False
        cells = ((spiral, layer) for spiral in range(index.spirals) for layer in LAYERS)
        return any(isinstance(point, Connection) for cell in cells for point in index.get_at(*cell))

    def _close_connections(self, *layers: int, spirals: Sequence[int] = ()) -> None:
        index = self._pools.index
        for spiral in spirals or range(index.spirals):
            for layer in layers:
                if index.count_at(spiral, layer):
                    for connection in index.get_at(spiral, layer):
                        if isinstance(connection, Connection):  # the app may keep points of its own there
                            connection.close()
