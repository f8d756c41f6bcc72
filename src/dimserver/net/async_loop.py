"""The same loop inside of asyncio's, for apps with coroutines.

The selector's own descriptor is watched by the asyncio (or uvloop) loop with one
reader.  It is readable when any of ours is, and then a whole batch of events is
served as in `Loop`: an idle connection costs asyncio nothing, a busy one no more
than before.  One timer keeps the time limits.
"""

from __future__ import annotations

import asyncio
from _thread import get_ident
from time import monotonic
from weakref import WeakSet

from dimcore import Runner
from dimcore.forked import leave
from dimserver.errors import ConfigError, StartError
from dimserver.net.loop import BATCH, ROUND, TROUBLE, Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextvars import Context
    from typing import Any

__all__ = ["AsyncLoop", "RequestTask"]

SERVICE = 30.0  # seconds after which a task that goes on is a service of the app, and no piece of work that ends
ENDING = 5.0  # seconds tasks that were cancelled have for their clean-up, and threads of the default executor


class RequestTask(asyncio.Task[None]):
    """The Task of an async handler, which tells when it is changed from outside.

    A Task whose coroutine never waited serves the next request.  What somebody did
    to it (a callback, a cancellation, a name, an attribute) belongs to one request.
    """

    def add_done_callback(self, fn: Callable[[Any], object], /, *, context: Context | None = None) -> None:
        self._touch()
        super().add_done_callback(fn, context=context)

    def cancel(self, msg: Any | None = None) -> bool:
        self._touch()
        return super().cancel(msg)

    def set_name(self, value: object, /) -> None:
        self._touch()
        super().set_name(value)

    def __setattr__(self, name: str, value: object) -> None:
        self._touch()
        super().__setattr__(name, value)

    def _touch(self) -> None:
        coroutine: Any = self.get_coro()
        coroutine.touch()


