"""A whole connection: what a client may send, in any pieces, to handlers of every kind, and how it may leave.

Nineteen of twenty inputs go over a transport in memory (memory.pyx), where the input says what each call moves and when
the client is gone; the others, and all of them in an ordinary build, over a real socket.
"""

from __future__ import annotations

import atexit
import re
from typing import Any
from zlib import crc32

from tests.fuzz.connection_model import Asked, Expected, compare, model, read_answers, read_frames
from tests.fuzz.connection_server import GONE, PROXIED, WATCH, Server, SocketClient, memory
from tests.fuzz.inputs import CHOICES, bytewise, cut, split_choices

from dimcore import tick

BYTEWISE = 200
MOST_ROUNDS = 10_000  # of the loop for one input: more are a loop that spins
SOCKETS = 20  # one input of so many goes over a socket

# Bits of the fourth choice; 64 is `STRETCHED`.
HALF_CLOSE = 1  # when all is sent the client says so; else it says nothing more
LATE_JOBS = 2  # threads, and whoever pushes a body, move when the client has sent all
BY_BYTES = 4  # one byte at a time, if there are few
DEAF = 8  # the client reads nothing before it has sent all
LEAVE = 16  # it leaves without reading anything
LOG_IN_C = 32  # the access log is the core's own
RESETS = 128  # a client that leaves does so without a goodbye

# What four more choices stand for, in memory alone: the peer's side of the transport.
PEER = 4
ANY = 1 << 30
READS = (ANY, 1, 2, 3, 5, 8, 16, 17, 61, 100, 256, 1000, 1460, 4096, 16384, 65535)
WRITES = (ANY, 300, 1000, 1460, 4096, 8192, 16383, 16384, 16385, 20000, 32768, 50000, 65535, 65536, 65537, 120)
MOST_READS = 500  # of one text


