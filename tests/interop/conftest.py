"""Other implementations beside ours: servers on a thread of their own, and proxies as processes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from tests.dimserver.conftest import serve  # noqa: F401 - a fixture
from tests.support.proxies import proxies
from tests.support.waiting import PATIENCE


class Aside:
    """An asyncio server of somebody else, on a thread.

    Args:
        start: returns the port it listens on, and what ends it.
    """

    def __init__(self, start: Callable[[], Awaitable[tuple[int, Callable[[], Awaitable[object]]]]]) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = Thread(target=self.loop.run_forever)
        self._thread.start()
        try:
            self.port, self._end = self._run(start())
        except BaseException:
            self._stop()
            raise

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE)

    def close(self) -> None:
        try:
            self._run(self._end())
            self._run(self._cancel())
        finally:
            self._stop()

    async def _cancel(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE)
        self.loop.close()


@pytest.fixture
def aside() -> Iterator[Callable[..., Aside]]:
    made: list[Aside] = []

    def start(start: Any) -> Aside:
        made.append(Aside(start))
        return made[-1]

    yield start
    for server in made:
        server.close()


UPGRADE = """
proxy_http_version 1.1; proxy_set_header Host $http_host;
proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";
"""


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Callable[[str, int], int]]:
    """``proxy(name, upstream port)``: the port of a proxy before that which passes WebSockets on."""
    with proxies(tmp_path) as start:
        yield lambda name, upstream: start(name, f"127.0.0.1:{upstream}", UPGRADE if name == "nginx" else "")
