"""The foreign apps of a worker: told of it, started before anything is accepted, ended when all is served."""

from __future__ import annotations

from time import monotonic

from dimserver.errors import AppStartError, DimserverError
from dimserver.gateway.contract import Facts, is_gateway
from dimserver.worker.monkeypatch import GREEN, refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from dimcore import Router
    from dimserver.config import Settings
    from dimserver.log import Log
    from dimserver.net.loop import Loop

__all__ = ["Gateways"]

LAST_WORDS = 0.25  # seconds an app has for its end at the least, also where draining took all the time there was


class Gateways:
    """See the module.

    Args:
        router: the app's.
        loop, log: of the worker.

    Thread-safety: the loop's thread.
    """

    def __init__(self, router: Router, loop: Loop, log: Log) -> None:
        self._routes: list[Any] = [route for route in router.routes() if is_gateway(route.handler)]
        self._loop = loop
        self._log = log
        self._started: list[Any] = []

    def configure(
        self, settings: Settings, threads: int, workers: int, server: tuple[str, int | None] = ("localhost", 80)
    ) -> None:
        """Tell them of the worker, and run them as they ask for.

        Args:
            threads: how many the pool has.
            workers: how many there are.
            server: host and port of the main listener, or path and None.
        """
        facts = Facts(
            log=self._log,
            server=server,
            multithread=threads > 1,
            multiprocess=workers > 1,
            loop=getattr(self._loop, "asyncio", None),
        )
        for route in self._routes:
            route.handler.configure(settings, facts)
            route.blocking = route.handler.blocking
            if route.blocking:
                refuse("an app on threads", f"use --threads 0, or serve it without {GREEN}")
            route.streaming = route.handler.streaming

    def start(self) -> None:
        """Start those that want to be; before the loop runs.

        Raises:
            AppStartError: one could not start; those before it were not ended yet.
        """
        wanted = [route.handler for route in self._routes if hasattr(route.handler, "startup")]
        if wanted:
            self._complete(self._start(wanted))

    async def _start(self, gateways: list[Any]) -> None:
        for gateway in gateways:
            try:
                await gateway.startup()
            except DimserverError:
                raise
            except Exception as error:
                raise AppStartError(f"{_name(gateway)} did not start: {type(error).__name__}: {error}") from error
            self._started.append(gateway)

    def end(self, seconds: float) -> None:
        """End those that were started, in reverse; after the loop has run.  Again is fine.

        Args:
            seconds: what is left for it; `LAST_WORDS` at the least.
        """
        if self._started:
            self._complete(self._end(monotonic() + max(seconds, LAST_WORDS)))

    async def _end(self, limit: float) -> None:
        from asyncio import timeout

        while self._started:
            share = (limit - monotonic()) / len(self._started)  # one that hangs leaves the others theirs
            gateway = self._started.pop()
            try:
                async with timeout(max(0.0, share)):
                    await gateway.shutdown()
            except TimeoutError:
                self._log.error(f"{_name(gateway)} did not end in time; the server no longer waits for it")
            except Exception as error:
                self._log.error(f"{_name(gateway)} failed while it was ending", error)

    def _complete(self, coroutine: Coroutine[Any, Any, None]) -> None:
        from dimserver.net.async_loop import AsyncLoop

        if not isinstance(self._loop, AsyncLoop):  # a gateway that has these and does not say that it is asynchronous
            coroutine.close()
            raise AppStartError("an app needs an asyncio loop, and there is none")
        self._loop.complete(coroutine)


def _name(gateway: Any) -> str:
    return f"the app at {gateway.prefix or '/'}"
