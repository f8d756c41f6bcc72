"""The same with `websockets` and its `broadcast`: ``python publish_websockets.py PORT``."""

from __future__ import annotations

import asyncio
import http
import sys
from typing import Any

from websockets.asyncio.server import broadcast, serve

LISTENERS: set[Any] = set()


async def listen(connection: Any) -> None:
    LISTENERS.add(connection)
    try:
        await connection.wait_closed()
    finally:
        LISTENERS.discard(connection)


def answer(connection: Any, request: Any) -> Any:
    if request.path == "/ws":
        return None
    if request.path == "/":
        return connection.respond(http.HTTPStatus.OK, "Hello, World!")
    _, _, size, number = request.path.split("/")
    message = b"x" * int(size)
    for _ in range(int(number)):
        broadcast(LISTENERS, message)
    return connection.respond(http.HTTPStatus.OK, number)


async def main() -> None:
    async with serve(
        listen, "127.0.0.1", int(sys.argv[1]),
        process_request=answer, compression=None, ping_interval=None, backlog=2048,
    ):  # fmt: skip
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    if "--uvloop" in sys.argv:
        import uvloop

        uvloop.run(main())
    else:
        asyncio.run(main())
