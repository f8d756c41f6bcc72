"""The built-in endpoints: what the server is, who is connected to it, and what an operator can have done.

    GET /api/status                     that it runs, for anybody; and how, for operators
    GET /api/stats                      sums for each pool and for requests; for operators
    GET /api/connections                counts of every cell, or the points of some; for operators
    GET /api/topics                     what is published, and to how many; for operators
    GET /api/manifold/evaluate          where a coordinate lies in space; for anybody
    GET /                               links to these, where nothing else is served there

and on the admin listener alone

    POST /api/connections/{id}/close    close a connection
    POST /api/drain                     drain the server and end it
    GET /healthz, GET /readyz           whether it lives, whether it takes traffic
    GET /metrics                        for Prometheus

Any worker answers for all of them.  Every figure is a counter that is kept
anyway and published on the board: no endpoint walks the connections, except to
list the points that were asked for.
"""

from __future__ import annotations

from dimserver.handlers.status.actions import Close, Drain
from dimserver.handlers.status.connection_rows import close_connection, rows
from dimserver.handlers.status.connections import Connections
from dimserver.handlers.status.figures import Figures
from dimserver.handlers.status.health import Health
from dimserver.handlers.status.manifold import Manifold
from dimserver.handlers.status.metrics import Metrics
from dimserver.handlers.status.topics import Topics, share

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from dimserver.handlers.status.types import Context, Handler

__all__ = ["StatusAPI"]


class StatusAPI:
    """Handlers of the built-in endpoints.

    Args:
        context: the worker they belong to.

    Thread-safety: the handlers run on the loop's thread, where the index lives.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self, admin: bool = False) -> Iterator[tuple[str, str, Handler]]:
        """Method, path and handler of each endpoint; a `Deferred` one is to be registered as blocking.

        Args:
            admin: with those of the admin listener.
        """
        context = self._context
        parts: list[Any] = [Figures(context), Connections(context), Topics(context), Manifold(context)]
        if admin:
            parts += [Close(context), Drain(context), Health(context), Metrics(context)]
        for part in parts:
            yield from part.routes()

    def question(self, word: str, *rest: Any) -> Any:
        """What another worker asks: ``("list", spirals, layers, limit)``, ``("close", id)`` or ``("topics", limit)``.

        Returns:
            Plain values, or an iterator of such, which makes one slice of the answer after the other.

        Raises:
            ValueError: it is none of these.
        """
        index = self._context.pools.index
        if word == "list":
            spirals, layers, limit = rest
            return rows(index, self._context.entry.record, spirals, layers, limit)
        if word == "close":
            return close_connection(index, *rest)
        if word == "topics":
            return share(self._context.topics, *rest)
        raise ValueError(f"no question begins with {word!r}")
