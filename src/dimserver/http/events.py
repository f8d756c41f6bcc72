"""Server-sent events: the text format of the WHATWG HTML standard, 9.2."""

from __future__ import annotations

from collections.abc import AsyncIterable

from dimcore import ResponseError
from dimserver.http.response import Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

__all__ = ["Event", "event_stream"]

HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would otherwise hold events back until its buffer is full
}


class Event:
    """One event.

    Args:
        data: text; every line of it becomes a ``data:`` line.
        event: name of the event; ``message`` for the browser when empty.
        id: what the browser sends back as Last-Event-ID when it reconnects.
        retry: milliseconds the browser waits before it reconnects.

    Raises:
        ResponseError: a line end in `event` or `id`, a NUL in `id`, or a negative `retry`.
    """

    __slots__ = ("data", "event", "id", "retry")

    def __init__(
        self,
        data: str = "",
        event: str = "",
        id: str | None = None,  # noqa: A002 - the name the format has for it
        retry: int | None = None,
    ) -> None:
        for name, value in (("event", event), ("id", id or "")):
            if any(c in value for c in "\r\n\0"):
                raise ResponseError(f"the {name} of an event must not hold CR, LF or NUL: {value!r:.60}")
        if retry is not None and retry < 0:
            raise ResponseError(f"retry is {retry} milliseconds; it must be 0 or more")
        self.data = data
        self.event = event
        self.id = id
        self.retry = retry

    def encode(self) -> bytes:
        """The event as it goes over the wire."""
        lines = []
        if self.event:
            lines.append(f"event: {self.event}")
        if self.id is not None:
            lines.append(f"id: {self.id}")
        if self.retry is not None:
            lines.append(f"retry: {self.retry}")
        # The format ends a line at CR LF, LF or CR, and at nothing else.
        text = self.data.replace("\r\n", "\n").replace("\r", "\n")
        lines.extend(f"data: {line}" for line in text.split("\n"))
        return ("\n".join(lines) + "\n\n").encode()


def event_stream(events: Iterable[Event | str] | AsyncIterable[Event | str], status: int = 200) -> Response:
    """An answer that sends each event as it comes.

    Args:
        events: `Event` objects, or text for events with data alone.  An async generator may wait
            for them; one that waits otherwise belongs into a handler registered with ``blocking=True``.
        status: of the answer.
    """
    if isinstance(events, AsyncIterable):
        return Response(_encoded_later(events), status, HEADERS)
    return Response(_encoded(events), status, HEADERS)


def _bytes_of(event: Event | str) -> bytes:
    return (Event(event) if isinstance(event, str) else event).encode()


def _encoded(events: Iterable[Event | str]) -> Iterator[bytes]:
    try:
        for event in events:
            yield _bytes_of(event)
    finally:
        close = getattr(events, "close", None)
        if close is not None:
            close()


async def _encoded_later(events: AsyncIterable[Event | str]) -> AsyncIterator[bytes]:
    try:
        async for event in events:
            yield _bytes_of(event)
    finally:
        close = getattr(events, "aclose", None)
        if close is not None:
            await close()
