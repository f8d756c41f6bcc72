"""The parts of a worker as its settings describe them: its loop and its core."""

from __future__ import annotations

import os

from dimcore import Core
from dimserver.config.types import GiB, MiB
from dimserver.net.descriptors import raise_limit
from dimserver.net.loop import Loop
from dimserver.routes import Routes, is_async
from dimserver.worker.cgroup import usable_memory
from dimserver.worker.monkeypatch import GREEN, refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from dimserver.config import Settings
    from dimserver.log import Log

__all__ = ["make_core", "make_loop"]

LEAST_BUDGET = 8 * MiB
TEMPORARY = ("TMPDIR", "TEMP", "TMP")  # variables that name the directory of temporary files, as in `tempfile`


def make_loop(app: Routes, settings: Settings, trouble: Callable[[Exception], object], log: Log) -> Loop:
    """The loop: of asyncio's kind for an app with coroutines, or where `loop` asks for one.

    Args:
        trouble: told of faults of the server.
        log: of the worker.
    """
    routes = app.request_manifold.router.routes()
    if settings.loop == "auto" and not any(
        is_async(route.handler) or getattr(route.handler, "asynchronous", False) for route in routes
    ):
        return Loop(trouble)
    refuse("asyncio (an ASGI app, async handlers)", f"serve it without {GREEN}")
    from dimserver.net.async_loop import AsyncLoop

    return AsyncLoop(settings.loop, trouble, log.error)


def make_core(app: Routes, settings: Settings, log: Log, workers: int = 1) -> Core:
    """The core with its limits; the pools get their caps and the process its descriptors.

    Args:
        log: of the worker.
        workers: how many share the machine's memory and disk.
    """
    pools = app.connection_manifold
    core = Core(pools, app.request_manifold.requests)
    core.configure(
        max_connections=settings.max_connections,
        admin_reserve=settings.admin_reserve,
        max_per_address=settings.max_per_address,
        max_body=settings.limit_body,
        body_memory=settings.body_memory,
        request_line=settings.limit_request_line,
        head=settings.limit_head,
        field=settings.limit_field,
        fields=settings.limit_fields,
        body_rate=settings.rate_body,
        send_rate=settings.rate_send,
        seconds={
            "connect": settings.timeout_connect,
            "handshake": settings.timeout_handshake,
            "idle": settings.timeout,
            "half_closed": settings.timeout_half_closed,
            "linger": settings.timeout_linger,
            "linger_silence": settings.timeout_linger_silence,
            "head": settings.timeout_head,
            "body_credit": settings.rate_credit if settings.rate_body else 0,
            "send_credit": settings.rate_credit if settings.rate_send else 0,
            "ws_ping": settings.ws_ping,
            "ws_timeout": settings.ws_timeout,
            "ws_close": settings.ws_close,
            "ws_message": settings.ws_message_timeout,
        },
        memory=settings.budget_memory or _share(usable_memory(), 1 * GiB, workers),
        disk=settings.budget_spool or _share(_free_disk(settings), 16 * GiB, workers),
    )
    pools.set_cap("http", settings.max_http or None)
    pools.set_cap("websocket", settings.max_websocket or None)
    pools.set_cap("api", settings.max_api or None)
    connections = settings.max_connections + settings.admin_reserve
    allowed = raise_limit(connections)
    if allowed is not None and allowed < connections:
        log.warning(
            f"max-connections {settings.max_connections} and admin-reserve {settings.admin_reserve} do not fit: "
            f"the descriptor limit (ulimit -n) allows {allowed} connections in each worker"
        )
    return core


def _share(there: int, most: int, workers: int) -> int:
    """What one worker may make use of by default: an eighth, shared by all; never so little that nothing works."""
    return max(LEAST_BUDGET, min(most, there // 8 // max(1, workers)))


def _free_disk(settings: Settings) -> int:
    # `tempfile` would be imported at each start for the sake of this; it is when there is a file to open.
    place = settings.spool_dir or next((os.environ[name] for name in TEMPORARY if os.environ.get(name)), "/tmp")  # noqa: S108
    try:
        there = os.statvfs(place)
    except OSError:  # where the files are to lie is looked at when there is one
        return 0
    return there.f_bavail * there.f_frsize
