"""Falcon's example of things, in its WSGI and its ASGI form, with streams and an error handler."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import falcon
import falcon.asgi


class Things:
    def on_get(self, req: Any, resp: Any) -> None:  # noqa: ARG002
        resp.content_type = falcon.MEDIA_TEXT
        resp.text = "two things awe me most"

    def on_post(self, req: Any, resp: Any) -> None:
        resp.media = {"got": req.get_media(), "host": req.host, "remote": req.remote_addr}
        resp.status = falcon.HTTP_201

    def on_put(self, req: Any, resp: Any) -> None:
        size = 0
        while piece := req.bounded_stream.read(65536):
            size += len(piece)
        resp.media = {"size": size}


class Broken:
    def on_get(self, req: Any, resp: Any) -> None:  # noqa: ARG002
        raise ValueError("secret detail")


class Lines:
    def on_get(self, req: Any, resp: Any) -> None:  # noqa: ARG002
        resp.content_type = falcon.MEDIA_TEXT
        resp.stream = (f"line {number}\n".encode() for number in range(1000))


class AsyncThings:
    async def on_get(self, req: Any, resp: Any) -> None:  # noqa: ARG002
        resp.content_type = falcon.MEDIA_TEXT
        resp.text = "two things awe me most"

    async def on_post(self, req: Any, resp: Any) -> None:
        resp.media = {"got": await req.get_media(), "host": req.host, "remote": req.remote_addr}
        resp.status = falcon.HTTP_201

    async def on_put(self, req: Any, resp: Any) -> None:
        resp.media = {"size": sum([len(piece) async for piece in req.stream])}


class AsyncBroken:
    async def on_get(self, req: Any, resp: Any) -> None:  # noqa: ARG002
        raise ValueError("secret detail")


class AsyncLines:
    async def on_get(self, req: Any, resp: Any) -> None:  # noqa: ARG002
        async def lines() -> AsyncIterator[bytes]:
            for number in range(1000):
                yield f"line {number}\n".encode()
                if number % 100 == 0:
                    await asyncio.sleep(0)

        resp.content_type = falcon.MEDIA_TEXT
        resp.stream = lines()


wsgi_app = falcon.App()
asgi_app = falcon.asgi.App()
for application, resources in (
    (wsgi_app, (Things(), Broken(), Lines())),
    (asgi_app, (AsyncThings(), AsyncBroken(), AsyncLines())),
):
    for place, resource in zip(("/things", "/broken", "/lines"), resources, strict=True):
        application.add_route(place, resource)
