"""GET /api/connections: how many are connected in which state, and who."""

from __future__ import annotations

from functools import partial
from itertools import chain

from dimserver.handlers.status.access import refuse_reading
from dimserver.handlers.status.collection import missing_rows
from dimserver.handlers.status.connection_rows import close_connection, join, rows, spread
from dimserver.handlers.status.figures import in_service, look
from dimserver.handlers.status.json_answer import answer, listed
from dimserver.handlers.status.names import LAYERS, POOLS, pool_name
from dimserver.handlers.status.query import BadParameter, Query
from dimserver.handlers.status.resource import Resource, Verb, no_such
from dimserver.http.deferred import Deferred

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from dimcore import Snapshot
    from dimserver.handlers.status.resource import Outcome
    from dimserver.handlers.status.types import Answer, Context, Handler, Reply, Request

__all__ = ["MAX_LISTED", "ConnectionResource", "Connections"]

DEFAULT_LISTED = 100
MAX_LISTED = 10_000  # rows; about 10 ms of the loop's time, in slices
PATIENCE = 0.2  # seconds for the lists of the others
PATIENCE_EACH = 1e-4  # seconds more for each row: a slice waits for the events of a whole round


class Connections(Deferred):
    """Counts of every cell; with `spiral`, `layer` or `limit` also the points in them, of all workers.

    The total is that of spirals 0 to 3, the connections of clients.  Any other spiral is there if it has points.

    Points come pool by pool, layer by layer, and within a cell the one that
    entered first comes first.  Counts are on the board; the points of another
    worker it is asked for, and one that does not answer in time is named in
    `missing`.

    A list is made in slices of some 50 us, one a round of the loop, so that nobody
    waits for it.  So it may be some rounds old in itself: who is in it, and in
    which state, is of one moment for each worker, the counters of a row are of
    its slice, and who closed before that is left out.

    Args:
        context: the worker that answers.

    Thread-safety: the loop's thread.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> Iterator[tuple[str, str, Handler]]:
        """Method, path and handler."""
        yield "GET", "/api/connections", self

    def begin(self, request: Request, reply: Reply) -> None:
        """Make the list, slice by slice, ask the other workers meanwhile if points are wanted, and answer."""
        snapshot = look(self._context)
        plan = self._plan(request, snapshot)
        if isinstance(plan, tuple):
            self._context.loop.call_later(0, partial(reply, plan))
            return
        own = self._context.number
        others = [number for number in in_service(snapshot) if number != own] if plan.limit else []
        expected = len(others) + self._context.is_worker
        lists: dict[int, Any] = {}
        missing: dict[int, str] = {}

        def finish(texts: list[list[bytes]], error: BaseException | None) -> None:
            if error is None:
                reply(plan.answer(chain.from_iterable(texts), missing))
            else:
                reply(None, error)

        def gather(found: dict[int, Any], without: dict[int, str], error: BaseException | None = None) -> None:
            # Comes twice at most: with this worker's own, and with those of the others.
            if error is not None:
                reply(None, error)
                return
            lists.update(found)
            missing.update(without)
            if len(lists) + len(missing) == expected:
                spread(self._context.loop, join(lists.values(), plan.limit), finish)

        if self._context.is_worker:
            spread(self._context.loop, self._own(plan), lambda slices, error: gather({own: slices}, {}, error))
        if others or not expected:
            question = ("list", plan.spirals, plan.layers, plan.limit)
            self._context.peers.ask(others, question, gather, PATIENCE + plan.limit * PATIENCE_EACH)

    def __call__(self, request: Request) -> Answer:
        """The same with the points of this worker alone, all at once."""
        snapshot = look(self._context)
        plan = self._plan(request, snapshot)
        if isinstance(plan, tuple):
            return plan
        own = [self._own(plan)] if self._context.is_worker else []
        return plan.answer(chain.from_iterable(join(own, plan.limit)), {})

    def _own(self, plan: _Plan) -> Iterator[Any]:
        return rows(self._context.pools.index, self._context.number, plan.spirals, plan.layers, plan.limit)

    def _plan(self, request: Request, snapshot: Snapshot) -> _Plan | Answer:
        """What is to be listed, or the answer where nothing is."""
        if not self._context.access.may_read(request):
            return refuse_reading()
        try:
            query = Query(request.query_params.pairs, ("spiral", "layer", "limit"))
            spiral = query.integer("spiral", 0, snapshot.spirals - 1)
            layer = query.integer("layer", 1, len(LAYERS))
            limit = query.integer("limit", 0, MAX_LISTED, DEFAULT_LISTED)
        except BadParameter as error:
            return answer(400, error.report)
        counts = [_pool_counts(snapshot, number) for number in range(snapshot.spirals)]
        total = sum(pool["total"] for pool in counts[: len(POOLS)])
        pools = [pool for pool in counts if pool["spiral"] < len(POOLS) or pool["total"]]
        found: dict[str, Any] = {"total_connections": total, "pools": pools}
        if query.empty:
            return answer(200, found)
        spirals = list(range(snapshot.spirals)) if spiral is None else [spiral]
        layers = list(range(1, len(LAYERS) + 1)) if layer is None else [layer]
        found["limit"] = limit
        found["matching"] = sum(snapshot.count_at(each, at) for each in spirals for at in layers)
        return _Plan(snapshot, found, spirals, layers, limit)


class ConnectionResource(Resource):
    """The verbs of a connection: its list has a shape of its own."""

    name = "connections"
    noun = "connection"
    listed = False

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.verbs = {"close": Verb(self._close)}

    def _close(self, name: str, arguments: dict[str, Any], who: str) -> Outcome:  # noqa: ARG002 - every verb takes them
        """Close it; one that is being served is closed after the answer."""
        row = close_connection(self.context.pools.index, self.context.number, name.partition("-")[2])
        if row is None:
            raise no_such(self.noun, name)
        return 200, row


class _Plan:
    """What a listing is to contain, and what is known of it before anybody is asked."""

    def __init__(
        self, snapshot: Snapshot, found: dict[str, Any], spirals: list[int], layers: list[int], limit: int
    ) -> None:
        self.spirals = spirals
        self.layers = layers
        self.limit = limit
        self._snapshot = snapshot
        self._found = found

    def answer(self, points: Iterable[bytes], missing: dict[int, str]) -> Answer:
        pids = {worker["worker"]: worker["pid"] for worker in self._snapshot.workers}
        self._found["missing"] = [{**row, "pid": pids.get(row["worker"])} for row in missing_rows(missing)]
        return listed(self._found, "points", points)


def _pool_counts(snapshot: Snapshot, spiral: int) -> dict[str, Any]:
    layers = {name: snapshot.count_at(spiral, number) for number, name in enumerate(LAYERS, 1)}
    return {"spiral": spiral, "name": pool_name(spiral), "total": sum(layers.values()), "layers": layers}
