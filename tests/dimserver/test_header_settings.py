"""Headers from a file, `--header` and the environment, in a server of its own processes."""

from __future__ import annotations

import pathlib
import signal
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.waiting import until

Start = Callable[..., Any]

APP = """
def app(environ, start_response):
    start_response("200 OK", [("X-Own", "app")])
    return [b"ok"]
"""
FILE = """
app = "shop"
port = 0

[[header]]
name = "X-Frame-Options"
value = "DENY"

[[header]]
name = "Cache-Control"
value = "max-age=60"
pattern = "/assets/*"
"""


@pytest.fixture
def site(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "shop.py").write_text(APP)
    (tmp_path / "site.toml").write_text(FILE)
    return tmp_path


def fields(server: Any, path: str = "/") -> dict[str, str]:
    with server.connect() as wire:
        headers = wire.get(path).answer()[1]
    kept = ("x-frame-options", "cache-control", "x-own", "x-quoted")
    return {name: headers[name] for name in kept if name in headers}


def test_each_source(child: Start, site: pathlib.Path) -> None:
    words = ["--header", "X-Frame-Options: DENY", "--header", "X-Quoted: \"a, b\"; c='d'", "--header", "X-Own: server"]
    server = child("run", "shop", "--port", "0", *words, cwd=site)
    assert fields(server) == {"x-frame-options": "DENY", "x-own": "app", "x-quoted": "\"a, b\"; c='d'"}
    assert server.end()[0] == 0
    variables = {"DIMSERVER_HEADER": "X-Frame-Options: SAMEORIGIN\nX-Quoted: 'q'"}
    server = child("run", "--config", "site.toml", cwd=site, variables=variables)  # the list is the environment's
    assert fields(server, "/assets/a") == {"x-frame-options": "SAMEORIGIN", "x-own": "app", "x-quoted": "'q'"}
    assert server.end()[0] == 0


def test_a_reload_changes_them(child: Start, site: pathlib.Path) -> None:
    server = child("run", "--config", "site.toml", "--workers", "2", cwd=site)
    assert fields(server) == {"x-frame-options": "DENY", "x-own": "app"}
    assert fields(server, "/assets/a") == {"x-frame-options": "DENY", "cache-control": "max-age=60", "x-own": "app"}

    def reload(text: str, expected: dict[str, str]) -> None:
        (site / "site.toml").write_text(text)
        before = set(server.workers)
        server.hint(signal.SIGHUP)
        until(lambda: not before & set(server.workers))
        assert fields(server, "/assets/a") == {**expected, "x-own": "app"}

    reload(FILE.replace("60", "61"), {"x-frame-options": "DENY", "cache-control": "max-age=61"})
    reload(FILE.partition("[[")[0], {})
    assert server.end()[0] == 0


@pytest.mark.parametrize("words", [["run", "shop", "--port", "0"], ["config"]])
def test_a_mistake_is_one_line_and_exit_2(child: Start, site: pathlib.Path, words: list[str]) -> None:
    if words == ["config"]:
        (site / "site.toml").write_text('[[header]]\nname = "Content-Length"\nvalue = "5"\n')
        words, where = ["config", "--check", "site.toml"], "site.toml:[[header]] 1"
    else:
        words, where = [*words, "--header", "X: y", "--header", "Content-Length: 5"], "--header 2"
    code, _, err = child(*words, cwd=site, announced=False).end(0)
    assert code == 2
    assert err.startswith(f"dimserver: {where}: name: 'Content-Length' is not allowed; allowed: the name of a header")
    assert err.count("\n") == 1
