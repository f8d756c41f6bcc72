"""Serving an app in this very process, without a supervisor: what `App.run` does."""

from __future__ import annotations

import os
import sys
from time import monotonic

from dimserver.config import api_warning
from dimserver.net import forks
from dimserver.net.control_socket import ControlSocket
from dimserver.worker.announce import say, served, summary
from dimserver.worker.logs import open_log
from dimserver.worker.worker import Worker, freeze

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dimserver.config import Settings
    from dimserver.routes import Routes

__all__ = ["serve"]


def serve(app: Routes | None, settings: Settings, target: str) -> int:
    """Serve until SIGINT or SIGTERM.

    Args:
        app: None serves the built-in endpoints and static files.
        settings: see ``dimserver config``.
        target: what is served, for the line printed at the start.

    Returns:
        The exit code.

    Raises:
        StartError: the system refused, for example because the port is in use.
        ConfigError: the directory of static files cannot be served.
    """
    worker = Worker(app, settings)
    control = ControlSocket()
    forks.watch(control)
    if worker.alone is not None:
        worker.alone.serves = served(target, settings)
    if control.sock is not None:
        worker.listen_for_operators(control.sock)
    if settings.workers != 1:
        worker.log.warning("workers: this program serves in its own process; `dimserver run` starts several")
    warning = api_warning(app is not None and app.warns_of_api, settings)
    if warning is not None:
        worker.log.warning(warning)
    line = f"serving {served(target, settings)} on {', '.join(worker.urls)} (pid {os.getpid()})"
    worker.on_begin = lambda: say(line, settings, worker.log)
    worker.on_waiting = lambda line: say(line, settings, worker.log)
    freeze()
    try:
        worker.run(signals=_on_main_thread())
    finally:
        control.close()
    log = open_log(settings)  # the worker's is closed
    say(f"stopped; {summary(worker.counts(), monotonic() - worker.started)}", settings, log)
    log.close()
    return 0


def _on_main_thread() -> bool:
    threading = sys.modules.get("threading")  # not imported: there is only the main one
    return threading is None or threading.current_thread() is threading.main_thread()
