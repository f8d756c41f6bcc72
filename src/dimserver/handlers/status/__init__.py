"""The built-in endpoints: what the server is, who is connected to it, and what an operator can have done.

    GET /api/status                     that it runs, for anybody; and how, for operators
    GET /api/stats                      sums for each pool and for requests; for operators
    GET /api/connections                counts of every cell, or the points of some; for operators
    GET /api/manifold/evaluate          where a coordinate lies in space; for anybody
    GET /                               links to these, where nothing else is served there

and what has the one shape of `resource`, for operators

    GET /api/servers                    POST /api/servers/{id}/reload, drain, scale, reopen
    GET /api/workers                    POST /api/workers/{id}/restart
    GET /api/reloads
    GET /api/topics
                                        POST /api/connections/{id}/close

and on the admin listener and the control socket alone

    GET /healthz, GET /readyz           whether it lives, whether it takes traffic
    GET /metrics                        for Prometheus; of workers

Any worker answers for all of them, and so does the supervisor.  Every figure is a
counter that is kept anyway and published on the board: no endpoint walks the
connections, except to list the points that were asked for.
"""

from __future__ import annotations

from dimserver.handlers.status.action import Action
from dimserver.handlers.status.collection import Collection
from dimserver.handlers.status.connection_rows import rows
from dimserver.handlers.status.connections import ConnectionResource, Connections
from dimserver.handlers.status.figures import Figures
from dimserver.handlers.status.health import Health
from dimserver.handlers.status.manifold import Manifold
from dimserver.handlers.status.resource import Page
from dimserver.handlers.status.servers import ReloadResource, ServerResource, WorkerResource
from dimserver.handlers.status.topics import TopicResource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from dimserver.handlers.status.resource import Resource
    from dimserver.handlers.status.types import Context, Handler

__all__ = ["RESOURCES", "StatusAPI"]

# What has the one shape; a feature adds its own.
RESOURCES: tuple[type[Resource], ...] = (
    ServerResource,
    WorkerResource,
    ReloadResource,
    ConnectionResource,
    TopicResource,
)


class StatusAPI:
    """Handlers of the built-in endpoints.

    Args:
        context: the process they belong to.

    Thread-safety: the handlers run on the loop's thread, where the index lives.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._resources: dict[str, Resource] = {kind.name: kind(context) for kind in RESOURCES}

    def routes(self, admin: bool = False) -> Iterator[tuple[str, str, Handler]]:
        """Method, path and handler of each endpoint; a `Deferred` one is to be registered as blocking.

        Args:
            admin: with those of the admin listener.
        """
        context = self._context
        parts: list[Any] = [Figures(context), Connections(context), Manifold(context)]
        for resource in self._resources.values():
            if resource.listed:
                parts.append(Collection(context, resource))
            if resource.verbs:
                parts.append(Action(context, resource))
        if admin:
            parts.append(Health(context))
            if context.is_worker:  # a supervisor loads no library, and has no thread to do so
                from dimserver.handlers.status.metrics import Metrics

                parts.append(Metrics(context))
        for part in parts:
            yield from part.routes()

    def question(self, word: str, *rest: Any) -> Any:
        """What another process asks.

        ``("list", spirals, layers, limit)``, ``("rows", resource, limit, after, order)`` or
        ``("act", resource, verb, id, arguments, who)``.

        Returns:
            Plain values, or an iterator of such, which makes one slice of the answer after the other.

        Raises:
            ValueError: it is none of these.
        """
        if word == "list":
            spirals, layers, limit = rest
            return rows(self._context.pools.index, self._context.number, spirals, layers, limit)
        if word == "rows":
            name, *page = rest
            return self._resources[name].share(Page(*page))
        if word == "act":
            name, verb, *how = rest
            return self._resources[name].act(verb, *how)
        raise ValueError(f"no question begins with {word!r}")
