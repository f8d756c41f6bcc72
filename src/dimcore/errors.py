"""Every error the core raises.

Two families, so that a caller can tell whose fault it was: `PeerError` for what
came over the wire (it carries the HTTP status that names it), `UsageError` for
what the calling program did.
"""

from __future__ import annotations

__all__ = [
    "BadRequest",
    "ClientLeft",
    "ConnectionClosed",
    "DimcoreError",
    "DuplicatePoint",
    "IllegalTransition",
    "IncompleteBody",
    "InvalidCoordinate",
    "PeerError",
    "ResponseError",
    "RouteConflict",
    "RoutePatternError",
    "TopicLimit",
    "UnknownPoint",
    "UsageError",
    "WebSocketError",
]


class DimcoreError(Exception):
    """Base of every error of this package."""


class PeerError(DimcoreError):
    """The other side of the connection broke the protocol.

    Attributes:
        status: the HTTP status code that names the fault, for example 400.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class ClientRefused(PeerError):
    """A client got no place; reported, never raised.

    Attributes:
        setting: the limit that is reached, for example ``"max-http"``.
        client: its address.
    """

    def __init__(self, setting: str, client: str) -> None:
        super().__init__(f"{setting} is reached", 503)
        self.setting = setting
        self.client = client


class ClientLeft(DimcoreError, OSError):
    """An ASGI app goes on sending long after its client has left."""


class BadRequest(PeerError, ValueError):
    """A request that no further bytes can mend."""


class IncompleteBody(BadRequest, OSError):
    """The body of a request never came in full; an `OSError` too, as reading from a broken connection is."""


class WebSocketError(DimcoreError):
    """The other side of a WebSocket broke its protocol, or a limit.

    Attributes:
        code: to close with (RFC 6455 7.4.1), for example 1002.
        reason: fits into the close frame.
        events: what was read before the fault.
    """

    def __init__(self, reason: str, code: int = 1002) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.events: list[tuple[int, str | bytes]] = []


class ConnectionClosed(DimcoreError):
    """A WebSocket is not open any more.

    Attributes:
        code: that it was closed with (RFC 6455 7.4.1): 1005 for none, 1006 where it ended without a goodbye.
        reason: given with it.
    """

    def __init__(self, message: str = "the WebSocket is closed", code: int = 1006, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class UsageError(DimcoreError):
    """The calling program broke a rule; nothing was changed."""


class TopicLimit(UsageError):
    """There is no room for another subscription; nothing was changed."""


class UnknownPoint(UsageError, KeyError):
    """No point with that id is in the index."""

    def __str__(self) -> str:
        return Exception.__str__(self)


class DuplicatePoint(UsageError, ValueError):
    """The point, or another one with its id, is in an index already."""


class InvalidCoordinate(UsageError, ValueError):
    """A spiral or layer outside the index."""


class IllegalTransition(UsageError, ValueError):
    """The state table has no way from this layer to that one."""


class RouteConflict(UsageError, ValueError):
    """Two handlers for one method and pattern, or two names for one parameter."""


class RoutePatternError(UsageError, ValueError):
    """A route pattern that cannot be read."""


class ResponseError(UsageError, ValueError):
    """An answer that must not be sent: a bad status, header or body."""
