"""The handler behind a WebSocket's route: looks at the handshake, accepts it or says why not."""

from __future__ import annotations

from functools import partial

from dimcore import AsyncSocket, Endpoint, UsageError
from dimserver.ws.deflate import DeflateOptions, accept_deflate
from dimserver.ws.extensions import parse_offers
from dimserver.ws.handshake import HandshakeRefused, check_handshake, choose_subprotocol, is_same_origin, is_websocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Protocol

    from dimcore import RequestPoint
    from dimserver.ws.deflate import Deflate

    class Limits(Protocol):
        """The settings a route looks at."""

        ws_max_message: int
        ws_max_frames: int
        ws_buffer: int
        ws_slow: str
        ws_deflate: bool


__all__ = ["WebSocketRoute"]

TEXT = {"Content-Type": "text/plain; charset=utf-8"}
UPGRADE = {**TEXT, "Upgrade": "websocket", "Connection": "Upgrade"}


class WebSocketRoute:
    """Makes WebSockets of the requests of one route.

    Args:
        handler: see `dimcore.Endpoint`; beside its events it may have ``on_request(request)``, see there.
        asynchronous: `handler` is a function of a socket that returns a coroutine, see `dimcore.AsyncSocket`.
        on_request: called with the request before the handshake is answered: None accepts, anything else is the
            answer, as any handler would return it.
        origins: values of the Origin field that are let in, for example ``https://example.org``; ``*`` for all.  None:
            the pages of the host that the request is for.  A request without that field, as programs other than
            browsers send, is let in.
        subprotocols: names of those spoken here.

    Raises:
        UsageError: `handler` has no event, or a text was given where several are meant.
    """

    def __init__(
        self,
        handler: Any,
        origins: Iterable[str] | None = None,
        subprotocols: Iterable[str] = (),
        *,
        asynchronous: bool = False,
        on_request: Callable[[RequestPoint], Any] | None = None,
    ) -> None:
        for name, given in (("origins", origins), ("subprotocols", subprotocols)):
            if isinstance(given, str):
                raise UsageError(f"{name} is a single string, {given!r:.80}; give a list of them")
        self.handler = handler
        self.origins = None if origins is None else frozenset(origin.lower().rstrip("/") for origin in origins)
        self._any_origin = self.origins is not None and "*" in self.origins
        self._say: Callable[[str], object] | None = None
        self.subprotocols = tuple(subprotocols)
        self.asynchronous = asynchronous
        self._kind: Any = AsyncSocket if asynchronous else handler
        self._endpoint = Endpoint(self._kind)
        self._make: Callable[[], Any] = partial(AsyncSocket, handler) if asynchronous else self._endpoint.make
        self._on_request = on_request
        self._asks = callable(getattr(handler, "on_request", None)) and not asynchronous
        self._deflate: DeflateOptions | None = None

    def configure_websocket(self, limits: Limits, say: Callable[[str], object] | None = None) -> None:
        """Take the settings over; sockets that are open keep theirs.

        Args:
            say: told of origins that are refused.
        """
        self._say = say
        self._endpoint = Endpoint(
            self._kind,
            max_message=limits.ws_max_message,
            max_frames=limits.ws_max_frames,
            high_water=limits.ws_buffer,
            slow=limits.ws_slow,
        )
        self._deflate = DeflateOptions() if limits.ws_deflate else None

    def __call__(self, request: RequestPoint) -> Any:
        """Answer a handshake; what is returned counts only where it was refused."""
        try:
            return self._answer(request)
        except HandshakeRefused as refused:
            return refused.status, {**TEXT, **refused.headers}, f"{refused}\n"

    def _answer(self, request: RequestPoint) -> Any:
        if not is_websocket(request):
            return 426, UPGRADE, "this is a WebSocket: send an upgrade request\n"
        headers, codec = self.agree(request)
        self._check_origin(request)
        protocol = self._choose_subprotocol(request)
        if protocol is not None:
            headers["Sec-WebSocket-Protocol"] = protocol
        if self._on_request is not None:
            answer = self._on_request(request)
            if answer is not None:
                return answer
        endpoint = self._endpoint
        handler = self._make()
        if self._asks:
            answer = handler.on_request(request)
            if answer is not None:
                return answer
        connection: Any = request.connection
        if connection.upgrade(request, endpoint, handler, headers=headers, protocol=protocol, codec=codec):
            return None
        return 503, {**TEXT, "Retry-After": "1"}, "no room for another WebSocket\n"

    @property
    def endpoint(self) -> Endpoint:
        """What its sockets have in common, as the settings say."""
        return self._endpoint

    def agree(self, request: RequestPoint) -> tuple[dict[str, str], Deflate | None]:
        """The head of the answer that accepts a handshake, and the compression agreed on.

        Raises:
            HandshakeRefused: it cannot be accepted.
        """
        headers = {"Upgrade": "websocket", "Sec-WebSocket-Accept": check_handshake(request)}
        if request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers:
            raise HandshakeRefused("a handshake has no body")
        return headers, self._agree(request, headers)

    def _check_origin(self, request: RequestPoint) -> None:
        given = request.headers.getall("origin")
        if not given or self._any_origin:
            return
        if self.origins is not None:
            refused = any(origin.lower() not in self.origins for origin in given)
        else:
            # What the client asked for, and what a trusted proxy says that it did.
            hosts = {request.headers.get("host"), request.host}
            refused = len(given) > 1 or not any(is_same_origin(given[0], host, request.scheme) for host in hosts)
        if not refused:
            return
        if self._say is not None:
            self._say(
                f"a WebSocket at {request.raw_path:.200} was refused: Origin is {', '.join(given)!r:.200} and Host "
                f"{request.host!r:.200}; where both are yours, name the first in origins=[...], or let the proxy keep "
                "Host (nginx: proxy_set_header Host $http_host; Apache: ProxyPreserveHost On)"
            )
        raise HandshakeRefused("this origin is not allowed", 403)

    def _choose_subprotocol(self, request: RequestPoint) -> str | None:
        if not self.subprotocols:
            return None
        return choose_subprotocol(",".join(request.headers.getall("sec-websocket-protocol")), self.subprotocols)

    def _agree(self, request: RequestPoint, headers: dict[str, str]) -> Deflate | None:
        """The compression agreed on; adds it to the headers of the answer."""
        offered = request.headers.getall("sec-websocket-extensions")
        if self._deflate is None or not offered:
            return None
        try:
            agreed = accept_deflate(parse_offers(",".join(offered)), self._deflate)
        except ValueError as error:
            raise HandshakeRefused(str(error)) from None
        if agreed is None:
            return None
        headers["Sec-WebSocket-Extensions"] = agreed[0]
        return agreed[1]
