"""The plaintext handler in FastAPI."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

app = FastAPI(openapi_url=None)


@app.get("/")
async def hello() -> PlainTextResponse:
    return PlainTextResponse("Hello, World!")
