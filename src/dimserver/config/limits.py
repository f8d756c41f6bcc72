"""Rows of the table: how many, how large and how long.

Defaults are policy; the ceilings of the ranges are what the compiled core can
hold (`dimcore/limits.pxd`).
"""

from __future__ import annotations

from dimserver.config.setting import Setting
from dimserver.config.types import HOUR, SECOND, Duration, GiB, Integer, KiB, MiB, Path, Size

__all__ = ["LIMITS"]

POOLS = "Connections"
SIZES = "Sizes"
DEADLINES = "Deadlines"

MAX_SPAN = 65535  # bytes; a head is described by spans of 16 bits (limits.pxd, MAX_HEAD_BYTES)
_DEADLINE = Duration(0.01, 24 * HOUR)
_HEAD_PART = Size(64, MAX_SPAN)
_POOL_CAP = Integer(0, 10_000_000, "connections", zero="no cap of its own")
_RATE = Integer(0, 1 * GiB, "bytes/s", zero="no minimum")

LIMITS: tuple[Setting, ...] = (
    Setting(
        POOLS, "max-connections", Integer(1, 10_000_000, "connections"), 10_000,
        "Open connections of a worker; one more is answered 503 and closed.",
        "About 5 MB when all of them are idle; raise the descriptor limit (ulimit -n) together with it.",
    ),
    Setting(
        POOLS, "max-http", _POOL_CAP, 0,
        "Open connections of the http pool.",
        "One pool may use what the others leave.",
    ),
    Setting(
        POOLS, "max-websocket", _POOL_CAP, 0,
        "Open connections of the websocket pool.",
        "One pool may use what the others leave.",
    ),
    Setting(
        POOLS, "max-api", _POOL_CAP, 0,
        "Open connections of the api pool.",
        "One pool may use what the others leave.",
    ),
    Setting(
        POOLS, "max-per-address", Integer(0, 10_000_000, "connections", zero="any number"), 0,
        "Open connections of one client address at a worker, an IPv6 one being its /64; one more is answered 503.",
        "Off: a proxy, a school or a mobile operator is one address with many people behind it.",
    ),
    Setting(
        POOLS, "admin-reserve", Integer(0, 65535, "connections"), 16,
        "Connections kept for the admin listener on top of max-connections.",
        "An operator gets in when every other place is taken.",
    ),
    Setting(
        SIZES, "limit-request-line", _HEAD_PART, 8 * KiB,
        "Longest request line; a longer one is answered 414.",
        "RFC 9112 section 3 asks for 8000 octets at least.",
    ),
    Setting(
        SIZES, "limit-head", Size(256, MAX_SPAN), 32 * KiB,
        "Largest head, request line and fields together; a larger one is answered 431.",
        "Room for the cookies of a browser (nginx takes 4 buffers of 8 KiB, Node 16 KiB); 64 KiB is the core's bound.",
    ),
    Setting(
        SIZES, "limit-field", _HEAD_PART, 8 * KiB,
        "Longest single header field, name and value; a longer one is answered 431.",
        "RFC 9110 section 5.4 leaves it to the server; 8 KiB is what nginx and Apache take.",
    ),
    Setting(
        SIZES, "limit-fields", Integer(1, 100, "fields"), 100,
        "Most header fields of a request; more are answered 431.",
        "Apache and gunicorn draw the line at 100; browsers send about 20.",
    ),
    Setting(
        SIZES, "limit-body", Size(0, 1024 * GiB), 16 * MiB,
        "Largest request body; a larger one is answered 413 before it is read.",
        "A body is held in memory for its handler; enough for forms and JSON, small enough to refuse a flood.",
    ),
    Setting(
        SIZES, "body-memory", Size(0, 1 * GiB), 1 * MiB,
        "A larger body is kept in a temporary file, or handed on as it arrives to a handler that asked for that.",
        "Forms and JSON fit, so that few requests touch a disk; a thousand uploads at once take 1 GiB.",
    ),
    Setting(
        SIZES, "budget-memory", Size(4 * KiB, 1024 * GiB, optional=True), None,
        "What all clients together may make a worker hold in memory: bodies, messages, answers that are not read; an "
        "eighth of the machine's or control group's memory, shared by the workers, and 1 GiB at most when not given.",
        "When it is spent, whoever holds the most for the longest time and is below rate-body or rate-send ends.",
    ),
    Setting(
        SIZES, "budget-spool", Size(4 * KiB, 1024 * GiB, optional=True), None,
        "What all clients together may make a worker hold in temporary files; an eighth of what is free in spool-dir, "
        "shared by the workers, and 16 GiB at most when not given.",
        "A full disk harms more than this server; the rule is that of budget-memory.",
    ),
    Setting(
        SIZES, "ws-max-message", Size(1, 1 * GiB), 16 * MiB,
        "Largest message of a WebSocket, after decompression; a larger one closes it with 1009.",
        "A message is held in memory for its handler, as a body is.",
    ),
    Setting(
        SIZES, "ws-max-frames", Integer(1, 16_777_216, "frames"), 262_144,
        "Most frames of a WebSocket's message; more close it with 1009.",
        "Room for 16 MiB in pieces of 64 bytes; empty pieces cost time and bring nothing.",
    ),
    Setting(
        SIZES, "ws-buffer", Size(1 * KiB, 1 * GiB), 1 * MiB,
        "What may wait for a WebSocket's slow reader before ws-slow applies.",
        "A second of a fast line; a thousand slow readers take 1 GiB.",
    ),
    Setting(
        SIZES, "topic-buffer", Size(1 * KiB, 1 * GiB), 16 * MiB,
        "Messages to topics that may wait in a worker to be handed out, in bytes; what is published beyond is dropped.",
        "Sending to ten thousand sockets takes some 50 ms; who publishes faster than that must not fill the memory.",
    ),
    Setting(
        SIZES, "max-topics", Integer(1, 10_000_000, "topics"), 100_000,
        "Topics of a worker that may have subscribers at a time; another one raises TopicLimit in the app.",
        "Some 100 bytes a subscription; where peers name the topics, they could ask for any number.",
    ),
    Setting(
        SIZES, "topics-per-socket", Integer(1, 100_000, "topics"), 100,
        "Topics one WebSocket may be subscribed to; another one raises TopicLimit in the app.",
        "A chat has some rooms a person; one peer must not take the places of all others.",
    ),
    Setting(
        SIZES, "spool-dir", Path("DIR"), None,
        "Directory of the temporary files of large bodies; the system's when not given.",
        "The system's is there and is writable.",
    ),
    Setting(
        DEADLINES, "timeout", _DEADLINE, 300 * SECOND,
        "A kept-alive connection is closed after this long without a request.",
        "An idle connection costs about 450 bytes, a new one a round trip.",
    ),
    Setting(
        DEADLINES, "timeout-connect", _DEADLINE, 10 * SECOND,
        "A new connection that sends nothing is closed after this long.",
        "Browsers open spare connections, but use them within seconds.",
    ),
    Setting(
        DEADLINES, "timeout-handshake", _DEADLINE, 10 * SECOND,
        "An upgrade handshake is done within this time.",
        "Three round trips on a bad line are far below it.",
    ),
    Setting(
        DEADLINES, "timeout-head", _DEADLINE, 10 * SECOND,
        "A head is complete within this time of its first byte; else it is answered 408.",
        "A head is one packet or two; who needs longer holds a place on purpose (Slowloris).",
    ),
    Setting(
        DEADLINES, "timeout-half-closed", Duration(0, 24 * HOUR), 10 * SECOND,
        "A client that sends no more still gets its answer; a coroutine, or what makes a body, that sends nothing for "
        "this long is then ended; 0 for never.",
        "One that is gone looks the same until something is sent, and nobody is to work for it for ever.",
    ),
    Setting(
        DEADLINES, "timeout-linger", _DEADLINE, 30 * SECOND,
        "After an error answer, an early one, or the last one of a connection where more has come, what the client "
        "still sends is read and dropped for this long at most, while it comes at rate-body.",
        "Closing at once would reset the connection and destroy the answer (RFC 9112 section 9.6); as nginx's "
        "lingering_time.",
    ),
    Setting(
        DEADLINES, "timeout-linger-silence", _DEADLINE, 5 * SECOND,
        "... and no longer than this after what came last.",
        "A few round trips; as nginx's lingering_timeout.",
    ),
    Setting(
        DEADLINES, "rate-body", _RATE, 240,
        "Bytes a second that a request body arrives at, on the average (see rate-credit); else it is answered 408.",
        "Below any modem (Kestrel's figure), above a client that sends drops to hold a place.",
    ),
    Setting(
        DEADLINES, "rate-send", _RATE, 240,
        "Bytes a second that a client reads its answer at, on the average (see rate-credit); else it is closed.",
        "The same bound in the other direction.",
    ),
    Setting(
        DEADLINES, "rate-credit", Duration(0, 1 * HOUR), 60 * SECOND,
        "rate-body and rate-send are averages: a client begins with this much time, spends it as it passes, earns it "
        "back with each byte, never has more, and is cut when none is left. So one that was fast enough may move "
        "nothing for this long, and one that is slower than the rate is cut in the end; 0 for no rates.",
        "A pause is not slowness: a mobile line or a player that buffers pauses for seconds; as nginx's send_timeout.",
    ),
    Setting(
        DEADLINES, "watchdog", Duration(0, 24 * HOUR), 0.0,
        "A handler that has not answered after this long, and each time that has doubled, is logged with its stack; "
        "0 for never.",
        "Off: how long a handler may take is the app's affair, and watching takes a thread.",
    ),
    Setting(
        DEADLINES, "ws-ping", Duration(0, 24 * HOUR), 20 * SECOND,
        "A WebSocket from which nothing came for this long is sent a ping; 0 for never.",
        "Below the 30 to 60 s after which routers and proxies forget a silent connection.",
    ),
    Setting(
        DEADLINES, "ws-timeout", _DEADLINE, 20 * SECOND,
        "A WebSocket that gives no sign of life this long after a ping is closed.",
        "A mobile line may be away for some seconds; a dead peer is found within 40 s.",
    ),
    Setting(
        DEADLINES, "ws-message-timeout", Duration(0, 24 * HOUR), 30 * SECOND,
        "A WebSocket's message is complete this long after its first byte, or has come at rate-body and gets as long "
        "again; else the socket is closed with 1008; 0 for never.",
        "A half-sent message is held in memory, and pongs alone would keep its socket alive.",
    ),
    Setting(
        DEADLINES, "ws-close", _DEADLINE, 5 * SECOND,
        "A WebSocket's peer answers a close frame within this time; else the connection is cut.",
        "One round trip, behind what is still on its way.",
    ),
    Setting(
        DEADLINES, "drain", Duration(0, 1 * HOUR), 30 * SECOND,
        "At a stop, requests in flight may take this long to finish.",
        "What Kubernetes and most balancers grant before they kill.",
    ),
)  # fmt: skip
