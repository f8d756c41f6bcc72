"""The logs as settings describe them, and where the lines at start and end go."""

from __future__ import annotations

import os
import sys

from dimserver.config.types import STANDARD_OUTPUT
from dimserver.errors import StartError
from dimserver.log import Log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from dimcore import ConnectionPoolManifold
    from dimserver.config import Settings
    from dimserver.filters.access_log import AccessLog

__all__ = ["open_access_log", "open_log", "out"]


def open_log(settings: Settings, worker: int = 0, again: bool = False) -> Log:
    """The error log.

    Args:
        worker: its number.
        again: whether it was open before: standard error takes the place of a file that cannot be opened now.

    Raises:
        StartError: its file cannot be opened.
    """
    target = settings.log_file
    try:
        return Log(settings.log_level, _target(target, 2), settings.log_format, worker)
    except OSError as error:
        if again and target is not None:
            log = Log(settings.log_level, 2, settings.log_format, worker)
            log.error(f"cannot open the log '{target}': {error.strerror}; messages go to standard error instead")
            return log
        raise StartError(f"cannot open the log '{target or 'standard error'}': {error.strerror}") from None


def open_access_log(
    settings: Settings,
    pools: ConnectionPoolManifold,
    on_trouble: Callable[[str], object],
    worker: int = 0,
    on_loss: Callable[[str], object] | None = None,
) -> AccessLog | None:
    """The access log, or None where it is off.

    Args:
        on_loss: told that there is none, if it was open before and cannot be opened now.

    Raises:
        StartError: its file cannot be opened.
    """
    if settings.access_log == "off":
        if settings.access_log_file is not None and worker == 0:
            on_trouble(f"access-log-file is '{settings.access_log_file}', but access-log is off: nothing is written")
        return None
    from dimcore import AccessLines
    from dimserver.filters.access_log import AccessLog

    lines = AccessLines(settings.access_log, pools, worker=worker, process=os.getpid())
    target = settings.access_log_file
    try:
        return AccessLog(lines, settings.access_log, _target(target, 1), on_trouble)
    except OSError as error:
        if on_loss is not None:
            on_loss(f"cannot open the access log '{target}': {error.strerror}; requests are not logged")
            return None
        raise StartError(f"cannot open the access log '{target or 'standard output'}': {error.strerror}") from None


def out(settings: Settings) -> Any:
    """Where to say that the server runs: standard output, unless the access log has that to itself."""
    taken = settings.access_log != "off" and settings.access_log_file in (None, STANDARD_OUTPUT)
    return sys.stderr if taken else sys.stdout


def _target(setting: str | None, default: int) -> str | int:
    """Where a log goes: the descriptor `default` unless a path or standard output is named."""
    if setting is None:
        return default
    return 1 if setting == STANDARD_OUTPUT else setting
