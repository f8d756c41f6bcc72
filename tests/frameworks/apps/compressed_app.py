"""Files behind each of the middlewares that compress what they send."""

from __future__ import annotations

import os
import pathlib

from brotli_asgi import BrotliMiddleware
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from zstd_asgi import ZstdMiddleware

FILES = pathlib.Path(os.environ["COMPRESSED_APP_FILES"])


async def file(request: Request) -> Response:
    return FileResponse(FILES / request.path_params["name"], media_type="text/plain")


def behind(middleware: Middleware) -> Starlette:
    return Starlette(routes=[Route("/{name}", file)], middleware=[middleware])


app = Starlette(
    routes=[
        Mount("/gzip", behind(Middleware(GZipMiddleware))),
        Mount("/br", behind(Middleware(BrotliMiddleware))),
        Mount("/zstd", behind(Middleware(ZstdMiddleware))),
        Route("/plain/{name}", file),
    ]
)
