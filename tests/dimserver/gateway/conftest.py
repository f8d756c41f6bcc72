"""The server of the tests of gateways."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import pytest
from tests.dimserver.gateway.asgi_peer import Asgi, Serve, mounted


@pytest.fixture(params=["asyncio", "uvloop"])
def start(request: pytest.FixtureRequest, serve: Serve, tmp_path: pathlib.Path) -> Callable[..., Any]:
    """Serve an ASGI app at the root; ``.told()`` is what the server reported, ``.ws`` its address for WebSockets."""
    if request.param == "uvloop":
        pytest.importorskip("uvloop")

    def start(app: Asgi, prefix: str = "/", **settings: Any) -> Any:
        log = tmp_path / "errors"
        server = serve(
            mounted(app, prefix), **{"loop": request.param, "log_file": str(log), "lifespan": "off", **settings}
        )
        server.ws = server.url.replace("http", "ws", 1)
        server.told = lambda: log.read_text() if log.exists() else ""
        return server

    return start
