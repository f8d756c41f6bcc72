"""GET /api/topics: what is published, and how many are subscribed to what."""

from __future__ import annotations

from functools import partial
from heapq import nlargest

from dimserver.handlers.status.access import refuse_reading
from dimserver.handlers.status.connections import in_service
from dimserver.handlers.status.figures import look
from dimserver.handlers.status.json_answer import answer
from dimserver.handlers.status.query import BadParameter, Query
from dimserver.http.deferred import Deferred

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from dimserver.handlers.status.types import Answer, Context, Handler, Reply, Request, TopicFigures

    Share = tuple[dict[str, int], dict[str, int]]

__all__ = ["MAX_LISTED", "Topics", "share"]

DEFAULT_LISTED = 100
MAX_LISTED = 10_000  # topics


def share(topics: TopicFigures, limit: int) -> Share:
    """What one worker has to tell: its counters, and its topics with the most subscribers, at most `limit`."""
    counts = topics.counts()
    if len(counts) > limit:
        counts = {name: number for number, name in _largest(counts, limit)}
    return topics.figures(), counts


def _largest(counts: dict[str, int], limit: int) -> list[tuple[int, str]]:
    """Those with the most subscribers, and of as many the last by name, first.

    Pairs that compare as they stand: a key function would cost four times as much as all else.
    """
    return nlargest(limit, zip(counts.values(), counts, strict=True))


class Topics(Deferred):
    """Counters of all workers, and the topics that have the most subscribers.

    Where a worker has more topics than are asked for, a topic that is not among its own largest counts only what
    the other workers have of it.  A worker that does not answer in time is named in `missing`.

    Args:
        context: the worker that answers.

    Thread-safety: the loop's thread.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> Iterator[tuple[str, str, Handler]]:
        """Method, path and handler."""
        yield "GET", "/api/topics", self

    def begin(self, request: Request, reply: Reply) -> None:
        """Ask the other workers, and answer."""
        limit = self._limit(request)
        if not isinstance(limit, int):
            self._context.loop.call_later(0, partial(reply, limit))
            return
        own = self._context.entry.record
        others = [number for number in in_service(look(self._context)) if number != own]

        def done(answers: dict[int, Any], missing: dict[int, str]) -> None:
            reply(self._answer(limit, {own: share(self._context.topics, limit), **answers}, missing))

        self._context.peers.ask(others, ("topics", limit), done)

    def __call__(self, request: Request) -> Answer:
        """The same of this worker alone."""
        limit = self._limit(request)
        if not isinstance(limit, int):
            return limit
        return self._answer(limit, {self._context.entry.record: share(self._context.topics, limit)}, {})

    def _limit(self, request: Request) -> int | Answer:
        """How many topics are to be listed, or the answer where nothing is."""
        if not self._context.access.may_read(request):
            return refuse_reading()
        try:
            found = Query(request.query_params.pairs, ("limit",)).integer("limit", 0, MAX_LISTED, DEFAULT_LISTED)
        except BadParameter as error:
            return answer(400, error.report)
        return DEFAULT_LISTED if found is None else found

    def _answer(self, limit: int, shares: dict[int, Share], missing: dict[int, str]) -> Answer:
        sums: dict[str, int] = {}
        topics: dict[str, int] = {}
        for figures, counts in shares.values():
            for name, value in figures.items():
                sums[name] = sums.get(name, 0) + value
            for name, number in counts.items():
                topics[name] = topics.get(name, 0) + number
        del sums["topics"]  # one may have subscribers in several workers
        return answer(
            200,
            {
                **sums,
                "limit": limit,
                "topics": [{"topic": name, "subscribers": number} for number, name in _largest(topics, limit)],
                "workers": [{"worker": number, **figures} for number, (figures, _) in sorted(shares.items())],
                "missing": [{"worker": number, "reason": reason} for number, reason in sorted(missing.items())],
            },
        )
