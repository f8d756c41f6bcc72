"""`dimserver reload`: have a running server take up new code and configuration, and say what became of it."""

from __future__ import annotations

import sys
import time

from dimserver.cli.operator_client import NoServer, Server, add_options, choose, wanted_pid
from dimserver.cli.parser import Parser
from dimserver.config.types import HOUR, SECOND, Duration
from dimserver.errors import ConfigError, DimserverError
from dimserver.nowait import put_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["reload"]

TIMEOUT = 300 * SECOND  # as worker-timeout: a worker that does not come to serve is given up by then
LOOKS = (0.02, 0.5)  # seconds between two looks at how far it is, at first and at most
PATIENCE = 1.0  # seconds for a reader of standard error that is slow


class ReloadFailed(DimserverError):
    """The server serves on as it did."""


def reload(words: list[str]) -> int:
    """Run the command.

    Args:
        words: that follow its name.

    Returns:
        The exit code.

    Raises:
        DimserverError: it failed, or there is no server.
    """
    parser = Parser(
        "reload",
        "reload [--pid N | --admin ADDRESS | --pidfile FILE] [options]",
        "Have a running server take up new code and configuration, and wait until every worker is new.",
    )
    which = parser.add_mutually_exclusive_group()
    add_options(parser, which)
    which.add_argument("--pidfile", metavar="FILE", help="file with the process id, as given to dimserver run")
    parser.add_argument("--no-wait", action="store_true", help="do not wait for it")
    parser.add_argument("--timeout", metavar="SECONDS", help=f"wait at most so long; {TIMEOUT:g} unless given")
    given = parser.parse(words)
    timeout = _timeout(given.timeout)
    pid = wanted_pid(given)
    if given.pidfile is not None:
        from dimserver.supervisor.pid_file import read_pid

        pid = read_pid(given.pidfile)
    try:
        server = choose(given, pid)
    except NoServer:
        if pid is None:
            raise
        return _signal(pid)
    (row,) = server.get("/api/servers")["servers"]
    entry = server.post(f"/api/servers/{row['id']}/reload")["reload"]
    if given.no_wait:
        sys.stdout.write(f"dimserver: reload {entry['id']} asked of process {row['pid']}\n")
        return 0
    return _wait(server, row["pid"], entry, timeout)


def _timeout(text: str | None) -> float:
    kind = Duration(0.01, 24 * HOUR)
    try:
        return TIMEOUT if text is None else float(kind.read(text))  # type: ignore[arg-type]  # a number, by its kind
    except ValueError:
        raise ConfigError(f"--timeout: '{text}' is not allowed; allowed: {kind.allowed()}") from None


def _signal(pid: int) -> int:
    """A server whose control socket is not found: by signal, and nobody tells what becomes of it."""
    from dimserver.supervisor.pid_file import hang_up

    hang_up(pid)
    sys.stdout.write(f"dimserver: reload asked of process {pid} by signal; its log says how it went\n")
    return 0


def _wait(server: Server, pid: int, entry: dict[str, Any], timeout: float) -> int:
    end = time.monotonic() + timeout
    pause = LOOKS[0]
    number = entry["id"]
    while entry["state"] in ("waiting", "running"):
        if time.monotonic() >= end:
            because = f": {entry['reason']}" if entry["reason"] else ""
            raise ReloadFailed(f"the reload is not done within {timeout:g} s; it goes on{because}")
        time.sleep(min(pause, max(0.0, end - time.monotonic())))
        pause = min(LOOKS[1], pause * 1.5)
        try:
            rows = server.get(f"/api/reloads?limit=1&after={int(number) - 1}")["reloads"]
        except NoServer:
            raise ReloadFailed("the server has ended before the reload was done") from None
        found = next((row for row in rows if row["id"] == number), None)
        if found is not None:  # else nobody could be asked in time: again
            entry = found
        elif rows:
            raise ReloadFailed("what became of the reload is not known any more: many others came after it")
    if entry["state"] != "done":
        if entry["detail"]:
            put_line(sys.stderr, entry["detail"], PATIENCE)
        raise ReloadFailed(f"the reload failed: {entry['reason']}")
    sys.stdout.write(f"dimserver: process {pid} has reloaded in {entry['seconds']:.2f} s: every worker is new\n")
    return 0
