"""Rows of the table: what an operator of a running server decides."""

from __future__ import annotations

from dimserver.config.setting import Setting
from dimserver.config.types import (
    HOUR,
    SECOND,
    ChannelPrefix,
    Choice,
    Duration,
    Flag,
    GiB,
    Integer,
    LogTarget,
    Path,
    PubSub,
    Size,
    Threads,
    Workers,
)

__all__ = ["OPERATIONS"]

WORKERS = "Workers"
SOCKETS = "WebSockets"
LOGS = "Logs"

OPERATIONS: tuple[Setting, ...] = (
    Setting(
        WORKERS, "workers", Workers(), 1,
        "Worker processes; auto is one for each CPU this process may use.",
        "One process serves one core; more need an app whose state is not in the process.",
    ),
    Setting(
        WORKERS, "threads", Threads(), None,
        "Threads that run handlers: with auto WSGI apps and what is marked blocking run on up to 8, with 0 only what "
        "is marked blocking, with a number all that is not async on so many; the rest runs on the loop. An open "
        "WebSocket of a WSGI app holds one.",
        "A WSGI app may wait, and must not hold up the loop; a handler that does not wait is fastest on it: to hand it "
        "over to a thread costs more than most handlers.",
    ),
    Setting(
        WORKERS, "loop", Choice("auto", "asyncio", "uvloop"), "auto",
        "The asyncio loop of async handlers; auto takes uvloop where installed, and none where no handler is async.",
        "uvloop is faster; a loop of asyncio's costs an app without coroutines time and gives it nothing.",
    ),
    Setting(
        WORKERS, "worker-timeout", Duration(0, 24 * HOUR), 300 * SECOND,
        "A worker whose loop is held up for so long, by one handler, is killed and replaced; one that does not come "
        "to serve is given up; with 0 never.",
        "After five minutes nobody waits for the answer; longer work is for a thread, which holds nobody else up.",
    ),
    Setting(
        WORKERS, "recycle-age", Duration(0, 8760 * HOUR), 0.0,
        "A worker is replaced once it is this old, give or take a quarter; with 0 never.",
        "Off: a server that does not leak needs no renewal.",
    ),
    Setting(
        WORKERS, "recycle-requests", Integer(0, 1_000_000_000, "requests", zero="never"), 0,
        "A worker is replaced once it has served so many requests, give or take a quarter; with 0 never.",
        "Off: as for recycle-age.",
    ),
    Setting(
        WORKERS, "recycle-memory", Size(0, 1024 * GiB), 0,
        "A worker is replaced once it takes more resident memory than this; with 0 never.",
        "Off: how much is right is the app's affair.",
    ),
    Setting(
        WORKERS, "pidfile", Path("FILE"), None,
        "File that holds the process id to be signalled, while the server runs.",
        "Off: service managers know the process without it.",
        fixed=True,
    ),
    Setting(
        WORKERS, "reload", Flag(), False,
        "For development: new code as soon as a .py file of the current directory changes.",
        "Off: in production a reload is an operator's decision.",
        fixed=True,
    ),
    Setting(
        SOCKETS, "ws-slow", Choice("wait", "drop", "close-1008", "close-1013"), "wait",
        "What happens to a WebSocket whose reader is slow: wait reads nothing from it and takes up to four times as "
        "much, drop loses messages, the others close it with that code.",
        "An app that heeds what send returns loses nothing; one that does not is bounded.",
    ),
    Setting(
        SOCKETS, "ws-deflate", Flag(), False,
        "Compress the messages of WebSockets whose peer can (permessage-deflate).",
        "Off: it costs about 43 KiB a socket and many times the CPU of a small message.",
    ),
    Setting(
        SOCKETS, "pubsub", PubSub(), "workers",
        "How far a message to a topic reaches: this worker, all workers of this server, or through Valkey or Redis "
        "every server that has the same URL and pubsub-prefix.",
        "A client must not have to care which worker it met; what other machines get is an operator's decision.",
    ),
    Setting(
        SOCKETS, "pubsub-prefix", ChannelPrefix(), "dimserver:",
        "What the channels of topics begin with at Valkey or Redis, behind it the topic's name.",
        "Its databases share all channels, so that two applications need two prefixes.",
    ),
    Setting(
        LOGS, "access-log", Choice("off", "common", "combined", "json"), "off",
        "One line for each answer.",
        "Off: what nobody reads need not be written.",
    ),
    Setting(
        LOGS, "access-log-file", LogTarget(), None,
        "Append the access log to this file instead of standard output (-); it may be rotated.",
        "Standard output is what containers and systemd collect.",
    ),
    Setting(
        LOGS, "log-level", Choice("debug", "info", "warning", "error", "critical"), "info",
        "What is reported in the error log.",
        "Start, stop and faults; nothing that every request repeats.",
    ),
    Setting(
        LOGS, "log-file", LogTarget(), None,
        "Append the error log to this file instead of standard error; it may be rotated; - is standard output.",
        "Standard error is what containers and systemd collect.",
    ),
    Setting(
        LOGS, "log-format", Choice("text", "json"), "text",
        "Form of the error log: lines with tracebacks below, or one JSON object each.",
        "Made to be read by people; JSON is for what collects the logs of many machines.",
    ),
)  # fmt: skip
