"""Litestar: validation, dependencies, streams, uploads, errors, lifespan hooks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

from litestar import Litestar, get, post
from litestar.datastructures import State, UploadFile
from litestar.di import NamedDependency, Provide
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath, JSONBody
from litestar.response import Stream


@dataclass
class Item:
    name: str
    price: float


async def begin(app: Litestar) -> None:
    app.state.pool = "a pool of connections"


async def pool(state: State) -> str:
    return str(state.pool)


@get("/")
async def index(pool: NamedDependency[str]) -> dict[str, str]:
    return {"pool": pool}


@post("/items")
async def make(data: JSONBody[Item]) -> Item:
    return data


@get("/sync/{number:int}", sync_to_thread=True)
def in_a_thread(number: FromPath[int]) -> dict[str, int]:
    return {"double": 2 * number}


@get("/lines")
async def lines() -> Stream:
    async def made() -> AsyncIterator[str]:
        for number in range(1000):
            yield f"line {number}\n"

    return Stream(made(), media_type="text/plain")


@post("/upload")
async def upload(
    data: Annotated[dict[str, UploadFile], Body(media_type=RequestEncodingType.MULTI_PART)],
) -> dict[str, Any]:
    file = data["file"]
    return {"name": file.filename, "size": len(await file.read())}


@get("/fails")
async def fails() -> None:
    raise ValueError("secret detail")


app = Litestar(
    [index, make, in_a_thread, lines, upload, fails],
    on_startup=[begin],
    dependencies={"pool": Provide(pool)},
    openapi_config=None,
)
