"""Litestar behind the command line."""

from __future__ import annotations

from typing import Any

import pytest
from tests.frameworks.conftest import Run


@pytest.fixture(scope="module")
def litestar(run: Run) -> Any:
    return run("litestar_app:app")


def test_what_a_startup_hook_left_is_there(litestar: Any) -> None:
    assert litestar.client.get("/").json() == {"pool": "a pool of connections"}


def test_validation(litestar: Any) -> None:
    answer = litestar.client.post("/items", json={"name": "pen", "price": 2.5})
    assert (answer.status_code, answer.json()) == (201, {"name": "pen", "price": 2.5})
    assert litestar.client.post("/items", json={"name": "pen"}).status_code == 400
    assert litestar.client.get("/sync/21").json() == {"double": 42}


def test_streams_and_uploads(litestar: Any) -> None:
    assert litestar.client.get("/lines").text == "".join(f"line {number}\n" for number in range(1000))
    answer = litestar.client.post("/upload", files={"file": ("a.bin", bytes(2_000_000))}).json()
    assert answer == {"name": "a.bin", "size": 2_000_000}


def test_errors(litestar: Any) -> None:
    failed = litestar.client.get("/fails")
    assert failed.status_code == 500
    assert litestar.client.get("/nothing").status_code == 404
    assert litestar.client.put("/items").status_code == 405
