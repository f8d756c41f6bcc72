"""FastAPI behind the command line."""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.frameworks.conftest import Run
from tests.support.waiting import until


@pytest.fixture(scope="module")
def fastapi(run: Run) -> Any:
    return run("fastapi_app:app")


def test_validation(fastapi: Any) -> None:
    assert fastapi.client.get("/").json() == {"hello": "world"}
    answer = fastapi.client.post("/items", json={"name": "pen", "price": 2.5})
    assert (answer.status_code, answer.json()) == (201, {"name": "pen", "price": 2.5})
    answer = fastapi.client.post("/items", json={"name": "p", "price": -1})
    assert answer.status_code == 422
    assert [error["loc"] for error in answer.json()["detail"]] == [["body", "name"], ["body", "price"]]
    assert fastapi.client.post("/items", content=b"{").status_code == 422
    assert fastapi.client.get("/openapi.json").json()["paths"].keys() >= {"/items", "/me"}


def test_dependencies(fastapi: Any) -> None:
    assert fastapi.client.get("/me").status_code == 422
    assert fastapi.client.get("/me", headers={"X-Token": "wrong"}).status_code == 403
    assert fastapi.client.get("/me", headers={"X-Token": "right"}).json()["name"] == "root"
    until(lambda: "user" in fastapi.client.get("/me", headers={"X-Token": "right"}).json()["closed"])
    assert fastapi.client.get("/sync/21").json() == {"double": 42}


def test_background_tasks(fastapi: Any) -> None:
    fastapi.client.get("/notify", params={"name": "mail"})
    # The connection may serve its next request before the task is done.
    until(lambda: "mail" in fastapi.client.get("/notify", params={"name": "x"}).json()["written"])


def test_streams(fastapi: Any) -> None:
    assert fastapi.client.get("/lines").text == "".join(f"line {number}\n" for number in range(1000))
    with fastapi.client.stream("GET", "/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        times = {}
        for line in answer.iter_lines():
            times[line] = time.monotonic()
    assert list(times) == ["id: 0", "data: tick 0", "", "id: 1", "data: tick 1", "id: 2", "data: tick 2"]
    assert times["data: tick 2"] - times["data: tick 0"] > 0.05  # as they are made, not all at the end


@pytest.mark.parametrize("size", [7, 3_000_000])
def test_uploads(fastapi: Any, size: int) -> None:
    answer = fastapi.client.post("/upload", files={"file": ("a.bin", bytes(size))}, data={"note": "x"}).json()
    assert answer == {"name": "a.bin", "size": size, "note": "x"}


def test_errors(fastapi: Any) -> None:
    failed = fastapi.client.get("/fails")
    assert (failed.status_code, failed.text) == (500, "Internal Server Error")
    assert fastapi.client.get("/nothing").json() == {"detail": "Not Found"}
