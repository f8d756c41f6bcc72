"""WebSockets as a browser speaks them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from dimserver import App

Serve = Callable[..., Any]

TALK = """
new Promise((done, failed) => {
    const got = [];
    const socket = new WebSocket(location.href.replace('http', 'ws') + PATH, ['v0', 'v1']);
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => {
        for (const size of [0, 1, 125, 126, 65535, 65536, 300000]) {
            socket.send('é'.repeat(size));
            socket.send(new Uint8Array(size).fill(255));
        }
        socket.send('leave');
    };
    socket.onmessage = event => got.push(typeof event.data == 'string'
        ? [event.data.length, event.data == 'é'.repeat(event.data.length)]
        : [event.data.byteLength, new Uint8Array(event.data).every(byte => byte == 255)]);
    socket.onclose = event => done(
        {got, code: event.code, reason: event.reason, clean: event.wasClean,
         protocol: socket.protocol, extensions: socket.extensions});
})
"""


@pytest.fixture
def app() -> App:
    app = App()

    @app.websocket("/events", subprotocols=["v1"])
    class Echo:
        def on_message(self, ws: Any, message: str | bytes) -> None:
            if message == "leave":
                ws.close(4000, "wie gewünscht")
            else:
                ws.send(message)

    @app.websocket("/coroutine", subprotocols=["v1"])
    async def echo(ws: Any) -> None:
        async for message in ws:
            if message == "leave":
                await ws.close(4000, "wie gewünscht")
            else:
                await ws.send(message)

    app.websocket("/guarded", Echo, origins=["https://example.org"])
    app.get("/")(lambda request: (200, {"Content-Type": "text/html"}, "<!doctype html><title>x</title>"))
    return app


@pytest.mark.parametrize("deflate", [True, False])
@pytest.mark.parametrize("path", ["events", "coroutine"])
def test_messages_to_and_fro(serve: Serve, app: App, browser: Any, path: str, deflate: bool) -> None:
    page = browser.page(serve(app, ws_deflate=deflate).url + "/")
    found = page.run(TALK.replace("PATH", f"'{path}'"))
    sizes = [0, 1, 125, 126, 65535, 65536, 300000]
    assert found["got"] == [[size, True] for size in sizes for _ in range(2)]
    assert (found["code"], found["reason"], found["clean"]) == (4000, "wie gewünscht", True)
    assert found["protocol"] == "v1"
    assert found["extensions"].startswith("permessage-deflate") == deflate
    page.close()


def test_a_page_of_another_origin_is_kept_out(serve: Serve, app: App, browser: Any) -> None:
    page = browser.page(serve(app).url + "/")
    script = """new Promise(done => {
        const socket = new WebSocket(location.href.replace('http', 'ws') + 'guarded');
        socket.onopen = () => done('open');
        socket.onclose = event => done(event.code);
    })"""
    assert page.run(script) == 1006
    page.close()


def test_a_browser_answers_pings(serve: Serve, app: App, browser: Any) -> None:
    """It is asked again and again, and stays."""
    server = serve(app, ws_ping=0.1, ws_timeout=1)
    page = browser.page(server.url + "/")
    page.run("socket = new WebSocket(location.href.replace('http', 'ws') + 'events'); 0")
    page.until("socket.readyState == 1")
    time.sleep(2)
    assert page.run("socket.readyState") == 1
    page.close()


def test_a_stop_is_told(serve: Serve, app: App, browser: Any) -> None:
    server = serve(app)
    page = browser.page(server.url + "/")
    page.run("codes = []; socket = new WebSocket(location.href.replace('http', 'ws') + 'events');"
             "socket.onclose = event => codes.push(event.code); 0")  # fmt: skip
    page.until("socket.readyState == 1")
    server.worker.stop()
    assert page.until("codes.length && codes") == [1001]
    page.close()
