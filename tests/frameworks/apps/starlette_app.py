"""Starlette: routing, mounts, lifespan with state, background, streams, uploads, errors, sessions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

done: list[str] = []


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    await asyncio.sleep(0)
    print("starlette: started", flush=True)
    yield {"pool": "a pool of connections"}
    await asyncio.sleep(0)
    print("starlette: ended", flush=True)


async def index(request: Request) -> Any:
    return PlainTextResponse("hello " + request.state.pool)


async def echo(request: Request) -> Any:
    return JSONResponse({"json": await request.json(), "client": request.client.host if request.client else None})


async def upload(request: Request) -> Any:
    async with request.form() as form:
        file: Any = form["file"]
        return JSONResponse({"name": file.filename, "size": len(await file.read()), "note": form["note"]})


async def count(request: Request) -> Any:
    size = 0
    async for piece in request.stream():
        size += len(piece)
    return JSONResponse({"size": size})


async def lines(request: Request) -> Any:
    async def made() -> AsyncIterator[str]:
        for number in range(1000):
            yield f"line {number}\n"
            if number % 100 == 0:
                await asyncio.sleep(0)

    return StreamingResponse(made(), media_type="text/plain")


async def background(request: Request) -> Any:
    async def work() -> None:
        await asyncio.sleep(0.05)
        done.append(request.query_params["name"])

    return JSONResponse({"done": done}, background=BackgroundTask(work))


async def file(request: Request) -> Any:
    return FileResponse(__file__, media_type="text/x-python")


async def fails(request: Request) -> Any:
    raise ValueError("secret detail")


def in_a_thread(request: Request) -> Any:
    return PlainTextResponse("from a thread")


async def gone(request: Request) -> Any:
    """Until the client has left."""
    while not await request.is_disconnected():  # noqa: ASYNC110 - it is what Starlette offers
        await asyncio.sleep(0.01)
    done.append("it left")
    return PlainTextResponse("")


app = Starlette(
    routes=[
        Route("/", index),
        Route("/echo", echo, methods=["POST"]),
        Route("/upload", upload, methods=["POST"]),
        Route("/count", count, methods=["POST"]),
        Route("/lines", lines),
        Route("/background", background),
        Route("/file", file),
        Route("/fails", fails),
        Route("/thread", in_a_thread),
        Route("/gone", gone),
        Mount("/static", StaticFiles(directory=".")),
    ],
    lifespan=lifespan,
    middleware=[Middleware(GZipMiddleware, minimum_size=1000)],
)


@contextlib.asynccontextmanager
async def broken_lifespan(app: Starlette) -> AsyncIterator[None]:
    raise ValueError("no database")
    yield


broken = Starlette(lifespan=broken_lifespan)
