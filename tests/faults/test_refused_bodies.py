"""A body that the server refuses: its own answer goes out, whatever a handler that has begun makes of it."""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.support.waiting import PATIENCE, until
from tests.support.wire import Wire

from dimserver import App
from dimserver.testing import serve

pytestmark = pytest.mark.usefixtures("quick_rounds")

KIB = 1024
HEAD = b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
FIRST = b"1000\r\n" + b"x" * 4096 + b"\r\n"
LIMITS: dict[str, Any] = {
    "limit_body": 64 * KIB,
    "body_memory": KIB,
    "rate_body": 10_000,
    "rate_credit": 0.3,
    "loop": "asyncio",  # libuv keeps a pipe of its own for good
    "lifespan": "off",
}

# What arrives behind the first chunk, and what it is answered with.
FAULTS = {
    "size": (b"zz\r\n", 400, b"a chunk size is malformed\n"),
    "end": (b"3\r\nabcdef\r\n", 400, None),
    "extension": (b"3;\0\r\nabc\r\n", 400, None),
    "trailer": (b"0\r\nno colon\r\n\r\n", 400, None),
    "length": (b"ffffff\r\n", 413, None),
    "stalled": (b"", 408, b"the request did not arrive in time\n"),
    "cut": (None, 400, b"the request ended before it was complete\n"),
}


# --- what the handlers do -----------------------------------------------------------------------


def read_wsgi(environ: dict[str, Any]) -> int:
    return len(environ["wsgi.input"].read())


