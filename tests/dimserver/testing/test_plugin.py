"""The plugin, as pytest loads it."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import tomllib

import dimserver

TESTS = """
import threading, urllib.request
import pytest
from dimserver import App

app = App()
app.get("/")(lambda request: "hello")
seen = []

def test_serve(serve_app):
    first, second = serve_app(app), serve_app(lambda environ, start_response: 1 / 0)
    assert first.url != second.url
    assert urllib.request.urlopen(first.url).read() == b"hello"
    with pytest.raises(urllib.request.HTTPError) as caught:
        urllib.request.urlopen(second.url)
    caught.value.close()
    assert second.errors == ["a handler failed: ZeroDivisionError: division by zero"]
    seen.extend(threading.enumerate())

def test_they_are_stopped():
    assert len(seen) > 1
    assert [thread for thread in seen if thread.is_alive()] == [threading.main_thread()]
"""


def test_the_fixture(tmp_path: pathlib.Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    words = [sys.executable, "-X", "dev", "-W", "error", "-m", "pytest", "-q", "-p", "dimserver.testing.plugin"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_pytest_finds_it_where_the_package_is_installed() -> None:
    project = pathlib.Path(dimserver.__file__).parents[2] / "pyproject.toml"
    if not project.exists():  # an installed wheel is under test
        from importlib.metadata import entry_points

        assert "dimserver.testing.plugin" in entry_points(group="pytest11").names
        return
    points = tomllib.loads(project.read_text())["project"]["entry-points"]["pytest11"]
    assert points == {"dimserver.testing.plugin": "dimserver.testing.plugin"}