class AsyncLoop(Loop):
    """A `Loop` whose waiting is done by asyncio.

    Args:
        kind: ``"asyncio"``, ``"uvloop"``, or ``"auto"`` for uvloop where it is installed.
        trouble: as for `Loop`.
        report: told, with a message and an exception or None, what asyncio would log.

    Attributes:
        asyncio: the asyncio loop.
        runner: runs coroutines on it.

    Raises:
        ConfigError: uvloop is asked for and not installed.
        StartError: this thread runs an asyncio loop already.

    Thread-safety: as for `Loop`.
    """

    def __init__(
        self, kind: str, trouble: Callable[[Exception], object], report: Callable[[str, BaseException | None], object]
    ) -> None:
        self.asyncio = _new_loop(kind)
        try:
            super().__init__(trouble)
        except BaseException:
            self.asyncio.close()
            raise
        self.runner: Runner = Runner(self.asyncio, RequestTask)
        self._report = report
        self.asyncio.set_exception_handler(self._uncaught)
        self._tick: Callable[[], object] = _nothing
        self._settle: Callable[[], object] | None = None
        self._quiet: Callable[[], bool] = bool
        self._ended: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._thread = 0  # the one that runs it
        self._busy = False  # events came since the timer was set
        self._main: asyncio.Task[None] | None = None
        # Tasks that a stop does not wait for: of the start, and those that were there at the last look but one.
        self._services: WeakSet[asyncio.Task[Any]] = WeakSet()
        self._seen: WeakSet[asyncio.Task[Any]] = WeakSet()  # at the last look
        self._seen_at = 0.0

    def run(
        self,
        tick: Callable[[], object],
        settle: Callable[[], object] | None = None,
        quiet: Callable[[], bool] = bool,
    ) -> None:
        """Serve events until `stop`; see `Loop.run`."""
        if self._stopping:
            return
        self._thread = get_ident()
        self._tick, self._settle, self._quiet = tick, settle, quiet
        # In a Task of its own, so that libraries that look for the main one (anyio does) find it.
        self.asyncio.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._main = asyncio.current_task()
        self._services.update(self._tasks())
        self._seen_at = monotonic()
        self._ended = self.asyncio.create_future()
        try:
            self._watch()
            self._round()  # for calls that were made before
            await self._ended
        finally:
            self._ended = None
            self.asyncio.remove_reader(self.selector.fileno())
            self._set_timer(None)

    def _watch(self) -> None:
        if self._ended is not None:
            self.asyncio.add_reader(self.selector.fileno(), self._round)

    def _round(self) -> None:
        later = self._later
        events: list[tuple[int, int]] = []
        try:
            events = self.selector.poll(0, BATCH)  # what is left makes the descriptor readable again
            now = monotonic() if later else 0.0
            self._tick()
            keys = self.selector.keys
            for descriptor, event in events:
                try:
                    call = keys[descriptor]
                except KeyError:  # unregistered by a callback of this very round
                    continue
                call(event if event == 1 else self.selector.meaning(event))
            if self._settle is not None:
                self._settle()
            if later:
                self._run_due(now)
        except Exception as error:
            self._trouble(error)
            # As in `Loop.run`: one that comes back each round must not take the whole core.
            self.asyncio.remove_reader(self.selector.fileno())
            self.asyncio.call_later(TROUBLE, self._watch)
        if events:
            self._busy = True
        if self._stopping:
            if self._ended is not None and not self._ended.done():
                self._ended.set_result(None)
        elif self._timer is None and (events or later or not self._quiet()):
            self._arm()

    def _arm(self) -> None:
        delay = ROUND
        if self._later:
            delay = max(0.0, min(ROUND, self._later[0][0] - monotonic()))
        self._set_timer(delay)

    def _set_timer(self, delay: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if delay is None else self.asyncio.call_later(delay, self._on_time)

    def _tasks(self) -> list[asyncio.Task[Any]]:
        """The app's own, besides those that answer requests."""
        return [
            task for task in asyncio.all_tasks(self.asyncio) if task is not self._main and type(task) is not RequestTask
        ]

    def _look_at_tasks(self) -> None:
        now = monotonic()
        if now - self._seen_at >= SERVICE:
            self._services.update(self._seen)
            self._seen = WeakSet(self._tasks())
            self._seen_at = now

    def jobs(self) -> int:
        """How many tasks were begun while the app served, and less than about `SERVICE` ago."""
        self._look_at_tasks()
        return sum(task not in self._services for task in self._tasks())

    def _on_time(self) -> None:
        self._timer = None
        self._look_at_tasks()
        if self._busy and not self._later:
            self._busy = False  # the rounds since then have looked at the time limits
            self._arm()
        else:
            self._busy = False
            self._round()

    def call_later(self, delay: float, call: Callable[[], object]) -> None:
        """See `Loop.call_later`."""
        super().call_later(delay, call)
        if self._ended is not None and (delay < ROUND or self._timer is None):
            self._arm()

    def call_soon(self, call: Callable[[], object]) -> None:
        """See `Loop.call_soon`; it may come from a coroutine as well, when no round is at hand."""
        self.asyncio.call_soon(call)

    def _uncaught(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:  # noqa: ARG002 - asyncio's call
        error = context.get("exception")
        if not isinstance(error, KeyboardInterrupt):  # it ended the loop, as it should
            self._report(str(context.get("message") or "an error in asyncio"), error)

    def complete(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine to its end, and nothing of the server's own; outside of `run`.

        Raises:
            What the coroutine raises.
        """
        task = self.asyncio.create_task(coroutine)
        while not task.done():
            try:
                self.asyncio.run_until_complete(task)
            except RuntimeError:
                # uvloop remembers the stop of a run that an interrupt ended, and stops the next one too.
                if task.done():
                    raise

    def disown(self) -> None:
        """See `Loop.disown`.  A task that forked comes back to asyncio, which then ends the process."""
        super().disown()
        if get_ident() == self._thread:
            self.asyncio.call_soon(leave)

    # --- the end --------------------------------------------------------------------------------

    def close(self) -> None:
        """Cancel every task, let them end, and give everything back; again is fine."""
        if self.asyncio.is_closed():
            return
        try:
            self.runner.close()
            self.complete(self._wind_up())
        finally:
            super().close()
            self.asyncio.close()

    async def _wind_up(self) -> None:
        here = asyncio.current_task()
        tasks = asyncio.all_tasks() - {here}
        for task in tasks:
            if not task.cancelling():  # a second time would hit the clean-up of the first
                task.cancel()
        if tasks:
            done, left = await asyncio.wait(tasks, timeout=ENDING)
            for task in done:
                if not task.cancelled() and (error := task.exception()) is not None:
                    self._uncaught(
                        self.asyncio, {"message": "a task failed while it was cancelled", "exception": error}
                    )
            for task in left:
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # it is told here
                self._report(f"a task did not end within {ENDING:g} s of its cancellation: {task!r}", None)
        await self.asyncio.shutdown_asyncgens()
        try:
            await asyncio.wait_for(self.asyncio.shutdown_default_executor(), ENDING)
        except TimeoutError:
            self._report(f"threads of the default executor did not end within {ENDING:g} s", None)


def _nothing() -> None:
    pass


def _new_loop(kind: str) -> asyncio.AbstractEventLoop:
    if asyncio._get_running_loop() is not None:
        raise StartError("this thread already runs an asyncio loop; start the server on another thread")
    if kind != "asyncio":
        try:
            import uvloop
        except ImportError:
            if kind == "uvloop":
                raise ConfigError("loop: uvloop is not installed; pip install 'dimserver[uvloop]'") from None
        else:
            # Without the package there are no types either, and the checker is to be content both ways.
            loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
            return loop
    return asyncio.new_event_loop()
