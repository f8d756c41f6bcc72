"""GET /api/X: the rows that all processes of the server have of a resource, a page at a time."""

from __future__ import annotations

from functools import partial

from dimserver.handlers.status.access import refuse_reading
from dimserver.handlers.status.figures import in_service, look
from dimserver.handlers.status.json_answer import answer
from dimserver.handlers.status.query import BadParameter, Query
from dimserver.handlers.status.resource import Keeper, Page
from dimserver.http.deferred import Deferred
from dimserver.net.worker_rpc import SUPERVISOR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from dimserver.handlers.status.resource import Resource, Share
    from dimserver.handlers.status.types import Answer, Context, Handler, Reply, Request

__all__ = ["MAX_LISTED", "Collection", "missing_rows"]

DEFAULT_LISTED = 100
MAX_LISTED = 1000  # rows of a page; about 2 ms of the loop's time
LONGEST_ID = 1000  # characters


class Collection(Deferred):
    """The list of one resource.

    A process that does not answer in time is named in `missing`, and the rest is there.

    Args:
        context: the process that answers.
        resource: what is listed.

    Thread-safety: the loop's thread.
    """

    def __init__(self, context: Context, resource: Resource) -> None:
        self._context = context
        self._resource = resource

    def routes(self) -> Iterator[tuple[str, str, Handler]]:
        """Method, path and handler."""
        yield "GET", f"/api/{self._resource.name}", self

    def begin(self, request: Request, reply: Reply) -> None:
        """Ask the others, and answer."""
        page = self._page(request)
        if not isinstance(page, Page):
            self._context.loop.call_later(0, partial(reply, page))
            return
        own = self._own(page)

        def done(shares: dict[int, Any], missing: dict[int, str]) -> None:
            reply(self._answer({**own, **shares}, missing, page))

        self._context.peers.ask(self._others(), ("rows", self._resource.name, *page.plain), done)

    def __call__(self, request: Request) -> Answer:
        """The same of this process alone."""
        page = self._page(request)
        return self._answer(self._own(page), {}, page) if isinstance(page, Page) else page

    def _others(self) -> list[int]:
        keepers = self._resource.keepers
        context = self._context
        others: list[int] = []
        if Keeper.SUPERVISOR in keepers and context.server is None:
            others.append(SUPERVISOR)
        if Keeper.WORKERS in keepers:
            others += [number for number in in_service(look(context)) if number != context.number]
        return others

    def _own(self, page: Page) -> dict[int, Share]:
        keepers = self._resource.keepers
        context = self._context
        kept = (Keeper.WORKERS in keepers and context.number != SUPERVISOR) or (
            Keeper.SUPERVISOR in keepers and context.server is not None
        )
        return {context.number: self._resource.share(page)} if kept else {}

    def _page(self, request: Request) -> Page | Answer:
        """What is asked for, or the answer where nothing is."""
        if not self._context.access.may_read(request):
            return refuse_reading()
        resource = self._resource
        known = ("limit", "after", "order") if resource.orders else ("limit", "after")
        try:
            query = Query(request.query_params.pairs, known)
            limit = query.integer("limit", 0, MAX_LISTED, DEFAULT_LISTED)
            after = query.text("after", LONGEST_ID)
            if after is not None and resource.numbered:
                after = str(query.integer("after", 0, 999_999_999))
            order = query.choice("order", ("id", *resource.orders), "id")
            if order == "id":
                order = ""
            elif after is not None:
                raise BadParameter("after", after, "only in the order of ids")
        except BadParameter as error:
            return answer(400, error.report)
        return Page(limit, after, order)

    def _answer(self, shares: dict[int, Share], missing: dict[int, str], page: Page) -> Answer:
        resource = self._resource
        total, exact, rows = resource.collect(shares.values(), page)
        sums: dict[str, int] = {}
        for _, _, figures in shares.values():
            for name, value in figures.items():
                sums[name] = sums.get(name, 0) + value
        content: dict[str, Any] = {**sums, resource.name: rows, "total": total, "missing": missing_rows(missing)}
        if not exact:
            content["exact"] = False  # there are so many at least
        if sums:
            content["workers"] = [{"worker": number, **figures} for number, (_, _, figures) in sorted(shares.items())]
        return answer(200, content)


def missing_rows(missing: dict[int, str]) -> list[dict[str, Any]]:
    """Those who did not answer, as every list names them."""
    return [
        {"worker": "supervisor" if number == SUPERVISOR else number, "reason": reason}
        for number, reason in sorted(missing.items())
    ]
