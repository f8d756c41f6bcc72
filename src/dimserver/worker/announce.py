"""What whoever started the server is told when it begins and when it ends."""

from __future__ import annotations

from signal import SIGINT

from dimserver.config.types import STANDARD_OUTPUT
from dimserver.nowait import put_line
from dimserver.worker.logs import out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from dimcore import Snapshot
    from dimserver.config import Settings
    from dimserver.log import Log

__all__ = ["WAITING", "say", "served", "summary", "waiting"]

WEBSOCKET_POOL = 1
WORKED_ON = (2, 3, 4)  # stages of a request whose head is there, and whose answer is not
STREAMED = 5  # ... whose answer is being sent
METHODS = range(8)
LAYERS = range(1, 6)
HELD = 0.1  # seconds in one round of a loop: a handler is at work there, which its worker cannot show
WAITING = (0.5, 10.0)  # seconds from a stop until it is said what it waits for, and until that is said again


def say(line: str, settings: Settings, log: Log) -> None:
    """Tell whoever started the server, and the log where it has a place of its own.

    Args:
        line: a sentence about the server.
        settings: `log_file`, `log_format` and where the access log goes decide.
        log: the error log.

    A JSON log on a standard stream is the only thing there, so that each of its lines can be read as JSON.  A reader
    that does not read costs the line, which the log counts; nothing waits.
    """
    standard = settings.log_file in (None, STANDARD_OUTPUT)
    if standard and settings.log_format == "json":
        log.announce("info", line)
        return
    if not standard:
        log.info(line)
    if not put_line(out(settings), f"dimserver: {line}\n"):
        log.dropped()


def served(target: str, settings: Settings) -> str:
    """What is served, in a few words."""
    return target or "the built-in API" + (f" and {settings.static}" if settings.static else "")


def summary(counts: Mapping[str, int], seconds: float) -> str:
    """What was served, in a few words.

    Args:
        counts: as from `Worker.counts`.
        seconds: since the start.
    """
    cut = f", {counts['cut_off']} cut off at the end" if counts["cut_off"] else ""
    return (
        f"{counts['requests']} requests ({counts['errors']} failed) "
        f"on {counts['connections']} connections{cut} in {seconds:.1f} s"
    )


def waiting(snapshot: Snapshot, number: int, now: float) -> str:
    """What a stop waits for and what ends it, in a few words.

    Args:
        snapshot: of the board.
        number: of the signal that stopped the server; 0 where none did.
        now: on the monotonic clock.

    Returns:
        For example ``waiting for 3 requests, 1 stream; Ctrl-C again ends them now``.
    """
    requests = sum(snapshot.stage_count(method, stage) for method in METHODS for stage in WORKED_ON)
    rounds = [worker["round_began"] for worker in snapshot.workers]
    requests = max(requests, sum(began is not None and now - began >= HELD for began in rounds))
    streams = sum(snapshot.stage_count(method, STREAMED) for method in METHODS)
    sockets = sum(snapshot.count_at(WEBSOCKET_POOL, layer) for layer in LAYERS)
    parts = [
        f"{count} {name}{'s' * (count != 1)}"
        for count, name in ((requests, "request"), (streams, "stream"), (sockets, "WebSocket"))
        if count
    ]
    how = "Ctrl-C again" if number == SIGINT else "a second signal" if number else "SIGQUIT"
    return f"waiting for {', '.join(parts) or 'the app to end'}; {how} ends {'them' if parts else 'it'} now"
