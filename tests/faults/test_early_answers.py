"""A client that is answered while it is still sending gets the answer, and no broken pipe."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dimserver import App
from dimserver.testing import serve

KIB = 1024
MIB = 1024 * KIB


def refusing() -> App:
    app = App()

    @app.post("/thread", blocking=True, stream=True)
    def thread(request: Any) -> Any:
        return 401, {}, b"who?"

    @app.post("/loop", stream=True)
    async def loop(request: Any) -> Any:
        return 401, {}, b"who?"

    @app.post("/large", blocking=True, stream=True)
    def large(request: Any) -> Any:
        return 200, {}, b"x" * 3 * MIB

    return app


def upload(url: str, path: str, size: int, pause: float) -> tuple[int, int]:
    """Status and bytes of the answer to a body that is sent in eight parts, whole, before anything is read."""

    def parts() -> Iterator[bytes]:
        for _ in range(8):
            yield b"x" * (size // 8)
            time.sleep(pause)

    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    try:
        connection.request("POST", path, body=parts(), headers={"Content-Length": str(size)})
        answer = connection.getresponse()
        return answer.status, len(answer.read())
    finally:
        connection.close()


def test_http_client_sends_to_the_end_and_reads_then() -> None:
    """Two seconds and a half: longer than a fixed time of two."""
    with serve(refusing(), limit_body=8 * MIB, loop="asyncio") as server, ThreadPoolExecutor(5) as pool:
        asked = {
            ("/thread", 4 * MIB): (401, 4),
            ("/loop", 4 * MIB): (401, 4),
            ("/nowhere", 4 * MIB): (404, 10),
            ("/thread", 16 * MIB): (413, 22),
        }
        found = {what: pool.submit(upload, server.url, *what, 0.32) for what in asked}
        for what, expected in asked.items():
            assert found[what].result()[0] == expected[0], what
        assert server.errors == []


def test_an_answer_that_is_larger_than_what_the_kernel_holds() -> None:
    """Two that both write and do not read would wait for each other."""
    with serve(refusing(), limit_body=64 * MIB, loop="asyncio") as server:
        assert upload(server.url, "/large", 32 * MIB, 0.0) == (200, 3 * MIB)
        assert server.errors == []
