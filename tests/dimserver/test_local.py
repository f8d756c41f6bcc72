"""Who is taken for the operator, over real connections: local clients, strangers behind real proxies, pages."""

from __future__ import annotations

import json
import pathlib
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.proxies import Proxy, proxies
from tests.support.waiting import PATIENCE

Start = Callable[..., Any]

APP = """
from dimserver import App
app = App()

@app.get("/")
def index(request):
    return "shop"
"""


@pytest.fixture
def proxy(tmp_path: pathlib.Path) -> Iterator[Proxy]:
    """``proxy(name, upstream)`` starts a proxy with nothing set and returns its port."""
    with proxies(tmp_path) as start:
        yield start


@pytest.fixture
def shop(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "shop.py").write_text(APP)
    return tmp_path


def ask(port: int, target: str, host: str, *fields: str) -> tuple[int, str]:
    """Status and body of a request of its own connection."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
        lines = "".join(f"{field}\r\n" for field in fields)
        sock.sendall(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{lines}\r\n".encode())
        data = b""
        while piece := sock.recv(65536):
            data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


READ = ("/api/stats", "/api/connections", "/api/connections?limit=5")


@pytest.mark.parametrize("name", ["nginx", "haproxy"])
@pytest.mark.parametrize("app", [(), ("shop", "--api")])
def test_strangers_behind_a_bare_proxy(
    child: Start, shop: pathlib.Path, proxy: Callable[..., int], name: str, app: tuple[str, ...]
) -> None:
    server = child("run", *app, "--port", "0", "--log-file", "log", cwd=shop)
    own = port_of(server.urls[0])
    # Later versions of nginx speak HTTP/1.1 unless they are told to: then nothing shows that they are a proxy.
    outside = proxy(name, f"127.0.0.1:{own}", "proxy_http_version 1.0;" if name == "nginx" else "")
    for target in READ:
        assert ask(outside, target, "shop.example")[0] == 403
        assert ask(own, target, "localhost")[0] == 200
    assert json.loads(ask(outside, "/api/status", "shop.example")[1]) == {"status": "online"}
    assert json.loads(ask(own, "/api/status", "localhost")[1])["workers"] == 1
    assert server.end()[0] == 0
    warned = [line for line in (shop / "log").read_text().splitlines() if "--api without --api-token" in line]
    assert len(warned) == (1 if app else 0)
    assert all("--admin" in line for line in warned)


@pytest.mark.parametrize("name", ["nginx", "haproxy"])
def test_strangers_who_say_that_they_are_local(
    child: Start, shop: pathlib.Path, proxy: Callable[..., int], name: str
) -> None:
    """What a bare proxy passes on cannot be told from a local request; what the operator sets can."""
    token = child("run", "shop", "--api", "--port", "0", "--api-token", "s3cret", cwd=shop)
    uds = child("run", "shop", "--api", "--uds", "web.sock", cwd=shop)
    trusting = child("run", "shop", "--api", "--port", "0", "--trusted-proxies", "127.0.0.1", cwd=shop)
    path = shop / "web.sock"
    upstreams = [
        f"127.0.0.1:{port_of(token.urls[0])}",
        f"unix:{path}" if name == "nginx" else str(path),
        f"127.0.0.1:{port_of(trusting.urls[0])}",
    ]
    for upstream in upstreams:
        outside = proxy(name, upstream)
        assert ask(outside, "/", "localhost") == (200, "shop")
        for target in READ:
            assert ask(outside, target, "localhost")[0] == 403
            assert ask(outside, target, "127.0.0.1:8080")[0] == 403
    own = port_of(token.urls[0])
    assert ask(own, READ[0], "localhost")[0] == 403
    assert ask(own, READ[0], "shop.example", "Authorization: Bearer s3cret")[0] == 200
    assert ask(own, "/api/status", "localhost")[1] == '{"status":"online"}\n'
    for server in (token, uds, trusting):
        assert server.end()[0] == 0


def test_a_host_that_is_not_this_machine(child: Start, shop: pathlib.Path) -> None:
    server = child("run", "shop", "--api", "--port", "0", "--admin", "127.0.0.1:0", cwd=shop)
    main, admin = (port_of(url) for url in server.urls)
    for port in (main, admin):
        for host in ("evil.example", f"evil.example:{port}", "10.0.0.1"):
            assert ask(port, "/api/stats", host)[0] == 403
        for host in ("localhost", f"127.0.0.1:{port}", "[::1]"):
            assert ask(port, "/api/stats", host)[0] == 200
    assert ask(admin, "/metrics", "evil.example")[0] == 403
    for target in ("/healthz", "/readyz"):
        assert ask(admin, target, "evil.example")[0] == 200
    for line in (
        b"GET /api/stats HTTP/1.0\r\n\r\n",
        b"GET http://evil.example/api/stats HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ):
        for wire in (server.connect(0), server.connect(1)):
            assert wire.send(line).answer()[0] == 403
    assert (
        server.connect(1)
        .get(f"/api/servers/{server.pid}/drain", "Origin: http://evil.example", method="POST")
        .answer()[0]
        == 403
    )
    assert server.end()[0] == 0


def test_the_admin_port_asks_for_the_token(child: Start, shop: pathlib.Path) -> None:
    (shop / "token").write_text("s3cret\n")
    server = child("run", "shop", "--port", "0", "--admin", "0.0.0.0:0", "--api-token-file", "token", cwd=shop)
    admin = port_of(server.urls[1])
    for target in (
        "/api/status",
        "/api/stats",
        "/api/connections",
        "/api/topics",
        "/api/manifold/evaluate",
        "/metrics",
    ):
        assert ask(admin, target, "localhost")[0] == 403
        assert ask(admin, target, "localhost", "Authorization: Bearer s3cre")[0] == 403
        assert ask(admin, target, "10.1.2.3:9000", "Authorization: Bearer s3cret")[0] == 200
    for target in ("/healthz", "/readyz"):
        assert ask(admin, target, "10.1.2.3:9000")[0] == 200
    wire = server.connect(1)
    drain = f"/api/servers/{server.pid}/drain"
    assert wire.get(drain, method="POST").answer()[0] == 403
    assert wire.get(drain, "Authorization: Bearer s3cret", method="POST").answer()[0] == 202
    assert server.end(0)[0] == 0


def test_the_admin_socket_asks_for_nothing(child: Start, shop: pathlib.Path) -> None:
    server = child(
        "run", "shop", "--port", "0", "--admin", "./admin", cwd=shop, variables={"DIMSERVER_API_TOKEN": "s3cret"}
    )
    wire = server.connect(1)
    for target in ("/api/status", "/api/stats", "/metrics"):
        wire.send(f"GET {target} HTTP/1.1\r\nHost: whatever\r\n\r\n".encode())
        assert wire.answer()[0] == 200
    assert server.connect(0).get("/").answer()[0] == 200
    assert server.end()[0] == 0


@pytest.mark.parametrize("admin", ["0.0.0.0:0", "[::]:0"])
def test_an_admin_port_for_everybody_needs_a_token(child: Start, shop: pathlib.Path, admin: str) -> None:
    for app in ((), ("shop",)):
        server = child("run", *app, "--port", "0", "--admin", admin, cwd=shop, announced=False)
        code, out, err = server.end(0)
        assert (code, out) == (2, "")
        assert len(err.splitlines()) == 1
        assert "--admin: anybody who reaches" in err
        assert "api-token" in err
