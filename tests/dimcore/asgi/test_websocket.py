"""What is made of a handshake by itself; sockets are tested with the gateway."""

from __future__ import annotations

from typing import Any

import pytest

from dimcore import AsgiEntry, Endpoint, RequestPoint
from dimcore.asgi.websocket import AsgiSocket, make_upgrade


def test_a_socket_without_a_loop_is_a_fault_of_the_server(serve: Any) -> None:
    class Entry(AsgiEntry):
        def upgrade(self, request: RequestPoint) -> Any:
            return make_upgrade(self, request, Endpoint(AsgiSocket), [], None)

    rig = serve({"GET /": Entry(print)})
    client = rig.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
    assert client.answer().status == 500
    assert "runs no asyncio loop" in str(rig.reports[0][2])


def test_only_an_entry_has_upgrades() -> None:
    with pytest.raises(TypeError):
        make_upgrade(print, RequestPoint(), Endpoint(AsgiSocket), [], None)  # type: ignore[arg-type]
