"""A server told its settings by a command line, an environment and a file, in a process of its own."""

from __future__ import annotations

import pathlib
import socket
from collections.abc import Callable
from typing import Any

import pytest

Start = Callable[..., Any]

APP = """
from dimserver import App
app = App(api=True)

@app.post("/size")
def size(request):
    return str(len(request.body))
"""


@pytest.fixture
def site(tmp_path: pathlib.Path) -> pathlib.Path:
    """A directory with an app in shop.py and files in public/."""
    (tmp_path / "shop.py").write_text(APP)
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "a.txt").write_text("file a")
    return tmp_path


def post(server: Any, size: int) -> int:
    head = f"POST /size HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode()
    wire = server.connect().send(head + bytes(size))
    status: int = wire.answer()[0]
    return status


def test_a_file_alone_is_enough(child: Start, site: pathlib.Path) -> None:
    (site / "site.toml").write_text(
        'app = "shop"\nuds = "./s"\nuds-mode = "0600"\nstatic = "public"\nlimit-body = "1KiB"\n'
    )
    server = child("run", "--config", "site.toml", cwd=site)
    assert server.first.startswith(f"dimserver: serving shop on unix:{site}/s (pid ")
    assert (site / "s").stat().st_mode & 0o777 == 0o600
    assert server.connect().get("/a.txt").answer()[2] == b"file a"
    assert server.connect().get("/api/status").answer()[0] == 200  # the app's own wish, which nobody contradicts
    assert (post(server, 1024), post(server, 1025)) == (200, 413)
    assert server.end()[0] == 0


def test_the_environment_alone_is_enough(child: Start, site: pathlib.Path) -> None:
    variables = {
        "DIMSERVER_APP": "shop:app", "DIMSERVER_PORT": "0", "DIMSERVER_STATIC": "public", "DIMSERVER_API": "no",
        "DIMSERVER_LIMIT_BODY": "1k",
    }  # fmt: skip
    server = child("run", cwd=site, variables=variables)
    assert server.first.startswith("dimserver: serving shop:app on http://127.0.0.1:")
    assert server.connect().get("/a.txt").answer()[2] == b"file a"
    assert server.connect().get("/api/status").answer()[0] == 404
    assert (post(server, 1024), post(server, 1025)) == (200, 413)
    assert server.end()[0] == 0


@pytest.mark.parametrize(("strongest", "most"), [("line", 3000), ("environment", 2000), ("file", 1000)])
def test_which_of_them_counts(child: Start, site: pathlib.Path, strongest: str, most: int) -> None:
    (site / "site.toml").write_text("port = 0\nlimit-body = 1000\n")
    variables = {"DIMSERVER_CONFIG": "site.toml"}
    if strongest != "file":
        variables["DIMSERVER_LIMIT_BODY"] = "2000"
    words = ["--limit-body", "3000"] if strongest == "line" else []
    server = child("run", "shop", *words, cwd=site, variables=variables)
    assert (post(server, most), post(server, most + 1)) == (200, 413)
    assert server.end()[0] == 0


@pytest.mark.parametrize(
    ("variables", "file", "line"),
    [
        ({"DIMSERVER_PORT": "x"}, "", "DIMSERVER_PORT: 'x' is not allowed; allowed: a whole number from 0 to 65535"),
        ({"DIMSERVER_PROT": "1"}, "", "unknown setting 'DIMSERVER_PROT'; did you mean 'DIMSERVER_PORT'?"),
        ({}, "timeout = true", "site.toml:timeout: True is a boolean; allowed: an integer, a float or a string ("),
        ({}, "port = 1\n\nhost =\n", "site.toml:3:7: Invalid value"),
        ({}, "api-token = 'hunter 2'", "site.toml:api-token: the value given is not allowed; allowed: letters, "),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(
    child: Start, site: pathlib.Path, variables: dict[str, str], file: str, line: str
) -> None:
    (site / "site.toml").write_text(file)
    code, out, err = child("run", "shop", "--config", "site.toml", cwd=site, announced=False, variables=variables).end(
        0
    )
    assert (code, out) == (2, "")
    assert err.startswith(f"dimserver: {line}")
    assert err.count("\n") == 1
    assert "hunter" not in err


def test_the_socket_of_a_server_that_was_killed_is_taken_over(child: Start, site: pathlib.Path) -> None:
    first = child("run", "shop", "--uds", "./s", cwd=site)
    code, _, err = child("run", "shop", "--uds", "./s", cwd=site, announced=False).end(0)
    assert (code, err) == (1, f"dimserver: cannot listen on unix:{site}/s: the address is already in use\n")
    assert first.connect().get("/api/status").answer()[0] == 200
    first.end(9)
    assert (site / "s").is_socket()
    second = child("run", "shop", "--uds", "./s", cwd=site)
    assert second.connect().get("/api/status").answer()[0] == 200
    assert second.end()[0] == 0
    assert not (site / "s").exists()


def test_a_file_in_the_way_of_a_socket_stays(child: Start, site: pathlib.Path) -> None:
    code, _, err = child("run", "shop", "--uds", "./shop.py", cwd=site, announced=False).end(0)
    assert code == 1
    assert err == f"dimserver: cannot listen on unix:{site}/shop.py: the path exists and is not a socket\n"
    assert (site / "shop.py").read_text() == APP
    with socket.socket(socket.AF_UNIX) as client:
        assert client.connect_ex(str(site / "shop.py")) != 0
