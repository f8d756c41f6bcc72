"""An ASGI app that says what it was given, and answers in every way there is."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
PLAIN = [(b"content-type", b"text/plain")]


async def whole(receive: Receive) -> tuple[bytes, int]:
    body = b""
    messages = 0
    while True:
        message = await receive()
        messages += 1
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body, messages


async def answer(send: Send, body: bytes, status: int = 200, headers: Any = None) -> None:
    await send({"type": "http.response.start", "status": status, "headers": PLAIN if headers is None else headers})
    await send({"type": "http.response.body", "body": body})


async def scope(given: Scope, receive: Receive, send: Send) -> None:
    body, _ = await whole(receive)
    told = {
        name: [[part.decode("latin-1") for part in pair] for pair in value]
        if name == "headers"
        else value.decode("latin-1")
        if isinstance(value, bytes)
        else value
        if isinstance(value, (str, int, list, tuple, type(None)))
        else {key: type(each).__name__ if isinstance(each, dict) else each for key, each in value.items()}
        for name, value in given.items()
    }
    told["types"] = {name: type(value).__name__ for name, value in given.items()}
    told["body"] = body.decode("latin-1")
    told["after the body"] = None
    await answer(send, json.dumps(told).encode(), headers=[(b"content-type", b"application/json")])


async def sized(given: Scope, receive: Receive, send: Send) -> None:
    headers = [*PLAIN, (b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"he", "more_body": True})
    await send({"type": "http.response.body", "body": b"llo"})


async def pieces(given: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": PLAIN})
    for piece in (b"one ", b"", b"two "):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})


async def nothing(given: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body"})


async def no_content(given: Scope, receive: Receive, send: Send) -> None:
    await answer(send, b"", 204, [])


async def not_modified(given: Scope, receive: Receive, send: Send) -> None:
    await answer(send, b"", 304, [(b"etag", b'"a"')])


async def headers(given: Scope, receive: Receive, send: Send) -> None:
    more = [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"X-Mixed", b"caf\xe9")]
    await answer(send, b"x", 299, [*PLAIN, *more])


async def fails(given: Scope, receive: Receive, send: Send) -> None:
    raise ValueError("secret detail")


async def fails_after_start(given: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": PLAIN})
    raise ValueError("secret detail")


async def fails_in_its_body(given: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": PLAIN})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    raise ValueError("secret detail")


async def too_few(given: Scope, receive: Receive, send: Send) -> None:
    await answer(send, b"four", headers=[*PLAIN, (b"content-length", b"10")])


async def too_many(given: Scope, receive: Receive, send: Send) -> None:
    await answer(send, b"four and more", headers=[*PLAIN, (b"content-length", b"4")])


async def never_starts(given: Scope, receive: Receive, send: Send) -> None:
    return


async def starts_twice(given: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": PLAIN})
    await send({"type": "http.response.start", "status": 200, "headers": PLAIN})


async def body_first(given: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.body", "body": b"x"})


async def bad_header(given: Scope, receive: Receive, send: Send) -> None:
    await answer(send, b"x", headers=[(b"x-bad", b"a\r\nset-cookie: b=c")])


async def messages(given: Scope, receive: Receive, send: Send) -> None:
    body, _ = await whole(receive)
    await answer(send, str(len(body)).encode())


async def app(given: Scope, receive: Receive, send: Send) -> None:
    if given["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    parts = given["path"].split("/")
    name = parts[1] if len(parts) > 1 else "scope"
    handler = globals().get(name)
    await (handler if callable(handler) and name.islower() and name != "app" else scope)(given, receive, send)
