"""FastAPI: validation, dependencies, background tasks, streams, server-sent events, uploads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import BackgroundTasks, Depends, FastAPI, File, Form, Header, HTTPException, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

app = FastAPI()
written: list[str] = []
closed: list[str] = []


class Item(BaseModel):
    name: str = Field(min_length=2)
    price: float = Field(gt=0)


@app.get("/")
async def index() -> dict[str, str]:
    return {"hello": "world"}


@app.post("/items", status_code=201)
async def make(item: Item) -> Item:
    return item


async def user(token: Annotated[str, Header(alias="X-Token")]) -> AsyncIterator[str]:
    if token != "right":
        raise HTTPException(403, "wrong token")
    yield "root"
    closed.append("user")


@app.get("/me")
async def me(name: Annotated[str, Depends(user)]) -> dict[str, Any]:
    return {"name": name, "closed": list(closed)}


@app.get("/sync/{number}")
def in_a_thread(number: int) -> dict[str, int]:
    return {"double": 2 * number}


@app.get("/notify")
async def notify(name: str, tasks: BackgroundTasks) -> dict[str, list[str]]:
    tasks.add_task(written.append, name)
    return {"written": list(written)}


@app.get("/lines")
async def lines() -> StreamingResponse:
    async def made() -> AsyncIterator[str]:
        for number in range(1000):
            yield f"line {number}\n"

    return StreamingResponse(made(), media_type="text/plain")


@app.get("/events")
async def events() -> StreamingResponse:
    async def made() -> AsyncIterator[str]:
        for number in range(3):
            yield f"id: {number}\ndata: tick {number}\n\n"
            await asyncio.sleep(0.05)

    return StreamingResponse(made(), media_type="text/event-stream")


@app.post("/upload")
async def upload(file: Annotated[UploadFile, File()], note: Annotated[str, Form()]) -> dict[str, Any]:
    size = 0
    while piece := await file.read(65536):
        size += len(piece)
    return {"name": file.filename, "size": size, "note": note}


@app.get("/fails")
async def fails() -> None:
    raise ValueError("secret detail")
