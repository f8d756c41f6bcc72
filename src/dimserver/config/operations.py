"""Rows of the table: what an operator of a running server decides."""

from __future__ import annotations

from dimserver.config.setting import Setting
from dimserver.kinds import Choice, Integer

__all__ = ["OPERATIONS"]

WORKERS = "Workers"
LOGS = "Logs"

OPERATIONS: tuple[Setting, ...] = (
    Setting(
        WORKERS, "workers", Integer(1, 1, "processes", note="this version runs one worker process"), 1,
        "Worker processes.",
        "One process serves one core.",
    ),
    Setting(
        WORKERS, "threads", Integer(0, 1024, "threads", zero="on the loop"), 0,
        "Threads that run handlers; with 0 only those marked blocking leave the loop, for a small pool.",
        "A handler that does not wait is fastest on the loop: a hand-over to a thread costs more than most handlers.",
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
