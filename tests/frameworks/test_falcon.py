"""Falcon's examples behind the command line, in both of its interfaces."""

from __future__ import annotations

from typing import Any

import pytest
from tests.frameworks.conftest import Run


@pytest.fixture(scope="module", params=["wsgi_app", "asgi_app"])
def falcon(run: Run, request: pytest.FixtureRequest) -> Any:
    return run(f"falcon_app:{request.param}")


def test_things(falcon: Any) -> None:
    answer = falcon.client.get("/things")
    assert (answer.status_code, answer.text) == (200, "two things awe me most")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    answer = falcon.client.post("/things", json={"a": "é"})
    host = falcon.urls[0].removeprefix("http://").partition(":")[0]
    assert (answer.status_code, answer.json()) == (201, {"got": {"a": "é"}, "host": host, "remote": "127.0.0.1"})


@pytest.mark.parametrize("size", [0, 5, 2_000_000])
def test_a_body_as_a_stream(falcon: Any, size: int) -> None:
    assert falcon.client.put("/things", content=b"x" * size).json() == {"size": size}


def test_a_stream(falcon: Any) -> None:
    assert falcon.client.get("/lines").text == "".join(f"line {number}\n" for number in range(1000))


def test_errors(falcon: Any) -> None:
    assert falcon.client.get("/nothing").status_code == 404
    answer = falcon.client.delete("/things")
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) >= {"GET", "POST", "PUT"}
    assert falcon.client.post("/things", content=b"{").status_code == 400
    failed = falcon.client.get("/broken")
    assert failed.status_code == 500
    assert "secret" not in failed.text
