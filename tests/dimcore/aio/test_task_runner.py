"""Coroutines as handlers: what is run when, in which Task and context, and what is left behind."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import socket
import weakref
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from tests.dimcore.in_loop import run_in_loop
from tests.support.waiting import until_async

from dimcore import Runner, UsageError
from dimcore.aio.task_runner import CoroutineRun

Serve = Callable[..., Any]

variable: contextvars.ContextVar[object] = contextvars.ContextVar("variable", default="none")


class Task(asyncio.Task[None]):
    """Counts, and tells when it is touched, as the shell's does."""

    made = 0

    def __init__(self, run: CoroutineRun, **options: Any) -> None:
        super().__init__(run, **options)  # type: ignore[arg-type]
        type(self).made += 1

    def add_done_callback(self, *given: Any, **options: Any) -> None:
        self.get_coro().touch()  # type: ignore[union-attr]
        super().add_done_callback(*given, **options)

    def cancel(self, msg: Any = None) -> bool:
        self.get_coro().touch()  # type: ignore[union-attr]
        return super().cancel(msg)


class Caller:
    """A client beside the server in one asyncio loop."""

    def __init__(self, rig: Any) -> None:
        self.rig = rig
        self.left = b""
        self.sock = socket.create_connection(rig.listener.getsockname())
        self.sock.setblocking(False)

    async def send(self, *paths: str) -> Caller:
        data = b"".join(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode() for path in paths)
        await asyncio.get_running_loop().sock_sendall(self.sock, data)
        return self

    async def answer(self) -> tuple[int, bytes]:
        while b"\r\n\r\n" not in self.left:
            await self._more()
        head, _, self.left = self.left.partition(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(self.left) < size:
            await self._more()
        body, self.left = self.left[:size], self.left[size:]
        return int(head.split()[1]), body

    async def ask(self, path: str) -> tuple[int, bytes]:
        await self.send(path)
        return await self.answer()

    async def _more(self) -> None:
        data = await asyncio.get_running_loop().sock_recv(self.sock, 65536)
        assert data, "the server closed the connection"
        self.left += data


@pytest.fixture
def play(serve: Serve) -> Callable[..., Any]:
    """``play(routes, script)`` runs ``script(caller, runner)`` beside a server of these routes."""

    def run(routes: dict[str, Any], script: Callable[[Caller, Runner], Awaitable[object]]) -> Any:
        return run_in_loop(serve, routes, Task, lambda rig, runner: Caller(rig), script)

    return run


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


# --- the first step -----------------------------------------------------------------------------


def test_a_coroutine_that_does_not_wait_costs_no_task(play: Any) -> None:
    seen: list[Any] = []

    async def handler(request: Any) -> str:
        seen.append(asyncio.current_task() is not None and asyncio.get_running_loop() is not None)
        return request.path

    async def script(caller: Caller, runner: Runner) -> None:
        for number in range(50):
            assert await caller.ask(f"/{number}") == (200, b"/%d" % number)
        assert runner.waiting == 0

    play({"GET /*": handler}, script)
    assert seen == [True] * 50
    assert Task.made == 1


def test_pipelined_answers_go_out_in_one_pass(play: Any) -> None:
    async def handler(request: Any) -> str:
        return request.path

    async def script(caller: Caller, runner: Runner) -> None:
        await caller.send(*(f"/{number}" for number in range(20)))
        assert [await caller.answer() for _ in range(20)] == [(200, b"/%d" % number) for number in range(20)]

    play({"GET /*": handler}, script)
    assert Task.made == 1


def test_the_task_of_the_first_step_is_that_of_all(play: Any) -> None:
    async def handler(request: Any) -> str:
        first = asyncio.current_task()
        await asyncio.sleep(0)
        second = asyncio.current_task()
        await asyncio.sleep(0.001)
        return str(first is second is asyncio.current_task())

    async def script(caller: Caller, runner: Runner) -> None:
        for _ in range(3):
            assert await caller.ask("/") == (200, b"True")

    play({"GET /": handler}, script)


def test_the_callers_task_is_current_again(play: Any) -> None:
    async def handler(request: Any) -> str:
        return "x"

    async def script(caller: Caller, runner: Runner) -> None:
        await caller.send("/")
        here = asyncio.current_task()
        caller.rig.turn(1)  # the handler runs within this very Task
        caller.rig.turn(1)
        assert asyncio.current_task() is here
        assert await caller.answer() == (200, b"x")

    play({"GET /": handler}, script)


def test_a_timeout_that_begins_in_the_first_step(play: Any) -> None:
    async def late(request: Any) -> str:
        try:
            async with asyncio.timeout(0.01):
                await forever()
        except TimeoutError:
            return "late"
        return "?"

    async def early(request: Any) -> str:
        async with asyncio.timeout(10):  # noqa: ASYNC100 - that it goes out of use without waiting is the point
            return "early"

    async def script(caller: Caller, runner: Runner) -> None:
        for _ in range(3):
            assert await caller.ask("/late") == (200, b"late")
            assert await caller.ask("/early") == (200, b"early")

    play({"GET /late": late, "GET /early": early}, script)


def test_a_task_group(play: Any) -> None:
    async def child(fails: bool) -> None:
        await asyncio.sleep(0)
        if fails:
            raise LookupError("child")
        await forever()

    async def handler(request: Any) -> str:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(child(False))
                group.create_task(child(True))
        except ExceptionGroup:
            return "group"
        return "?"

    async def script(caller: Caller, runner: Runner) -> None:
        assert await caller.ask("/") == (200, b"group")
        assert await caller.ask("/") == (200, b"group")

    play({"GET /": handler}, script)


class Kept:
    """What may be done to a Task by which a later request could be told from a new one."""

    strong: list[Any] = []  # noqa: RUF012
    done: list[Any] = []  # noqa: RUF012
    weak: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()  # noqa: RUF012

    @staticmethod
    def strongly(task: Any) -> None:
        Kept.strong.append(task)

    @staticmethod
    def weakly(task: Any) -> None:
        Kept.weak[task] = 1

    @staticmethod
    def with_callback(task: Any) -> None:
        task.add_done_callback(lambda task: Kept.done.append(task.done()))

    @staticmethod
    def cancelled(task: Any) -> None:
        task.cancel()


@pytest.mark.parametrize("how", [Kept.strongly, Kept.weakly, Kept.with_callback, Kept.cancelled])
def test_a_task_that_was_kept_serves_no_other_request(play: Any, how: Callable[[Any], None]) -> None:
    Kept.strong.clear()
    Kept.done.clear()

    async def handler(request: Any) -> str:
        assert asyncio.current_task() not in Kept.weak
        how(asyncio.current_task())
        return "x"

    async def script(caller: Caller, runner: Runner) -> None:
        for _ in range(3):
            assert await caller.ask("/") == (200, b"x")
        await asyncio.sleep(0)

    play({"GET /": handler}, script)
    assert Task.made == 3
    assert len({id(task) for task in Kept.strong}) == len(Kept.strong)
    assert all(task.done() for task in Kept.strong)
    assert Kept.done == ([True] * 3 if how is Kept.with_callback else [])
    Kept.strong.clear()


def test_who_cancels_all_tasks_takes_a_spare_with_them(play: Any) -> None:
    async def handler(request: Any) -> str:
        return "x"

    async def script(caller: Caller, runner: Runner) -> None:
        assert await caller.ask("/") == (200, b"x")
        await asyncio.sleep(0)
        for task in asyncio.all_tasks():
            if isinstance(task, Task):
                task.cancel()
        assert await caller.ask("/") == (200, b"x")
        for task in asyncio.all_tasks():
            if isinstance(task, Task):
                task.cancel()
        await asyncio.sleep(0.01)
        assert await caller.ask("/") == (200, b"x")

    play({"GET /": handler}, script)
    assert Task.made == 3


@pytest.mark.parametrize("before_the_task_knows", [True, False])
def test_a_cancellation_reaches_what_is_waited_for(play: Any, before_the_task_knows: bool) -> None:
    seen: list[str] = []

    async def child() -> None:
        try:
            await forever()
        except asyncio.CancelledError:
            seen.append("child")
            raise

    async def handler(request: Any) -> str:
        task: Any = asyncio.current_task()
        if before_the_task_knows:
            asyncio.get_running_loop().call_soon(task.cancel)
            inner = asyncio.create_task(child())
        else:
            inner = asyncio.create_task(child())
            asyncio.get_running_loop().call_later(0.01, task.cancel)
        try:
            await inner
        except asyncio.CancelledError:
            seen.append("handler")
        return "through"

    async def script(caller: Caller, runner: Runner) -> None:
        assert await caller.ask("/") == (200, b"through")

    play({"GET /": handler}, script)
    assert seen[-1] == "handler"
    assert seen in (["child", "handler"], ["handler"])  # a child that never began is just dropped


def test_cancelled_by_somebody_is_a_fault(play: Any) -> None:
    async def handler(request: Any) -> None:
        task: Any = asyncio.current_task()
        task.cancel()
        await forever()

    async def script(caller: Caller, runner: Runner) -> None:
        assert (await caller.ask("/"))[0] == 500
        assert (await caller.ask("/"))[0] == 500

    rig = play({"GET /": handler}, script)
    assert [type(error) for _, _, error in rig.reports] == [asyncio.CancelledError] * 2


# --- contexts -----------------------------------------------------------------------------------


def test_each_request_has_a_context_of_its_own(play: Any) -> None:
    async def handler(request: Any) -> str:
        before = variable.get()
        variable.set(request.path)
        if "wait" in request.path:
            await asyncio.sleep(0.001)
        return f"{before} {variable.get()}"

    def plain(request: Any) -> str:
        return str(variable.get())

    async def script(caller: Caller, runner: Runner) -> None:
        for path in ("/a", "/wait/b", "/c", "/wait/d"):
            assert await caller.ask(path) == (200, f"outside {path}".encode())
        assert await caller.ask("/plain") == (200, b"outside")

    variable.set("outside")
    try:
        play({"GET /*": handler, "GET /plain": plain}, script)
    finally:
        variable.set("none")


def test_what_a_context_holds_is_given_back(play: Any) -> None:
    class Held:
        pass

    held: list[Any] = []

    async def handler(request: Any) -> str:
        thing: Any = Held()
        thing.request = request
        variable.set(thing)
        held.append(weakref.ref(thing))
        if request.path == "/wait":
            await asyncio.sleep(0)
        return "x"

    async def script(caller: Caller, runner: Runner) -> None:
        for path in ("/", "/wait", "/", "/wait"):
            await caller.ask(path)
        await asyncio.sleep(0)

    play({"GET /*": handler}, script)
    gc.collect()
    assert [reference() for reference in held] == [None] * 4


# --- what is awaited, and how it ends -----------------------------------------------------------


def test_any_awaitable_will_do(play: Any) -> None:
    class Later:
        def __await__(self) -> Iterator[Any]:
            yield from asyncio.sleep(0.001).__await__()
            return "later"

    def future(request: Any) -> Any:
        made = asyncio.get_running_loop().create_future()
        if request.path == "/future":
            asyncio.get_running_loop().call_later(0.001, made.set_result, "future")
        else:
            made.set_result("done")
        return made

    async def script(caller: Caller, runner: Runner) -> None:
        assert await caller.ask("/later") == (200, b"later")
        assert await caller.ask("/future") == (200, b"future")
        assert await caller.ask("/done") == (200, b"done")

    play({"GET /later": lambda request: Later(), "GET /*": future}, script)


@pytest.mark.parametrize("wait", [None, 0, 0.001])
def test_errors(play: Any, wait: float | None) -> None:
    async def handler(request: Any) -> None:
        if wait is not None:
            await asyncio.sleep(wait)
        raise {"/k": KeyError, "/s": StopIteration, "/e": SystemExit, "/c": asyncio.CancelledError}[request.path]("why")

    async def script(caller: Caller, runner: Runner) -> None:
        for path in ("/k", "/s", "/e", "/c", "/k"):
            assert await caller.ask(path) == (500, b"Internal Server Error\n")

    rig = play({"GET /*": handler}, script)
    kinds = [type(error) for _, _, error in rig.reports]
    assert kinds == [KeyError, RuntimeError, SystemExit, asyncio.CancelledError, KeyError]


def test_a_wrong_result_is_a_fault(play: Any) -> None:
    async def handler(request: Any) -> object:
        if request.path == "/wait":
            await asyncio.sleep(0)
        return object()

    async def script(caller: Caller, runner: Runner) -> None:
        assert (await caller.ask("/"))[0] == 500
        assert (await caller.ask("/wait"))[0] == 500

    play({"GET /*": handler}, script)


def test_order_is_kept(play: Any) -> None:
    async def handler(request: Any) -> str:
        await asyncio.sleep({"/a": 0.02, "/b": 0, "/c": 0.01}[request.path])
        return request.path

    async def script(caller: Caller, runner: Runner) -> None:
        await caller.send("/a", "/plain", "/b", "/c", "/plain")
        assert [(await caller.answer())[1] for _ in range(5)] == [b"/a", b"plain", b"/b", b"/c", b"plain"]

    play({"GET /*": handler, "GET /plain": lambda request: "plain"}, script)


def test_what_is_seen_of_a_task(play: Any) -> None:
    seen: list[str] = []

    async def my_handler(request: Any) -> str:
        await asyncio.sleep(0.001)
        task: Any = asyncio.current_task()
        seen.append(repr(task))
        seen.extend(frame.f_code.co_name for frame in task.get_stack())
        return "x"

    async def script(caller: Caller, runner: Runner) -> None:
        await caller.ask("/")
        await asyncio.sleep(0)
        seen.append(repr(asyncio.all_tasks()))

    play({"GET /": my_handler}, script)
    assert "my_handler" in seen[0]
    assert "my_handler" in seen[1:]


# --- nobody waits any more ----------------------------------------------------------------------


def test_a_client_that_leaves_cancels_its_handler(play: Any) -> None:
    seen: list[str] = []

    async def handler(request: Any) -> None:
        seen.append("begun")
        try:
            await forever()
        finally:
            await asyncio.sleep(0)  # cleaning up may wait
            seen.append("ended")

    async def script(caller: Caller, runner: Runner) -> None:
        await caller.send("/")
        await until_async(lambda: seen)
        assert runner.waiting == 1
        caller.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        caller.sock.close()
        await until_async(lambda: seen == ["begun", "ended"])
        await until_async(lambda: runner.waiting == 0)

    rig = play({"GET /": handler}, script)
    assert rig.reports == []


def test_a_handler_may_close_its_own_connection(play: Any) -> None:
    seen: list[str] = []

    async def handler(request: Any) -> str:
        if request.path == "/wait":
            await asyncio.sleep(0)
        request.connection.close()
        await asyncio.sleep(0)
        seen.append("through")
        return "x"

    async def script(caller: Caller, runner: Runner) -> None:
        await caller.send("/wait")
        assert await asyncio.get_running_loop().sock_recv(caller.sock, 100) == b""
        await until_async(lambda: seen)

    play({"GET /*": handler}, script)


def test_closing_the_runner_cancels_what_waits(play: Any) -> None:
    seen: list[str] = []

    async def handler(request: Any) -> None:
        try:
            await forever()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def script(caller: Caller, runner: Runner) -> None:
        await caller.send("/")
        await until_async(lambda: runner.waiting)
        runner.close()
        await until_async(lambda: seen)
        await until_async(lambda: not runner.waiting)

    play({"GET /": handler}, script)


def test_without_a_runner_an_awaitable_is_a_fault(serve: Serve) -> None:
    async def handler(request: Any) -> str:
        return "x"

    async def pieces(request: Any) -> Any:
        yield b"x"

    rig = serve({"GET /": handler, "GET /pieces": pieces})
    client = rig.connect()
    assert client.ask().status == 500
    assert client.ask(b"GET /pieces HTTP/1.1\r\nHost: test\r\n\r\n").status == 500
    assert [str(error).partition(":")[0] for _, _, error in rig.reports] == ["this worker runs no asyncio loop"] * 2


def test_runs_are_not_for_making() -> None:
    with pytest.raises(UsageError):
        CoroutineRun()
