"""The limit of descriptors, and the connections it allows."""

from __future__ import annotations

import resource
import subprocess
import sys
from typing import Any

import pytest

from dimserver.net.descriptors import OTHERS, allowed, allowed_to, raise_limit

INFINITY = resource.RLIM_INFINITY


class Limits:
    """The system's part."""

    def __init__(self, soft: int, hard: int, fails: bool = False) -> None:
        self.now = (soft, hard)
        self.fails = fails

    def get(self, which: int) -> tuple[int, int]:
        assert which == resource.RLIMIT_NOFILE
        return self.now

    def set(self, which: int, limits: tuple[int, int]) -> None:
        assert which == resource.RLIMIT_NOFILE
        if self.fails:
            raise PermissionError
        self.now = limits


@pytest.mark.parametrize(
    ("before", "connections", "after", "room"),
    [
        ((100, 200), 1000, (200, 200), 200 - OTHERS),
        ((100, 4000), 1000, (1000 + OTHERS, 4000), 1000),
        ((5000, 5000), 1000, (5000, 5000), 5000 - OTHERS),
        ((100, INFINITY), 1000, (1000 + OTHERS, INFINITY), 1000),
        ((INFINITY, INFINITY), 1000, (INFINITY, INFINITY), None),
        ((10, 10), 1000, (10, 10), 0),
    ],
)
def test_the_soft_limit_is_raised_as_far_as_needed_and_let(
    monkeypatch: pytest.MonkeyPatch, before: tuple[int, int], connections: int, after: tuple[int, int], room: int | None
) -> None:
    limits = Limits(*before)
    monkeypatch.setattr(resource, "getrlimit", limits.get)
    monkeypatch.setattr(resource, "setrlimit", limits.set)
    assert allowed_to(connections) == room
    assert limits.now == before
    assert raise_limit(connections) == allowed() == room
    assert limits.now == after


def test_a_system_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits(100, 200, fails=True)
    monkeypatch.setattr(resource, "getrlimit", limits.get)
    monkeypatch.setattr(resource, "setrlimit", limits.set)
    assert raise_limit(1000) == 100 - OTHERS


def test_with_the_systems_own_limit() -> None:
    program = (
        "import resource; from dimserver.net.descriptors import *\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (100, 300))\n"
        "print(raise_limit(1000), *resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    done: Any = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(300 - OTHERS), "300", "300"]
