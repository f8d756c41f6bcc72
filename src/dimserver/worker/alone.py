"""A server without a supervisor, as operators see it: one worker, which cannot be replaced."""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from dimcore import Board

    Row = dict[str, Any]

__all__ = ["Alone"]

NO_SUPERVISOR = "this program serves in its own process; `dimserver run` starts a server that can do this"


class Alone:
    """See the module.

    Args:
        board: where its figures are.
        version: of the server.
        urls: where it listens.
        drain: begins its end.
        reopen: opens its log files again.

    Attributes:
        serves: what it serves, as the line at the start says it.

    Thread-safety: the loop's thread.
    """

    def __init__(
        self,
        board: Board,
        version: str,
        urls: Callable[[], list[str]],
        drain: Callable[[], object],
        reopen: Callable[[], object],
    ) -> None:
        self._board = board
        self._version = version
        self._urls = urls
        self._drain = drain
        self._reopen = reopen
        self.serves = ""

    def servers(self) -> list[Row]:
        """This one."""
        snapshot = self._board.snapshot()
        return [
            {
                "id": str(os.getpid()),
                "pid": os.getpid(),
                "state": "draining" if snapshot.draining else snapshot.workers[0]["state"],
                "version": self._version,
                "serves": self.serves,
                "urls": self._urls(),
                "uptime": round(time.monotonic() - snapshot.started, 3),
                "workers": 1,
                "generation": 1,
                "reload": None,
            }
        ]

    def workers(self) -> list[Row]:
        """The process itself."""
        from dimserver.handlers.status.figures import worker_row

        now = time.monotonic()
        return [
            {"id": str(worker["worker"]), **worker_row(worker, now), "generation": 1}
            for worker in self._board.snapshot().workers
        ]

    def reloads(self) -> list[Row]:
        """None ever."""
        return []

    def drain(self) -> None:
        """Finish what is in flight and end."""
        self._drain()

    def reopen_logs(self) -> None:
        """Open the log files again."""
        self._reopen()

    def reload(self, who: str) -> None:  # noqa: ARG002 - as the supervisor's
        """Not without a supervisor."""
        raise _conflict()

    def scale(self, workers: int) -> None:  # noqa: ARG002 - as the supervisor's
        """Not without a supervisor."""
        raise _conflict()

    def restart(self, worker: int, who: str) -> None:  # noqa: ARG002 - as the supervisor's
        """Not without a supervisor."""
        raise _conflict()


def _conflict() -> Exception:
    from dimserver.handlers.status.resource import conflict

    return conflict(NO_SUPERVISOR)
