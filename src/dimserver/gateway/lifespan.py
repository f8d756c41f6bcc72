"""The lifespan of an ASGI app: told when the server starts and stops, and what it leaves for its requests.

    run ─ lifespan.startup ─► the app ─┬─ startup.complete ─► served ─ lifespan.shutdown ─► shutdown.complete
                                       ├─ startup.failed, or raises with `on` ─► the worker does not start
                                       └─ raises with `auto` ─► served without

Source: ASGI 3.0, lifespan protocol 2.0.
"""

from __future__ import annotations

import asyncio

from dimserver.errors import AppStartError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    Report = Callable[[str, BaseException | None], object]

__all__ = ["Lifespan"]


class Lifespan:
    """One lifespan of one app.

    Args:
        app: the ASGI app.
        required: whether an app that does not know the protocol is an error.
        state: what the app fills, for its requests.
        report: told, with a message and an exception or None, what went wrong once the app was served.

    To be made where a loop runs.

    Thread-safety: the loop's thread only.
    """

    def __init__(
        self, app: Callable[..., Awaitable[object]], required: bool, state: dict[str, Any], report: Report
    ) -> None:
        self._app = app
        self._required = required
        self._state = state
        self._report = report
        self._events: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        self._started: asyncio.Future[str | None] = loop.create_future()  # None: fine; else why not
        self._stopped: asyncio.Future[str | None] = loop.create_future()
        self._task: asyncio.Task[None] | None = None
        self._cause: BaseException | None = None

    async def startup(self) -> None:
        """Let the app start.

        Raises:
            AppStartError: it says that it cannot, or fails.
        """
        self._task = asyncio.create_task(self._run(), name="lifespan")
        self._events.put_nowait({"type": "lifespan.startup"})
        fault = await self._started
        if fault is not None:
            raise AppStartError(fault) from self._cause

    async def shutdown(self) -> None:
        """Let the app clean up; what it fails with is reported."""
        task, self._task = self._task, None
        if task is None:
            return
        if not task.done():
            self._events.put_nowait({"type": "lifespan.shutdown"})
            fault = await self._stopped
            if fault is not None:
                self._report(fault, None)
            # What it does behind that has the time of any task at the end of the loop.

    async def _run(self) -> None:
        started, stopped = self._started, self._stopped
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self._state}
        try:
            await self._app(scope, self._receive, self._send)
        except (asyncio.CancelledError, KeyboardInterrupt):  # nothing the app failed with
            raise
        except BaseException as error:
            if started.done():
                if not stopped.done():
                    self._report("the lifespan of the ASGI app failed", error)
                return
            if self._required:
                self._cause = error
                started.set_result(f"the ASGI app failed to start: {type(error).__name__}: {error}")
            else:
                started.set_result(None)  # it knows no lifespan: served without
        finally:
            if not started.done():
                # It returned without a word, which says as much: no lifespan.
                started.set_result(
                    "the ASGI app returned from its lifespan without lifespan.startup.complete"
                    if self._required
                    else None
                )
            if not stopped.done():
                stopped.set_result(None)

    async def _receive(self) -> dict[str, str]:
        return await self._events.get()

    async def _send(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        started, stopped = self._started, self._stopped
        future, before = {
            "lifespan.startup.complete": (started, True),
            "lifespan.startup.failed": (started, True),
            "lifespan.shutdown.complete": (stopped, started.done()),
            "lifespan.shutdown.failed": (stopped, started.done()),
        }.get(kind, (None, False))
        if future is None:
            raise RuntimeError(f"Unexpected ASGI message {kind!r}: a lifespan sends startup or shutdown messages.")
        if future.done() or not before:
            raise RuntimeError(f"Unexpected ASGI message {kind!r}: it was already sent, or is not expected yet.")
        if kind.endswith(".failed"):
            phase = "start" if kind == "lifespan.startup.failed" else "stop"
            why = message.get("message") or "it gives no reason"
            future.set_result(f"the ASGI app failed to {phase}: {why}")
        else:
            future.set_result(None)
