"""Apps that patch the standard library: served where that can be, refused in one line where not."""

from __future__ import annotations

import importlib.util
import pathlib

import pytest
from tests.support.servers import Child

from dimserver.errors import StartError
from dimserver.worker import monkeypatch

PATCHES = {
    "gevent": "from gevent import monkey\nmonkey.patch_all()\n",
    "eventlet": "import eventlet\neventlet.monkey_patch()\n",
}
APP = """
def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]

async def asgi(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"hello"})
"""


@pytest.fixture(params=PATCHES)
def patched(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> tuple[str, pathlib.Path]:
    if importlib.util.find_spec(request.param) is None:  # not imported here: eventlet warns at every fork after that
        pytest.skip(f"{request.param} is not installed")
    (tmp_path / "green.py").write_text(PATCHES[request.param] + APP)
    return request.param, tmp_path


def test_a_wsgi_app_on_the_loop(patched: tuple[str, pathlib.Path]) -> None:
    server = Child("run", "green:wsgi", "--threads", "0", "--port", "0", cwd=patched[1], python=())
    with server.connect() as wire:
        for _ in range(3):
            assert wire.get().answer()[2] == b"hello"
    server.process.kill()
    server.process.communicate()


@pytest.mark.parametrize("words", [("green:wsgi",), ("green:wsgi", "--threads", "2"), ("green:asgi",)])
def test_what_cannot_be_served_is_refused(patched: tuple[str, pathlib.Path], words: tuple[str, ...]) -> None:
    name, directory = patched
    server = Child("run", *words, "--port", "0", cwd=directory, python=(), announced=False)
    out, err = server.process.communicate(timeout=20)
    told = [line for line in (out + err).decode().splitlines() if "DeprecationWarning" not in line and line.strip()]
    assert server.process.returncode == 1
    assert any(f"monkey.patch_all() of {name}" in line for line in told)
    assert not any("Traceback" in line for line in told)
    if "wsgi" in words[0]:
        assert any("--threads 0" in line for line in told)


def test_a_process_as_it_is() -> None:
    assert monkeypatch.patched_by() is None
    monkeypatch.refuse("anything", "no matter")


def test_the_line(monkeypatch_by_gevent: None) -> None:
    with pytest.raises(StartError, match=r"of gevent, which does not work with a thing: do that"):
        monkeypatch.refuse("a thing", "do that")


@pytest.fixture
def monkeypatch_by_gevent(monkeypatch: pytest.MonkeyPatch) -> None:
    from dimserver.worker import monkeypatch as tested

    monkeypatch.setattr(tested, "patched_by", lambda: "gevent")
