"""GET /healthz and GET /readyz, for whoever starts, stops and routes to the server by what they say."""

from __future__ import annotations

from dimserver.handlers.status.json_answer import text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from dimserver.handlers.status.types import Answer, Context, Handler, Request

__all__ = ["Health"]


class Health:
    """Whether it lives, and whether it takes traffic.

    Args:
        context: the worker that answers.

    Thread-safety: the loop's thread.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> Iterator[tuple[str, str, Handler]]:
        """Method, path and handler of each endpoint."""
        yield "GET", "/healthz", self.alive
        yield "GET", "/readyz", self.ready

    def alive(self, request: Request) -> Answer:  # noqa: ARG002 - every handler takes the request
        """200: that it is answered is the answer."""
        return text(200, "ok")

    def ready(self, request: Request) -> Answer:  # noqa: ARG002 - every handler takes the request
        """200 while the server takes requests; 503 while it starts or drains.

        A worker that is replaced while others serve does not make the server unready.
        """
        if self._context.board.draining:
            return text(503, "draining")
        states = {worker["state"] for worker in self._context.board.snapshot().workers}
        if "serving" in states:
            return text(200, "ready")
        return text(503, "draining" if "draining" in states else "starting")
