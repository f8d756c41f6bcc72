"""Options of routes from a file, `--route` and the environment, in a server of its own processes."""

from __future__ import annotations

import pathlib
import signal
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.waiting import until

Start = Callable[..., Any]

NATIVE = """
from dimserver import App
app = App(route=["/size limit-body=5"])

@app.post("/size")
def size(request):
    return str(len(request.body))

@app.post("/other")
async def other(request):
    return str(len(request.body))
"""
WSGI = """
def app(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [])
    return [str(len(body)).encode()]
"""


@pytest.fixture
def site(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "native.py").write_text(NATIVE)
    (tmp_path / "plain.py").write_text(WSGI)
    return tmp_path


def passes(server: Any, path: str, size: int) -> bool:
    with server.connect() as wire:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode()
        status = wire.send(head + bytes(size)).answer()[0]
    assert status in (200, 413)
    return bool(status == 200)


def limit(server: Any, path: str, most: int) -> bool:
    return passes(server, path, most) and not passes(server, path, most + 1)


FILE = """
limit-body = "env:MOST"

[[route]]
pattern = "/size"
limit-body = 10

[[route]]
pattern = "/oter"
stream = true
"""


def test_each_source(child: Start, site: pathlib.Path) -> None:
    (site / "site.toml").write_text(FILE)
    words, variables = ["run", "native", "--port", "0"], {"MOST": "100"}
    server = child(*words, cwd=site)
    assert limit(server, "/size", 5)  # what the app says
    assert server.end()[0] == 0
    words += ["--config", "site.toml", "--workers", "2", "--log-file", "log"]
    server = child(*words, cwd=site, variables=variables)
    assert limit(server, "/size", 10)
    assert limit(server, "/other", 100)
    assert server.end()[0] == 0
    log = (site / "log").read_text()  # what is said before the first answer, once for all workers
    assert log.count("warning: [[route]] /oter fits no route of the app: its options change nothing") == 1
    variables["DIMSERVER_ROUTE"] = "/size limit-body=15\n/other limit-body=25"
    server = child(*words, cwd=site, variables=variables)
    assert limit(server, "/size", 15)
    assert limit(server, "/other", 25)
    assert server.end()[0] == 0
    server = child(*words, "--route", "/size limit-body=20", cwd=site, variables=variables)
    assert limit(server, "/size", 20)
    assert limit(server, "/other", 100)  # the list is the command line's
    assert server.end()[0] == 0


def test_a_wsgi_app_without_a_line_of_code(child: Start, site: pathlib.Path) -> None:
    (site / "site.toml").write_text('port = 0\n[[route]]\npattern = "/up/*"\nlimit-body = "file:most"\nstream = true\n')
    (site / "most").write_text("1KiB\n")
    server = child("run", "plain", "--config", "site.toml", cwd=site)
    assert limit(server, "/up/a", 1024)
    assert passes(server, "/up", 2000)
    (site / "most").write_text("2KiB\n")  # seen at a reload
    server.hint(signal.SIGHUP)
    until(lambda: passes(server, "/up/a", 1025), "no new limit")
    assert limit(server, "/up/a", 2048)
    assert server.end()[0] == 0


@pytest.mark.parametrize(
    ("words", "variables", "line"),
    [
        (
            ["--route", "/a", "--route", "/b limit-body=5MB"],
            {},
            "--route 2: limit-body: '5MB' is not allowed; allowed: ",
        ),
        (
            [],
            {"DIMSERVER_ROUTE": "/a\n/b lmit-body=5"},
            "DIMSERVER_ROUTE line 2: unknown key 'lmit-body'; did you mean ",
        ),
        ([], {"DIMSERVER_ROUTE_A_PATTERN": "/a"}, "unknown setting 'DIMSERVER_ROUTE_A_PATTERN'"),
        (
            ["--route", "/other blocking"],
            {},
            "[[route]] /other: POST /other is async and runs on the loop; it cannot be ",
        ),
        (["--limit-body", "env:NOT_SET"], {}, "--limit-body: 'env:NOT_SET': the variable NOT_SET is not set"),
        (["--api-token", "file:none"], {}, "--api-token: 'file:none': no such file: '"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(
    child: Start, site: pathlib.Path, words: list[str], variables: dict[str, str], line: str
) -> None:
    server = child("run", "native", "--port", "0", *words, cwd=site, announced=False, variables=variables)
    code, out, err = server.end(0)
    assert (code, out) == (2, "")
    assert err.startswith(f"dimserver: {line}")
    assert err.count("\n") == 1
