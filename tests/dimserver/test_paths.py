"""One rule for every spelling of a path: native routes, files, WSGI, ASGI and WebSockets, over real connections."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from dimserver import App

KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "application/json")])
    texts = (environ["SCRIPT_NAME"], environ["PATH_INFO"])
    return [json.dumps([text.encode("latin-1").decode("utf-8", "replace") for text in texts]).encode()]


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        raise RuntimeError("not spoken")
    body = json.dumps([scope["root_path"], scope["path"], scope["raw_path"].decode()]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


class Echo:
    def on_message(self, ws: Any, message: Any) -> None:
        ws.send(message)


@pytest.fixture
def app() -> App:
    app = App()
    app.get("/native/{name}")(lambda request: [request.params["name"], request.path])
    app.mount("/wsgi", wsgi)
    app.mount("/asgi", asgi)
    app.mount("/a b/café", wsgi)
    app.websocket("/ws/{name}", Echo)
    return app


@pytest.mark.parametrize(
    ("raw", "decoded"),
    [("100%", "100%"), ("a%zz", "a%zz"), ("%", "%"), ("%4", "%4"), ("%%41", "%A"), ("%00", "\0"), ("a%00b", "a\0b"),
     ("%c3%a9", "é"), ("%ff", "\ufffd"), ("%2525", "%25")],
)  # fmt: skip
def test_percent_signs(serve: Callable[..., Any], app: App, tmp_path: pathlib.Path, raw: str, decoded: str) -> None:
    (tmp_path / "100%").write_text("file")
    wire = serve(app, static=tmp_path).connect()
    assert json.loads(wire.get(f"/native/{raw}").answer()[2]) == [decoded, f"/native/{decoded}"]
    assert json.loads(wire.get(f"/wsgi/{raw}").answer()[2]) == ["/wsgi", f"/{decoded}"]
    assert json.loads(wire.get(f"/asgi/{raw}").answer()[2]) == ["/asgi", f"/asgi/{decoded}", f"/asgi/{raw}"]
    assert wire.get(f"/{raw}").answer()[0] == (200 if decoded == "100%" else 404)
    fields = ("Upgrade: websocket", "Connection: Upgrade", KEY, "Sec-WebSocket-Version: 13")
    assert wire.get(f"/ws/{raw}", *fields).answer(head_only=True)[0] == 101


SPELLINGS = [
    ("/wsgi", "/wsgi", ""), ("/wsgi/", "/wsgi", "/"), ("/%77sgi/x", "/wsgi", "/x"), ("/wsgi//x", "/wsgi", "//x"),
    ("/wsgi/%2Fx", "/wsgi", "//x"), ("/a%20b/caf%C3%A9/x", "/a b/café", "/x"), ("/a%20b/caf%c3%a9", "/a b/café", ""),
    ("/%61%20b/caf%C3%A9//%2e", "/a b/café", "//."),
]  # fmt: skip


@pytest.mark.parametrize(("raw", "script", "rest"), SPELLINGS)
@pytest.mark.parametrize("root", ["", "/shop", "/größe/x y"])
def test_script_name_and_path_info(
    serve: Callable[..., Any], app: App, raw: str, script: str, rest: str, root: str
) -> None:
    wire = serve(app, root_path=root).connect()
    assert json.loads(wire.get(raw).answer()[2]) == [root + script, rest]


@pytest.mark.parametrize(
    ("root", "raw", "path", "raw_path"),
    [
        ("/shop", "/x", "/shop/x", "/shop/x"),
        ("/shop", "/shop/x", "/shop/x", "/shop/x"),
        ("/shop", "/%73hop/x", "/shop/x", "/%73hop/x"),
        ("/shop", "/shop", "/shop", "/shop"),
        ("/shop", "/shopx", "/shop/shopx", "/shop/shopx"),
        ("/shop", "//shop/x", "/shop//shop/x", "/shop//shop/x"),
        ("/größe/x y", "/gr%C3%B6%c3%9fe/x%20y/z", "/größe/x y/z", "/gr%C3%B6%c3%9fe/x%20y/z"),
        ("/größe/x y", "/z%20", "/größe/x y/z ", "/gr%C3%B6%C3%9Fe/x%20y/z%20"),
    ],
)
def test_root_path(serve: Callable[..., Any], root: str, raw: str, path: str, raw_path: str) -> None:
    app = App()
    app.mount("/", asgi)
    assert json.loads(serve(app, root_path=root).connect().get(raw).answer()[2]) == [root, path, raw_path]
    app = App()
    app.mount("/", wsgi)
    found = json.loads(serve(app, root_path=root).connect().get(raw).answer()[2])
    assert found == [root, path.removeprefix(root)]
