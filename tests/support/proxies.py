"""nginx and haproxy before a server, each on a port of its own."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from tests.support.ports import free_port, until_listening

PLACES = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"

# As their manuals begin.  `more`: further directives of nginx's location, further words of haproxy's server.
CONFIGURATIONS = {
    "nginx": """
daemon off; user root; pid {directory}/nginx.pid; error_log {directory}/error.log; worker_processes 1;
events {{ worker_connections 100; }}
http {{
    access_log off;
    client_body_temp_path {directory}; proxy_temp_path {directory}; fastcgi_temp_path {directory};
    uwsgi_temp_path {directory}; scgi_temp_path {directory};
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://{upstream}; {more} }}
    }}
}}
""",
    "haproxy": """
defaults
    mode {mode}
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout tunnel 30s
frontend in
    bind 127.0.0.1:{port}
    default_backend out
backend out
    server it {upstream} {more}
""",
}
WORDS = {"nginx": ["-c"], "haproxy": ["-db", "-q", "-f"]}

Proxy = Callable[..., int]


@contextmanager
def proxies(directory: pathlib.Path) -> Iterator[Proxy]:
    """What is entered starts a proxy and returns its port: ``start(name, upstream, more="", mode="http")``.

    A test is skipped where there is no such program.  Upstream is ``address:port``.
    """
    running: list[subprocess.Popen[bytes]] = []

    def start(name: str, upstream: str, more: str = "", mode: str = "http") -> int:
        program = shutil.which(name) or shutil.which(name, path=PLACES)
        if program is None:
            pytest.skip(f"no {name}")
        port = free_port()
        place = directory / f"{name}-{len(running)}"
        place.mkdir()
        text = CONFIGURATIONS[name].format(port=port, upstream=upstream, directory=place, more=more, mode=mode)
        (place / "configuration").write_text(text)
        log = place / "log"
        with log.open("wb") as output:
            running.append(
                subprocess.Popen(
                    [program, *WORDS[name], str(place / "configuration")], stdout=output, stderr=subprocess.STDOUT
                )
            )
        until_listening(port, running[-1], log.read_text)
        return port

    try:
        yield start
    finally:
        for process in running:
            process.terminate()
            process.wait()
