"""What the loop inside of asyncio's has beyond the plain one: `test_loop` runs its tests on both."""

from __future__ import annotations

import asyncio
import os
import pathlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dimserver.errors import ConfigError, StartError
from dimserver.net import async_loop as module
from dimserver.net.async_loop import AsyncLoop, RequestTask

Told = list[tuple[Any, ...]]


@pytest.fixture(params=["asyncio", "uvloop"])
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    return str(request.param)


@pytest.fixture
def told() -> Told:
    return []


@pytest.fixture
def loop(kind: str, told: Told) -> Iterator[AsyncLoop]:
    made = AsyncLoop(kind, lambda error: told.append(("trouble", error)), lambda *report: told.append(report))
    yield made
    made.close()


def nothing() -> None:
    pass


def test_the_kind_is_what_was_asked_for(kind: str, loop: AsyncLoop) -> None:
    assert type(loop.asyncio).__module__.startswith(kind)
    assert loop.runner.loop is loop.asyncio


def test_auto_takes_uvloop_where_it_is(monkeypatch: pytest.MonkeyPatch, told: Told) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    made = AsyncLoop("auto", told.append, lambda *report: None)
    assert type(made.asyncio).__module__.startswith("asyncio")
    made.close()
    with pytest.raises(ConfigError, match=r"loop: uvloop is not installed; pip install 'dimserver\[uvloop\]'"):
        AsyncLoop("uvloop", told.append, lambda *report: None)


def test_not_within_another_loop(told: Told) -> None:
    async def inner() -> None:
        with pytest.raises(StartError, match="already runs an asyncio loop"):
            AsyncLoop("asyncio", told.append, lambda *report: None)

    asyncio.run(inner())


def test_tasks_and_events_run_side_by_side(loop: AsyncLoop) -> None:
    seen: list[str] = []

    async def work() -> None:
        for _ in range(3):
            await asyncio.sleep(0.001)
            seen.append("task")
        loop.call_from_thread(lambda: (seen.append("call"), loop.stop()))

    loop.call_from_thread(lambda: seen.append(str(loop.asyncio.create_task(work()) and "begun")))
    loop.run(nothing)
    assert seen == ["begun", "task", "task", "task", "call"]


def test_more_events_than_a_batch(loop: AsyncLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 3)
    pipes = [os.pipe() for _ in range(20)]
    seen: set[int] = set()

    def ready(reader: int) -> Callable[[int], None]:
        def call(mask: int) -> None:
            os.read(reader, 1)
            seen.add(reader)
            if len(seen) == len(pipes):
                loop.stop()

        return call

    for reader, writer in pipes:
        loop.selector.register(reader, 1, ready(reader))
        os.write(writer, b"x")
    loop.run(nothing, None, lambda: True)
    assert len(seen) == len(pipes)
    for pipe in pipes:
        for descriptor in pipe:
            os.close(descriptor)


def test_a_fault_that_stays_does_not_spin(loop: AsyncLoop, told: Told) -> None:
    def tick() -> None:
        if len(told) < 4:
            raise ValueError
        loop.stop()

    begun = time.monotonic()
    loop.call_from_thread(nothing)
    loop.run(tick)
    assert time.monotonic() - begun >= 2 * module.TROUBLE
    assert [name for name, _ in told] == ["trouble"] * 4


def test_a_task_of_the_apps_that_fails_is_reported(loop: AsyncLoop, told: Told) -> None:
    async def work() -> None:
        raise LookupError("work")

    def begin() -> None:
        loop.asyncio.create_task(work())
        loop.call_later(0.05, loop.stop)

    loop.call_from_thread(begin)
    loop.run(nothing)
    assert [(message, type(error)) for message, error in told] == [("Task exception was never retrieved", LookupError)]


def test_closing_ends_what_still_runs(loop: AsyncLoop, told: Told) -> None:
    seen: list[str] = []
    running: list[str] = []
    ending = threading.Event()

    async def pieces() -> Any:
        try:
            while True:
                yield 1
        finally:
            seen.append("generator")

    async def work(name: str) -> None:
        made = pieces()
        await anext(made)
        running.append(name)
        if len(running) == 2:
            loop.stop()
        try:
            await loop.asyncio.create_future()
        finally:
            ending.set()
            await asyncio.sleep(0.01)
            seen.append(name)
            if name == "b":
                raise LookupError(name)

    def begin() -> None:
        seen.extend(str(loop.asyncio.create_task(work(name)) and "begun") for name in "ab")
        loop.asyncio.run_in_executor(None, lambda: (ending.wait(5), time.sleep(0.05), seen.append("executor")))

    loop.call_from_thread(begin)
    loop.run(nothing)
    assert seen == ["begun", "begun"]
    loop.close()
    assert sorted(seen) == ["a", "b", "begun", "begun", "executor", "generator", "generator"]
    assert [(message, type(error)) for message, error in told] == [
        ("a task failed while it was cancelled", LookupError)
    ]
    assert loop.asyncio.is_closed()


def test_a_task_that_does_not_end_is_named(loop: AsyncLoop, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENDING", 0.05)

    async def stubborn() -> None:
        while True:
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                pass

    loop.call_from_thread(lambda: (loop.asyncio.create_task(stubborn()), loop.call_later(0.01, loop.stop)))
    loop.run(nothing)
    loop.close()
    assert len(told) == 1
    assert told[0][0].startswith("a task did not end within 0.05 s of its cancellation")
    assert "stubborn" in told[0][0]


def test_an_interrupt_leaves_nothing_behind(loop: AsyncLoop, told: Told) -> None:
    async def work() -> None:
        await loop.asyncio.create_future()

    def interrupt() -> None:
        loop.asyncio.create_task(work())
        raise KeyboardInterrupt

    loop.call_from_thread(interrupt)
    with pytest.raises(KeyboardInterrupt):
        loop.run(nothing)
    loop.close()
    assert told == []


def test_closing_gives_every_descriptor_back(kind: str) -> None:
    def opened() -> set[str]:
        return {path.name for path in pathlib.Path("/dev/fd").iterdir()}

    AsyncLoop(kind, print, print).close()
    before = opened()
    for ran in (False, True):
        made = AsyncLoop(kind, print, print)
        if ran:
            made.call_from_thread(made.stop)
            made.run(nothing)
        made.close()
        made.close()
        assert opened() == before


@pytest.mark.parametrize(
    "change",
    [
        lambda task: task.add_done_callback(lambda task: None),
        lambda task: task.set_name("x"),
        lambda task: setattr(task, "mine", 1),
        lambda task: task.cancel(),
    ],
)
def test_a_task_tells_when_it_is_changed(change: Callable[[Any], object]) -> None:
    class Coroutine:
        touched = 0

        def touch(self) -> None:
            self.touched += 1

        def send(self, value: object) -> None:  # noqa: ARG002
            raise StopIteration

        def throw(self, *error: object) -> None:  # noqa: ARG002
            raise asyncio.CancelledError

        def close(self) -> None: ...

        def __await__(self) -> Any:
            return self

    async def main() -> None:
        coroutine: Any = Coroutine()
        task = RequestTask(coroutine, loop=asyncio.get_running_loop())
        coroutine.touched = 0
        assert repr(task)
        assert not task.done()
        assert not coroutine.touched
        change(task)
        assert coroutine.touched == 1
        await asyncio.wait([task])

    asyncio.run(main())
