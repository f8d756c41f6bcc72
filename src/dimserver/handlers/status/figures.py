"""GET /api/status and GET /api/stats: that the server runs, and what it has done."""

from __future__ import annotations

import time

from dimserver.handlers.status.access import is_admin, refuse_reading
from dimserver.handlers.status.json_answer import answer
from dimserver.handlers.status.names import POOLS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from dimcore import Snapshot
    from dimcore.stats.board import _Worker
    from dimserver.handlers.status.types import Answer, Context, Handler, Request

__all__ = ["Figures", "in_service", "look", "worker_row"]


def look(context: Context) -> Snapshot:
    """The figures of all workers, those of this process up to this moment."""
    context.publish()
    return context.board.snapshot()


def in_service(snapshot: Snapshot) -> list[int]:
    """The workers that have connections."""
    return [worker["worker"] for worker in snapshot.workers if worker["state"] in ("serving", "draining")]


def worker_row(worker: _Worker, now: float) -> dict[str, Any]:
    """A worker as the board shows it.

    Args:
        worker: an entry of `Snapshot.workers`.
        now: on the monotonic clock.
    """
    return {
        "worker": worker["worker"],
        "pid": worker["pid"],
        "state": worker["state"],
        "age": round(now - worker["started"], 3),
        # Of its loop: how long the round has taken that is not over.
        "busy": 0.0 if worker["round_began"] is None else round(max(0.0, now - worker["round_began"]), 3),
        "connections": worker["connections"],
        "in_flight": worker["in_flight"],
        "requests": worker["requests"],
        "errors": worker["errors"],
    }


class Figures:
    """Sums over all workers, and over those that are gone.

    Args:
        context: the worker that answers.

    Thread-safety: the loop's thread.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> Iterator[tuple[str, str, Handler]]:
        """Method, path and handler of each endpoint."""
        yield "GET", "/api/status", self.status
        yield "GET", "/api/stats", self.stats

    def status(self, request: Request) -> Answer:
        """That the server runs, for anybody; since when and how it works, for operators."""
        snapshot = look(self._context)
        status = "draining" if snapshot.draining else "online"
        if not self._context.access.may_read(request):
            return refuse_reading() if is_admin(request) else answer(200, {"status": status})
        return answer(
            200,
            {
                "status": status,
                "version": self._context.version,
                "uptime": round(time.monotonic() - snapshot.started, 3),
                "workers": sum(worker["state"] == "serving" for worker in snapshot.workers),
                "pools": list(POOLS),
                "max_connections": self._context.settings.max_connections,  # of each worker, as what follows
                "descriptors_allow": self._context.descriptors_allow(),
                "optimizations": {
                    "connection_lookup": "O(1)",
                    "request_routing": "O(1)",
                    "request_parsing": "lazy",
                    "state_transitions": "automatic",
                },
            },
        )

    def stats(self, request: Request) -> Answer:
        """Sums of connections for each pool, and of requests; each worker's share; shared memory; for operators."""
        if not self._context.access.may_read(request):
            return refuse_reading()
        snapshot = look(self._context)
        now = time.monotonic()
        workers = [worker_row(worker, now) for worker in snapshot.workers]
        return answer(
            200,
            {
                "connections": snapshot.connections(),
                "requests": snapshot.requests(),
                "budgets": snapshot.budgets(),
                "shared": self._context.segments.figures(),
                "workers": workers,
                "supervisor": snapshot.tallies,
            },
        )
