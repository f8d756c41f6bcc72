"""What is published in one worker, brought to the others of its server.

Each worker has a Unix socket in the directory that is theirs alone (see `net.peers`).
One that begins connects to all who are there, and says its own name; whoever comes
later connects to it.  A connection carries messages both ways, and at once: the
first bytes lie in it before it is accepted, so nobody has to wait until all have met.
Two that begin at the same moment may have two connections; each sends on the one it
knew first, and reads both.  A name is never used again: what a killed worker left in
the directory is refused by the kernel, and taken away.

    hello      b"dimtopics1" and the name
    messages   size of the payload, text or not, size of the name; name; payload

Messages of one round are sent together, as one object for all.  What a worker does
not read waits up to a limit; beyond that it is lost for this worker and nobody
else: one that hangs must neither hold up the others nor fill their memory.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from functools import partial
from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from dimserver.net.loop import Loop
    from dimserver.net.throttled_log import ThrottledLog

    Receive = Callable[[str, bool, bytes], object]

__all__ = ["Relay"]

READABLE, WRITABLE = 1, 2
MAGIC = b"dimtopics1"
NAME_BYTES = 6
NAME_SIZE = 1 + 2 * NAME_BYTES
HELLO_SIZE = len(MAGIC) + NAME_SIZE
HEAD = Struct("!IBB")
MOST_PAYLOAD = 1 << 30  # bytes; the ceiling of `topic-buffer`
BACKLOG = 512  # workers a server may have
HELD = 2.0  # seconds for whoever connects to say who it is
AGAIN = 0.1  # seconds until a worker whose queue was full is tried once more
TRIES = 50
PIECE = 1 << 18  # bytes of one receive
TURN = 4  # receives, before everybody else gets a turn


class Relay:
    """One worker's links to the others.

    Args:
        directory: where each worker has its socket.
        loop: of this worker.
        receive: called with name, whether it is text, and payload of each message of another worker.
        most: bytes that may wait for another worker.
        throttled: told when messages are lost.

    Attributes:
        sent: messages handed to another worker, each counted for each.
        dropped: messages another worker did not get since too much waited for it.

    Raises:
        OSError: the socket cannot be made.

    Thread-safety: the loop's thread.
    """

    def __init__(self, directory: str, loop: Loop, receive: Receive, most: int, throttled: ThrottledLog) -> None:
        self.sent = 0
        self.dropped = 0
        self.name = "t" + os.urandom(NAME_BYTES).hex()
        self.loop = loop
        self.receive = receive
        self.most = most
        self._directory = directory
        self._episode = throttled
        self._parts: list[bytes] = []  # of this round
        self._messages = 0
        self._size = 0
        self._links: dict[str, _Link] = {}  # by the name of the other worker: what is sent on
        self._further: set[_Link] = set()  # which are only read
        self._callers: set[_Caller] = set()
        self._closed = False
        self._listener = self._listen()
        self._join_all()

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        try:
            # Nobody finds it before it listens: else it would be taken for one that was killed.
            listener.bind(self._path("-" + self.name))
            listener.listen(BACKLOG)
            os.rename(self._path("-" + self.name), self._path(self.name))
            listener.setblocking(False)
            self.loop.selector.register(listener, READABLE, self._accept)
        except BaseException:
            listener.close()
            raise
        return listener

    def _join_all(self) -> None:
        for name in os.listdir(self._directory):
            if name[:1] == "t" and len(name) == NAME_SIZE:
                self._join(name)

    def move(self, directory: str) -> None:
        """Be found in a directory that was made anew; links to others stay.

        Raises:
            OSError: the socket cannot be made; who comes later does not find this worker.
        """
        self._unlink(self.name)
        self._directory = directory
        listener = self._listen()
        self.loop.selector.unregister(self._listener)
        self._listener.close()
        self._listener = listener
        self._join_all()

    @property
    def workers(self) -> int:
        """The workers that get what is published here."""
        return len(self._links)

    def _path(self, name: str) -> str:
        return f"{self._directory}/{name}"

    # --- out ------------------------------------------------------------------------------------

    def publish(self, name: str, text: bool, payload: bytes) -> None:
        """Have the other workers get a message; it leaves when this round is over.

        Args:
            name: of the topic, at most 255 bytes of UTF-8.
            text: whether it is text.
            payload: of the message.
        """
        if not self._links:
            return
        encoded = name.encode()
        if self._parts and self._size + len(payload) > self.most:
            self.lost(len(self._links))
            return
        if not self._parts:
            self.loop.call_soon(self._flush)
        self._parts.append(HEAD.pack(len(payload), text, len(encoded)) + encoded + payload)
        self._messages += 1
        self._size += len(self._parts[-1])

    def _flush(self) -> None:
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        messages = self._messages
        self._parts = []
        self._messages = self._size = 0
        for link in list(self._links.values()):
            link.send(data, messages)

    def lost(self, messages: int) -> None:
        """So many messages did not get to a worker."""
        self.dropped += messages
        self._episode.tell("a worker does not read topic messages from the others, and loses messages")

    # --- who is there ---------------------------------------------------------------------------

    def _join(self, name: str, tries: int = TRIES) -> None:
        """Connect to a worker that was here before."""
        if name == self.name or name in self._links or self._closed:
            return
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        try:
            sock.connect(self._path(name))
            sock.send(MAGIC + self.name.encode())  # the first bytes of a connection always fit
        except BlockingIOError:  # its queue is full: it is busy, or hangs
            sock.close()
            if tries:
                self.loop.call_later(AGAIN, partial(self._join, name, tries - 1))
        except ConnectionRefusedError:  # of one that was killed
            sock.close()
            self._unlink(name)
        except OSError:  # it left meanwhile
            sock.close()
        else:
            self._links[name] = _Link(self, name, sock)

    def _accept(self, mask: int) -> None:  # noqa: ARG002 - every callback takes the mask
        try:
            sock, _ = self._listener.accept()
        except OSError:  # gone again, or out of descriptors
            return
        sock.setblocking(False)
        caller = _Caller(self, sock)
        self._callers.add(caller)
        if not caller.read():  # as a rule the hello is there already
            self.loop.call_later(HELD, caller.close)

    def called(self, caller: _Caller, name: str | None) -> None:
        """Somebody has said who it is, or left without."""
        self._callers.discard(caller)
        if name is None:
            return
        link = _Link(self, name, caller.sock)
        if self._links.setdefault(name, link) is not link:
            self._further.add(link)

    def forget(self, link: _Link) -> None:
        """A connection has ended."""
        self._further.discard(link)
        if self._links.get(link.name) is link:
            del self._links[link.name]

    def _unlink(self, name: str) -> None:
        try:
            os.unlink(self._path(name))
        except OSError:  # somebody else did, or the directory is gone
            pass

    def close(self) -> None:
        """Leave; again is fine."""
        if self._closed:
            return
        self._closed = True
        self.loop.selector.unregister(self._listener)
        self._listener.close()
        self._unlink(self.name)
        if self._parts:
            self._flush()
        for caller in list(self._callers):
            caller.close()
        for link in (*self._links.values(), *self._further):
            link.close()


class _Caller:
    """Somebody who has connected and not said yet who it is."""

    def __init__(self, relay: Relay, sock: socket.socket) -> None:
        self.sock = sock
        self._relay = relay
        self._read = b""
        self._done = False
        relay.loop.selector.register(sock, READABLE, self._ready)

    def _ready(self, mask: int) -> None:  # noqa: ARG002 - every callback takes the mask
        self.read()

    def read(self) -> bool:
        """See what it says; whether it needs no more to be waited for."""
        try:
            data = self.sock.recv(HELLO_SIZE - len(self._read))
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        self._read += data
        if not data or not MAGIC.startswith(self._read[: len(MAGIC)]):
            self.close()
        elif len(self._read) == HELLO_SIZE:
            self._end()
            self._relay.called(self, self._read[len(MAGIC) :].decode("ascii", "replace"))
        return self._done

    def _end(self) -> None:
        self._done = True
        self._relay.loop.selector.unregister(self.sock)

    def close(self) -> None:
        """Give up, unless it is done."""
        if not self._done:
            self._end()
            self.sock.close()
            self._relay.called(self, None)


class _Link:
    """A connection to another worker, from the hello on."""

    def __init__(self, relay: Relay, name: str, sock: socket.socket) -> None:
        self.name = name
        self._relay = relay
        self._sock = sock
        self._read = bytearray()
        self._queue: deque[memoryview] = deque()
        self._waiting = 0  # bytes
        self._open = True
        relay.loop.selector.register(sock, READABLE, self._ready)

    def _ready(self, mask: int) -> None:
        if mask & READABLE:
            self._receive()
        if mask & WRITABLE and self._open:
            self._write()
            if self._open and not self._queue:
                self._relay.loop.selector.modify(self._sock, READABLE, self._ready)

    def _receive(self) -> None:
        for _ in range(TURN):
            try:
                data = self._sock.recv(PIECE)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            self._read += data
            if not data or not self._take():
                self.close()
                return
            if len(data) < PIECE:
                return

    def _take(self) -> bool:
        """Hand on the messages that are whole; False where it is none of ours."""
        read = self._read
        at = 0
        left = len(read)
        while left >= HEAD.size:
            size, text, name_size = HEAD.unpack_from(read, at)
            if size > MOST_PAYLOAD or text > 1 or not name_size:
                return False
            whole = HEAD.size + name_size + size
            if left < whole:
                break
            start = at + HEAD.size
            try:
                name = read[start : start + name_size].decode()
            except UnicodeDecodeError:
                return False
            self._relay.receive(name, bool(text), bytes(read[start + name_size : at + whole]))
            at += whole
            left -= whole
        del read[:at]
        return True

    def send(self, data: bytes, messages: int) -> None:
        """Send, now or when there is room; what would wait beyond the limit is lost."""
        if self._waiting and self._waiting + len(data) > self._relay.most:
            self._relay.lost(messages)
            return
        self._relay.sent += messages
        idle = not self._queue
        self._queue.append(memoryview(data))
        self._waiting += len(data)
        if idle:
            self._write()
            if self._queue and self._open:
                self._relay.loop.selector.modify(self._sock, READABLE | WRITABLE, self._ready)

    def _write(self) -> None:
        while self._queue:
            piece = self._queue[0]
            try:
                sent = self._sock.send(piece)
            except BlockingIOError:
                return
            except OSError:
                self.close()
                return
            self._waiting -= sent
            if sent == len(piece):
                self._queue.popleft()
            else:
                self._queue[0] = piece[sent:]

    def close(self) -> None:
        """End it; again is fine."""
        if self._open:
            self._open = False
            self._queue.clear()
            self._relay.loop.selector.unregister(self._sock)
            self._sock.close()
            self._relay.forget(self)
