"""What a WebSocket's route makes of a handshake; a connection that only notes what it is asked for stands in."""
# ruff: noqa: ARG002 - handlers take what they do not need

from __future__ import annotations

from typing import Any

import pytest

from dimcore import Endpoint, UsageError, parse_request
from dimserver.ws.handshake import is_same_origin
from dimserver.ws.route import WebSocketRoute

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
USUAL = (
    "Host: h", "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13",
)  # fmt: skip


class Silent:
    def on_message(self, ws: Any, message: Any) -> None:
        pass


class Asked:
    """Stands for a request and its connection."""

    def __init__(self, *fields: str, room: bool = True, method: str = "GET") -> None:
        parsed = parse_request("\r\n".join([f"{method} / HTTP/1.1", *USUAL, *fields, "", ""]).encode())
        assert parsed is not None
        self.request = parsed[0]
        self.connection = self
        self.room = room
        self.upgraded: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.request, name)

    def upgrade(self, request: Any, endpoint: Endpoint, handler: Any, **more: Any) -> bool:
        self.upgraded = {"endpoint": endpoint, "handler": handler, **more}
        return self.room


class Settings:
    ws_max_message = 1000
    ws_max_frames = 10
    ws_buffer = 2000
    ws_slow = "drop"
    ws_deflate = True


def ask(route: WebSocketRoute, *fields: str, **more: Any) -> tuple[Any, dict[str, Any]]:
    asked = Asked(*fields, **more)
    request: Any = asked
    return route(request), asked.upgraded


