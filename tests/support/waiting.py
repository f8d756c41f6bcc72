"""Waiting for what will be so in a moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

PATIENCE = 60.0  # seconds; for what takes milliseconds, or a second or two on a machine that is busy
FIRST_PAUSE, LONGEST_PAUSE = 0.001, 0.01  # seconds between two looks

What = str | Callable[[], object]


def pauses(what: What, condition: object, patience: float) -> Iterator[float]:
    """How long to wait before each next look; fails once it takes too long."""
    end = time.monotonic() + patience
    pause = FIRST_PAUSE
    while time.monotonic() < end:
        yield pause
        pause = min(pause * 1.5, LONGEST_PAUSE)
    raise AssertionError(f"not within {patience} s: {(what() if callable(what) else what) or condition}")


def until(condition: Callable[[], Any], what: What = "", patience: float = PATIENCE) -> Any:
    """Look again and again until `condition` returns something true; returns that.

    Args:
        condition: looks.
        what: is waited for; a function is called once it took too long.
        patience: seconds.
    """
    turns = pauses(what, condition, patience)
    while not (found := condition()):
        time.sleep(next(turns))
    return found


async def until_async(condition: Callable[[], Any], what: What = "", patience: float = PATIENCE) -> Any:
    """The same where the loop of this thread has to go on meanwhile."""
    turns = pauses(what, condition, patience)
    while not (found := condition()):  # noqa: ASYNC110 - what is waited for sets no event
        await asyncio.sleep(next(turns))
    return found
