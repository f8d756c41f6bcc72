"""Starlette behind the command line."""

from __future__ import annotations

from typing import Any

import pytest
from tests.frameworks.conftest import APPS, Run
from tests.support.servers import Child
from tests.support.waiting import until


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def starlette(run: Run, request: pytest.FixtureRequest) -> Any:
    return run("starlette_app:app", "--loop", request.param)


def test_what_the_lifespan_left_is_there(starlette: Any) -> None:
    assert starlette.client.get("/").text == "hello a pool of connections"


def test_bodies(starlette: Any) -> None:
    answer = starlette.client.post("/echo", json={"a": ["é"]}).json()
    assert answer == {"json": {"a": ["é"]}, "client": "127.0.0.1"}
    data = bytes(3_000_000)
    assert starlette.client.post("/count", content=data).json() == {"size": len(data)}
    assert starlette.client.post("/count", content=iter([data, data])).json() == {"size": 2 * len(data)}
    answer = starlette.client.post("/upload", files={"file": ("a.bin", data)}, data={"note": "x"}).json()
    assert answer == {"name": "a.bin", "size": len(data), "note": "x"}


def test_streams_and_files(starlette: Any) -> None:
    answer = starlette.client.get("/lines")
    assert answer.text == "".join(f"line {number}\n" for number in range(1000))
    assert answer.headers["content-encoding"] == "gzip"
    text = (APPS / "starlette_app.py").read_bytes()
    assert starlette.client.get("/file").content == starlette.client.get("/static/starlette_app.py").content == text
    assert starlette.client.get("/file", headers={"Range": "bytes=0-2"}).content == text[:3]


def test_what_is_done_behind_the_answer(starlette: Any) -> None:
    starlette.client.get("/background", params={"name": "mail"})
    until(lambda: "mail" in starlette.client.get("/background", params={"name": "x"}).json()["done"])


def test_a_client_that_leaves_is_seen(starlette: Any) -> None:
    with starlette.connect() as wire:
        wire.get("/gone")
    until(lambda: "it left" in starlette.client.get("/background", params={"name": "x"}).json()["done"])


def test_errors(starlette: Any) -> None:
    failed = starlette.client.get("/fails")
    assert (failed.status_code, failed.text) == (500, "Internal Server Error")
    assert starlette.client.get("/nothing").status_code == 404
    assert starlette.client.get("/echo").status_code == 405
    assert starlette.client.get("/thread").text == "from a thread"


def test_the_lifespan_begins_and_ends() -> None:
    server = Child("run", "starlette_app:app", "--port", "0", cwd=APPS, announced=True)
    code, out, err = server.end()
    for stream in (server.process.stdout, server.process.stderr):
        assert stream is not None
        stream.close()
    assert (code, err) == (0, "")
    assert "starlette: ended\n" in out


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_a_lifespan_that_fails_ends_the_start(mode: str) -> None:
    words = ("run", "starlette_app:broken", "--port", "0", "--lifespan", mode)
    server = Child(*words, cwd=APPS, announced=False)
    code, out, err = server.end(0)
    assert (code, out) == (1, "")
    assert "ValueError: no database" in err
    assert err.splitlines()[-1].startswith("dimserver: ")