def test_a_handshake_is_accepted() -> None:
    answer, upgraded = ask(WebSocketRoute(Silent))
    assert answer is None
    assert type(upgraded["handler"]) is Silent
    assert upgraded["headers"] == {"Upgrade": "websocket", "Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}
    assert (upgraded["protocol"], upgraded["codec"]) == (None, None)


def test_an_object_serves_all_sockets() -> None:
    shared = Silent()
    assert ask(WebSocketRoute(shared))[1]["handler"] is shared


def test_no_room() -> None:
    assert ask(WebSocketRoute(Silent), room=False)[0][0] == 503


def test_what_asks_for_no_upgrade() -> None:
    plain = parse_request(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert plain is not None
    status, headers, _ = WebSocketRoute(Silent)(plain[0])
    assert (status, headers["Upgrade"], headers["Connection"]) == (426, "websocket", "Upgrade")


@pytest.mark.parametrize("fields", [["Content-Length: 1"], ["Transfer-Encoding: chunked"]])
def test_a_handshake_with_a_body(fields: list[str]) -> None:
    assert ask(WebSocketRoute(Silent), *fields)[0][0] == 400


def test_origins() -> None:
    route = WebSocketRoute(Silent, origins=["https://Example.org/"])
    assert ask(route, "Origin: https://example.org")[0] is None
    assert ask(route)[0] is None  # no browser
    for origin in ("https://example.org.evil.test", "http://example.org", "null", "https://example.org:8443"):
        (status, _, text), upgraded = ask(route, f"Origin: {origin}")
        assert (status, text, upgraded) == (403, "this origin is not allowed\n", {})
    assert ask(WebSocketRoute(Silent, origins=["*"]), "Origin: https://anywhere.test")[0] is None
    assert ask(WebSocketRoute(Silent, origins=["*"]), "Origin: null", "Origin: a")[0] is None


def test_unless_said_otherwise_the_origin_is_that_of_the_host() -> None:
    lines: list[str] = []
    route = WebSocketRoute(Silent)
    route.configure_websocket(Settings(), lines.append)
    for origin in ("http://h", "https://h", "HTTPS://H", "http://h:80", "https://h:443"):
        assert ask(route, f"Origin: {origin}")[0] is None, origin
    assert ask(route)[0] is None  # no browser
    assert lines == []
    others = ["https://evil.test", "null", "http://h:8080", "http://h.evil.test", "http://hh", "", "h", "ftp://h"]
    for origins in (*([origin] for origin in others), ["http://h", "http://h"]):
        (status, _, text), upgraded = ask(route, *(f"Origin: {origin}" for origin in origins))
        assert (status, text, upgraded) == (403, "this origin is not allowed\n", {})
        assert origins[0] in lines[-1]
    for word in ("Origin", "Host 'h'", "origins=", "proxy_set_header Host $http_host"):
        assert word in lines[0]


@pytest.mark.parametrize(
    ("host", "same", "other"),
    [
        ("h:8080", ["http://h:8080", "https://h:8080"], ["http://h", "http://h:80"]),
        ("h:443", ["https://h"], ["http://h"]),
        ("[::1]:8080", ["http://[::1]:8080"], ["http://[::1]", "http://[::2]:8080"]),
        ("[::1]", ["http://[::1]", "https://[::1]:443"], ["http://[::1]:8080"]),
    ],
)
def test_ports(host: str, same: list[str], other: list[str]) -> None:
    assert all(is_same_origin(origin, host) for origin in same)
    assert not any(is_same_origin(origin, host) for origin in other)


def test_where_the_client_is_known_to_come_over_tls() -> None:
    assert is_same_origin("https://h", "h", "https")
    assert not is_same_origin("http://h", "h", "https")
    assert not is_same_origin("https://h", None)


def test_subprotocols() -> None:
    route = WebSocketRoute(Silent, subprotocols=["chat.v2", "chat.v1"])
    _, upgraded = ask(route, "Sec-WebSocket-Protocol: other, chat.v1, chat.v2")
    assert (upgraded["protocol"], upgraded["headers"]["Sec-WebSocket-Protocol"]) == ("chat.v1", "chat.v1")
    _, upgraded = ask(route, "Sec-WebSocket-Protocol: other")
    assert upgraded["protocol"] is None
    assert "Sec-WebSocket-Protocol" not in upgraded["headers"]


def test_compression_is_agreed_on_when_it_is_on() -> None:
    route = WebSocketRoute(Silent)
    offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
    assert ask(route, offer)[1]["codec"] is None
    route.configure_websocket(Settings())
    _, upgraded = ask(route, offer)
    assert upgraded["headers"]["Sec-WebSocket-Extensions"].startswith("permessage-deflate")
    assert upgraded["codec"] is not None
    assert ask(route)[1]["codec"] is None
    assert ask(route, "Sec-WebSocket-Extensions: other")[1]["codec"] is None
    assert ask(route, "Sec-WebSocket-Extensions: a b")[0][0] == 400


def test_limits_are_the_settings() -> None:
    route = WebSocketRoute(Silent)
    route.configure_websocket(Settings())
    endpoint = ask(route)[1]["endpoint"]
    assert (endpoint.max_message, endpoint.max_frames, endpoint.high_water) == (1000, 10, 2000)


def test_on_request_may_answer_otherwise() -> None:
    class Members(Silent):
        def on_request(self, request: Any) -> Any:
            return None if request.headers.get("authorization") == "yes" else (401, {"WWW-Authenticate": "Basic"}, "no")

    route = WebSocketRoute(Members)
    assert ask(route) == ((401, {"WWW-Authenticate": "Basic"}, "no"), {})
    assert ask(route, "Authorization: yes")[0] is None


def test_a_function_asked_before_the_handshake_is_answered() -> None:
    """It comes before the handler's own, and before a handler is made."""
    made: list[int] = []

    class Counted(Silent):
        def __init__(self) -> None:
            made.append(1)

    route = WebSocketRoute(Counted, on_request=lambda request: "no" if "x-no" in request.headers else None)
    assert ask(route, "X-No: 1") == ("no", {})
    assert made == []
    assert ask(route)[0] is None
    assert made == [1]


def test_a_coroutine_function() -> None:
    async def handler(ws: Any) -> None:
        pass

    route = WebSocketRoute(handler, asynchronous=True)
    assert route.asynchronous
    assert ask(route)[0] is None
    assert not WebSocketRoute(Silent).asynchronous


def test_handlers_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="has no method of"):
        WebSocketRoute(object())
    with pytest.raises(UsageError, match="origins is a single string"):
        WebSocketRoute(Silent, origins="https://example.org")
    with pytest.raises(UsageError, match="subprotocols is a single string"):
        WebSocketRoute(Silent, subprotocols="chat")
