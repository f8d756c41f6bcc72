"""Flask behind the command line."""

from __future__ import annotations

import hashlib
import pathlib
from typing import Any

import httpx
import pytest
from tests.frameworks.conftest import APPS, Run


@pytest.fixture(scope="module", params=[(), ("--threads", "0")], ids=["threads", "inline"])
def flask(run: Run, request: pytest.FixtureRequest) -> Any:
    return run("flask_app:app", *request.param)


def test_hello(flask: Any) -> None:
    answer = flask.client.get("/")
    assert (answer.status_code, answer.text) == (200, "hello")
    assert answer.headers["content-length"] == "5"
    assert flask.client.head("/").headers["content-length"] == "5"
    assert set(flask.client.options("/").headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
    assert flask.client.post("/").status_code == 405
    assert flask.client.request("BREW", "/").status_code == 405


def test_sessions(flask: Any) -> None:
    with httpx.Client(base_url=flask.urls[0], follow_redirects=True, trust_env=False) as client:
        assert client.get("/profile").status_code == 401
        first = client.post("/login", data={"name": "Zoë"}).json()
        assert first == {"name": "Zoë", "visits": 1, "url": f"{flask.urls[0]}/profile", "remote": "127.0.0.1"}
        assert client.get("/profile").json()["visits"] == 2


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_uploads(flask: Any, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    answer = flask.client.post("/upload", files={"file": ("a b.bin", data)}, data={"note": "x"}).json()
    assert answer == {"name": "a b.bin", "note": "x", "size": size, "sha256": hashlib.sha256(data).hexdigest()}


def test_a_chunked_upload(flask: Any) -> None:
    answer = flask.client.post("/raw", content=iter([b"x" * 70_000, b"y" * 70_000])).json()
    assert answer == {"size": 140_000, "length": 140_000}


@pytest.mark.parametrize("count", [0, 1, 20_000])
def test_streams(flask: Any, count: int) -> None:
    answer = flask.client.get("/stream", params={"count": count})
    assert answer.text == "".join(f"line {number} of /stream\n" for number in range(count))
    with pytest.raises(httpx.RemoteProtocolError):
        flask.client.get("/stream/fails")


def test_files(flask: Any) -> None:
    text = (APPS / "flask_app.py").read_bytes()
    whole = flask.client.get("/file")
    assert whole.content == text
    assert flask.client.get("/file", headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
    part = flask.client.get("/file", headers={"Range": "bytes=3-11"})
    assert (part.status_code, part.content) == (206, text[3:12])


def test_errors(flask: Any) -> None:
    answer = flask.client.get("/fails")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert flask.client.get("/teapot").status_code == 418
    missing = flask.client.get("/a%2Fb/%C3%A9")
    assert (missing.status_code, missing.json()) == (404, {"missing": "/a/b/é"})


def test_where_it_runs(flask: Any, run: Run, tmp_path: pathlib.Path) -> None:
    where = flask.client.get("/where").json()
    inline = where["thread"] == "MainThread"
    assert inline or where["thread"].startswith("dimserver-")
    assert where == {
        "thread": where["thread"],
        "script_name": "",
        "multithread": not inline,
        "multiprocess": False,
    }
    below = run("flask_app:app", "--root-path", "/shop", "--workers", "2").client.get("/where").json()
    assert (below["script_name"], below["multiprocess"]) == ("/shop", True)


def test_a_factory(run: Run) -> None:
    assert run("flask_app:create_app", "--factory").client.get("/").text == "made by a factory"
