"""A loop that looks at its time limits more often than twice a second, for tests that wait for one."""

from __future__ import annotations

import pytest

from dimserver.net import async_loop, loop

SECONDS = 0.05


@pytest.fixture
def quick_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers of this process keep a time limit to 50 ms.  That the half second holds is for test_loop and others."""
    monkeypatch.setattr(loop, "ROUND", SECONDS)
    monkeypatch.setattr(async_loop, "ROUND", SECONDS)
