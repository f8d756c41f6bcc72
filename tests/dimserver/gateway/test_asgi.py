"""ASGI apps behind a socket, on each asyncio loop: where an app stands, and what is around its requests."""

from __future__ import annotations

import asyncio
import contextvars
import json
import pathlib
import time
from collections.abc import Awaitable
from typing import Any

import pytest
from tests.dimserver.gateway.asgi_peer import START, Receive, Scope, Send, Serve, answer, echo, read

from dimserver.errors import AppStartError

# --- the scope --------------------------------------------------------------------------------------


async def show(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the scope."""

    def plain(value: object) -> Any:
        if isinstance(value, bytes):
            return value.decode("latin-1")
        raise TypeError(value)

    await read(receive)
    await answer(send, json.dumps(scope, default=plain).encode())


def scope_of(wire: Any) -> Scope:
    return dict(json.loads(wire.answer()[2]))


def test_scope(start: Serve) -> None:
    server = start(show)
    wire = server.connect()
    wire.send(
        b"PUT /a%20b/%C3%A9%2f?x=1&y=%20 HTTP/1.1\r\nHoSt: Here:1\r\nX-One: 1\r\nx-two:\t2 \r\nX-ONE: \xe9\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    scope = scope_of(wire)
    address = list(wire.sock.getsockname())
    port = int(server.url.rpartition(":")[2])
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "PUT",
        "scheme": "http",
        "path": "/a b/\xe9/",
        "raw_path": "/a%20b/%C3%A9%2f",
        "query_string": "x=1&y=%20",
        "root_path": "",
        "headers": [["host", "Here:1"], ["x-one", "1"], ["x-two", "2"], ["x-one", "\xe9"], ["content-length", "0"]],
        "client": address,
        "server": ["127.0.0.1", port],
        "state": {},
        "extensions": {"http.response.early_hint": {}},
    }
    wire.send(b"GET / HTTP/1.0\r\n\r\n")
    scope = scope_of(wire)
    assert (scope["http_version"], scope["headers"], scope["query_string"]) == ("1.0", [], "")
    assert scope["extensions"] == {}


def test_types_in_a_scope(start: Serve) -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        scope["state"]["mine"] = scope["extensions"]["mine"] = 1
        await answer(send)

    wire = start(app).connect()
    wire.get("/x?y").answer()
    wire.get("/x?y", "A: b", "TE: gzip, Trailers").answer()
    first, second = seen
    assert type(first["headers"]) is list
    assert type(first["headers"][0]) is tuple
    for kind, names in ((str, ("method", "path", "root_path")), (bytes, ("raw_path", "query_string"))):
        assert [type(first[name]) for name in names] == [kind] * len(names)
    assert first["headers"] is not second["headers"]
    assert second["state"] == {"mine": 1}  # its own, not the first one's
    assert first["state"] is not second["state"]
    assert set(second["extensions"]) == {"http.response.early_hint", "http.response.trailers", "mine"}
    assert isinstance(first["client"], tuple)
    assert first["client"] == second["client"]


def test_cookie_lines_arrive_as_one(start: Serve) -> None:
    """RFC 9113 8.2.3: an app reads one field, and a second one would be lost."""
    wire = start(show).connect()
    scope = scope_of(wire.get("/", "Cookie: a=1", "X: y", "COOKIE: b=2; c=3", "Z: 1", "cookie: d=4"))
    assert scope["headers"][1:] == [["cookie", "a=1; b=2; c=3; d=4"], ["x", "y"], ["z", "1"]]
    assert scope_of(wire.get("/", "Cookie: a=1", "X: y"))["headers"][1:] == [["cookie", "a=1"], ["x", "y"]]
    wire.send(b"GET http://real/ HTTP/1.1\r\nCookie: a=1\r\nCookie: b=2\r\nHost: other\r\n\r\n")
    assert scope_of(wire)["headers"] == [["cookie", "a=1; b=2"], ["host", "real"]]


def test_files_by_path_are_offered_where_asked_for(start: Serve) -> None:
    extensions = {"http.response.pathsend": {}, "http.response.early_hint": {}}
    server = start(show, asgi_pathsend=True)
    assert scope_of(server.connect().get())["extensions"] == extensions


def test_absolute_target_says_the_host(start: Serve) -> None:
    wire = start(show).connect()
    wire.send(b"GET http://real:8/p?q HTTP/1.1\r\nHost: other\r\nA: b\r\n\r\n")
    scope = scope_of(wire)
    assert scope["headers"] == [["host", "real:8"], ["a", "b"]]
    assert (scope["path"], scope["query_string"]) == ("/p", "q")


def test_where_an_app_stands(start: Serve) -> None:
    scope = scope_of(start(show, "/api", root_path="/outer").connect().get("/api/x%20y"))
    assert scope["root_path"] == "/outer/api"
    assert scope["path"] == "/outer/api/x y"
    assert scope["raw_path"] == "/outer/api/x%20y"


def test_a_proxy_that_leaves_the_root_path_in_the_path(start: Serve) -> None:
    server = start(show, root_path="/outer")
    for target, path in (
        ("/outer/x%20y", "/outer/x y"),
        ("/outer", "/outer"),
        ("/outermost", "/outer/outermost"),  # another path, which only begins with the same letters
        ("/x", "/outer/x"),
        ("/outer?a", "/outer"),
    ):
        scope = scope_of(server.connect().get(target))
        assert (scope["path"], scope["root_path"]) == (path, "/outer")
        assert scope["raw_path"] == path.replace(" ", "%20")


def test_scope_on_a_unix_socket(start: Serve, tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "socket")
    scope = scope_of(start(show, uds=path).connect().get())
    assert scope["server"] == [path, None]
    assert scope["client"] is None


def test_scope_behind_a_trusted_proxy(start: Serve) -> None:
    fields = ("X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https", "X-Forwarded-Host: shop.example")
    wire = start(show, trusted_proxies=("127.0.0.1",)).connect()
    scope = scope_of(wire.get("/", *fields))
    assert scope["headers"][0] == ["host", "localhost"]
    assert scope["server"] == list(wire.sock.getpeername())
    wire = start(show, trusted_proxies=("127.0.0.1",), forwarded_host=True).connect()
    scope = scope_of(wire.get("/", *fields[:2], "X-Forwarded-Host: [::1]:8443"))
    assert (scope["headers"][0], scope["server"]) == (["host", "[::1]:8443"], ["::1", 8443])
    scope = scope_of(wire.get("/", *fields))
    assert (scope["client"], scope["scheme"]) == (["192.0.2.7", 0], "https")
    assert (scope["headers"][0], scope["server"]) == (["host", "shop.example"], ["shop.example", 443])
    scope = scope_of(wire.get())
    assert (scope["client"], scope["scheme"]) == (list(wire.sock.getsockname()), "http")


def test_an_untrusted_proxy_says_nothing(start: Serve) -> None:
    wire = start(show).connect()
    scope = scope_of(wire.get("/", "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https"))
    assert (scope["client"], scope["scheme"]) == (list(wire.sock.getsockname()), "http")


def test_many_connections_keep_their_own_addresses(start: Serve) -> None:
    server = start(show)
    wires = [server.connect() for _ in range(20)]
    for _ in range(2):
        for wire in wires:
            assert scope_of(wire.get())["client"] == list(wire.sock.getsockname())
    for wire in wires:
        wire.close()
    again = [server.connect() for _ in range(20)]  # on the descriptors of those before
    for wire in again:
        assert scope_of(wire.get())["client"] == list(wire.sock.getsockname())


# --- the lifespan -----------------------------------------------------------------------------------


def test_lifespan(start: Serve) -> None:
    said: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            said.append((await receive())["type"])
            scope["state"]["shared"] = []
            await send({"type": "lifespan.startup.complete"})
            said.append((await receive())["type"])
            await send({"type": "lifespan.shutdown.complete"})
        else:
            scope["state"]["shared"].append(1)
            scope["state"]["own"] = scope["state"].get("own", 0) + 1
            await answer(send, f"{len(scope['state']['shared'])} {scope['state']['own']}".encode())

    server = start(app, lifespan="on")
    wire = server.connect()
    assert wire.get().answer()[2] == b"1 1"
    assert wire.get().answer()[2] == b"2 1"  # a shallow copy for each
    assert said == ["lifespan.startup"]
    server.stop()
    assert said == ["lifespan.startup", "lifespan.shutdown"]
    assert server.told() == ""


def test_an_app_that_does_not_start(start: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(AppStartError, match="the ASGI app failed to start: no database"):
        start(app, lifespan="auto")


def test_an_app_without_lifespan(start: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        await answer(send)

    server = start(app, lifespan="auto")
    assert server.connect().get().answer()[2] == b"fine"
    assert server.told() == ""
    with pytest.raises(AppStartError, match="the ASGI app failed to start: AssertionError"):
        start(app, lifespan="on")


# --- contexts and tasks -----------------------------------------------------------------------------


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")


def test_contexts_are_apart(start: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        before = variable.get()
        variable.set(scope["path"])
        await asyncio.sleep(0.001)
        task = asyncio.create_task(asyncio.sleep(0, variable.get()))
        assert asyncio.current_task() is not None
        await answer(send, f"{before} {variable.get()} {await task}".encode())

    class Plain:
        def __call__(self, *given: Any) -> Awaitable[None]:
            send = given[2]
            before = variable.get()
            variable.set("changed")
            return answer(send, before.encode())

    wire = start(app).connect()
    for path in ("/a", "/b"):
        assert wire.get(path).answer()[2] == f"none {path} {path}".encode()
    wire = start(Plain()).connect()
    for _ in range(3):
        assert wire.get().answer()[2] == b"none"


def test_timeouts_and_cancellation(start: Serve) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/timeout":
            try:
                async with asyncio.timeout(0.01):
                    await receive()
                    await receive()
            except TimeoutError:
                await answer(send, b"timed out")
        elif scope["path"] == "/group":
            async with asyncio.TaskGroup() as group:
                group.create_task(send(START))  # type: ignore[arg-type]
            await send({"type": "http.response.body", "body": b"group"})
        else:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(1)

    server = start(app)
    wire = server.connect()
    assert wire.get("/timeout").answer()[2] == b"timed out"
    assert wire.get("/group").answer()[2] == b"group"
    assert wire.get("/cancel").answer()[0] == 500
    assert wire.get("/timeout").answer()[2] == b"timed out"


def test_a_stop_waits_for_work_behind_an_answer(start: Serve) -> None:
    ended: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send)
        await asyncio.sleep(0.5)
        ended.append(True)

    server = start(app)
    wire = server.connect()
    assert wire.get().answer()[2] == b"fine"
    wire.close()
    server.stop()
    assert ended == [True]


def test_a_stop_lets_answers_finish_and_cancels_the_rest(start: Serve) -> None:
    ends: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["path"] == "/slow":
                await asyncio.sleep(0.2)
                await answer(send)
            else:
                await answer(send)
                await asyncio.sleep(100)
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    server = start(app, drain=0.7)
    server.connect().get("/behind").answer()
    slow = server.connect().get("/slow")
    time.sleep(0.05)
    server.stop()
    assert slow.answer()[2] == b"fine"
    assert ends == ["cancelled"]
    assert server.told() == ""


def test_an_upgrade_to_something_else_is_a_plain_request(start: Serve) -> None:
    wire = start(echo).connect()
    assert wire.get("/", "Upgrade: h2c", "Connection: upgrade").answer()[0] == 200
