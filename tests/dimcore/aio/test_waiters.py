"""The awaitable that has nothing to wait for, as a coroutine and asyncio meet it."""

from __future__ import annotations

import asyncio

import pytest

from dimcore import UsageError
from dimcore.aio.waiters import Done


def test_done_is_made_by_the_core_alone() -> None:
    with pytest.raises(UsageError):
        Done()


def test_done_in_every_way_of_waiting() -> None:
    done = Done.__new__(Done)

    async def main() -> None:
        assert await done is None
        assert await done is None
        assert await asyncio.create_task(done) is None  # type: ignore[arg-type]
        assert await asyncio.wait_for(done, 1) is None
        await asyncio.gather(done, done)

    asyncio.run(main())
    with pytest.raises(StopIteration):
        done.send(None)
    assert list(done) == []
    with pytest.raises(LookupError):
        done.throw(LookupError("mine"))
    done.close()
