"""A trouble is said once, and once more when it lasts."""

from __future__ import annotations

import pytest

from dimserver.net import throttled_log as throttled
from dimserver.net.throttled_log import QUIET, ThrottledLog


def test_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(throttled, "monotonic", lambda: now[0])
    said: list[str] = []
    trouble = ThrottledLog(said.append)
    for number in range(5):
        trouble.tell(f"full {number}")
    assert said == ["full 0"]
    now[0] += QUIET
    trouble.tell("full 5")
    assert len(said) == 1
    now[0] += 0.1
    trouble.tell("full 6")
    trouble.tell("full 7")
    assert said[1:] == ["full 6 (5 more since the last such line)"]
    now[0] += QUIET * 100
    trouble.tell("full 8")
    assert said[2:] == ["full 8 (1 more since the last such line)"]


def test_the_clock_of_a_machine_that_has_just_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttled, "monotonic", lambda: 0.0)
    said: list[str] = []
    ThrottledLog(said.append).tell("full")
    assert said == ["full"]


def test_what_was_only_counted_is_said_later(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(throttled, "monotonic", lambda: now[0])
    said: list[str] = []
    calls: list[tuple[float, object]] = []
    trouble = ThrottledLog(said.append, lambda delay, call: calls.append((delay, call)))
    for number in range(5):
        trouble.tell(f"full {number}")
    ((delay, call),) = calls
    assert delay == QUIET
    now[0] += QUIET
    call()  # type: ignore[operator]
    assert said == ["full 0", "full 4 (3 more since the last such line)"]
    call()  # type: ignore[operator]
    assert len(said) == 2
