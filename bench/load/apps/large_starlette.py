"""``large_asgi`` as a Starlette app has it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

PIECE = bytes(64 << 10)


async def hello(request: Request) -> Response:
    return PlainTextResponse("Hello, World!")


async def make(request: Request) -> Response:
    return StreamingResponse(pieces(int(request.query_params["pieces"])))


async def pieces(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield PIECE


async def count(request: Request) -> Response:
    size = 0
    async for piece in request.stream():
        size += len(piece)
    return PlainTextResponse(str(size))


app = Starlette(routes=[Route("/", hello), Route("/make", make), Route("/count", count, methods=["POST"])])