def wsgi_plain(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
    size = read_wsgi(environ)
    start("200 OK", [])
    return [str(size).encode()]


def wsgi_another_error(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
    try:
        read_wsgi(environ)
    except OSError:
        raise RuntimeError("of the app's own") from None
    raise AssertionError


def wsgi_makes_do(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
    try:
        read_wsgi(environ)
    except ValueError:
        start("200 OK", [])
        return [b"never mind"]
    raise AssertionError


async def asgi_read(receive: Any) -> bytes:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise LookupError("of the app's own")
        body += message["body"]
        if not message["more_body"]:
            return body


async def asgi_send(send: Any, body: bytes) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def asgi_raises(scope: Any, receive: Any, send: Any) -> None:
    await asgi_send(send, await asgi_read(receive))


async def asgi_makes_do(scope: Any, receive: Any, send: Any) -> None:
    try:
        await asgi_read(receive)
    except LookupError:
        await asgi_send(send, b"never mind")


async def asgi_returns(scope: Any, receive: Any, send: Any) -> None:
    while (message := await receive())["type"] != "http.disconnect":
        if not message["more_body"]:
            await asgi_send(send, b"")


def flask() -> Any:
    from flask import Flask, request

    app = Flask("refused")

    @app.post("/")
    def index() -> str:
        return str(len(request.get_data()))

    return app.wsgi_app


def starlette() -> Any:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def index(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(len(await request.body())))

    return Starlette(routes=[Route("/", index, methods=["POST"])])


def fastapi() -> Any:
    from fastapi import FastAPI

    app = FastAPI()

    @app.post("/")
    async def index(data: dict[str, Any]) -> int:
        return len(data)

    return app


def native(blocking: bool, makes_do: bool = False) -> App:
    app = App()

    def on_a_thread(request: Any) -> str:
        try:
            return str(sum(map(len, request.stream())))
        except OSError:
            if makes_do:
                return "never mind"
            raise

    async def on_the_loop(request: Any) -> str:
        try:
            return str(sum([len(piece) async for piece in request.stream()]))
        except ValueError:
            if makes_do:
                return "never mind"
            raise

    app.post("/", blocking=blocking, stream=True)(on_a_thread if blocking else on_the_loop)
    return app


def buffered(blocking: bool) -> App:
    app = App()
    app.post("/", blocking=blocking)(lambda request: str(len(request.body)))
    return app


STREAMING: dict[str, dict[str, Any]] = {"stream_bodies": True, "threads": 2}  # type: ignore[dict-item]
APPS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "wsgi": (lambda: wsgi_plain, {"threads": 2}),
    "wsgi-loop": (lambda: wsgi_plain, {"threads": 0}),
    "wsgi-stream": (lambda: wsgi_plain, STREAMING),
    "wsgi-stream-other": (lambda: wsgi_another_error, STREAMING),
    "wsgi-stream-200": (lambda: wsgi_makes_do, STREAMING),
    "flask": (flask, {"threads": 2}),
    "asgi": (lambda: asgi_raises, {}),
    "asgi-200": (lambda: asgi_makes_do, {}),
    "asgi-returns": (lambda: asgi_returns, {}),
    "starlette": (starlette, {}),
    "fastapi": (fastapi, {}),
    "native-thread": (lambda: native(True), {}),
    "native-thread-200": (lambda: native(True, makes_do=True), {}),
    "native-coroutine": (lambda: native(False), {}),
    "native-coroutine-200": (lambda: native(False, makes_do=True), {}),
    "buffered": (lambda: buffered(False), {}),
    "buffered-thread": (lambda: buffered(True), {}),
}


def connect(server: Any) -> Wire:
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    return Wire(socket.create_connection((host, int(port))))


@contextmanager
def running(app: Any, **settings: Any) -> Iterator[Any]:
    with serve(app, **{**LIMITS, **settings}) as server:
        yield server


@pytest.mark.parametrize("name", APPS)
def test_the_server_s_own_answer(name: str) -> None:
    make, settings = APPS[name]
    with running(make(), **settings) as server:
        for rest, status, text in FAULTS.values():
            with connect(server) as wire:
                wire.send(HEAD + FIRST)
                time.sleep(0.03)  # the handler has begun, where it is to begin before the end
                if rest is None:
                    wire.sock.shutdown(socket.SHUT_WR)
                elif rest:
                    wire.send(rest)
                found, headers, body = wire.answer()
                assert (found, headers["connection"]) == (status, "close"), rest
                assert text is None or body == text
                if rest is not None:
                    wire.sock.shutdown(socket.SHUT_WR)
                assert wire.ended()
        with connect(server) as wire:  # and it goes on
            assert wire.send(HEAD + b"2\r\n{}\r\n0\r\n\r\n").answer()[0] in (200, 422, 500)
        until(lambda: server.worker.pipeline.get_stats()["in_flight"] == 0, "a request is left behind")
        assert [entry for entry in server.log if "chunk" in str(entry) or "own" in str(entry)] == []
        assert server.worker.pipeline.get_stats()["total_errors"] >= len(FAULTS)


async def asgi_echo(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise LookupError("of the app's own")
        await send({"type": "http.response.body", "body": message["body"], "more_body": message["more_body"]})
        if not message["more_body"]:
            return


def wsgi_echo(environ: dict[str, Any], start: Callable[..., Any]) -> Iterator[bytes]:
    start("200 OK", [])
    while piece := environ["wsgi.input"].read1(65536):
        yield piece


def native_echo(blocking: bool) -> App:
    app = App()

    def on_a_thread(request: Any) -> Iterator[bytes]:
        yield from request.stream()

    async def on_the_loop(request: Any) -> AsyncIterator[bytes]:
        async for piece in request.stream():
            yield piece

    app.post("/", blocking=blocking, stream=True)(on_a_thread if blocking else on_the_loop)
    return app


@pytest.mark.parametrize("name", ["asgi", "wsgi", "native-thread"])
def test_an_answer_that_has_begun_is_cut(name: str) -> None:
    app = {"asgi": asgi_echo, "wsgi": wsgi_echo, "native-thread": native_echo(True)}[name]
    with running(app, **(STREAMING if name == "wsgi" else {})) as server:
        for rest, _, _ in FAULTS.values():
            with connect(server) as wire:
                assert wire.send(HEAD + FIRST).answer()[0] == 200
                while wire.left.count(b"x") < 4096:
                    wire.more()
                if rest is None:
                    wire.sock.shutdown(socket.SHUT_WR)
                elif rest:
                    wire.send(rest)
                whole = wire.left
                try:
                    while data := wire.sock.recv(65536):
                        whole += data
                except ConnectionResetError:
                    pass
                assert not whole.endswith(b"0\r\n\r\n")
                assert b"HTTP/1.1 4" not in whole
        until(lambda: server.worker.pipeline.get_stats()["in_flight"] == 0, "a request is left behind")
        assert server.errors == []


def test_a_coroutine_that_waits_for_something_else_is_cancelled() -> None:
    import asyncio

    seen: list[str] = []
    app = App()

    @app.post("/", stream=True)
    async def index(request: Any) -> str:
        try:
            await asyncio.sleep(PATIENCE)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        return "late"

    with running(app) as server, connect(server) as wire:
        assert wire.send(HEAD + FIRST + b"zz\r\n").answer()[0] == 400
        with connect(server) as second:
            second.send(HEAD + FIRST)
            time.sleep(0.05)
            assert second.send(b"zz\r\n").answer()[0] == 400
        until(lambda: seen == ["cancelled"], "the coroutine goes on for nobody")
        assert server.errors == []