def peer_of(peer: bytes, size: int, resets: bool) -> dict[str, Any]:
    """How the other end of a connection in memory behaves.

    Args:
        peer: choices.
        size: of what it sends.
        resets: it leaves without a goodbye.
    """
    pause = peer[0] >> 4
    write_pause = peer[1] >> 4
    return {
        "read_most": max(READS[peer[0] & 15], size // MOST_READS),
        "write_most": WRITES[peer[1] & 15],
        "proxied": pause == 1,
        "read_pause": pause if pause > 1 else 0,
        "write_pause": write_pause if write_pause > 1 else 0,
        "window": peer[3] * 500,
        "leave_at": peer[2],
        "reset": resets,
    }


class Client:
    """One connection, from its beginning to its end."""

    def __init__(self, server: Server, choices: int, peer: dict[str, Any]) -> None:
        self.server = server
        self.choices = choices
        self.rounds = 0
        self.line: Any
        if server.listener is None:
            proxied = peer.pop("proxied")
            self.line = memory.MemoryClient(server.accept_proxied if proxied else server.accept, **peer)
        else:
            self.line = SocketClient(server, lambda: self.settle(move=True))
        self.settle()

    def settle(self, move: bool = False, deaf: bool = False) -> None:
        """Let everything happen that can."""
        server, line = self.server, self.line
        while server.turn() or (move and server.move()) or (not deaf and line.receive()):
            self.rounds += 1
            assert self.rounds < MOST_ROUNDS, "the loop spins"

    def say(self, pieces: list[bytes]) -> None:
        late, deaf = bool(self.choices & LATE_JOBS), bool(self.choices & DEAF)
        for piece in pieces:
            if not self.line.send(piece):
                break
            self.settle(move=not late, deaf=deaf)
        if self.choices & LEAVE:
            return
        self.settle(move=True)
        if self.choices & HALF_CLOSE and not self.line.ended:
            self.line.finish()
            self.settle(move=True)

    def leave(self) -> None:
        self.line.leave(bool(self.choices & RESETS))
        self.settle(move=True)
        self.settle(move=True)


servers: dict[bool, Server] = {}  # by whether they have sockets


def stop() -> None:
    """Give the servers up; the next input gets others."""
    while servers:
        servers.popitem()[1].close()


atexit.register(stop)


def talk(
    server: Server, pieces: list[bytes], choices: int, peer: dict[str, Any], expected: list[Expected] | None
) -> list[tuple[int, Any]]:
    """One connection from its beginning to its end; the frames that came after a 101.

    Args:
        expected: None: whatever comes.
    """
    frames: list[tuple[int, Any]] = []
    client = Client(server, choices, peer)
    line = client.line
    try:
        client.say(pieces)
        if not choices & LEAVE and not line.left and expected is not None:
            found, rest = read_answers(line.received, line.ended, [one.method for one in expected])
            compare(expected, found, line.ended, bool(choices & HALF_CLOSE))
            frames = read_frames(rest)
        client.leave()
    finally:
        line.leave()
    return frames


def is_logged(asked: Asked, logged: Asked) -> bool:
    """Whether a request is logged so: long text is cut there, and what is not ASCII written otherwise."""
    for said, written in zip(asked, logged, strict=True):
        if said == written or (said and not said.isascii() and written):
            continue
        if not said or not written or not written.endswith("...") or not said.startswith(written[:-3]):
            return False
    return True


def check_clean(server: Server, asked: list[Asked]) -> None:
    """Nothing is left of a connection that ended, and what was read of its requests is what was sent.

    Args:
        asked: what may be in the access log.
    """
    assert server.core.pools.index.total_connections() == 0
    assert server.core.requests.get_stats()["in_flight"] == 0
    assert server.watched == 0
    assert not server.jobs
    server.sinks.clear()
    server.pushes.clear()
    for entry in server.take_log():
        # Of a head that never was whole only its first line is known.
        known = entry if entry[2] is not None else (*entry[:2], "")
        assert not entry[1] or any(is_logged((*one[:2], one[2] if known[2] else ""), known) for one in asked), entry
    for request, target, agent in server.kept:
        assert (request.raw_target, request.headers.get("user-agent")) == (target, agent)
    server.kept.clear()
    for report in server.reports:
        assert report.startswith(("a handler failed: ", "a streamed body failed: LookupError")), report
        assert "ZeroDivisionError" in report or "ResponseError" in report or "LookupError" in report, report
    server.reports.clear()


def check(data: bytes) -> None:
    """Check one input.

    Raises:
        AssertionError: a connection does not do with it what it should.
    """
    sockets = memory is None or crc32(data) % SOCKETS == 0
    try:
        if sockets not in servers:
            servers[sockets] = Server(sockets)
        check_with(servers[sockets], data)
    except BaseException:
        stop()
        raise


def check_with(server: Server, data: bytes) -> None:
    """The same of a server."""
    choices, text = split_choices(data[:CHOICES] + data[CHOICES + PEER :])
    peer = data[CHOICES : CHOICES + PEER].ljust(PEER, b"\0")
    # Behind a request empty lines are forgotten as they come, so how many make one too many depends on the pieces.
    text = re.sub(rb"(?:\r\n){4,}", b"\r\n\r\n\r\n", text)
    tick(server.core)
    how = choices[3]
    server.log_in(c=bool(how & LOG_IN_C))
    asked: list[Asked] = []
    expected: list[Expected] | None = model(text, bool(how & HALF_CLOSE), asked)
    if f"?{GONE}".encode() in text or f"?{WATCH}".encode() in text:
        expected = None
    how_peer = peer_of(peer, len(text), bool(how & RESETS))
    sent = PROXIED + text if how_peer["proxied"] and server.listener is None else text
    pieces = bytewise(sent) if how & BY_BYTES and len(sent) <= BYTEWISE else cut(sent, choices)
    frames = talk(server, pieces, how, how_peer, expected)
    check_clean(server, asked)
    if frames:  # what a WebSocket is answered shows in whole, and not in a model
        whole = talk(server, [text], how & HALF_CLOSE, peer_of(bytes(PEER), len(text), False), expected)
        check_clean(server, asked)
        assert frames == whole
