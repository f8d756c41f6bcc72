"""Apps of other frameworks, each in its own process, started as a user starts it."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from tests.support.servers import Child

APPS = pathlib.Path(__file__).parent / "apps"

Run = Callable[..., Any]


class Running(Child):
    """One that is asked with httpx."""

    def __init__(self, *words: str, **options: Any) -> None:
        super().__init__("run", *words, "--port", "0", **options)
        self.client = httpx.Client(base_url=self.urls[0], timeout=20, trust_env=False)


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """``run("flask_app:app", "--threads", "4")`` starts a server for an app of ``apps/``.

    Each must end well, and with no warning of anybody's.
    """
    running: list[Running] = []

    def start(*words: str, **options: Any) -> Running:
        running.append(Running(*words, **{"cwd": APPS, **options}))
        return running[-1]

    yield start
    ends = []
    for server in running:
        server.client.close()
        for wire in server.wires:
            wire.close()
        code, _, err = server.end()
        for stream in (server.process.stdout, server.process.stderr):
            if stream is not None:
                stream.close()
        ends.append((code, unexpected(err)))
    assert ends == [(0, "")] * len(running)


def unexpected(err: str) -> str:
    """What is left of standard error without the exceptions that the apps raise on purpose."""
    return "" if "Warning" not in err and "internal error" not in err else err
