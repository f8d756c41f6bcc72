"""Clients behind real proxies that introduce them: what the app, the logs and the operator see."""

from __future__ import annotations

import json
import pathlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.proxies import proxies

Start = Callable[..., Any]

APP = """
from dimserver import App
app = App()

@app.get("/")
def who(request):
    return {"client": request.client_ip, "address": request.connection.address, "proxy": request.connection.proxy}

@app.post("/")
def echo(request):
    return request.body
"""


@pytest.fixture
def shop(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "shop.py").write_text(APP)
    return tmp_path


@pytest.fixture
def haproxy(tmp_path: pathlib.Path) -> Iterator[Callable[..., int]]:
    """``haproxy(server, how)`` starts one in front of a server and returns its port."""
    with proxies(tmp_path) as start:
        yield lambda server, how: start("haproxy", server, how, "tcp")


@pytest.mark.parametrize("how", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"])
def test_through_haproxy(child: Start, shop: pathlib.Path, haproxy: Callable[..., int], how: str) -> None:
    log = shop / "log"
    server = child(
        "run", "shop", "--port", "0", "--proxy-protocol", "--trusted-proxies", "127.0.0.1", "--api",
        "--admin", "127.0.0.1:0", "--access-log", "json", "--access-log-file", str(log), cwd=shop,
    )  # fmt: skip
    host, _, number = server.urls[0].removeprefix("http://").rpartition(":")
    port = haproxy(f"{host}:{number}", f"{how} check inter 100ms")
    with socket.socket() as sock:
        sock.bind(("127.0.0.77", 0))  # whom the proxy sees; to the server it comes from 127.0.0.1
        sock.connect(("127.0.0.1", port))
        ours = sock.getsockname()
        wire = type(server.connect(1))(sock)
        for _ in range(2):
            status, _, body = wire.get().answer()
            seen = json.loads(body)
            assert (status, seen["client"], seen["address"]) == (200, "127.0.0.77", list(ours))
            assert seen["proxy"][0] == "127.0.0.1"
            assert seen["proxy"] != seen["address"]
        body = b"x" * 200_000
        wire.send(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 200000\r\n\r\n" + body)
        assert wire.answer()[2] == body
        # It is said to come from a loopback address, and is no local client for that.
        assert wire.get("/api/connections").answer()[0] == 403
        admin = server.connect(1)
        rows = json.loads(admin.get("/api/connections?spiral=0").answer()[2])["points"]
        (row,) = [row for row in rows if row["client"] == f"127.0.0.77:{ours[1]}"]
        assert row["proxy"].startswith("127.0.0.1:")
    code, _, err = server.end()
    assert code == 0
    assert "closed" not in err  # the proxy's own looks at the server are no fault
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["client"] for line in lines if line["target"] == "/"] == ["127.0.0.77"] * 3


def test_a_client_that_gets_past_the_proxy(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--port", "0", "--proxy-protocol", "--trusted-proxies", "10.0.0.0/8", cwd=shop)
    for _ in range(5):
        wire = server.connect()
        try:
            wire.send(b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n").get()
        except (BrokenPipeError, ConnectionResetError):
            continue
        assert wire.ended()
    code, _, err = server.end()
    assert code == 0
    lines = [line for line in err.splitlines() if "that no trusted proxy introduced" in line]
    assert len(lines) == 1
    assert lines[0].endswith("introduced: 127.0.0.1 is no trusted proxy")


def test_through_a_unix_socket(child: Start, shop: pathlib.Path, haproxy: Callable[..., int]) -> None:
    path = shop / "s"
    server = child("run", "shop", "--uds", str(path), "--proxy-protocol", "--trusted-proxies", "unix", cwd=shop)
    port = haproxy(str(path), "send-proxy-v2")
    with socket.create_connection(("127.0.0.1", port)) as sock:
        ours = sock.getsockname()
        seen = json.loads(type(server.connect())(sock).get().answer()[2])
    assert seen == {"client": "127.0.0.1", "address": list(ours), "proxy": "unix"}
    assert server.end()[0] == 0


def test_a_wsgi_app_behind_a_proxy_that_names_somebody_or_nobody(child: Start, tmp_path: pathlib.Path) -> None:
    (tmp_path / "site.py").write_text(
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
        "    return [environ['REMOTE_ADDR'].encode()]\n"
    )
    words = ("run", "./site.py:app", "--port", "0", "--proxy-protocol", "--trusted-proxies", "127.0.0.1")
    server = child(*words, cwd=tmp_path)
    for header, told in (
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n", b"192.0.2.7"),
        (b"PROXY UNKNOWN\r\n", b"127.0.0.1"),
    ):
        with server.connect() as wire:
            wire.send(header).get("/", "X-Forwarded-For: 203.0.113.66")
            assert wire.answer()[2] == told
    assert server.end()[0] == 0


def test_nobody_to_trust_is_a_mistake(child: Start, shop: pathlib.Path) -> None:
    code, out, err = child("run", "shop", "--port", "0", "--proxy-protocol", cwd=shop, announced=False).end(0)
    assert (code, out) == (2, "")
    assert err == (
        "dimserver: --proxy-protocol needs --trusted-proxies: only they may name the client of a connection\n"
    )
