"""Other implementations beside ours: servers on a thread of their own, and proxies as processes."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from tests.dimserver.conftest import serve  # noqa: F401 - a fixture
from tests.support.ports import free_port, until_listening
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


NGINX = """
daemon off; pid {directory}/nginx.pid; error_log {directory}/error.log; worker_processes 1;
events {{ worker_connections 100; }}
http {{
    access_log off;
    client_body_temp_path {directory}; proxy_temp_path {directory}; fastcgi_temp_path {directory};
    uwsgi_temp_path {directory}; scgi_temp_path {directory};
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{upstream};
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
        }}
    }}
}}
"""

HAPROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 20s
    timeout server 20s
    timeout tunnel 20s
frontend in
    bind 127.0.0.1:{port}
    default_backend out
backend out
    server it 127.0.0.1:{upstream}
"""

PROXIES = {
    "nginx": (NGINX, lambda program, file: [program, "-c", file]),
    "haproxy": (HAPROXY, lambda program, file: [program, "-db", "-f", file]),
}


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Callable[[str, int], int]]:
    """``proxy(name, upstream port)``: the port of a proxy before that."""
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, upstream: int) -> int:
        program = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
        if program is None:
            pytest.skip(f"no {name}")
        text, command = PROXIES[name]
        port = free_port()
        file = tmp_path / f"{name}.conf"
        file.write_text(text.format(directory=tmp_path, port=port, upstream=upstream))
        with (tmp_path / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(command(program, str(file)), stdout=log, stderr=log)
        started.append(process)
        until_listening(port, process, (tmp_path / f"{name}.log").read_text)
        return port

    yield start
    for process in started:
        process.terminate()
        process.wait(PATIENCE)
