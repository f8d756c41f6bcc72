"""What a worker does for its core (`dimcore.Host`)."""

from __future__ import annotations

import os
from functools import partial

from dimcore import Host
from dimcore.errors import ClientRefused
from dimcore.http.spool import open_unnamed
from dimcore.reports import Report
from dimserver.net.throttled_log import ThrottledLog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from dimcore import Connection, RequestPoint
    from dimcore.conn.filter import Filter
    from dimserver.config import Settings
    from dimserver.log import Log
    from dimserver.net.loop import Loop

__all__ = ["CoreHooks"]


class CoreHooks:
    """See the module.

    Args:
        settings, loop, log: of the worker.

    Thread-safety: the loop's thread.
    """

    def __init__(self, settings: Settings, loop: Loop, log: Log) -> None:
        self._settings = settings
        self._loop = loop
        self._log = log
        self._full = ThrottledLog(log.error)
        self._strangers = ThrottledLog(log.warning)
        self._refused: dict[str, ThrottledLog] = {}  # by the setting that is reached

    def host(self, offload: Any, access_log: Filter | Callable[..., object] | None) -> Host:
        """All of it.

        Args:
            offload: hands a blocking handler to a thread.
            access_log: told of every answer, or None.
        """
        selector = self._loop.selector
        return Host(
            register=selector.register,
            modify=selector.modify,
            unregister=selector.unregister,
            mute=selector.mute,
            call_soon=self._loop.call_soon,
            from_thread=self._loop.call_from_thread,
            offload=offload,
            open_spool=partial(open_unnamed, self._settings.spool_dir),
            open_stream=self._open_stream,
            report=self._report,
            access_log=access_log,
            forwarded=self._forwarding(),
            **self._coroutines(),
        )

    def _open_stream(self, connection: Connection) -> Any:
        from dimserver.http.body_stream import BodyStream

        resume = partial(self._loop.call_from_thread, connection.resume_body)
        return BodyStream(connection.pause_body, resume, connection.body_paused)

    def _forwarding(self) -> Any:
        settings = self._settings
        if not settings.trusted_proxies:
            return None
        from dimserver.http.forwarded import Forwarding

        return Forwarding(
            settings.trusted_proxies,
            settings.forwarded_headers,
            settings.request_id_header,
            host=settings.forwarded_host,
        )

    def _coroutines(self) -> dict[str, Any]:
        loop = self._loop
        if loop.runner is None:
            return {}
        from dimserver.http.async_body import AsyncBody
        from dimserver.net.async_body import send_stream

        def open_body(connection: Connection) -> AsyncBody:
            return AsyncBody(loop.asyncio, connection.pause_body, connection.resume_body, connection.body_paused)

        return {"runner": loop.runner, "open_flow": partial(send_stream, loop.asyncio), "open_body": open_body}

    def _report(self, report: Report, request: RequestPoint | None, error: BaseException | None) -> None:
        if report is Report.BODY_NOT_KEPT and isinstance(error, OSError):
            where = "" if request is None else f": {request.method} {request.raw_target}"
            self._full.tell(f"{report}{where}: {os.strerror(error.errno or 0)}; answered 503 until there is room")
        elif isinstance(error, ClientRefused):
            self._refuse(error.setting, error.client)
        elif report is Report.NOT_INTRODUCED:
            self._strangers.tell(f"{report}: {error}")
        else:
            self._log.error(report, error, request)

    def _refuse(self, setting: str, client: str) -> None:
        throttled = self._refused.get(setting)
        if throttled is None:
            throttled = self._refused[setting] = ThrottledLog(self._log.warning, self._loop.call_later)
        most = getattr(self._settings, setting.replace("-", "_"), None)
        limit = setting if most is None else f"{setting} ({most})"
        throttled.tell(f"{Report.CLIENTS_REFUSED} with 503: {limit} is reached, last by {client}")
