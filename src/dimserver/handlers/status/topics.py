"""GET /api/topics: what is published, and how many are subscribed to what."""

from __future__ import annotations

from heapq import nlargest, nsmallest

from dimserver.handlers.status.resource import Resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dimserver.handlers.status.resource import Page, Row, Share

__all__ = ["TopicResource"]


class TopicResource(Resource):
    """The topics that have subscribers; the sums count what was published and what became of it.

    With ``order=subscribers``, where a worker has more topics than are asked for, one that is not among its own
    largest counts only what the other workers have of it.
    """

    name = "topics"
    noun = "topic"
    shared = True
    orders = ("subscribers",)

    def share(self, page: Page) -> Share:
        """What one worker has to tell."""
        topics = self.context.topics
        if topics is None:
            return 0, [], {}
        counts = topics.counts()
        # Names, and pairs that compare as they stand: a key function would cost four times as much as all else.
        if page.order:
            names = [name for _, name in nlargest(page.limit, zip(counts.values(), counts, strict=True))]
        else:
            after = page.after
            names = nsmallest(page.limit, counts if after is None else [name for name in counts if name > after])
        sums = topics.figures()
        del sums["topics"]  # one may have subscribers in several workers
        return len(counts), [{"id": name, "subscribers": counts[name]} for name in names], sums

    def join(self, one: Row, other: Row) -> Row:
        """Subscribers of several workers."""
        return {"id": one["id"], "subscribers": one["subscribers"] + other["subscribers"]}
