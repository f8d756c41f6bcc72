"""Rows of the table: what an operator of a running server decides."""

from __future__ import annotations

from dimserver.config.setting import Setting
from dimserver.kinds import Choice, Integer, Workers

__all__ = ["OPERATIONS"]

WORKERS = "Workers"
LOGS = "Logs"

OPERATIONS: tuple[Setting, ...] = (
    Setting(
        WORKERS, "workers", Workers(), 1,
        "Worker processes; auto is one for each CPU this process may use.",
        "One process serves one core; more need an app whose state is not in the process.",
    ),
    Setting(
        WORKERS, "threads", Integer(0, 1024, "threads", zero="on the loop"), 0,
        "Threads that run handlers; with 0 only those marked blocking leave the loop, for a small pool.",
        "A handler that does not wait is fastest on the loop: a hand-over to a thread costs more than most handlers.",
    ),
    Setting(
        WORKERS, "loop", Choice("auto", "asyncio", "uvloop"), "auto",
        "The asyncio loop of async handlers; auto takes uvloop where installed, and none where no handler is async.",
        "uvloop is faster; a loop of asyncio's costs an app without coroutines time and gives it nothing.",
    ),
    Setting(
        LOGS, "access-log", Choice("off", "common", "combined", "json"), "off",
        "One line for each answer on standard output.",
        "Off: a line costs about as much as a small request.",
    ),
    Setting(
        LOGS, "log-level", Choice("debug", "info", "warning", "error", "critical"), "info",
        "What is reported on standard error.",
        "Start, stop and faults; nothing that every request repeats.",
    ),
)  # fmt: skip
