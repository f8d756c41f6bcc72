"""POST /api/connections/{id}/close and POST /api/drain: what an operator can have done, on the admin listener."""

from __future__ import annotations

from functools import partial

from dimserver.handlers.status.access import refuse_acting
from dimserver.handlers.status.connection_rows import close_connection
from dimserver.handlers.status.connections import in_service
from dimserver.handlers.status.figures import look
from dimserver.handlers.status.json_answer import answer
from dimserver.http.deferred import Deferred

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from dimserver.handlers.status.types import Answer, Context, Handler, Reply, Request

__all__ = ["Close", "Drain"]

LONGEST_ID = 200  # characters; ids of the server's own have 20 at most


class Close(Deferred):
    """Close a connection of any worker, by the id that the list of connections gives it.

    One that is being served is closed after the answer.

    Args:
        context: the worker that answers.

    Thread-safety: the loop's thread.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> Iterator[tuple[str, str, Handler]]:
        """Method, path and handler."""
        yield "POST", "/api/connections/{id}/close", self

    def begin(self, request: Request, reply: Reply) -> None:
        """Close it here, or have its worker do so."""
        whose = self._whose(request)
        if isinstance(whose, tuple):
            self._context.loop.call_later(0, partial(reply, whose))
            return
        given = request.params["id"]

        def done(answers: dict[int, bool], missing: dict[int, str]) -> None:
            if missing:
                reply(answer(503, {"error": "no answer", "worker": whose, "detail": missing[whose]}))
            else:
                reply(_outcome(given, answers[whose]))

        self._context.peers.ask([whose], ("close", _name(given)), done)

    def __call__(self, request: Request) -> Answer:
        """The same for the connections of this worker alone."""
        whose = self._whose(request)
        return whose if isinstance(whose, tuple) else _outcome(request.params["id"], False)

    def _whose(self, request: Request) -> int | Answer:
        """The other worker that has it, or the answer where there is none."""
        if not self._context.access.may_act(request):
            return refuse_acting()
        given = request.params["id"]
        number, dash, name = given.partition("-")
        if not (dash and name and len(given) <= LONGEST_ID and number.isascii() and number.isdigit()):
            allowed = "an id as GET /api/connections?limit= gives it, for example 0-1000001"
            return answer(400, {"error": "bad id", "value": given[:100], "allowed": allowed})
        whose = int(number)
        if whose == self._context.entry.record:
            return _outcome(given, close_connection(self._context.pools.index, name))
        if whose not in in_service(look(self._context)):
            return _outcome(given, False)
        return whose


class Drain:
    """Drain the whole server and end it, as SIGTERM to its first process does.

    Args:
        context: the worker that answers.

    Thread-safety: the loop's thread.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> Iterator[tuple[str, str, Handler]]:
        """Method, path and handler."""
        yield "POST", "/api/drain", self.drain

    def drain(self, request: Request) -> Answer:
        """Begin; the answer says that it was asked for, not that it is done."""
        if not self._context.access.may_act(request):
            return refuse_acting()
        self._context.drain_server()
        return answer(202, {"status": "draining"})


def _name(given: str) -> str:
    return given.partition("-")[2]


def _outcome(given: str, closed: bool) -> Answer:
    if closed:
        return answer(200, {"closed": given})
    return answer(404, {"error": "no such connection", "id": given})
