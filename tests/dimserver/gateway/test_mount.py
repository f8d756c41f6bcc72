"""Which handler stands for an app."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from dimserver import App
from dimserver.errors import HandlerError
from dimserver.gateway.mount import make_gateway


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    return []


async def asgi(scope: Any, receive: Any, send: Any) -> None: ...


def handler(request: Any) -> str:
    return ""


@pytest.fixture(autouse=True)
def gateways(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (("dimserver.gateway.wsgi", "WSGIGateway"), ("dimserver.gateway.asgi", "ASGIGateway")):
        fake = ModuleType(module)
        setattr(fake, name, lambda app, prefix, name=name: (name, app, prefix))
        monkeypatch.setitem(sys.modules, module, fake)


def test_the_interface_is_told_or_given() -> None:
    assert make_gateway(wsgi) == ("WSGIGateway", wsgi, "")
    assert make_gateway(asgi, prefix="/a") == ("ASGIGateway", asgi, "/a")
    assert make_gateway(dict, "wsgi")[0] == "WSGIGateway"
    assert make_gateway(handler, "native") is handler


def test_what_cannot_be_mounted() -> None:
    with pytest.raises(HandlerError, match="a dimserver App cannot be mounted; register its handlers"):
        make_gateway(App())
    with pytest.raises(HandlerError, match="takes one argument"):
        make_gateway(handler)
    with pytest.raises(HandlerError, match="so it is not asgi; it looks like wsgi"):
        make_gateway(wsgi, "asgi")
